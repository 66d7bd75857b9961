"""Open a side of a comparison: a run, an export, a telemetry bundle or a plain table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.model.run import Run
from connectors.storage import Storage, StorageOptions, connect, join
from pipeline.comparison.sides.export_reader import ExportReader, choose_table
from pipeline.comparison.sides.foreign_reader import ForeignReader
from pipeline.comparison.sides.series_reader import RunReader, SeriesReader
from pipeline.errors import ConfigError, IntegrityError, NotAnExportError, NotFoundError, RunError
from pipeline.imports.telemetry import ForeignOptions, open_foreign
from pipeline.readback import Export, open_export
from pipeline.readback.unpacking import MAX_EXPANSION
from pipeline.registry.records.entries import DescriptorToEnter
from pipeline.wording import few

SideForm = Literal["run", "telemetry", "export", "table"]
"""A run directory, a telemetry bundle, an export of this project, or any other table."""

_MOST_SHOWN = 5


class SeveralRunsError(ConfigError):
    """Several runs are at a URL, and none of them is named."""


@dataclass(frozen=True, slots=True)
class SideSource:
    """Where a side is, and how it is to be read.

    Attributes:
        url: A run directory, an export (descriptor, folder or file), or another table.
        storage: Options of its storage.
        run: Id or directory name of the run, where several are there.
        foreign: How a table that is no export of this project is to be understood.
        max_expansion: How many times its size a compressed file of an export may unpack to.
        shown_as: What reports call it; default its URL.
    """

    url: str
    storage: StorageOptions | None = None
    run: str | None = None
    foreign: ForeignOptions = field(default_factory=ForeignOptions)
    max_expansion: int = MAX_EXPANSION
    shown_as: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """What one side of a comparison is.

    Attributes:
        url: Where it is.
        form: What it is.
        run: The run that it is, or is a table of.
        notes: What a reader of the comparison should know.
    """

    url: str
    form: SideForm
    run: Run
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """A short name for people."""
        return self.run.name or self.run.run_id

    def as_json(self) -> dict[str, Any]:
        """Return what the side is, as JSON-compatible data."""
        run = self.run
        return {
            "url": self.url,
            "type": self.form,
            "runId": run.run_id,
            "name": run.name,
            "title": run.model_title,
            "grid": {
                "bins": run.grid.bins,
                "binSize": run.grid.bin_minutes,
                "binUnit": "minutes",
            },
            "timeOrigin": instant_text(run.time_origin),
            "created": None if run.created is None else instant_text(run.created),
            "series": len(run.series),
            "notes": [*run.notes, *self.notes],
        }


@dataclass(frozen=True, slots=True)
class OpenSide:
    """A side whose values can be read.

    Attributes:
        side: What it is.
        location: Where it is, whatever reports call it.
        reader: Reads its values.
        storage: The storage of a run directory, whose model can be read; else None.
        descriptor: Where it is described, where it is an export that is.
    """

    side: Side
    location: str
    reader: SeriesReader
    storage: Storage | None = None
    descriptor: DescriptorToEnter | None = None

    @property
    def run(self) -> Run:
        """The run that the side is, or is a table of."""
        return self.side.run

    def as_described(self) -> dict[str, Any]:
        """Return what a descriptor says of the side, with what a registry finds it by."""
        found = self.descriptor
        place = self.location if found is None else found.storage.url(found.descriptor)
        digest = f"sha256:{self.run.fingerprint}"
        return {**self.side.as_json(), "location": place, "fingerprint": digest}


@contextmanager
def open_side(source: SideSource, *, like: str | None = None) -> Iterator[OpenSide]:
    """Open a side, for as long as the context lasts.

    Args:
        source: Where it is.
        like: Id of the run to take where several are there and none is named.

    Raises:
        ConfigError: The named run is not there.
        SeveralRunsError: Several runs are there, and none is named.
        IntegrityError: It is damaged, or cannot be understood.
        RunError: The run is broken or not complete.
        StorageError: Nothing is there, or it could not be read.
    """
    with _opened(source, like) as opened:
        if source.shown_as is None:
            yield opened
        else:
            yield replace(opened, side=replace(opened.side, url=source.shown_as))


def _opened(source: SideSource, like: str | None) -> AbstractContextManager[OpenSide]:
    storage, path = connect(source.url, source.storage)
    if storage.info(path) is None:
        run = _run_at(storage, path, source.run, like)
        if run is not None:
            form: SideForm = "telemetry" if run.is_bundle else "run"
            return nullcontext(
                OpenSide(Side(run.url, form, run), run.url, RunReader(storage, run), storage)
            )
    try:
        export = open_export(source.url, source.storage)
        side = _export_side(export, source, like)
    except NotAnExportError:
        side = None
    return nullcontext(side) if side is not None else _foreign_side(source)


def _run_at(storage: Storage, path: str, name: str | None, like: str | None) -> Run | None:
    """Return the run at or below a folder; None where there is none.

    Raises:
        ConfigError: There are several, and none is named.
        NotFoundError: There is no such folder.
        RunError: The run is broken or not complete.
    """
    found = discover(storage, path)
    url = storage.url(path)
    for refusal in found.refusals:
        if refusal.url == url:
            raise refusal.error
    own = [run for run in found.runs if run.url == url]
    if own:
        return own[0]
    if found.runs:
        return found.runs[_chosen(found.runs, name, like, url)]
    broken = [refusal for refusal in found.refusals if refusal.kind != "link"]
    if broken:
        raise broken[0].error
    return None


def _chosen(runs: Sequence[Run], name: str | None, like: str | None, url: str) -> int:
    """Return the place of the run that is meant.

    Raises:
        ConfigError: It cannot be said.
    """
    wanted = name if name is not None else like if len(runs) > 1 else None
    if wanted is None and len(runs) == 1:
        return 0
    places = [place for place, run in enumerate(runs) if wanted in (run.run_id, run.name)]
    if len(places) == 1:
        return places[0]
    ids = few([run.run_id for run in runs], _MOST_SHOWN)
    if name is not None:
        several = "several runs" if places else "no run"
        raise ConfigError(f"{url}: holds {several} {name!r}; there are {ids}")
    raise SeveralRunsError(f"{url}: holds {len(runs)} runs: name the one to compare ({ids})")


def _export_side(export: Export, source: SideSource, like: str | None) -> OpenSide | None:
    """Return the side of an export; None where it does not describe its runs."""
    table = choose_table(export.tables)
    if table is None:
        return None
    assert table.runs is not None
    runs = [described.run for described in table.runs]
    if not runs:
        raise IntegrityError(
            f"{export.url}: holds no run, so nothing can be compared: name another export"
        )
    place = _chosen(runs, source.run, like, export.url)
    reader = ExportReader(table, place, source.max_expansion)
    side = Side(export.url, "export", reader.run, tuple(reader.notes()))
    return OpenSide(side, export.url, reader, descriptor=_descriptor_of(export))


def _descriptor_of(export: Export) -> DescriptorToEnter | None:
    if export.descriptor_url is None:
        return None
    path = join(export.folder, export.descriptor_url.rstrip("/").rpartition("/")[2])
    return DescriptorToEnter(export.storage, path, is_new=False)


@contextmanager
def _foreign_side(source: SideSource) -> Iterator[OpenSide]:
    try:
        with open_foreign([source.url], source.foreign, storage=source.storage) as table:
            side = Side(table.run.url, "table", table.run, table.report.notes)
            yield OpenSide(side, table.run.url, ForeignReader(table))
    except NotFoundError as error:
        raise RunError(f"no run, export or table is at {source.url}: {error}") from error
