"""Spill coded rows to local disk, and read them back one series at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from connectors.storage.disk.scratch_file import ScratchFile
from pipeline.imports.telemetry.files.rows import Array

RECORD = np.dtype([("micros", "<i8"), ("value", "<f8"), ("place", "<u4")])
"""A row: its time in microseconds since 1970, its value, and where it came from."""

DEFAULT_BUDGET = 64_000_000
_SLICE = 262_144
_MOST_HELD = 32_000_000


@dataclass(frozen=True, slots=True)
class _Flush:
    """Rows written at once, sorted by series; where a series begins is the sum of those before."""

    offset: int
    codes: Array
    counts: Array


class Spill:
    """An append-only log of rows.

    Args:
        path: A fresh local file.
        budget: Bytes that are held back before they are written.

    Raises:
        StorageError: The file cannot be made.
    """

    def __init__(self, path: Path, budget: int = DEFAULT_BUDGET) -> None:
        self._file = ScratchFile(path)
        self._room = max(budget // (RECORD.itemsize + 4), 1)
        self._codes: Array = np.zeros(0, dtype=np.uint32)
        self._records: Array = np.zeros(0, dtype=RECORD)
        self._held = 0
        self._flushes: list[_Flush] = []
        self.rows = 0

    def close(self) -> None:
        """Close the file; nothing is read afterwards."""
        self._file.close()

    def add(self, codes: Array, micros: Array, values: Array, places: Array) -> None:
        """Append rows.

        Raises:
            StorageError: The disk is full, or failed.
        """
        done = 0
        while done < len(codes):
            count = min(len(codes) - done, self._room - self._held)
            self._reserve(self._held + count)
            held, taken = slice(self._held, self._held + count), slice(done, done + count)
            self._codes[held] = codes[taken]
            self._records["micros"][held] = micros[taken]
            self._records["value"][held] = values[taken]
            self._records["place"][held] = places[taken]
            self._held += count
            done += count
            if self._held == self._room:
                self.flush()
        self.rows += len(codes)

    def _reserve(self, rows: int) -> None:
        """Grow what is held by doubling, so that a small table takes little."""
        if rows <= len(self._codes):
            return
        size = min(max(rows, 2 * len(self._codes), 65_536), self._room)
        codes, records = np.zeros(size, dtype=np.uint32), np.zeros(size, dtype=RECORD)
        codes[: self._held] = self._codes[: self._held]
        records[: self._held] = self._records[: self._held]
        self._codes, self._records = codes, records

    def flush(self) -> None:
        """Write what is held.

        Raises:
            StorageError: The disk is full, or failed.
        """
        if not self._held:
            return
        codes = self._codes[: self._held]
        order = np.argsort(codes, kind="stable")
        present, counts = np.unique(codes, return_counts=True)
        offsets = [
            self._file.append(self._records[order[start : start + _SLICE]].tobytes())
            for start in range(0, self._held, _SLICE)
        ]
        self._flushes.append(_Flush(offsets[0], present, counts.astype(np.uint32)))
        self._held = 0

    def release(self) -> None:
        """Write what is held and give its memory back; nothing is added afterwards."""
        self.flush()
        self._codes, self._records = self._codes[:0].copy(), self._records[:0].copy()

    def series(self) -> Iterator[tuple[int, Iterator[Array]]]:
        """Yield each series by number with its rows as they came, in arrays of bounded size."""
        starts = [0] * len(self._flushes)
        offsets = [flush.offset for flush in self._flushes]
        last = max((int(flush.codes[-1]) for flush in self._flushes), default=-1)
        for code in range(last + 1):
            spans: list[tuple[int, int]] = []
            for number, flush in enumerate(self._flushes):
                at = starts[number]
                if at < len(flush.codes) and flush.codes[at] == code:
                    rows = int(flush.counts[at])
                    spans.append((offsets[number], rows))
                    starts[number] += 1
                    offsets[number] += rows * RECORD.itemsize
            yield code, self._read(spans)

    def _read(self, spans: list[tuple[int, int]]) -> Iterator[Array]:
        for offset, rows in spans:
            for start in range(0, rows, _SLICE):
                count = min(_SLICE, rows - start)
                place = offset + start * RECORD.itemsize
                yield np.frombuffer(self._file.read(place, count * RECORD.itemsize), RECORD)


class ValueStore:
    """The values of every series, one dense array after the other in a local file.

    Args:
        path: A fresh local file.
        series: Number of series.
        bins: Values of each.

    Raises:
        StorageError: The disk has no room for them.
    """

    def __init__(self, path: Path, series: int, bins: int) -> None:
        self._file = ScratchFile(path, series * bins * 8)
        self._bins = bins

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def begin(self, code: int) -> Array:
        """Room for the values of one series; `end` takes it back."""
        if self._bins * 8 <= _MOST_HELD:
            return np.empty(self._bins, dtype=np.float64)
        return self._mapped(code)

    def end(self, code: int, values: Array) -> None:
        """Keep the values of one series."""
        if isinstance(values, np.memmap):
            values.flush()
            return
        self._file.write(code * self._bins * 8, values.tobytes())

    def read(self, code: int) -> Array:
        """Return the values of one series, by bin."""
        if self._bins * 8 > _MOST_HELD:
            return self._mapped(code)
        size = self._bins * 8
        return np.frombuffer(self._file.read(code * size, size), dtype="<f8")

    def _mapped(self, code: int) -> Array:
        place = code * self._bins * 8
        return np.memmap(self._file.file, dtype="<f8", mode="r+", offset=place, shape=(self._bins,))
