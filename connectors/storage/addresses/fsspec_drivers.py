"""Find the drivers that fsspec has for protocols."""

from __future__ import annotations

import difflib
from typing import Any

import fsspec

from connectors.errors import ConfigError, StorageError


def check_protocol(protocol: str) -> None:
    """Refuse a protocol that fsspec does not know; no package of a protocol is imported.

    Raises:
        StorageError: It is unknown.
    """
    known = {*fsspec.available_protocols(), *fsspec.registry}
    if protocol not in known:
        near = difflib.get_close_matches(protocol, known, n=1)
        hint = f"did you mean {near[0]}://? Else" if near else "correct the URL, or"
        raise StorageError(
            f"{protocol}:// is not a protocol that fsspec knows: {hint} install the package that "
            "brings it",
            url=f"{protocol}://",
        )


def driver(protocol: str) -> Any:
    """Return the class of fsspec for a protocol.

    Raises:
        ConfigError: The package for the protocol is not installed.
        StorageError: There is no such protocol.
    """
    try:
        return fsspec.get_filesystem_class(protocol)
    except ImportError as failure:
        raise ConfigError(f"{protocol}:// cannot be used: {failure}") from failure
    except ValueError as failure:
        raise StorageError(
            f"{protocol}:// is not a protocol that fsspec knows: correct the URL, or install the "
            "package that brings it",
            url=f"{protocol}://",
        ) from failure


def url_options(protocol: str, url: str) -> dict[str, Any]:
    """Return what a URL says that its path does not: a host, a port, a user."""
    return dict(driver(protocol)._get_kwargs_from_urls(url))


def native_path(protocol: str, url: str) -> str:
    """Return the storage's own path for a URL of its protocol."""
    return str(driver(protocol)._strip_protocol(url)).rstrip("/")
