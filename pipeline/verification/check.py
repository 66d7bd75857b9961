"""Check an export against its descriptor and against its runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from connectors.storage import StorageOptions
from pipeline.datapackage.descriptor import FOLDER_NAME
from pipeline.datapackage.table_spec import TextOptions
from pipeline.errors import IntegrityError, StorageError
from pipeline.planning.data_files import data_files
from pipeline.readback.local_copy import ExportFile, local_copy
from pipeline.readback.open_export import open_export, several_descriptors
from pipeline.readback.row_order import Placed, Positions, RowBlock, RowOrder, check_rows
from pipeline.readback.series_values import block_cells, checked_batches, writes_nulls
from pipeline.readback.table_reader import Batch
from pipeline.readback.tables import Export, ExportedTable, TableFile
from pipeline.readback.unpacking import MAX_EXPANSION
from pipeline.verification.report import CheckedFile, ValueCheck, VerifyReport
from pipeline.verification.row_keys import Keys
from pipeline.verification.run_values import RunSource
from pipeline.verification.statements import check_statements
from pipeline.verification.table_log import check_log
from pipeline.verification.value_comparison import ValueComparison
from pipeline.wording import few

_MOST_EXTRA = 5


def verify(
    target: str,
    against: str | None = None,
    options: StorageOptions | None = None,
    *,
    against_options: StorageOptions | None = None,
    max_expansion: int = MAX_EXPANSION,
) -> VerifyReport:
    """Check an export: files, bytes, hashes, rows, columns, keys; and values against the runs.

    Args:
        target: A descriptor, a folder with one or several, or a data file.
        against: A run directory or a folder of them, whose values are compared with every value.
        options: Of the target's storage.
        against_options: Of the runs' storage.
        max_expansion: How many times its size a compressed file may unpack to.

    Raises:
        IntegrityError: The target is no export of ours, or its description is broken.
        StorageError: Target or runs could not be listed or read.
    """
    several = several_descriptors(target, options)
    folder = None if against is None else RunSource.open(against, against_options)
    if several:
        return _merged(target, [_tried(url, folder, options, max_expansion) for url in several])
    return _verify(target, folder, options, max_expansion)


def _tried(
    target: str, folder: RunSource | None, options: StorageOptions | None, max_expansion: int
) -> VerifyReport:
    """Verify one of several exports; a descriptor that cannot be read is a problem of its own."""
    try:
        return _verify(target, folder, options, max_expansion)
    except IntegrityError as error:
        file = CheckedFile(target.rpartition("/")[2], target, "json", 0, None, (str(error),))
        return VerifyReport(target, target, None if folder is None else folder.url, (file,))


def _merged(target: str, reports: Sequence[VerifyReport]) -> VerifyReport:
    """Return what the verification of several exports found, as one report."""
    return VerifyReport(
        target=target,
        descriptor=None,
        against=reports[0].against,
        files=tuple(file for report in reports for file in report.files),
        comparisons=tuple(one for report in reports for one in report.comparisons),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
        descriptors=tuple(report.target for report in reports),
    )


def _verify(
    target: str, folder: RunSource | None, options: StorageOptions | None, max_expansion: int
) -> VerifyReport:
    export = open_export(target, options, with_reports=True)
    notes = [*_extra_files(export), *_others(export)]
    files: list[CheckedFile] = []
    comparisons: list[ValueCheck] = []
    for table in export.tables:
        check = _TableCheck(table, folder, max_expansion)
        check.run()
        files += check.files
        comparisons += check.comparisons
        notes += check.notes
    if _is_opened_whole(export):
        files += [_checked_document(one) for one in export.documents]
        logs, log_notes = check_log(export)
        files, notes = [*logs, *files], [*notes, *log_notes]
    return VerifyReport(
        target=export.url,
        descriptor=export.descriptor_url,
        against=None if folder is None else folder.url,
        files=tuple(files),
        comparisons=tuple(comparisons),
        notes=tuple(dict.fromkeys(notes)),
    )


def _checked_document(file: ExportFile) -> CheckedFile:
    problems: tuple[str, ...] = ()
    try:
        with local_copy(file):
            pass
    except (IntegrityError, StorageError) as error:
        problems = (str(error).removeprefix(f"{file.url}: "),)
    name = file.path.rpartition("/")[2]
    return CheckedFile(name, file.url, "html", file.size or 0, None, problems)


def _is_opened_whole(export: Export) -> bool:
    return export.url in (export.descriptor_url, export.storage.url(export.folder))


def _others(export: Export) -> Iterator[str]:
    if export.others and _is_opened_whole(export):
        yield f"resources of other tools, not checked: {few(export.others, _MOST_EXTRA)}"


def _extra_files(export: Export) -> Iterator[str]:
    """Yield a note on data files in a data set's folder that its descriptor does not name."""
    if export.descriptor_url is None or not export.descriptor_url.endswith(f"/{FOLDER_NAME}"):
        return
    if not _is_opened_whole(export) or export.lake_table is not None:
        return
    named = {file.path for file in export.files}
    unlisted: list[str] = []
    extra = sorted(set(data_files(export.storage, export.folder, unlisted)) - named)
    if extra:
        yield (
            "data files that the descriptor does not name, and that readers of the folder read "
            f"too: {few(extra, _MOST_EXTRA)}; those of an interrupted export are removed by the "
            "next one or by clean, move others away"
        )
    if unlisted:
        yield f"folders that may not be listed were not looked into: {few(unlisted, _MOST_EXTRA)}"


@dataclass
class _TableCheck:
    """The check of one table."""

    table: ExportedTable
    folder: RunSource | None
    max_expansion: int
    files: list[CheckedFile] = field(default_factory=list)
    comparisons: list[ValueCheck] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Check every file, and every row as far as its description goes."""
        contents = self.table.contents
        if contents is None or self.table.runs is None:
            self._without_rows()
            return
        order = RowOrder.of(self.table)
        comparing = None if self.folder is None else ValueComparison(self.table, order, self.folder)
        if contents.filter is not None:
            self.notes.append(
                f"{self.table.label}: rows were filtered by {contents.filter}: whether a row is "
                "missing that the condition keeps was not checked"
            )
        self._note_lone_file()
        for key, files in self.table.partitions.items():
            columns = [name for name, _ in key]
            blocks: Sequence[RowBlock] = order.partitioned(columns).get(key, ())
            self._partition(order, blocks, files, comparing)
        self._check_whole(order)
        if comparing is not None:
            self.comparisons.append(comparing.result())
            self.notes += comparing.notes

    def _without_rows(self) -> None:
        contents = self.table.contents
        options = None if contents is None else contents.options
        if self.table.is_comparison:
            options = TextOptions()
            why = "it holds a comparison, so no row's series was checked"
        elif contents is None:
            why = "an earlier version wrote it, so its rows were not looked at"
        else:
            why = "its runs are not described in the file, so no row's series was checked"
        self.notes.append(f"{self.table.label}: {why}")
        if self.folder is not None:
            problem = f"cannot be compared: {why}"
            self.comparisons.append(ValueCheck(self.table.label, 0, 0, (problem,)))
        for file in self.table.files:
            with self._checking(file) as rows:
                if options is None:
                    with local_copy(file.stored, max_expansion=self.max_expansion):
                        continue
                for batch in checked_batches(file, options, self.max_expansion):
                    rows.count += batch.frame.height

    def _note_lone_file(self) -> None:
        if any(file.stored.sha256 is None for file in self.table.files):
            self.notes.append(
                f"{self.table.label}: its descriptor is not there: rows, columns and keys were "
                "checked by its own metadata, bytes and sha256 by nothing"
            )
        if not self.table.is_whole:
            self.notes.append(f"{self.table.label}: a part of a data set: the rest was not checked")

    def _partition(
        self,
        order: RowOrder,
        blocks: Sequence[RowBlock],
        files: Sequence[TableFile],
        comparing: ValueComparison | None,
    ) -> None:
        places = _Places(order, blocks, files)
        values = None if comparing is None else comparing.values(blocks)
        first = files[0].first_row or 0
        for file in files:
            with self._checking(file) as rows:
                options = order.contents.options
                for batch in checked_batches(file, options, self.max_expansion):
                    placed = places.of(file, batch, first + rows.count)
                    rows.count += batch.frame.height
                    if placed is None:
                        continue
                    for start, end, place in placed.run_lengths():
                        block = blocks[place]
                        cells = block_cells(
                            placed, start, end, block, order, may_lack=self._may_lack
                        )
                        if comparing is not None and values is not None:
                            comparing.compare(placed, start, block, cells, values)
                check_statements(file, order)
            first += rows.count if file.rows is None else file.rows
        if places.fault is not None and first > (files[0].first_row or 0):
            self.notes.append(f"no row's series was checked: {places.fault}")
            if comparing is not None:
                comparing.cannot(places.fault)

    @property
    def _may_lack(self) -> bool:
        contents = self.table.contents
        assert contents is not None
        filtered_wide = contents.layout == "wide" and contents.filter is not None
        return filtered_wide or writes_nulls(self.table)

    def _check_whole(self, order: RowOrder) -> None:
        """Compare the numbers of rows with what the runs have; reported at the first file."""
        if order.contents.filter is not None or not self.table.is_whole:
            return
        columns = [name for name, _ in self.table.files[0].partition_key]
        positions = {k: Positions(order, b) for k, b in order.partitioned(columns).items()}
        known = {file.path: file.rows for file in self.files}
        table = _with_rows(self.table, known)
        try:
            check_rows(table, positions)
        except IntegrityError as error:
            place = next(n for n, f in enumerate(self.files) if f.path == table.files[0].path)
            if not any(one.problems for one in self.files):
                self.files[place] = replace(self.files[place], problems=(str(error),))

    @contextmanager
    def _checking(self, file: TableFile) -> Iterator[_Rows]:
        """Turn an error while a file is checked into its problem, and go on."""
        rows = _Rows()
        problems: tuple[str, ...] = ()
        try:
            yield rows
        except (IntegrityError, StorageError) as error:
            problems = (str(error).removeprefix(f"{file.url}: "),)
        size = file.stored.size
        if size is None:
            entry = file.stored.storage.info(file.stored.path)
            size = 0 if entry is None else entry.size
        count = rows.count if file.rows is None else file.rows
        self.files.append(CheckedFile(file.path, file.url, file.format, size, count, problems))


@dataclass
class _Rows:
    """Rows of a file that have been read."""

    count: int = 0


class _Places:
    """Locations of the rows of one partition, by position or, where rows were left out, by key."""

    def __init__(
        self, order: RowOrder, blocks: Sequence[RowBlock], files: Sequence[TableFile]
    ) -> None:
        self.fault: str | None = None
        self._positions: Positions | None = None
        self._keys: Keys | None = None
        if order.contents.filter is None:
            self._positions = Positions(order, blocks)
            return
        try:
            self._keys = Keys(order, blocks, files[0])
        except IntegrityError as error:
            self.fault = str(error)

    def of(self, file: TableFile, batch: Batch, first: int) -> Placed | None:
        """Return the places of a batch, or None where they cannot be determined."""
        if self._positions is not None:
            return self._positions.place(file, batch, first)
        return None if self._keys is None else self._keys.place(file, batch)


def _with_rows(table: ExportedTable, rows: dict[str, int | None]) -> ExportedTable:
    files = tuple(replace(file, rows=rows[file.path]) for file in table.files)
    return replace(table, files=files)
