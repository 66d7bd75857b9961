"""Scan series files as one lazy frame of `series_row, bin_index, value`."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from connectors.errors import RunError, StorageError
from connectors.flowtime.scan.arrays import as_column
from connectors.flowtime.scan.bulk_parse import bins_of, bulk_values, count_lines
from connectors.flowtime.scan.series_file import (
    SeriesFile,
    header_length,
    parse_strictly,
    plain_rows,
)
from connectors.storage import Storage
from connectors.storage.calls.deadline import ContextPool, current_deadline, each_within

SCHEMA: dict[str, pl.DataType] = {
    "series_row": pl.UInt32(),
    "bin_index": pl.UInt32(),
    "value": pl.Float64(),
}


_Rows = np.ndarray[Any, np.dtype[np.uint32]]
_Values = np.ndarray[Any, np.dtype[np.float64]]

ScanProgress = Callable[[int, int, int], None]
"""Called on the query's thread with the files finished, rows parsed and bytes read since then."""

Through = Callable[[Iterator[pl.DataFrame]], Iterator[pl.DataFrame]]
"""Turns the frames of a scan, in order, into other frames of the same schema."""

Read = Callable[[Collection[SeriesFile]], Iterator[pl.DataFrame]]
"""Reads series files into frames, in order."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How series files are read.

    Attributes:
        verify: Compare each file's sha256 with the one that the run promises.
        workers: Threads that read and parse.
        read_ahead: Batches that are read and parsed before they are asked for.
        batch_bytes: Small files are joined up to this many bytes and parsed at once; larger
            files are read in blocks of it. 2 MB measured best: a quarter takes twice the time,
            four times as much wins nothing.
        batch_rows: Rows of a frame at the most; the streaming engine holds a few dozen frames.
    """

    verify: bool = True
    workers: int = 2
    read_ahead: int = 3
    batch_bytes: int = 2_000_000
    batch_rows: int = 65_536


def scan(
    storage: Storage,
    files: Collection[SeriesFile],
    options: ScanOptions | None = None,
    *,
    progress: ScanProgress | None = None,
    through: Through | None = None,
) -> pl.LazyFrame:
    """Return a lazy frame over series files.

    Rows come in the order of `files`, then by bin. A predicate on `series_row` alone, or a
    conjunct of one, keeps the other files closed; a column that is not asked for is not built;
    `head(n)` stops reading. Every file that is read is checked whole: header, bins 0..n-1, row
    count, numbers, and with `options.verify` its sha256.

    Args:
        storage: Where the files are.
        files: The files, in order.
        options: How they are read.
        progress: Receives what has been read.
        through: What the frames go through before the query sees them, called once for each
            query.

    Raises:
        IntegrityError: When collected: a file is not as index and manifest promise.
        StorageError: When collected: a file could not be read.
    """
    chosen = options or ScanOptions()

    def read(wanted: Collection[SeriesFile]) -> Iterator[pl.DataFrame]:
        frames = read_files(storage, wanted, chosen, progress)
        return frames if through is None else through(frames)

    return lazily(files, read)


def lazily(files: Collection[SeriesFile], read: Read) -> pl.LazyFrame:
    """Yield a lazy frame over whatever reads series files in order, asked only for files it needs.

    Args:
        files: The files of the frame.
        read: Gives the rows of some of them, in the same order, in the frame's schema.
    """
    # Polars calls from threads of its own, which know nothing of the caller's deadline.
    deadline = current_deadline()

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted, rest = _prune(files, predicate)
        frames = each_within(deadline, read(wanted))
        if rest:
            frames = (frame.filter(*rest) for frame in frames)
        if n_rows is not None:
            frames = _head(frames, n_rows)
        if columns is not None:
            frames = (frame.select(columns) for frame in frames)
        yield from frames

    return register_io_source(source, schema=SCHEMA, is_pure=True)


def _prune(
    files: Collection[SeriesFile], predicate: pl.Expr | None
) -> tuple[Collection[SeriesFile], list[pl.Expr]]:
    """Return files that can hold matching rows, and the conjuncts that only rows can answer."""
    if predicate is None:
        return files, []
    rows = pl.DataFrame({"series_row": [f.row for f in files]}, schema_overrides=SCHEMA)
    rest = []
    for part in conjuncts(predicate):
        if set(part.meta.root_names()) == {"series_row"}:
            rows = rows.filter(part)
        else:
            rest.append(part)
    kept = set(rows["series_row"].to_list())
    return [file for file in files if file.row in kept], rest


def conjuncts(predicate: pl.Expr) -> Iterator[pl.Expr]:
    """Yield the parts of `a AND b AND ...`; the whole predicate where its top is no conjunction."""
    inputs = predicate.meta.pop()
    if len(inputs) == 2:
        right, left = inputs
        if (left & right).meta.eq(predicate):
            yield from conjuncts(left)
            yield from conjuncts(right)
            return
    yield predicate


def damaged_runs(
    storage: Storage, files: Collection[SeriesFile], options: ScanOptions
) -> dict[str, RunError]:
    """Return every run that has a damaged file, by its URL, with the first fault of each."""
    faults: dict[str, RunError] = {}
    for run_url, of_run in groupby(files, key=lambda file: file.run_url):
        try:
            for _ in read_files(storage, list(of_run), options):
                pass
        except RunError as fault:
            faults[run_url] = fault
    return faults


def _head(frames: Iterator[pl.DataFrame], n_rows: int) -> Iterator[pl.DataFrame]:
    left = n_rows
    for frame in frames:
        yield frame.head(left)
        left -= frame.height
        if left <= 0:
            return


# --------------------------------------------------------------------------- reading ahead


def read_files(
    storage: Storage,
    files: Collection[SeriesFile],
    options: ScanOptions,
    progress: ScanProgress | None = None,
) -> Iterator[pl.DataFrame]:
    """Read series files into frames, in order; they are parsed on threads with a bounded lead.

    Raises:
        IntegrityError: A file is not as index and manifest promise.
        StorageError: A file could not be read.
    """
    pending: deque[Future[_Parsed]] = deque()
    pool = ContextPool(options.workers, thread_name_prefix="flowtime-scan")
    try:
        for task in _tasks(storage, files, options):
            pending.append(pool.submit(task))
            if len(pending) > options.read_ahead:
                yield from _delivered(pending.popleft(), options, progress)
        while pending:
            yield from _delivered(pending.popleft(), options, progress)
    finally:
        # Never waits: a query that is given up may be closed by a thread of this very pool.
        pool.shutdown(wait=False, cancel_futures=True)


def _delivered(
    future: Future[_Parsed], options: ScanOptions, progress: ScanProgress | None
) -> Iterator[pl.DataFrame]:
    parsed = future.result()
    if progress is not None:
        progress(parsed.files, parsed.frame.height, parsed.size)
    for start in range(0, parsed.frame.height, options.batch_rows):
        yield parsed.frame.slice(start, options.batch_rows)


@dataclass(frozen=True, slots=True)
class _Parsed:
    frame: pl.DataFrame
    files: int
    size: int


def _tasks(
    storage: Storage, files: Collection[SeriesFile], options: ScanOptions
) -> Iterator[Callable[[], _Parsed]]:
    """Yield what the threads do: a group of small files, or a block of a large one."""
    group: list[SeriesFile] = []
    group_bytes = 0
    for file in files:
        size = _checked_size(file)
        if group and group_bytes + size > options.batch_bytes:
            yield _group_task(storage, tuple(group), options)
            group, group_bytes = [], 0
        if size > options.batch_bytes:
            yield from _block_tasks(storage, file, options)
        else:
            group.append(file)
            group_bytes += size
    if group:
        yield _group_task(storage, tuple(group), options)


def _checked_size(file: SeriesFile) -> int:
    if file.size is None:
        raise file.error(
            "the file is missing (or a link, which is not followed), though the index names it: "
            "restore it, or evaluate the model again",
            kind=RunError,
        )
    if file.size > file.size_limit:
        raise file.error(f"holds {file.size} bytes, too many for {file.points} rows")
    return file.size


# --------------------------------------------------------------------------- small files


def _group_task(
    storage: Storage, group: tuple[SeriesFile, ...], options: ScanOptions
) -> Callable[[], _Parsed]:
    def task() -> _Parsed:
        bodies: list[memoryview] = []
        size = 0
        for file, content in zip(group, storage.read_many([f.path for f in group]), strict=True):
            if isinstance(content, StorageError):
                raise _unreadable(file, content)
            bodies.append(_checked_body(file, content, verify=options.verify))
            size += len(content)
        return _Parsed(_parse_group(group, bodies), len(group), size)

    return task


def _unreadable(file: SeriesFile, error: StorageError) -> RunError:
    failure = file.error(f"could not be read: {error}", kind=RunError)
    failure.__cause__ = error
    return failure


def _checked_body(file: SeriesFile, content: bytes, *, verify: bool) -> memoryview:
    start = header_length(content, file)
    body = memoryview(content)[start:]
    if file.bundle_class is not None:
        body = memoryview(plain_rows(bytes(body), content, file))
    if content[-1:] != b"\n":
        parse_strictly(bytes(body), file)
    if verify and file.sha256 is not None:
        found = hashlib.sha256(content).hexdigest()
        if found != file.sha256:
            parse_strictly(bytes(body), file)  # a wrong line says more than a wrong hash
        _check_digest(file, found)
    return body


def _check_digest(file: SeriesFile, found: str) -> None:
    if found != file.sha256:
        raise file.error(
            f"sha256 is {found}; the manifest says {file.sha256}: "
            "the file was changed after the run was written"
        )


def _parse_group(group: Sequence[SeriesFile], bodies: Sequence[memoryview]) -> pl.DataFrame:
    points = np.fromiter((file.points for file in group), dtype=np.int64, count=len(group))
    bins = bins_of(points)
    values = bulk_values(b"".join(bodies), bins)
    if values is None:
        strict = [parse_strictly(bytes(b), f) for f, b in zip(group, bodies, strict=True)]
        values = np.array([value for series in strict for value in series], dtype=np.float64)
    rows = np.fromiter((file.row for file in group), dtype=np.uint32, count=len(group))
    return _frame(np.repeat(rows, points), bins, values)


def _frame(rows: _Rows, bins: _Rows, values: _Values) -> pl.DataFrame:
    return pl.DataFrame(
        [as_column(rows, "series_row"), as_column(bins, "bin_index"), as_column(values, "value")]
    )


# --------------------------------------------------------------------------- large files


def _block_tasks(
    storage: Storage, file: SeriesFile, options: ScanOptions
) -> Iterator[Callable[[], _Parsed]]:
    """Yield cuts a large file at line ends; the hash is taken in passing.

    Blocks are read one after the other, as a hash needs them, and parsed side by side.
    """
    digest = hashlib.sha256()
    head = rest = b""
    first_bin = 0
    for number, block in enumerate(storage.blocks(file.path, options.batch_bytes)):
        digest.update(block)
        start = header_length(block, file) if number == 0 else 0
        head = head or block[:start]
        end = block.rfind(b"\n") + 1
        if end == 0 and len(rest) + len(block) > options.batch_bytes:
            raise file.error("a row does not end", line=first_bin + 2)
        piece = b"".join((rest, memoryview(block)[start:end]))
        rest = block[end:] if end else rest + block
        count = count_lines(piece)
        if first_bin + count > file.points:
            raise file.error(f"holds more than the {file.points} rows the index promises")
        if piece:
            piece = plain_rows(piece, head, file, first_bin=first_bin)
            yield _piece_task(file, piece, first_bin, count)
            first_bin += count
    if rest or first_bin != file.points:
        rest = plain_rows(rest, head, file, first_bin=first_bin)
        parse_strictly(rest, file, first_bin=first_bin)
    if options.verify and file.sha256 is not None:
        _check_digest(file, digest.hexdigest())
    yield lambda: _Parsed(pl.DataFrame(schema=SCHEMA), 1, 0)


def _piece_task(
    file: SeriesFile, piece: bytes, first_bin: int, count: int
) -> Callable[[], _Parsed]:
    def task() -> _Parsed:
        bins = np.arange(first_bin, first_bin + count, dtype=np.uint32)
        values = bulk_values(piece, bins)
        if values is None:
            strict = parse_strictly(piece, file, first_bin=first_bin, complete=False)
            values = np.array(strict, dtype=np.float64)
        rows = np.full(count, file.row, dtype=np.uint32)
        return _Parsed(_frame(rows, bins, values), 0, len(piece))

    return task
