"""Connect to storages by URL: local disk, S3, or any other that fsspec knows."""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from typing import Any

from connectors.errors import StorageError
from connectors.storage.claim import (
    Claim,
    InterruptedWork,
    claimed,
    interrupted_work,
    is_claim,
)
from connectors.storage.contract import FileInfo, Folder, StagedFile, Storage, Writable, sha256_of
from connectors.storage.disk.local import LocalStorage
from connectors.storage.location import Location
from connectors.storage.options import StorageOptions
from connectors.storage.paths import join, relative
from connectors.storage.staging import remove_scratch, scratch_folder

__all__ = [
    "Claim",
    "FileInfo",
    "Folder",
    "InterruptedWork",
    "Location",
    "StagedFile",
    "Storage",
    "StorageOptions",
    "Writable",
    "canonical_url",
    "claimed",
    "connect",
    "discard_all",
    "interrupted_work",
    "is_claim",
    "join",
    "protocol_of",
    "relative",
    "scratch_folder",
    "sha256_of",
]

_S3 = frozenset({"s3", "s3a"})
_LOCAL = frozenset({"file", "local"})

_known: dict[tuple[int, str, str], Storage] = {}
_lock = threading.Lock()


def connect(url: str, options: StorageOptions | None = None) -> tuple[Storage, str]:
    """The storage of a URL, and the storage's own path for it.

    No request is made. Equal options give the same storage.

    Args:
        url: A path of this machine, relative or absolute and taken literally, or a URL.
        options: The options to connect with.

    Raises:
        StorageError: The URL is not one, its protocol is not the options', or the package that
            knows the protocol is missing.
    """
    options = options or StorageOptions()
    if not url or "\x00" in url:
        raise StorageError(f"{url!r} is neither a path nor a URL")
    protocol = protocol_of(url)
    _check_protocol(url, protocol, options)
    if protocol in _LOCAL:
        return _kept("file", {}, options), _local_path(url)
    if protocol in _S3:
        return _kept("s3", options.revealed(), options), _s3_path(url)
    # Imported when needed: it costs time that a run on local files need not spend.
    module = importlib.import_module("connectors.storage.fsspec_storage")
    arguments = {**module.url_options(protocol, url), **options.revealed()}
    return _kept(protocol, arguments, options), module.native_path(protocol, url)


def discard_all() -> None:
    """Remove whatever this process has staged anywhere: for the way out after a signal."""
    for storage in list(_known.values()):
        storage.discard_all()
    remove_scratch()


def protocol_of(url: str) -> str:
    """The protocol of a URL; `file` for a path.

    >>> protocol_of("S3://lake/runs"), protocol_of("runs")
    ('s3', 'file')
    """
    scheme, found, _ = url.partition("://")
    return scheme.lower() if found and "/" not in scheme else "file"


def canonical_url(url: str) -> str:
    """One spelling for all that name the same path or URL, links aside.

    Raises:
        StorageError: The URL is not one.

    >>> canonical_url("file:///lake//a/./b.csv"), canonical_url("s3a://lake/gold/")
    ('/lake/a/b.csv', 's3://lake/gold')
    """
    protocol = protocol_of(url)
    if protocol in _LOCAL:
        return _local_path(url)
    return f"s3://{_s3_path(url)}" if protocol in _S3 else url.rstrip("/")


def _check_protocol(url: str, protocol: str, options: StorageOptions) -> None:
    wanted = options.protocol
    if wanted is None or wanted == protocol:
        return
    if any({wanted, protocol} <= same for same in (_S3, _LOCAL, {"http", "https"})):
        return
    raise StorageError(
        f"the storage {options.name!r} is for {wanted}:// URLs, not for {protocol}://: "
        "name another storage, or correct the URL",
        url=f"{protocol}://",
    )


def _local_path(url: str) -> str:
    scheme, found, rest = url.partition("://")
    path = rest if found and scheme.lower() in _LOCAL else url
    if not path:
        raise StorageError(f"{url!r} names no path", url=url)
    # Lexically: what a link points to is not to change the name of a run.
    return os.path.normpath(os.path.abspath(path)).replace("//", "/", 1)


def _s3_path(url: str) -> str:
    path = url.partition("://")[2].rstrip("/")
    bucket, _, key = path.partition("/")
    if "@" in bucket or ":" in bucket:
        raise StorageError(
            "an S3 URL must not hold credentials: give `key` and `secret` in a storage of the "
            "config, and the URL as s3://bucket/key",
            url="s3://",
        )
    if not bucket:
        raise StorageError(f"{url} names no bucket: write s3://bucket/key", url="s3://")
    return join(bucket, key) if key else bucket


def _kept(protocol: str, arguments: dict[str, Any], options: StorageOptions) -> Storage:
    """One storage for equal arguments, so that connections are shared.

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
    name = (
        "connectors.storage.s3.storage" if protocol == "s3" else "connectors.storage.fsspec_storage"
    )
    try:
        module = importlib.import_module(name)
    except ImportError as failure:
        package = "s3fs and obstore" if protocol == "s3" else "fsspec"
        raise StorageError(
            f"{protocol}:// cannot be used: install {package} ({failure})", url=f"{protocol}://"
        ) from failure
    # What a URL carries (user and password of an FTP server) is as secret as an option.
    secrets = options.secrets() | StorageOptions(options=arguments).secrets()
    storage: Storage = module.open_storage(protocol, arguments, secrets)
    return storage
