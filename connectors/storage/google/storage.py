"""Google Cloud Storage as a storage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gcsfs.core import GCSFileSystem

from connectors.storage.google.client import GoogleClient
from connectors.storage.google.failures import GOOGLE_FAILURES
from connectors.storage.objects.storage import ObjectStorage
from connectors.storage.options import session_arguments


def open_storage(protocol: str, options: dict[str, Any], secrets: Iterable[str]) -> ObjectStorage:
    """Return a storage for `gs://bucket/key` and `gcs://bucket/key`.

    Args:
        protocol: Either of them.
        options: The arguments of `gcsfs.GCSFileSystem`, in clear.
        secrets: Texts that no message may show.

    Raises:
        StorageError: The options cannot be used.
    """
    try:
        filesystem = GCSFileSystem(**session_arguments(options))
    except Exception as failure:  # gcsfs raises many classes for what is wrong with credentials.
        raise GOOGLE_FAILURES.translate(failure, "gs://", "connecting to", secrets) from failure
    return ObjectStorage("gs", GoogleClient(filesystem, options), secrets)
