"""Any file system that fsspec has a driver for, as a storage."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import AsyncFileSystem

from connectors.errors import DeniedError, NotFoundError, StorageError
from connectors.storage.addresses.fsspec_drivers import driver
from connectors.storage.addresses.paths import is_safe_name, relative
from connectors.storage.addresses.urls import READ_ONLY_PROTOCOLS
from connectors.storage.calls.event_loop import wait_for
from connectors.storage.calls.http_failures import HttpFailures
from connectors.storage.calls.retry import Contact, retrying
from connectors.storage.contract import Denied, Enter, FileInfo, Folder, Mark, StagedFile, entered
from connectors.storage.options import session_arguments
from connectors.storage.remote import RemoteStorage
from connectors.storage.staging.names import is_abandoned, is_staged_name, staged_name

_ATOMIC = frozenset({"memory", "adl", "oci", "oss"})
"""Protocols where a put is seen whole or not at all; elsewhere a rename makes it so."""
_ADDRESS = ("host", "port", "endpoint_url")
"""Options that distinguish stores of the same protocol."""


class FsspecStorage(RemoteStorage):
    """A storage over one fsspec file system.

    Args:
        protocol: The protocol of its URLs.
        options: fsspec's keyword arguments, in clear.
        secrets: Texts that no message may show.

    Raises:
        ConfigError: The package for the protocol is not installed.
        StorageError: There is no such protocol, or the driver failed.
    """

    failures = HttpFailures()

    def __init__(self, protocol: str, options: dict[str, Any], secrets: Iterable[str]) -> None:
        super().__init__(protocol, secrets)
        self._options = options
        self._contact = Contact()
        open_driver = driver(protocol)
        try:
            self._fs = open_driver(**session_arguments(options))
        except Exception as failure:  # some drivers connect when they are made
            raise self._translated(failure, "", "connecting to") from failure

    def url(self, path: str) -> str:
        """With the protocol, without a query: that is where signed URLs carry credentials."""
        if "://" not in path:
            return f"{self.protocol}://{path.lstrip('/')}"
        parts = urlsplit(path)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def walk(
        self, path: str, *, enter: Enter | None = None, denied: Denied | None = None
    ) -> Iterator[Folder]:
        """Yield from one flat listing where the driver has one, else list folder by folder.

        The generic `find` of fsspec takes a folder that fails to be listed for an empty one.
        """
        if _lists_flat(self._fs):
            return entered(self._walk_flat(path), path, enter)
        return self._walk_folders(path, enter, denied)

    def _walk_folders(
        self, path: str, enter: Enter | None, denied: Denied | None
    ) -> Iterator[Folder]:
        pending = [path]
        while pending:
            folder = pending.pop()
            if folder != path and enter is not None and not enter(folder):
                continue
            try:
                found = self._listed(folder)
            except NotFoundError:
                if folder == path:
                    self._refuse_walk(path)
                continue  # What vanishes between two looks is as if it had gone before both.
            except DeniedError as error:
                if folder == path or denied is None:
                    raise
                denied(folder, error)
                continue
            if folder == path and path in found:
                self._refuse_walk(path)
            files, links, below = self._sorted_out(found)
            if files or links:
                yield Folder(folder, tuple(files), tuple(links))
            pending.extend(reversed(below))

    def _listed(self, folder: str) -> dict[str, dict[str, Any]]:
        """Return what is directly in a folder, by path; the path itself where it is a file."""
        try:
            self._fs.invalidate_cache()
            found = self._call("ls", folder, detail=True)
        except Exception as failure:
            raise self._translated(failure, folder, "listing") from failure
        named = {str(detail["name"]).rstrip("/"): detail for detail in found}
        return {
            name: detail
            for name, detail in sorted(named.items())
            if relative(name, folder) is not None and not (name == folder and _is_a_folder(detail))
        }

    def _sorted_out(
        self, found: dict[str, dict[str, Any]]
    ) -> tuple[list[FileInfo], list[str], list[str]]:
        """Return files, names of links and paths of folders among what a folder holds."""
        files: list[FileInfo] = []
        links: list[str] = []
        below: list[str] = []
        for path, detail in found.items():
            name = path.rpartition("/")[2]
            if not is_safe_name(name) or detail.get("islink"):
                links.append(name)
            elif _is_a_folder(detail):
                below.append(path)
            elif detail.get("type") != "file":
                links.append(name)
            elif not is_staged_name(name):
                files.append(self._entry(path, detail))
        return files, links, below

    def _walk_flat(self, path: str) -> Iterator[Folder]:
        found = self._details(path, "listing")
        if not found or (set(found) == {path} and self.info(path) is not None):
            self._refuse_walk(path)
        files: dict[str, list[FileInfo]] = defaultdict(list)
        links: dict[str, list[str]] = defaultdict(list)
        for file, detail in found.items():
            folder, _, name = file.rpartition("/")
            if is_staged_name(name):
                continue
            if detail.get("islink") or not is_safe_name(name):
                links[folder].append(name)
            else:
                files[folder].append(self._entry(file, detail))
        for folder in sorted({*files, *links}, key=lambda one: one.split("/")):
            own = sorted(files[folder], key=lambda entry: entry.path)
            yield Folder(folder, tuple(own), tuple(sorted(links[folder])))

    def info(self, path: str) -> FileInfo | None:
        """Return None for folders as well."""
        try:
            detail = self._call("info", path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as failure:
            raise self._translated(failure, path, "looking for") from failure
        return self._entry(path, detail) if detail.get("type") == "file" else None

    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """In one request."""
        if end is not None and end <= start:
            return b""
        wanted: dict[str, Any] = {"start": start, "end": end} if start or end is not None else {}
        try:
            data = self._call("cat_file", path, **wanted)
        except Exception as failure:
            raise self._translated(failure, path, "reading") from failure
        return bytes(data)

    def stage(self, path: str) -> StagedFile:
        """Refused where nothing can be written or a folder is in the way."""
        if self.protocol in READ_ONLY_PROTOCOLS:
            raise StorageError(
                f"writing {self.url(path)}: {self.protocol} can only be read: "
                "write to a disk or an object store",
                url=self.url(path),
            )
        if self._is_folder(path):
            raise StorageError(
                f"writing {self.url(path)}: a folder is there: choose another name",
                url=self.url(path),
            )
        return super().stage(path)

    def marks(self, folder: str, prefix: str) -> list[Mark]:
        """From one listing of the folder."""
        try:
            self._fs.invalidate_cache()
            found = self._call("ls", folder or "/", detail=True)
        except FileNotFoundError:
            return []
        except Exception as failure:
            raise self._translated(failure, folder, "listing") from failure
        marks = [Mark(str(one["name"]), _modified(one)) for one in found]
        return [one for one in marks if one.path.rpartition("/")[2].startswith(prefix)]

    def delete(self, path: str) -> None:
        """Remove a file, if there is one."""
        try:
            self._call("rm_file", path)
        except FileNotFoundError:
            return
        except Exception as failure:
            raise self._translated(failure, path, "deleting") from failure

    def check_list(self, path: str) -> None:
        """List one level."""
        try:
            self._call("ls", path, detail=False)
        except Exception as failure:
            raise self._translated(failure, path, "listing") from failure

    def _store(self) -> str:
        where = (str(self._options[name]).lower() for name in _ADDRESS if name in self._options)
        return ":".join((self.protocol, *where))

    def _range(self, entry: FileInfo, start: int, stop: int) -> bytes | None:
        block = self.read(entry.path, start=start, end=stop)
        return block if self.info(entry.path) == entry else None

    def _publish(self, staged: StagedFile, size: int) -> None:
        target = staged.target
        folder, _, name = target.rpartition("/")
        sent = target if self.protocol in _ATOMIC else f"{folder}/{staged_name(name)}"
        try:
            if folder:
                self._call("makedirs", folder, exist_ok=True)
            self._call("put_file", str(staged.local), sent, transfer_bytes=size)
            if sent != target:
                self._call("mv", sent, target)
        except Exception as failure:
            if sent != target:
                # The failure to report is the one above; what stays is a leftover by its name.
                with suppress(StorageError):
                    self.delete(sent)
            raise self._translated(failure, target, "writing") from failure

    def _publish_stored(self, file: FileInfo, target: str) -> None:
        method = "cp_file" if self.protocol in _ATOMIC else "mv"
        try:
            self._call(method, file.path, target, transfer_bytes=file.size)
        except Exception as failure:
            raise self._translated(failure, target, "writing") from failure

    def abandoned(self, path: str) -> list[Mark]:
        """From one flat listing."""
        return [
            Mark(file, _modified(detail))
            for file, detail in self._details(path, "listing").items()
            if is_abandoned(file.rpartition("/")[2], _modified(detail))
        ]

    def _details(self, path: str, doing: str) -> dict[str, dict[str, Any]]:
        try:
            self._fs.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._call("find", path, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as failure:
            raise self._translated(failure, path, doing) from failure
        return {file: found[file] for file in found if relative(file, path) is not None}

    def _entry(self, path: str, detail: dict[str, Any]) -> FileInfo:
        size = detail.get("size")
        if size is None:
            size = len(self.read(path))
        version = detail.get("etag") or detail.get("ETag") or _modified(detail) or ""
        return FileInfo(path, int(size), str(version))

    def _is_folder(self, path: str) -> bool:
        try:
            return bool(self._call("isdir", path))
        except Exception as failure:
            raise self._translated(failure, path, "looking for") from failure

    def _call(self, method: str, *args: Any, transfer_bytes: int = 0, **kwargs: Any) -> Any:
        """Return a method of the file system, bounded in time where its driver is asynchronous."""
        work = getattr(self._fs, f"_{method}", None)

        def attempt(seconds: float) -> Any:
            if self._fs.async_impl and asyncio.iscoroutinefunction(work):
                return wait_for(self._fs.loop, work(*args, **kwargs), seconds)
            return getattr(self._fs, method)(*args, **kwargs)

        return retrying(
            attempt, self.failures, contact=self._contact, transfer_bytes=transfer_bytes
        )


def open_storage(protocol: str, options: dict[str, Any], secrets: Iterable[str]) -> FsspecStorage:
    """Return a storage for URLs of a protocol."""
    return FsspecStorage(protocol, options, secrets)


def _lists_flat(filesystem: Any) -> bool:
    """Return whether a driver lists whole trees in its own way, as object stores do."""
    if filesystem.async_impl:
        return type(filesystem)._find is not AsyncFileSystem._find
    return type(filesystem).find is not fsspec.AbstractFileSystem.find


def _is_a_folder(detail: dict[str, Any]) -> bool:
    return detail.get("type") == "directory"


def _modified(detail: dict[str, Any]) -> float | None:
    for key in ("mtime", "LastModified", "created", "last_modified"):
        value = detail.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
