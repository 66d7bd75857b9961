"""Connect to storages by URL: local disk, S3, or any other that fsspec knows."""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from typing import Any

from connectors.errors import ConfigError, StorageError
from connectors.storage.addresses.location import Location
from connectors.storage.addresses.object_urls import ObjectStore, object_store
from connectors.storage.addresses.paths import join, relative
from connectors.storage.addresses.urls import (
    LOCAL_PROTOCOLS,
    READ_ONLY_PROTOCOLS,
    canonical_url,
    check_url,
    escape_glob,
    local_path,
    protocol_of,
    split_glob,
    storage_kind,
)
from connectors.storage.contract import (
    FileInfo,
    Folder,
    StagedFile,
    Storage,
    StoreAccess,
    UnfinishedUpload,
    Writable,
    sha256_of,
)
from connectors.storage.disk.local import LocalStorage
from connectors.storage.options import StorageOptions
from connectors.storage.staging.claim import (
    Claim,
    InterruptedWork,
    claimed,
    interrupted_work,
    is_claim,
)
from connectors.storage.staging.folders import (
    remove_abandoned,
    remove_scratch,
    scratch_below,
    scratch_folder,
)
from connectors.storage.staging.names import (
    Owner,
    give_up,
    given_up,
    owner_of_group,
    staged_name,
    staging_for,
    staging_owner,
)
from connectors.storage.standard_output import StandardOutput

__all__ = [
    "Claim",
    "FileInfo",
    "Folder",
    "InterruptedWork",
    "Location",
    "Owner",
    "StagedFile",
    "StandardOutput",
    "Storage",
    "StorageOptions",
    "StoreAccess",
    "UnfinishedUpload",
    "Writable",
    "canonical_url",
    "check_url",
    "claimed",
    "connect",
    "discard_all",
    "escape_glob",
    "give_up",
    "given_up",
    "interrupted_work",
    "is_claim",
    "join",
    "owner_of_group",
    "protocol_of",
    "relative",
    "remove_abandoned",
    "scratch_below",
    "scratch_folder",
    "sha256_of",
    "split_glob",
    "staged_name",
    "staging_for",
    "staging_owner",
    "standard_output",
    "storage_kind",
]

_known: dict[tuple[int, str, str], Storage] = {}
_lock = threading.Lock()


def connect(url: str, options: StorageOptions | None = None) -> tuple[Storage, str]:
    """Return the storage of a URL, and the storage's own path for it.

    No request is made. Equal options give the same storage.

    Args:
        url: A path of this machine, relative or absolute, or a URL; `~` is the home folder.
        options: The options to connect with.

    Raises:
        ConfigError: The package for the protocol is not installed.
        StorageError: The URL is not one, its protocol is not the options' or not one of a
            storage.
    """
    options = options or StorageOptions()
    check_url(url)
    protocol = protocol_of(url)
    _check_protocol(url, protocol, options)
    if protocol in LOCAL_PROTOCOLS:
        return _kept("file", {}, options), local_path(url)
    if store := object_store(protocol):
        path = store.path(url)
        return _kept(store.protocol, {**store.options(url), **options.revealed()}, options), path
    # Imported when needed: it costs time that a run on local files need not spend.
    drivers = importlib.import_module("connectors.storage.addresses.fsspec_drivers")
    arguments = {**drivers.url_options(protocol, url), **options.revealed()}
    return _kept(protocol, arguments, options), drivers.native_path(protocol, url)


def standard_output() -> StandardOutput:
    """Return the storage that copies files to the standard output of this process."""
    storage = _kept("stdout", {}, StorageOptions())
    assert isinstance(storage, StandardOutput)
    return storage


def discard_all() -> None:
    """Remove whatever this process has staged anywhere: for the way out after a signal."""
    for storage in list(_known.values()):
        storage.discard_all()
    remove_scratch()


def _check_protocol(url: str, protocol: str, options: StorageOptions) -> None:
    wanted = options.protocol
    if wanted is None or wanted == protocol:
        return
    if storage_kind(f"{wanted}://") == storage_kind(f"{protocol}://"):
        return
    if {wanted, protocol} <= READ_ONLY_PROTOCOLS:
        return
    raise StorageError(
        f"the storage {options.name!r} is for {wanted}:// URLs, not for {protocol}://: "
        "name another storage, or correct the URL",
        url=f"{protocol}://",
    )


def _kept(protocol: str, arguments: dict[str, Any], options: StorageOptions) -> Storage:
    """Return one storage for equal arguments, so that connections are shared.

    A process that was forked makes its own: connections do not survive that.
    """
    digest = hashlib.sha256(_spelled(arguments).encode()).hexdigest()
    key = (os.getpid(), protocol, digest)
    with _lock:
        if key not in _known:
            _known[key] = _made(protocol, arguments, options)
        return _known[key]


def _spelled(value: Any) -> str:
    if isinstance(value, dict):
        return repr(sorted((str(key), _spelled(item)) for key, item in value.items()))
    return repr(value)


def _made(protocol: str, arguments: dict[str, Any], options: StorageOptions) -> Storage:
    if protocol == "file":
        return LocalStorage()
    if protocol == "stdout":
        return StandardOutput()
    store = object_store(protocol)
    try:
        module = importlib.import_module(
            "connectors.storage.fsspec_storage" if store is None else store.module
        )
    except ImportError as failure:
        raise ConfigError(
            f"{protocol}:// cannot be used: {_how_to_install(store)} ({failure})"
        ) from failure
    # What a URL carries (user and password of an FTP server) is as secret as an option.
    secrets = options.secrets() | StorageOptions(options=arguments).secrets()
    storage: Storage = module.open_storage(protocol, arguments, secrets)
    return storage


def _how_to_install(store: ObjectStore | None) -> str:
    if store is None or not store.extra:
        return "install flowtime-export again"
    return f"run pip install 'flowtime-export[{store.extra}]'"
