"""Find, describe and delete published exports: files that a descriptor names in full size."""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.flowtime.model.run import Run
from connectors.storage import FileInfo, Storage, join
from pipeline.datapackage import descriptor
from pipeline.errors import IntegrityError, NotFoundError, StorageError
from pipeline.service.catalog.locations import ExportLocation, Locations, RunPlace
from pipeline.sinks.formats import ALL_FORMATS, FORMATS, Format

VARIANT = re.compile(r"custom-[0-9a-f]{12}")
_DESCRIPTOR = "export" + descriptor.FILE_SUFFIX
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_MOST_DESCRIPTOR_BYTES = 4 * 1024 * 1024
_MOST_REMEMBERED = 10_000
_LOCAL_BLOCK = 256 * 1024
_REMOTE_BLOCK = 2 * 1024 * 1024

MEDIA_TYPES: Mapping[Format, str] = {name: spec.media_type for name, spec in FORMATS.items()}


@dataclass(frozen=True)
class DownloadableFile:
    """A whole file that may be sent to clients.

    Attributes:
        storage: Where it is.
        entry: The file, as it was when it was found.
        sha256: Lower-case hex digest that its descriptor names; None without one.
        rows: Its data rows; None if not known.
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
        """A strong validator: the digest, else the storage's version of the file."""
        text = self.sha256 or f"{self.entry.size:x}-{self.entry.version}"
        return '"' + re.sub(r"[^\w.:-]", "_", text, flags=re.ASCII) + '"'

    @property
    def digest(self) -> str | None:
        """The digest as RFC 9530 spells it."""
        if self.sha256 is None:
            return None
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode()}:"

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end`, all of one version.

        The last block follows only after a check that the file is unchanged, so that a reader
        that has received all bytes has the right ones.

        Raises:
            StorageError: The file has changed, or the storage failed.
        """
        size = _LOCAL_BLOCK if self.storage.is_local else _REMOTE_BLOCK
        for at in range(start, end, size):
            stop = min(at + size, end)
            block = self.storage.read(self.entry.path, start=at, end=stop)
            if len(block) != stop - at or (stop == end and not self._is_same()):
                raise StorageError(
                    f"{self.storage.url(self.entry.path)} changed while it was read: request it "
                    "again",
                    url=self.storage.url(self.entry.path),
                )
            yield block

    def _is_same(self) -> bool:
        return self.storage.info(self.entry.path) == self.entry


@dataclass(frozen=True)
class PublishedExport:
    """The published files of one folder.

    Attributes:
        variant: Name of the folder of an export with options; None for the plain export.
        files: The files by their formats.
        exported: When they were exported, UTC.
        columns: The columns of the files, in order.
        filter: The condition on rows, if there was one.
        escapes_formulas: Whether CSV text that a spreadsheet would run is escaped.
    """

    variant: str | None
    files: Mapping[Format, DownloadableFile]
    exported: datetime | None
    columns: tuple[str, ...]
    filter: str | None
    escapes_formulas: bool

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.entry.size for file in self.files.values())


@dataclass(frozen=True)
class ExportStore:
    """Finds and deletes the exports of runs.

    Attributes:
        locations: Where they are.
    """

    locations: Locations
    _instants: OrderedDict[FileInfo, datetime | None] = field(default_factory=OrderedDict)

    @property
    def is_local(self) -> bool:
        """Whether exports are on a disk of this machine."""
        where = self.locations.exports or self.locations.runs
        return where.storage.is_local

    def files(self, run: Run, variant: str | None = None) -> Mapping[Format, DownloadableFile]:
        """Return the published files of a run by their formats.

        Raises:
            StorageError: The storage failed.
        """
        found = self.export(run, variant)
        return {} if found is None else found.files

    def export(self, run: Run, variant: str | None) -> PublishedExport | None:
        """Return an export of a run, or None if none is published.

        Raises:
            StorageError: The storage failed.
        """
        if self.locations.leads_away(run, variant):
            return None
        return self.export_at(self.locations.folder(run, variant), variant)

    def export_at(
        self, folder: ExportLocation, variant: str | None = None
    ) -> PublishedExport | None:
        """Return the export in a folder, or None if none is published.

        Raises:
            StorageError: The storage failed.
        """
        package = self._package(folder)
        if package is None:
            return None
        found = {form: _published(folder, form, package) for form in ALL_FORMATS}
        files = {form: file for form, file in found.items() if file is not None}
        if not files:
            return None
        items = [item for item in package["resources"] if item.get("path", "") in _NAMES]
        columns, condition, escapes = _shape(items)
        exported = _instant(package["flowtime"].get("created"))
        return PublishedExport(variant, files, exported, columns, condition, escapes)

    def exports(self, run: Run) -> list[PublishedExport]:
        """Return all exports of a run, the plain one first.

        Raises:
            StorageError: The storage failed.
        """
        found = (self.export(run, variant) for variant in (None, *self.variants(run)))
        return [export for export in found if export is not None]

    def variants(self, run: Run) -> list[str]:
        """Return the names of the folders of exports with options."""
        if self.locations.leads_away(run, None):
            return []
        base = self.locations.folder(run, None)
        try:
            folders = [folder.path for folder in base.storage.walk(base.path)]
        except NotFoundError:
            return []
        names = [path[len(base.path) :].strip("/") for path in folders]
        return sorted(name for name in names if VARIANT.fullmatch(name))

    def exported(self, run: Run | RunPlace) -> datetime | None:
        """Return when the plain export of a run was written; None if there is none.

        Raises:
            StorageError: The storage failed.
        """
        if self.locations.leads_away(run, None):
            return None
        folder = self.locations.folder(run, None)
        entry = folder.storage.info(join(folder.path, _DESCRIPTOR))
        if entry is None:
            return None
        if entry not in self._instants:
            package = self._package(folder)
            created = None if package is None else package["flowtime"].get("created")
            self._instants[entry] = _instant(created)
            while len(self._instants) > _MOST_REMEMBERED:
                self._instants.popitem(last=False)
        return self._instants.get(entry)

    def delete(self, run: Run, variant: str | None) -> bool:
        """Delete an export: its descriptor first, so that it never names a missing file.

        Returns:
            Whether there was something to delete.

        Raises:
            StorageError: The storage failed; another call deletes the rest.
        """
        if self.locations.leads_away(run, variant):
            return False
        folder = self.locations.folder(run, variant)
        return self.delete_at(folder, keeps_folder=variant is None)

    def delete_at(self, folder: ExportLocation, *, keeps_folder: bool = False) -> bool:
        """Delete the export in a folder, and the folder, if nothing else is in it."""
        storage = folder.storage
        paths = [join(folder.path, name) for name in (_DESCRIPTOR, *_NAMES)]
        present = [path for path in paths if storage.info(path) is not None]
        for path in present:
            storage.delete(path)
        if not keeps_folder:
            storage.remove_folder(folder.path)
        return bool(present)

    def _package(self, folder: ExportLocation) -> dict[str, Any] | None:
        path = join(folder.path, _DESCRIPTOR)
        entry = folder.storage.info(path)
        if entry is None or entry.size > _MOST_DESCRIPTOR_BYTES:
            return None
        try:
            return descriptor.load(folder.storage.read(path), folder.storage.url(path))
        except (IntegrityError, NotFoundError):
            # The descriptor of another program, or one that is being replaced.
            return None


_NAMES = tuple(f"export.{form}" for form in ALL_FORMATS)


def series_file(
    run: Run, storage: Storage, series_path: str, sha256: str | None
) -> DownloadableFile:
    """Return the file of a series as it is in the run.

    Raises:
        NotFoundError: There is no such file.
    """
    path = join(run.path, series_path)
    entry = storage.info(path)
    if entry is None:
        raise NotFoundError(f"{series_path} is missing", url=storage.url(path))
    return DownloadableFile(storage, entry, sha256, None, run.created, MEDIA_TYPES["csv"])


def _published(
    folder: ExportLocation, form: Format, package: Mapping[str, Any]
) -> DownloadableFile | None:
    name = f"export.{form}"
    for item in package["resources"]:
        if item.get("path") == name and item.get("format") == form:
            digest = _HASH.fullmatch(str(item.get("hash")))
            entry = folder.storage.info(join(folder.path, name))
            if digest is None or entry is None or entry.size != item.get("bytes"):
                return None
            rows = item.get("rowCount")
            return DownloadableFile(
                folder.storage,
                entry,
                digest[1],
                rows if isinstance(rows, int) else None,
                _instant(package["flowtime"].get("created")),
                MEDIA_TYPES[form],
            )
    return None


def _shape(items: list[dict[str, Any]]) -> tuple[tuple[str, ...], str | None, bool]:
    """Return the columns, the condition and whether formulas are escaped, as resources say."""
    columns: tuple[str, ...] = ()
    condition = None
    escapes = False
    for item in items:
        schema, own = item.get("schema"), item.get("flowtime")
        fields = schema.get("fields") if isinstance(schema, dict) else None
        if not columns and isinstance(fields, list):
            named = (one.get("name") for one in fields if isinstance(one, dict))
            columns = tuple(str(name) for name in named)
        if isinstance(own, dict):
            condition = condition or (str(own["filter"]) if own.get("filter") else None)
            options = own.get("options")
            escapes |= isinstance(options, dict) and options.get("escapeFormulas") is True
    return columns, condition, escapes


def _instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None
