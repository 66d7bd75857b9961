"""Read the files of a foreign table as coded rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from connectors.flowtime.parse.schema import clip
from connectors.storage.disk.scratch_file import scratch_errors
from pipeline.imports.telemetry.coding import ExtraColumns, SeriesCoding, SeriesName
from pipeline.imports.telemetry.files.content import (
    BLOCK_BYTES,
    ForeignFile,
    format_of,
    plain_blocks,
)
from pipeline.imports.telemetry.files.csv import COMMENT, csv_rows
from pipeline.imports.telemetry.files.lines import line_blocks
from pipeline.imports.telemetry.files.ndjson import ndjson_rows
from pipeline.imports.telemetry.files.parquet import parquet_rows
from pipeline.imports.telemetry.files.rows import Array, Layout, Rows
from pipeline.imports.telemetry.files.values import values
from pipeline.imports.telemetry.grid import TimeSpan
from pipeline.imports.telemetry.options import ForeignOptions
from pipeline.imports.telemetry.report import Findings
from pipeline.imports.telemetry.spill import Spill
from pipeline.imports.telemetry.times import NAIVE, OK, WRONG, instants
from pipeline.rows.cell_text import cell_text

RUN_ID = "run_id"


class Reading:
    """What is known of a table so far.

    Attributes:
        options: How the table is to be understood.
        findings: Problems and notes.
        digest: sha256 of the bytes of its files.
        span: Of its timestamps.
        rows, absent: Rows, and those without a value.
        coding, extras: Its series, and what other columns say of them; None before any row.
        first_file: The file that names the table.
    """

    def __init__(self, options: ForeignOptions) -> None:
        self.options = options
        self.findings = Findings()
        self.digest = hashlib.sha256()
        self.span = TimeSpan()
        self.rows = 0
        self._place = 0
        self.absent = 0
        self._naive: list[int] = []
        self._zoned: list[int] = []
        self._counts = {OK: 0, NAIVE: 0}
        self._layout: Layout | None = None
        self._run_id: str | None = None
        self.coding: SeriesCoding | None = None
        self.extras: ExtraColumns | None = None
        self.first_file: ForeignFile | None = None

    def read(self, file: ForeignFile, spill: Spill, scratch: Path) -> None:
        """Read one file into the spill.

        Raises:
            StopReadingError: It cannot be read on; the problem is noted.
            StorageError: The store or the disk failed.
        """
        self.first_file = self.first_file or file
        self.findings.begin_file(file.url, self._place)
        layout, batches = self._open(file, scratch)
        for rows in batches:
            self._take(_conformed(rows, layout, self._known_layout(layout)), spill)

    def _open(self, file: ForeignFile, scratch: Path) -> tuple[Layout, Iterator[Rows]]:
        form = self.options.format or format_of(file)
        if form == "parquet":
            local = self._local(file, scratch)
            return parquet_rows(local, file, self._place, self.options, self.findings)
        pieces = plain_blocks(file, self.findings, self.digest.update)
        comment = COMMENT if form == "csv" else None
        blocks = line_blocks(pieces, self._place, self.findings, comment=comment)
        read = csv_rows if form == "csv" else ndjson_rows
        return read(blocks, self.options, self.findings)

    def _local(self, file: ForeignFile, scratch: Path) -> Path:
        """Return a Parquet file on this machine; its bytes are hashed."""
        if file.storage.is_local:
            for block in file.storage.blocks(file.path, BLOCK_BYTES):
                self.digest.update(block)
            return Path(file.path)
        copy = scratch / "copy.parquet"
        with scratch_errors(copy), copy.open("wb") as stream:
            for block in file.storage.blocks(file.path, BLOCK_BYTES):
                self.digest.update(block)
                stream.write(block)
        return copy

    def _known_layout(self, layout: Layout) -> Layout:
        if self._layout is None:
            self._layout = layout
            self.coding = SeriesCoding(layout, self.options, self.findings)
            self.extras = ExtraColumns(layout, self.findings)
        elif self._layout.class_name is None and layout.class_name is not None:
            raise self.findings.stop_in_file(
                f"has a column {layout.class_name!r:.60}, which the first file lacks",
                "all files of a table should have the same columns",
            )
        return self._layout

    def _take(self, rows: Rows, spill: Spill) -> None:
        """Encode a batch and put it into the spill."""
        assert self._layout is not None
        assert self.coding is not None
        assert self.extras is not None
        if not rows.frame.height:
            return
        self.rows += rows.frame.height
        self._place = int(rows.places[-1])
        self._check_run_id(rows)
        codes, named = self.coding.codes(rows.frame, rows.places)
        micros, timed = self._times(rows)
        numbers = self._numbers(rows)
        good = named & timed
        codes = codes[timed[named]]
        self.extras.look(rows.frame, good, codes, len(self.coding))
        self.span.look(micros[good], rows.places[good])
        spill.add(codes, micros[good], numbers[good], rows.places[good])

    def _check_run_id(self, rows: Rows) -> None:
        """Refuse a table of several runs, whose rows would be taken for those of one.

        Raises:
            StopReadingError: A row is of another run than the first one.
        """
        if self.options.run_id is not None or RUN_ID not in rows.frame.columns:
            return
        column = rows.frame[RUN_ID].fill_null("")
        if self._run_id is None:
            self._run_id = str(column[0])
        other = (column != self._run_id).arg_max()
        if other is not None and column[other] != self._run_id:
            raise self.findings.stop(
                "column",
                int(rows.places[other]),
                RUN_ID,
                f"run {clip(column[other])}, while rows before are of {clip(self._run_id)}",
                "a table becomes one run: give the rows of each run as a table of its own, or "
                "name the run by the option run_id",
            )

    def _times(self, rows: Rows) -> tuple[Array, Array]:
        assert self._layout is not None
        column = rows.frame[self._layout.time]
        found = instants(column, self.options)
        for state, places in ((OK, self._zoned), (NAIVE, self._naive)):
            at = np.flatnonzero(found.states == state)
            self._counts[state] += len(at)
            places += rows.places[at[:20]].tolist()[: 20 - len(places)]
        wrong = np.flatnonzero(found.states >= WRONG)
        if len(wrong):
            shown = ((int(rows.places[at]), _shown(column, at)) for at in wrong.tolist())
            self.findings.add_all(
                "time", self._layout.time, f"should be {found.expected}", shown, len(wrong)
            )
        timed: Array = found.states < WRONG
        return found.micros, timed

    def _numbers(self, rows: Rows) -> Array:
        assert self._layout is not None
        column = rows.frame[self._layout.value]
        found = values(column)
        self.absent += found.absent
        for wrong, expected in (
            (found.wrong, "should be a number, NaN, inf or -inf"),
            (found.too_large, "does not fit a double"),
        ):
            shown = ((int(rows.places[at]), _shown(column, at)) for at in wrong)
            self.findings.add_all("value", self._layout.value, expected, shown, len(wrong))
        return found.numbers

    @property
    def naive_rows(self) -> int:
        """Rows whose timestamp names no time zone."""
        return self._counts[NAIVE]

    def names(self) -> list[SeriesName]:
        """Return the series, by their numbers."""
        names = self.coding.names() if self.coding is not None else []
        if self.coding is not None:
            self.coding.check_names(names)
        return names

    def check_zones(self) -> None:
        """Note timestamps with a zone beside ones without."""
        if not (self._counts[OK] and self.naive_rows):
            return
        few = OK if self._counts[OK] < self.naive_rows else NAIVE
        places = self._zoned if few == OK else self._naive
        other = (self._naive if few == OK else self._zoned)[0]
        file, line = self.findings.where(other)
        what = "a time zone" if few == OK else "no time zone"
        self.findings.add_all(
            "zone",
            None if self._layout is None else self._layout.time,
            f"other rows differ, such as {file} line {line}: name it in all rows or in none",
            ((place, f"a timestamp with {what}") for place in places),
            self._counts[few],
        )


def _conformed(rows: Rows, layout: Layout, wanted: Layout) -> Rows:
    """Return a batch with the first file's columns; what a later file lacks is null."""
    if layout == wanted:
        return rows
    own = {
        wanted.time: rows.frame[layout.time],
        wanted.component: rows.frame[layout.component],
        wanted.measure: rows.frame[layout.measure],
        wanted.value: rows.frame[layout.value],
    }
    nothing = pl.Series([None] * rows.frame.height, dtype=pl.String)
    for name in wanted.columns[len(own) :]:
        own[name] = rows.frame[name] if name in rows.frame.columns else nothing
    return Rows(pl.DataFrame(own), rows.places)


def _shown(column: pl.Series, at: int) -> str:
    return cell_text(column, at) or "nothing"
