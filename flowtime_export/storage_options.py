"""Paths and storage options as every function of the API takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from connectors.storage import StorageOptions, protocol_of

AnyPath = str | PathLike[str]
"""A path of this machine, or a URL."""
AnyStorageOptions = Mapping[str, Any] | None
"""fsspec's keyword arguments, such as `endpoint_url`, `key` and `secret` for S3; None for none."""


def storage_options_of(options: AnyStorageOptions) -> StorageOptions | None:
    """Return options in the terms of the storages, where they are kept from being shown."""
    return None if options is None else StorageOptions(options=dict(options))


def remote_protocol(urls: Iterable[str]) -> str | None:
    """Return the protocol that options are for: the first one that is not this machine's disk."""
    protocols = (protocol_of(url) for url in urls)
    return next((one for one in protocols if one not in ("file", "local")), None)
