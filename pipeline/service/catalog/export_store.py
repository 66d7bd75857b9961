"""Exports that are committed: what a descriptor names, in its full size."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.flowtime.model.run import Run
from connectors.storage import FileInfo, Storage, join
from pipeline.datapackage import descriptor
from pipeline.errors import IntegrityError, NotFoundError, StorageError
from pipeline.service.catalog.locations import ExportLocation, Locations
from pipeline.sinks.formats import ALL_FORMATS, Format

_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_MOST_DESCRIPTOR_BYTES = 4 * 1024 * 1024
_LOCAL_BLOCK = 256 * 1024
_REMOTE_BLOCK = 2 * 1024 * 1024

MEDIA_TYPES: Mapping[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


@dataclass(frozen=True)
class DownloadableFile:
    """A whole file that may be given to clients.

    Attributes:
        storage: Where it is.
        entry: The file, as it was looked at.
        sha256: Lower-case hex digest that was promised for it, if one was.
        rows: Its data rows, where they are known.
        modified: When it was exported, UTC.
        media_type: Its media type.
    """

    storage: Storage
    entry: FileInfo
    sha256: str | None
    rows: int | None
    modified: datetime | None
    media_type: str

    @property
    def etag(self) -> str:
        """A strong validator: the digest, else what the store tells versions by."""
        text = self.sha256 or f"{self.entry.size:x}-{self.entry.version}"
        return '"' + re.sub(r"[^\w.:-]", "_", text, flags=re.ASCII) + '"'

    @property
    def digest(self) -> str | None:
        """The digest as RFC 9530 spells it."""
        if self.sha256 is None:
            return None
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode()}:"

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, all of one version.

        The last block is given when it is known that the file is still the same, so that a
        reader who has all bytes has the right ones.

        Raises:
            StorageError: The file has changed, or the store failed.
        """
        size = _LOCAL_BLOCK if self.storage.is_local else _REMOTE_BLOCK
        for at in range(start, end, size):
            stop = min(at + size, end)
            block = self.storage.read(self.entry.path, start=at, end=stop)
            if len(block) != stop - at or (stop == end and not self._is_same()):
                raise StorageError(
                    f"{self.storage.url(self.entry.path)} changed while it was read",
                    url=self.storage.url(self.entry.path),
                )
            yield block

    def _is_same(self) -> bool:
        return self.storage.info(self.entry.path) == self.entry


@dataclass(frozen=True)
class ExportStore:
    """Finds the exports of runs.

    Attributes:
        places: Where they are.
    """

    places: Locations

    def files(self, run: Run, variant: str | None = None) -> dict[Format, DownloadableFile]:
        """The committed files of a run by their formats.

        Raises:
            StorageError: The store failed.
        """
        if self.places.leads_away(run, variant):
            return {}
        return self.files_at(self.places.folder(run, variant))

    def files_at(self, place: ExportLocation) -> dict[Format, DownloadableFile]:
        """The committed files of a folder by their formats.

        Raises:
            StorageError: The store failed.
        """
        package = self._package(place)
        if package is None:
            return {}
        found = {form: _committed(place, form, package) for form in ALL_FORMATS}
        return {form: file for form, file in found.items() if file is not None}

    def variants(self, run: Run) -> list[str]:
        """Folders of exports that had options of their own."""
        place = self.places.folder(run, None)
        try:
            folders = [folder.path for folder in place.storage.walk(place.path)]
        except NotFoundError:
            return []
        names = [path[len(place.path) :].strip("/") for path in folders]
        return sorted(name for name in names if re.fullmatch(r"custom-[0-9a-f]{12}", name))

    def _package(self, place: ExportLocation) -> dict[str, Any] | None:
        path = join(place.path, "export" + descriptor.FILE_SUFFIX)
        entry = place.storage.info(path)
        if entry is None or entry.size > _MOST_DESCRIPTOR_BYTES:
            return None
        try:
            return descriptor.load(place.storage.read(path), place.storage.url(path))
        except (IntegrityError, NotFoundError):
            # Something else's descriptor, or one that is just being replaced: nothing committed.
            return None


def series_file(
    run: Run, storage: Storage, series_path: str, sha256: str | None
) -> DownloadableFile:
    """The file of a series, as it stands in the run.

    Raises:
        NotFoundError: It is not there.
    """
    path = join(run.path, series_path)
    entry = storage.info(path)
    if entry is None:
        raise NotFoundError(f"{series_path} is missing", url=storage.url(path))
    return DownloadableFile(storage, entry, sha256, None, run.created, MEDIA_TYPES["csv"])


def _committed(
    place: ExportLocation, form: Format, package: Mapping[str, Any]
) -> DownloadableFile | None:
    name = f"export.{form}"
    for item in package["resources"]:
        if item.get("path") == name and item.get("format") == form:
            digest = _HASH.fullmatch(str(item.get("hash")))
            entry = place.storage.info(join(place.path, name))
            if digest is None or entry is None or entry.size != item.get("bytes"):
                return None
            rows = item.get("rowCount")
            return DownloadableFile(
                place.storage,
                entry,
                digest[1],
                rows if isinstance(rows, int) else None,
                _instant(package["flowtime"].get("created")),
                MEDIA_TYPES[form],
            )
    return None


def _instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None
