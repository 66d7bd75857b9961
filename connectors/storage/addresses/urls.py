"""Parse URLs of storages, and refuse those that no storage can serve."""

from __future__ import annotations

import importlib
import os
import re
from urllib.parse import urlsplit

from connectors.errors import StorageError
from connectors.storage.addresses.object_urls import object_store
from connectors.storage.addresses.paths import UNPRINTABLE

LOCAL_PROTOCOLS = frozenset({"file", "local"})
READ_ONLY_PROTOCOLS = frozenset({"http", "https"})

_ARCHIVES = frozenset({"zip", "tar", "libarchive"})
_WRAPPERS = frozenset(
    {
        "async_wrapper",
        "asynclocal",
        "asyncwrapper",
        "blockcache",
        "cached",
        "dask",
        "data",
        "dir",
        "filecache",
        "generic",
        "pyscript",
        "reference",
        "simplecache",
    }
)
_SPECIAL = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[[*?\[]\]")
_ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")


def protocol_of(url: str) -> str:
    """Return the protocol of a URL; `file` for a path.

    >>> protocol_of("S3://lake/runs"), protocol_of("runs")
    ('s3', 'file')
    """
    scheme, found, _ = url.partition("://")
    return scheme.lower() if found and "/" not in scheme else "file"


def storage_kind(url: str) -> str:
    """Return the protocol of a URL, one name for all spellings of it.

    >>> storage_kind("s3a://lake"), storage_kind("file:///runs"), storage_kind("gs://lake")
    ('s3', 'file', 'gs')
    """
    protocol = protocol_of(url)
    if protocol in LOCAL_PROTOCOLS:
        return "file"
    store = object_store(protocol)
    return protocol if store is None else store.protocol


def split_glob(url: str) -> tuple[str, tuple[str, ...]]:
    """Split a URL into the folder above its first glob, and the globs from there, one a level.

    `*`, `?` and `[...]` are globs; literally they are written `[*]`, `[?]` and `[[]`. URLs of web
    servers have none: there a `?` begins a query.

    Raises:
        StorageError: A glob is where it cannot be: in the name of a bucket or host.

    >>> split_glob("s3://lake/2025-*/runs"), split_glob("runs/a[*]b")
    (('s3://lake', ('2025-*', 'runs')), ('runs/a*b', ()))
    """
    if protocol_of(url) in READ_ONLY_PROTOCOLS:
        return url, ()
    if not _is_glob(url):
        return _unescaped(url), ()
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    levels = rest.split("/")
    first = next(n for n, level in enumerate(levels) if _is_glob(level))
    is_local = protocol_of(url) in LOCAL_PROTOCOLS
    if first == 0 and not is_local:
        raise StorageError(
            f"{url}: the part after {scheme}:// cannot be a glob: write it out", url=f"{scheme}://"
        )
    fixed = "/".join(map(_unescaped, levels[:first]))
    if first == 1 and is_local and rest.startswith("/"):
        fixed = "/"
    pattern = tuple(level for level in levels[first:] if level)
    if any(level in (".", "..") for level in pattern):
        raise StorageError(
            f"{url}: after a glob there can be no . or ..: write the path without them", url=url
        )
    return scheme + mark + (fixed or "."), pattern


def escape_glob(url: str) -> str:
    """Return the URL that means this one literally, where URLs may hold globs.

    >>> escape_glob("/runs/a*b [1]")
    '/runs/a[*]b [[]1]'
    """
    if protocol_of(url) in READ_ONLY_PROTOCOLS:
        return url
    return _SPECIAL.sub(r"[\g<0>]", url)


def _is_glob(level: str) -> bool:
    return _SPECIAL.search(_ESCAPED.sub("", level)) is not None


def _unescaped(level: str) -> str:
    return _ESCAPED.sub(lambda match: match[0][1], level)


def canonical_url(url: str) -> str:
    """Return one spelling for all that name the same path or URL, links aside.

    Raises:
        StorageError: The URL is not one.

    >>> canonical_url("file:///lake//a/./b.csv"), canonical_url("s3a://lake/gold/")
    ('/lake/a/b.csv', 's3://lake/gold')
    """
    protocol = protocol_of(url)
    if protocol in LOCAL_PROTOCOLS:
        return local_path(url)
    store = object_store(protocol)
    return url.rstrip("/") if store is None else store.canonical(url)


def check_url(url: str, *, for_writing: bool = False) -> None:
    """Refuse a URL that no storage can be connected by; no request is made.

    Args:
        url: A path of this machine or a URL.
        for_writing: Whether something is to be written there.

    Raises:
        StorageError: It is no URL, or its protocol is not one of a storage.
    """
    if not url or "\x00" in url:
        raise StorageError(
            f"{url!r} is neither a path nor a URL: give a path such as runs/, or a URL such as "
            "s3://bucket/runs"
        )
    protocol = protocol_of(url)
    if protocol in LOCAL_PROTOCOLS:
        local_path(url)
    elif store := object_store(protocol):
        store.path(url)
    else:
        _check_other(url, protocol, for_writing)


def _check_other(url: str, protocol: str, for_writing: bool) -> None:
    shown = f"{protocol}://"
    if protocol in _ARCHIVES:
        raise StorageError(
            f"{shown} names an archive, which is not read: unpack it, and name the folder",
            url=shown,
        )
    if protocol in _WRAPPERS or "::" in url:
        raise StorageError(
            f"{shown} wraps another storage, which is not supported: name that one by its own URL",
            url=shown,
        )
    if not url.partition("://")[2].strip("/"):
        raise StorageError(f"{shown} names no place: write {shown}host/path", url=shown)
    if protocol in READ_ONLY_PROTOCOLS:
        if for_writing:
            raise StorageError(
                f"{shown} can only be read: write to a disk or an object store", url=shown
            )
        if not urlsplit(url).hostname:
            raise StorageError(f"{shown} names no host: write {shown}host/path", url=shown)
    # Imported when needed: it costs time that a run on local files need not spend.
    importlib.import_module("connectors.storage.addresses.fsspec_drivers").check_protocol(protocol)


def local_path(url: str) -> str:
    """Return the absolute path of a path or `file://` URL, with `~` expanded.

    Raises:
        StorageError: It names no path, or the home folder of an unknown user.
    """
    scheme, found, rest = url.partition("://")
    is_url = bool(found) and scheme.lower() in LOCAL_PROTOCOLS
    path = rest if is_url else url
    if not path:
        raise StorageError(f"{url!r} names no path: name a folder or a file", url=url)
    if not is_url and (mistaken := _ONE_SLASH.match(path)):
        name = mistaken[1]
        raise StorageError(
            f"{path!r} has one slash after {name}: where a URL has two; write {name}://..., or "
            f"./{name}:/... for a folder of that name",
            url=url,
        )
    # Lexically: what a link points to is not to change the name of a run.
    whole = os.path.normpath(os.path.abspath(_at_home(path))).replace("//", "/", 1)
    if UNPRINTABLE.search(whole):
        raise StorageError(
            f"{whole!r} holds a control character or bytes that are not UTF-8, which a descriptor "
            "cannot name: rename the folder"
        )
    return whole


def _at_home(path: str) -> str:
    if not path.startswith("~"):
        return path
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        user = path.partition("/")[0]
        raise StorageError(
            f"{path!r}: no home folder is known for {user}; a folder of that name is ./{path}"
        )
    return expanded
