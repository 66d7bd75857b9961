"""Resolve `source.url` into a storage and the folders that runs are looked for in."""

from __future__ import annotations

from connectors.flowtime.discover.source_root import SourceRoot, connect_root
from connectors.storage import Storage
from pipeline.config import ExportConfig
from pipeline.errors import ConfigError


def source_roots(config: ExportConfig) -> tuple[Storage, tuple[SourceRoot, ...]]:
    """Return the storage of a config's source, and its roots; no request is made.

    Raises:
        ConfigError: The URLs are of different storages.
        StorageError: A URL is none, or no package knows its protocol.
    """
    options = config.storage_options(config.source.storage)
    found = [connect_root(url, options) for url in config.source.urls]
    storage = found[0][0]
    for url, (other, _) in zip(config.source.urls, found, strict=True):
        if other is not storage:
            raise ConfigError(f"source.url: {url} is of another storage than the first URL")
    return storage, tuple(dict.fromkeys(root for _, root in found))
