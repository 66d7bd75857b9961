"""Azure Blob Storage and Data Lake Storage as a storage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import adlfs

from connectors.storage.azure.client import AzureClient
from connectors.storage.azure.failures import AZURE_FAILURES
from connectors.storage.objects.storage import ObjectStorage


def open_storage(protocol: str, options: dict[str, Any], secrets: Iterable[str]) -> ObjectStorage:
    """Return a storage for `abfs://container/path` and its other spellings.

    Args:
        protocol: Any of them.
        options: The arguments of `adlfs.AzureBlobFileSystem`, in clear.
        secrets: Texts that no message may show.

    Raises:
        StorageError: The options cannot be used.
    """
    wanted = {**options, "use_listings_cache": False, "skip_instance_cache": True}
    try:
        filesystem = adlfs.AzureBlobFileSystem(**wanted)
    except Exception as failure:  # The SDK raises many classes for what is wrong with options.
        raise AZURE_FAILURES.translate(failure, "abfs://", "connecting to", secrets) from failure
    return ObjectStorage("abfs", AzureClient(filesystem), secrets)
