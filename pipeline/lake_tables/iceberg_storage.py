"""How pyiceberg reaches what the storages of this project reach."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from connectors.storage import Storage, relative
from connectors.storage.addresses.paths import is_safe_name

_S3_PROPERTIES = {
    "aws_endpoint": "s3.endpoint",
    "aws_region": "s3.region",
    "aws_access_key_id": "s3.access-key-id",
    "aws_secret_access_key": "s3.secret-access-key",
    "aws_session_token": "s3.session-token",
    "aws_skip_signature": "s3.anonymous",
}
"""Words of object_store and of pyiceberg."""


def io_properties(storage: Storage, path: str) -> dict[str, str]:
    """Return the properties by which pyiceberg reads and writes below a path.

    Raises:
        StorageError: It cannot, or the store failed.
    """
    options = storage.access(path).options
    # Arrow's file system sends parts without their length, which not all stores take.
    own = {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"} if options else {}
    return own | {
        theirs: options[ours] for ours, theirs in _S3_PROPERTIES.items() if ours in options
    }


def location_of(storage: Storage, path: str) -> str:
    """Return a folder as the metadata of a table name it."""
    return f"file://{path}" if storage.is_local else storage.url(path)


def plain(uri: str) -> str:
    """Return one spelling of a URI, for comparisons.

    >>> plain("file:///lake/gold/"), plain("/lake/gold"), plain("s3a://lake/gold")
    ('/lake/gold', '/lake/gold', 's3://lake/gold')
    """
    text = uri.rstrip("/")
    if text.startswith("file:"):
        return "/" + text.removeprefix("file:").lstrip("/")
    return "s3://" + text.partition("://")[2] if text.startswith(("s3a://", "s3n://")) else text


def path_below(folder: str, uri: str) -> str | None:
    """Return the path of a URI relative to a folder; None where it is not below, or no safe path.

    >>> path_below("/lake/gold", "file:///lake/gold/metadata/v1.json")
    'metadata/v1.json'
    """
    path = relative(plain(uri), plain(folder))
    return path if path is not None and is_safe_name(path) else None


def is_missing_database(uri: str) -> bool:
    """Return whether the URI of a catalog is that of an SQLite file that is not there."""
    path = uri.partition("?")[0].removeprefix("sqlite:///")
    return uri.startswith("sqlite:///") and bool(path) and not Path(path).exists()


@cache
def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of pyiceberg, and of what it calls."""
    import pyiceberg.exceptions as of_iceberg  # noqa: PLC0415 an extra
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 loaded for catalogs alone

    own = (one for one in vars(of_iceberg).values() if isinstance(one, type))
    raised = [one for one in own if issubclass(one, Exception)]
    return (*raised, SQLAlchemyError, OSError, ValueError, KeyError, TypeError)
