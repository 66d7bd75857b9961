"""Render rows as lines of text; what stays the same over many rows is rendered once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from connectors.flowtime.scan.arrays import as_arrow, as_column
from connectors.storage import Writable
from pipeline.rows.column import Column, Table
from pipeline.rows.numbers import non_finite_in, unnamed
from pipeline.sinks.compression import SegmentedStream
from pipeline.sinks.run_lengths import RowNumbers, changes, first_rows, lengths, text_changes
from pipeline.sinks.sink import SegmentFile, Written, copy_bytes
from pipeline.sinks.text import arrow_texts

_MOST_BYTES = 8_000_000
"""Approximate bytes of lines that are laid out at a time, however long texts are."""

_WIDEST_VALUE = 32
"""Longest number or timestamp in bytes, quotes included."""

# A column that changes less often than every fourth row is worth a look-up.
_STEADY = 4
_LOOKED_UP = ("timestamp", "integer")
"""Types of which most texts are kept: text before them costs nothing there, and as a piece of its
own as much as a value does."""

_EMPTY = arrow_texts([""])[0]
_join = pc.get_function("binary_join_element_wise")
_Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """A column within the lines.

    Attributes:
        column: The column.
        before: Text between the cell before it, or the line's beginning, and this one.
        render: Its values as text, none of them null, each after a text that may be empty; text
            columns as plain strings.
    """

    column: Column
    before: str
    render: Callable[[pl.Series, str], pa.Array | list[str]]


class LineRenderer:
    """Renders batches as lines.

    Most columns are the same in all rows of a series. A line is therefore taken as what varies
    (time and value) between fragments that stay the same over a run of equal rows: fragments are
    put together once for each such run, repeated, and all is joined by Arrow in one pass over the
    bytes.
    Every shape of table is rendered in this way: in the worst case each row is a run.

    Args:
        cells: The columns in order.
        end: Text after the last cell, the line's end included.
    """

    def __init__(self, cells: Sequence[Cell], end: str) -> None:
        self._cells = tuple(cells)
        self._end = end

    def __call__(self, batch: pl.DataFrame) -> Iterator[pa.Buffer]:
        """Yield the lines of a batch, in order."""
        starts, varying = self._equal_rows(batch)
        pieces = self._pieces(batch, starts, varying)
        run_of_row = np.repeat(
            np.arange(len(starts), dtype=np.int32), lengths(starts, batch.height)
        )
        rows = max(1, _MOST_BYTES // self._widest(pieces))
        for first in range(0, batch.height, rows):
            yield _lines(pieces, run_of_row[first : first + rows], first)

    def _equal_rows(self, batch: pl.DataFrame) -> tuple[RowNumbers, set[str]]:
        """Return the first row of each run of equal rows, and the columns that vary within them."""
        columns = [cell.column for cell in self._cells]
        varying = {column.name for column in columns if column.type == "number"}
        steady = text_changes(batch, [column for column in columns if column.type == "text"])
        for column in columns:
            if column.type in ("number", "text"):
                continue
            changed = changes(batch[column.name])
            often = np.count_nonzero(changed) * _STEADY > batch.height
            if often and column.type in _LOOKED_UP:
                varying.add(column.name)
            else:
                steady.append(changed)
        return first_rows(batch.height, steady), varying

    def _pieces(self, batch: pl.DataFrame, starts: RowNumbers, varying: set[str]) -> list[_Piece]:
        """Return what a line is made of, in order: fragments, and cells that vary."""
        # One column at a time: a look-up in a frame waits for threads of Polars.
        heads = as_column(starts)
        pieces: list[_Piece] = []
        constants, steady = [""], list[list[str]]()
        for cell in self._cells:
            constants[-1] += cell.before
            if cell.column.name in varying:
                before = ""
                if not steady and cell.column.type in _LOOKED_UP:
                    before, constants = constants[0], [""]
                texts = cell.render(unnamed(batch[cell.column.name]), before)
                pieces += [*_fragments(constants, steady), _Piece(texts, steady=False)]
                constants, steady = [""], []
            else:
                texts = cell.render(unnamed(batch[cell.column.name])[heads], "")
                steady.append(texts if isinstance(texts, list) else texts.to_pylist())
                constants.append("")
        constants[-1] += self._end
        return [*pieces, *_fragments(constants, steady)]

    def _widest(self, pieces: Sequence[_Piece]) -> int:
        """Return an upper bound of the bytes of a line."""
        return sum(_longest(piece.texts) if piece.steady else _WIDEST_VALUE for piece in pieces)


class LineWriter:
    """Writes a file of lines, batch after batch.

    Args:
        out: Compresses the lines into the file; what comes before the rows is written to it.
        table: What the file holds.
        lines: Renders its rows.
    """

    def __init__(self, out: SegmentedStream, table: Table, lines: LineRenderer) -> None:
        self._out = out
        self._table = table
        self._lines = lines
        self._rows = 0
        self._non_finite = 0

    @staticmethod
    def join(stream: Writable, table: Table) -> TextJoin:
        """Begin to write one file from the bytes of others."""
        return TextJoin(stream)

    def write(self, batch: pl.DataFrame) -> None:
        """Append the rows of a batch."""
        if batch.is_empty():
            return
        odd = non_finite_in(batch, self._table)
        if odd:
            self._check(batch)
        for lines in self._lines(batch):
            self._out.write(lines)
        self._rows += batch.height
        self._non_finite += odd

    def _check(self, batch: pl.DataFrame) -> None:
        """Refuse a batch with values that are not finite, where the format cannot hold them."""

    def cut(self) -> None:
        """End the compressed member or frame."""
        self._out.cut()

    def close(self) -> Written:
        """Finish the compressed frame; the stream itself stays open."""
        self._out.close()
        return Written(self._rows, self._non_finite)


class TextJoin:
    """Puts one file behind the other.

    Args:
        stream: The open binary stream.
    """

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._written: Written | None = None

    def add(self, segment: SegmentFile) -> None:
        """Copy the next segments."""
        with segment.path.open("rb") as file:
            copy_bytes(file, self._stream)
        before = self._written
        self._written = segment.written if before is None else before.plus(segment.written)

    def close(self) -> Written:
        """Return what is in the file."""
        return self._written or Written(0, 0)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Texts by run of equal rows where steady, or by row; a scalar where all have the same."""

    texts: pa.Array | pa.Scalar
    steady: bool


def _fragments(constants: Sequence[str], texts: Sequence[list[str]]) -> list[_Piece]:
    """Return what is between two varying cells: constants, and texts by run of equal rows."""
    if not texts:
        return [_Piece(_scalar(constants[0]), steady=True)] if constants[0] else []
    template = "%s".join(constant.replace("%", "%%") for constant in constants)
    fragments = [template % row for row in zip(*texts, strict=True)]
    one = len(fragments) == 1
    return [_Piece(_scalar(fragments[0]) if one else arrow_texts(fragments), steady=True)]


def _scalar(text: str) -> pa.Scalar:
    return arrow_texts([text])[0]


def _lines(pieces: Sequence[_Piece], run_of_row: _Array, first: int) -> pa.Buffer:
    """Return the lines of the rows from `first` on, given the run of equal rows of each."""
    laid = []
    places = as_arrow(run_of_row)
    for piece in pieces:
        if isinstance(piece.texts, pa.Scalar):
            laid.append(piece.texts)
        elif not piece.steady:
            laid.append(piece.texts.slice(first, len(run_of_row)))
        else:
            laid.append(piece.texts.take(places))
    if len(laid) == 1 and isinstance(laid[0], pa.Scalar):
        # No cell varies: it takes an array to say how many rows there are.
        laid = [pa.repeat(laid[0], len(run_of_row))]
    # The last one is between the others.
    joined = _join.call([*laid, _EMPTY])
    _, ends, content = joined.buffers()
    return content.slice(0, np.frombuffer(ends, dtype=np.int64)[len(joined)])


def _longest(texts: pa.Array | pa.Scalar) -> int:
    if isinstance(texts, pa.Scalar):
        return len(texts.as_buffer())
    return pc.max(pc.binary_length(texts)).as_py() or 0
