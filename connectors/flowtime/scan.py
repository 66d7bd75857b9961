"""Series files as one lazy frame of `series_row, bin_index, value`."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress, groupby, starmap
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from connectors.errors import RunError, StorageError
from connectors.flowtime.run import Run
from connectors.flowtime.series import Series
from connectors.flowtime.series_file import SeriesFile, header_length, parse_strictly, plain_rows
from connectors.flowtime.series_table import Promise
from connectors.storage import Storage

SCHEMA: dict[str, pl.DataType] = {
    "series_row": pl.UInt32(),
    "bin_index": pl.UInt32(),
    "value": pl.Float64(),
}
_Array = np.ndarray[Any, Any]
_NEWLINE = ord("\n")
_ROW_SCHEMA = {"bin_index": pl.UInt32(), "value": pl.Float64()}


ScanProgress = Callable[[int, int, int], None]
"""Told of so many more files finished, rows parsed and bytes read, from the query's thread."""

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


class SeriesFiles(Collection[SeriesFile]):
    """The series files of runs in the order of their rows: runs, then each index's order.

    Each is made when it is come to: all of them at once would take as much memory as the runs.
    `Series.path` has been checked to stay below its run when the index was read.

    Args:
        runs: The runs.
        wanted: Whether each file is one of them; None for all.
    """

    def __init__(self, runs: Sequence[Run], wanted: _Array | None = None) -> None:
        self._runs = runs
        self._wanted = wanted

    def __len__(self) -> int:
        if self._wanted is None:
            return sum(len(run.series) for run in self._runs)
        return int(np.count_nonzero(self._wanted))

    def __iter__(self) -> Iterator[SeriesFile]:
        return starmap(_series_file, self._numbered())

    def __contains__(self, file: object) -> bool:
        return any(one == file for one in self)

    @property
    def rows(self) -> int:
        """Rows of all files, as their indexes say."""
        return sum(kind.points for _, _, kind, _ in self._numbered())

    @property
    def bytes(self) -> int:
        """Bytes of all files, as they were listed."""
        return sum(size or 0 for _, _, _, (_, size) in self._numbered())

    def unvouched(self) -> Iterator[SeriesFile]:
        """The files that nobody has promised a sha256 of."""
        without = (found for found in self._numbered() if found[3][0] is None)
        return starmap(_series_file, without)

    def _numbered(self) -> Iterator[tuple[int, Run, Series, Promise]]:
        every = (
            (run, kind, promise)
            for run in self._runs
            for kind, promise in zip(run.series.kinds, run.series.promises(), strict=True)
        )
        numbered = ((row, *found) for row, found in enumerate(every))
        return numbered if self._wanted is None else compress(numbered, self._wanted.tolist())


def series_files(runs: Iterable[Run]) -> list[SeriesFile]:
    """The same as a list, for a few runs."""
    return list(SeriesFiles(list(runs)))


def _series_file(row: int, run: Run, kind: Series, promise: Promise) -> SeriesFile:
    sha256, size = promise
    return SeriesFile(
        row=row,
        run_path=run.path,
        file=kind.path,
        run_url=run.url,
        series_id=kind.id,
        points=kind.points,
        size=size,
        sha256=sha256,
        bundle_class=kind.class_name if run.is_bundle else None,
    )


def scan(
    storage: Storage,
    files: Collection[SeriesFile],
    options: ScanOptions | None = None,
    *,
    progress: ScanProgress | None = None,
) -> pl.LazyFrame:
    """A lazy frame over series files.

    Rows come in the order of `files`, then by bin. A predicate on `series_row` alone, or a
    conjunct of one, keeps the other files closed; a column that is not asked for is not built;
    `head(n)` stops reading. Every file that is read is checked whole: header, bins 0..n-1, row
    count, numbers, and with `options.verify` its sha256.

    Raises:
        IntegrityError: When collected: a file is not as index and manifest promise.
        StorageError: When collected: a file could not be read.
    """
    chosen = options or ScanOptions()
    return lazily(files, lambda wanted: _frames(storage, wanted, chosen, progress))


def lazily(files: Collection[SeriesFile], read: Read) -> pl.LazyFrame:
    """A lazy frame over whatever reads series files in order, asked only for files it needs.

    Args:
        files: The files of the frame.
        read: Gives the rows of some of them, in the same order, in the frame's schema.
    """

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted, rest = _prune(files, predicate)
        frames = read(wanted)
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
    """Files that can hold a matching row, and the conjuncts that only the rows can answer."""
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
    """The parts of `a AND b AND ...`; the whole predicate where its top is no conjunction."""
    inputs = predicate.meta.pop()
    if len(inputs) == 2:
        right, left = inputs
        if (left & right).meta.eq(predicate):
            yield from conjuncts(left)
            yield from conjuncts(right)
            return
    yield predicate


def faulty_runs(
    storage: Storage, files: Collection[SeriesFile], options: ScanOptions
) -> dict[str, RunError]:
    """Every run that has a faulty file, by its URL, with the first fault of each."""
    faults: dict[str, RunError] = {}
    for run_url, of_run in groupby(files, key=lambda file: file.run_url):
        try:
            for _ in _frames(storage, list(of_run), options, None):
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


def _frames(
    storage: Storage,
    files: Collection[SeriesFile],
    options: ScanOptions,
    progress: ScanProgress | None,
) -> Iterator[pl.DataFrame]:
    """Frames in order, read and parsed on threads with a bounded lead."""
    pending: deque[Future[_Parsed]] = deque()
    pool = ThreadPoolExecutor(options.workers, thread_name_prefix="flowtime-scan")
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
    """What the threads do: a group of small files, or a block of a large one."""
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
    bins = _bins(points)
    values = _bulk_values(b"".join(bodies), bins)
    if values is None:
        strict = [parse_strictly(bytes(b), f) for f, b in zip(group, bodies, strict=True)]
        values = np.array([value for series in strict for value in series], dtype=np.float64)
    rows = np.fromiter((file.row for file in group), dtype=np.uint32, count=len(group))
    return pl.DataFrame(
        {"series_row": np.repeat(rows, points), "bin_index": bins, "value": values}, schema=SCHEMA
    )


def _bins(points: _Array) -> _Array:
    """0..n-1 for each n of `points`, one after the other."""
    starts = np.cumsum(points) - points
    bins: _Array = np.arange(points.sum(), dtype=np.uint32)
    return bins - np.repeat(starts.astype(np.uint32), points)


def _bulk_values(body: bytes, bins: _Array) -> _Array | None:
    """The values of a body whose bins are known, or None where the exact parse must judge.

    Polars takes an absent value for a null, an empty line for nothing, +1 for a bin, and spaces,
    other spellings of the named values and overflow for numbers: each of these is sent to the
    exact parse. As many lines as bins, and the bins as they should be, leave no file a row too
    many.
    """
    if b" " in body or b"\t" in body or _has_signed_bin(body):
        return None
    if _lines(body) != len(bins):
        return None
    try:
        parsed = pl.read_csv(body, has_header=False, schema=_ROW_SCHEMA, quote_char=None)
    except pl.exceptions.PolarsError:
        return None
    if parsed.height != len(bins) or any(column.null_count() for column in parsed):
        return None
    if not np.array_equal(parsed["bin_index"].to_numpy(), bins):
        return None
    values = parsed["value"].to_numpy()
    return values if _as_many_named_values(values, body) else None


def _has_signed_bin(body: bytes) -> bool:
    # To look for one byte takes a 200th of the time, and most bodies have no plus at all.
    return b"+" in body and (b"\n+" in body or body.startswith(b"+"))


def _lines(body: bytes) -> int:
    # numpy counts six times as fast as bytes.count, which starts afresh after each find.
    return int(np.count_nonzero(np.frombuffer(body, dtype=np.uint8) == _NEWLINE))


def _as_many_named_values(values: _Array, body: bytes) -> bool:
    """Whether each NaN and infinity was written as one, and none is a number out of range."""
    if np.isfinite(values).all():
        return True
    ends = (b"\n", b"\r\n") if b"\r" in body else (b"\n",)

    def written(*names: bytes) -> int:
        return sum(body.count(b"," + name + end) for name in names for end in ends)

    nans, infinities = np.isnan(values).sum(), np.isinf(values).sum()
    return bool(
        nans == written(b"NaN")
        and infinities == written(b"inf", b"-inf", b"Infinity", b"-Infinity")
    )


# --------------------------------------------------------------------------- large files


def _block_tasks(
    storage: Storage, file: SeriesFile, options: ScanOptions
) -> Iterator[Callable[[], _Parsed]]:
    """Cuts a large file at line ends; the hash is taken in passing.

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
        count = _lines(piece)
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
        values = _bulk_values(piece, bins)
        if values is None:
            strict = parse_strictly(piece, file, first_bin=first_bin, complete=False)
            values = np.array(strict, dtype=np.float64)
        rows = np.full(count, file.row, dtype=np.uint32)
        frame = pl.DataFrame(
            {"series_row": rows, "bin_index": bins, "value": values}, schema=SCHEMA
        )
        return _Parsed(frame, 0, len(piece))

    return task
