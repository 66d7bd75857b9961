"""Read the values of two sides, bin against bin, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from connectors.flowtime.model.run import Run
from connectors.storage import scratch_folder
from pipeline.comparison.alignment import Alignment, SideBins
from pipeline.comparison.pairing import SeriesPair
from pipeline.comparison.sides.read_ahead import ReadAhead
from pipeline.comparison.sides.series_reader import SeriesChunk, SeriesReader
from pipeline.comparison.sides.side import OpenSide
from pipeline.comparison.sides.stored_series import StoredSeries
from pipeline.rows.aggregation import Aggregation, aggregate

_Array = np.ndarray[Any, Any]

BLOCK_BINS = 65_536
"""Compared bins of a block at the most. Blocks of a series always begin at the same bins."""


@dataclass(frozen=True, slots=True)
class PairBlock:
    """Some compared bins of a pair of series.

    Attributes:
        place: Place of the pair among those that were asked for.
        first_bin: The first compared bin.
        baseline, comparison: One double for each bin.
    """

    place: int
    first_bin: int
    baseline: _Array
    comparison: _Array


@contextmanager
def paired_blocks(
    baseline: OpenSide,
    comparison: OpenSide,
    alignment: Alignment,
    pairs: Sequence[SeriesPair],
    aggregations: Sequence[Aggregation],
) -> Iterator[Iterator[PairBlock]]:
    """Read pairs of series side by side; the blocks can be taken while the context lasts.

    Args:
        baseline: One side.
        comparison: The other side.
        alignment: How their grids are compared.
        pairs: The pairs, in the order in which they are read.
        aggregations: How bins of a finer grid become one, for each pair.

    Raises:
        IntegrityError: The values of a side are not as they should be.
        StorageError: They could not be read, or the disk for temporary files is full.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        rows = ([pair.baseline_row for pair in pairs], [pair.comparison_row for pair in pairs])
        readers = (
            _in_order(baseline, rows[0], scratch / "baseline", stack),
            _in_order(comparison, rows[1], scratch / "comparison", stack),
        )
        chunks = [
            stack.enter_context(closing(ReadAhead(reader.read(of_side))))
            for reader, of_side in zip(readers, rows, strict=True)
        ]
        yield _blocks(
            (_Cursor(chunks[0], baseline.run), _Cursor(chunks[1], comparison.run)),
            alignment,
            pairs,
            aggregations,
        )


def _in_order(side: OpenSide, rows: Sequence[int], path: Path, stack: ExitStack) -> SeriesReader:
    """Return the side's reader, or a local copy where it cannot be read in that order."""
    order = side.reader.order
    if order is None or (order and _is_part(rows, order)):
        return side.reader
    stored = StoredSeries(path, side.reader, rows, side.run.grid.bins)
    stack.callback(stored.close)
    return stored


def _is_part(rows: Sequence[int], order: Sequence[int]) -> bool:
    """Return whether rows come in an order, others between them."""
    left = iter(order)
    return all(row in left for row in rows)


class _Cursor:
    """Takes values of one series after the other from a stream of chunks."""

    def __init__(self, chunks: Iterator[SeriesChunk], run: Run) -> None:
        self._chunks = chunks
        self._run = run
        self._row = -1
        self._bin = 0
        self._rest: _Array = np.empty(0)

    def begin(self, row: int, first_bin: int) -> None:
        """Go to a bin of the next series that is wanted."""
        while self._row != row:
            self._next()
        while self._bin + len(self._rest) <= first_bin:
            self._next()
        self._rest = self._rest[first_bin - self._bin :]
        self._bin = first_bin

    def take(self, count: int) -> _Array:
        """Return the values of the next bins."""
        pieces = []
        while count > 0:
            if not len(self._rest):
                self._next()
            piece = self._rest[:count]
            self._rest = self._rest[len(piece) :]
            self._bin += len(piece)
            count -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _next(self) -> None:
        chunk = next(self._chunks)
        self._row, self._bin, self._rest = chunk.row, chunk.first_bin, chunk.values


def _blocks(
    cursors: tuple[_Cursor, _Cursor],
    alignment: Alignment,
    pairs: Sequence[SeriesPair],
    aggregations: Sequence[Aggregation],
) -> Iterator[PairBlock]:
    ours, theirs = alignment.baseline, alignment.comparison
    size = max(1, BLOCK_BINS // max(ours.factor, theirs.factor))
    for place, (pair, aggregation) in enumerate(zip(pairs, aggregations, strict=True)):
        cursors[0].begin(pair.baseline_row, ours.first)
        cursors[1].begin(pair.comparison_row, theirs.first)
        for first in range(0, alignment.bins, size):
            bins = min(size, alignment.bins - first)
            yield PairBlock(
                place,
                first,
                _taken(cursors[0], ours, bins, aggregation),
                _taken(cursors[1], theirs, bins, aggregation),
            )


def _taken(cursor: _Cursor, side: SideBins, bins: int, aggregation: Aggregation) -> _Array:
    return aggregate(cursor.take(bins * side.factor), side.factor, aggregation)
