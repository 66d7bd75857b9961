"""Import exports and plain tables as run directories."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from connectors.flowtime.model.run import ExportOrigin, Run
from connectors.flowtime.restore.layout import SeriesLayout
from connectors.flowtime.restore.restoring import IfExists, RestoredSeries, RunWriter
from connectors.storage import Storage, StorageOptions, connect, join, relative
from pipeline.datapackage.run_record import DescribedRun
from pipeline.errors import IntegrityError, NotAnExportError
from pipeline.imports.report import ImportedRun, ImportReport, ImportStatus
from pipeline.imports.telemetry import ForeignOptions, open_foreign
from pipeline.readback.open_export import open_export
from pipeline.readback.row_order import RowOrder
from pipeline.readback.series_values import obstacles, whole_series
from pipeline.readback.tables import Export, ExportedTable
from pipeline.readback.unpacking import MAX_EXPANSION
from pipeline.registry.records.entries import DescriptorToEnter, RunsToEnter
from pipeline.registry.session import RegistrySession
from pipeline.sinks.formats import READING_ORDER

_Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How exports and tables become runs.

    Attributes:
        if_exists: What to do where a run directory exists already: `error`; `skip` where it is
            the same run; `replace`.
        partial: Restore runs of which only some series were exported.
        values_only: Accept series files whose values are right, but whose bytes are not those
            that the run promises.
        as_telemetry: Take exports of this project for plain tables, too.
        foreign: How plain tables are to be understood.
        dry_run: Read and check everything, and write nothing.
        max_expansion: How many times its size a compressed file of an export may unpack to.
    """

    if_exists: IfExists = "error"
    partial: bool = False
    values_only: bool = False
    as_telemetry: bool = False
    foreign: ForeignOptions = field(default_factory=ForeignOptions)
    dry_run: bool = False
    max_expansion: int = MAX_EXPANSION


def import_export(
    sources: Sequence[str],
    out: str,
    options: ImportOptions | None = None,
    *,
    storage: StorageOptions | None = None,
    out_storage: StorageOptions | None = None,
    publishing: Callable[[], None] = lambda: None,
    registry: RegistrySession | None = None,
) -> ImportReport:
    """Make run directories of exports, or one telemetry run of a plain table.

    Everything is read, checked and staged before the first run becomes visible; each run is
    complete once its manifest.json exists, which is published last.

    Args:
        sources: Exports of this project (descriptors, folders, files); or the files of one plain
            table.
        out: Folder that the run directories go into.
        options: How they become runs.
        storage: Options of the sources' storage.
        out_storage: Options of the storage of `out`.
        publishing: Called when all is staged, before the first run becomes visible.
        registry: Where the runs are entered, with the exports that they come from; that it fails
            is a note of the report.

    Raises:
        IntegrityError: An export is damaged, or cannot be undone; a table cannot become a run.
        RunError: A run directory exists there already, or cannot be written.
        StorageError: A store failed.
    """
    began = time.monotonic()
    chosen = options or ImportOptions()
    place = _Place(*connect(out, out_storage))
    exports = None if chosen.as_telemetry else _exports(sources, storage)
    if exports is None:
        report = _import_table(sources, place, chosen, storage, publishing)
    else:
        report = _restore(exports, place, chosen, publishing)
    if registry is not None and not chosen.dry_run:
        report = _entered(report, exports or (), place, registry)
    return replace(report, seconds=round(time.monotonic() - began, 3))


def _entered(
    report: ImportReport, exports: Sequence[Export], place: _Place, registry: RegistrySession
) -> ImportReport:
    """Enter the runs and the exports that they come from in a registry."""
    base = place.storage.url(place.path)
    names = [relative(run.url, base) or "" for run in report.runs]
    runs = RunsToEnter(place.storage, [place.path], paths=[join(place.path, n) for n in names if n])
    described = [
        DescriptorToEnter(one.storage, join(one.folder, _name(one.descriptor_url)), is_new=False)
        for one in exports
        if one.descriptor_url is not None
    ]
    registry.enter(runs, described)
    registry.close()
    return replace(report, notes=(*report.notes, *registry.notes))


def _name(url: str) -> str:
    return url.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class _Place:
    storage: Storage
    path: str


def _exports(sources: Sequence[str], options: StorageOptions | None) -> list[Export] | None:
    """Return the exports at the sources, or None where they are plain tables.

    Raises:
        IntegrityError: Some are the one and some the other.
    """
    exports: list[Export] = []
    foreign: list[NotAnExportError] = []
    for source in sources:
        try:
            exports.append(open_export(source, options))
        except NotAnExportError as error:
            foreign.append(error)
    if exports and foreign:
        raise IntegrityError(
            f"{foreign[0]}; {exports[0].url} is one: import exports and plain tables separately"
        )
    return exports or None


# --------------------------------------------------------------------------- exports


def _restore(
    exports: Sequence[Export],
    place: _Place,
    options: ImportOptions,
    publishing: Callable[[], None],
) -> ImportReport:
    tables = [_best_table(export, options) for export in exports]
    _refuse_twins(tables)
    with ExitStack() as stack:
        writers = [
            [*_writers(table.runs or (), place, options, stack, _origin(export))]
            for export, table in zip(exports, tables, strict=True)
        ]
        for table, of_table in zip(tables, writers, strict=True):
            _stage(table, of_table, options)
        chosen = [writer for of_table in writers for writer in of_table]
        _refuse_other_bytes(chosen, options)
        publishing()
        restored = tuple(_published(writer, options) for writer in chosen)
    return ImportReport("restored", tuple(export.url for export in exports), restored)


def _best_table(export: Export, options: ImportOptions) -> ExportedTable:
    """Return the target to restore from: all of an export hold the same runs, but not all hold all.

    Raises:
        IntegrityError: None of them can be undone; the message says why.
    """
    reasons: list[str] = []
    for table in sorted(export.tables, key=lambda table: READING_ORDER.index(table.format)):
        found = _obstacles(table, options)
        if not found:
            return table
        reasons += [f"{table.url}: {reason}" for reason in found]
    raise IntegrityError(
        f"cannot be restored: {'; '.join(reasons)}. Nothing was written. What is there can become "
        "a telemetry run (--as-telemetry)"
    )


def _obstacles(table: ExportedTable, options: ImportOptions) -> list[str]:
    found = obstacles(table)
    contents = table.contents
    if not options.partial or contents is None:
        return found
    if contents.filter is not None or contents.resample is not None:
        return found
    # Without a condition on rows, only series are missing, and those that are there are whole.
    return [reason for reason in found if reason not in contents.reasons]


def _refuse_twins(tables: Sequence[ExportedTable]) -> None:
    """Refuse two runs that would share a directory, and one run that two exports hold."""
    seen: dict[str, tuple[Run, ExportedTable]] = {}
    for table in tables:
        for one in table.runs or ():
            run = one.run
            other, place = seen.setdefault(run.name, (run, table))
            if other is run:
                continue
            if place is not table and other.fingerprint == run.fingerprint:
                raise IntegrityError(
                    f"run {run.name} is in {place.url} and in {table.url}: import one of them"
                )
            raise IntegrityError(
                f"runs {_whereabouts(other, place)} and {_whereabouts(run, table)} are both named "
                f"{run.name}: import them into different folders"
            )


def _whereabouts(run: Run, table: ExportedTable) -> str:
    """Return where a run was; a file that left its descriptor does not say so."""
    return run.url or f"of {table.url}"


@dataclass(slots=True)
class _Restoring:
    """A run that is being restored."""

    described: DescribedRun
    writer: RunWriter
    files: dict[str, RestoredSeries]

    def add(self, place: int, values: _Array) -> None:
        """Stage the file of one series."""
        series = self.described.run.series[place]
        code = self.described.layouts[place]
        layout = None if code is None else SeriesLayout.parse(code)
        self.files[series.id] = self.writer.add(series, values, layout)


def _writers(
    described: Sequence[DescribedRun],
    place: _Place,
    options: ImportOptions,
    stack: ExitStack,
    origin: ExportOrigin | None,
) -> Iterator[_Restoring]:
    for one in described:
        # What is restored is a run directory with just these series.
        run = replace(one.run, series_left_out=0, is_bundle=False)
        writer = RunWriter(
            place.storage,
            place.path,
            run,
            if_exists=options.if_exists,
            restored_from=origin,
        )
        yield _Restoring(one, stack.enter_context(writer), {})


def _origin(export: Export) -> ExportOrigin | None:
    """Return what a restored run records of the export that it comes from."""
    if export.descriptor_url is None:
        return None
    return ExportOrigin(export.descriptor_url, export.name)


def _stage(table: ExportedTable, runs: Sequence[_Restoring], options: ImportOptions) -> None:
    """Stage every series file of a table; values come in the order of its rows."""
    starts = np.cumsum([0, *(len(run.described.run.series) for run in runs)])
    for series in whole_series(table, RowOrder.of(table), max_expansion=options.max_expansion):
        owner = int(np.searchsorted(starts, series.series_row, side="right")) - 1
        runs[owner].add(series.series_row - int(starts[owner]), series.values)


def _refuse_other_bytes(runs: Sequence[_Restoring], options: ImportOptions) -> None:
    """Stop where a series file would not be the one that the manifest vouched for."""
    if options.values_only:
        return
    for run in runs:
        different = [one.id for one in run.files.values() if one.matched is False]
        if different:
            raise IntegrityError(
                f"the values of {len(different)} series came back, but no known writer lays them "
                f"out in the bytes that the manifest promises (such as {different[0]}). Nothing "
                "was written; take the values alone with --values-only",
                run_url=run.writer.url,
            )


def _published(run: _Restoring, options: ImportOptions) -> ImportedRun:
    if not options.dry_run:
        status = run.writer.publish().status
        return _imported(run.described.run, run.writer.url, status, [*run.files.values()])
    return _imported(run.described.run, run.writer.url, "checked", [*run.files.values()])


def _imported(
    run: Run, url: str, status: ImportStatus, files: Sequence[RestoredSeries]
) -> ImportedRun:
    return ImportedRun(
        run_id=run.run_id,
        url=url,
        status=status,
        series=len(files),
        rows=len(files) * run.grid.bins,
        size=sum(one.bytes for one in files),
        matched=sum(one.matched is True for one in files),
        unpromised=sum(one.matched is None for one in files),
        different=tuple(one.id for one in files if one.matched is False),
    )


# --------------------------------------------------------------------------- plain tables


def _import_table(
    sources: Sequence[str],
    place: _Place,
    options: ImportOptions,
    storage: StorageOptions | None,
    publishing: Callable[[], None],
) -> ImportReport:
    with open_foreign(sources, options.foreign, storage=storage) as table:
        run = table.run
        with RunWriter(
            place.storage, place.path, run, if_exists=options.if_exists, vouch=True
        ) as writer:
            files = [writer.add(series, values) for series, values in table.series()]
            publishing()
            status = "checked" if options.dry_run else writer.publish().status
        imported = _imported(run, writer.url, status, files)
        return ImportReport("telemetry", table.report.files, (imported,), table.report.notes)
