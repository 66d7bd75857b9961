"""Read the rows of a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import polars as pl

from pipeline.imports.telemetry.files.lines import LineBlock
from pipeline.imports.telemetry.files.rows import Layout, Rows, find_layout
from pipeline.imports.telemetry.options import REQUIRED, ForeignOptions
from pipeline.imports.telemetry.report import Findings

SEPARATORS = (",", ";", "\t", "|")
COMMENT = b"#"


def csv_rows(
    blocks: Iterator[LineBlock], options: ForeignOptions, findings: Findings
) -> tuple[Layout, Iterator[Rows]]:
    """Return the layout of a CSV file, and its rows as text.

    Quotes are those of RFC 4180; a line break within quotes is a problem, named by its line.

    Raises:
        StopReadingError: There is no header, or a column is missing.
    """
    first = next((block for block in blocks if block.data), None)
    if first is None:
        raise findings.stop_in_file("the file is empty", "a header row should come first")
    head, _, body = first.data.partition(b"\n")
    place = int(first.places[0])
    text = head.decode()
    separator = options.separator or _separator(text, options)
    names = _cells(text, separator)
    if names is None:
        raise findings.stop("row", place, None, "the header's quotes do not match", "correct it")
    layout = find_layout(names, options, findings, place)
    return layout, _rows(
        LineBlock(body, first.places[1:]), blocks, names, layout, separator, findings
    )


def _separator(header: str, options: ForeignOptions) -> str:
    """Return the separator that finds most of the wanted columns, then most columns."""
    wanted = {options.source_of(column) for column in REQUIRED}

    def finds(separator: str) -> tuple[int, int]:
        names = _cells(header, separator) or []
        return len(wanted & set(names)), len(names)

    return max(SEPARATORS, key=finds)


def _cells(line: str, separator: str) -> list[str] | None:
    """Return the cells of one line, or None where its quotes do not match."""
    try:
        rows = list(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _rows(
    first: LineBlock,
    blocks: Iterator[LineBlock],
    names: Sequence[str],
    layout: Layout,
    separator: str,
    findings: Findings,
) -> Iterator[Rows]:
    for block in chain((first,), blocks):
        if not block.data:
            continue
        frame = _bulk(block, names, layout, separator)
        yield (
            _strict(block, names, layout, separator, findings)
            if frame is None
            else Rows(frame, block.places)
        )


def _bulk(
    block: LineBlock, names: Sequence[str], layout: Layout, separator: str
) -> pl.DataFrame | None:
    """Return all cells of a block, or None where a row is not as it should be."""
    made = [f"column_{number + 1}" for number in range(len(names))]
    wanted = [made[names.index(name)] for name in layout.columns]
    read = wanted if made[-1] in wanted else [*wanted, made[-1]]
    try:
        frame = pl.read_csv(
            block.data,
            has_header=False,
            separator=separator,
            schema=dict.fromkeys(made, pl.String),
            columns=read,
            empty_string_is_null=False,
            glob=False,
        )
    except pl.exceptions.PolarsError:
        return None
    # A row that is too short has nulls at its end; an empty cell is an empty text.
    if frame.height != len(block.places) or frame[made[-1]].null_count():
        return None
    return frame.select(wanted).rename(dict(zip(wanted, layout.columns, strict=True)))


def _strict(
    block: LineBlock,
    names: Sequence[str],
    layout: Layout,
    separator: str,
    findings: Findings,
) -> Rows:
    """Read row by row; bad rows are reported and left out."""
    rows: list[list[str]] = []
    kept: list[int] = []
    for number, line in enumerate(block.data.decode().split("\n")[:-1]):
        cells = _cells(line, separator)
        if cells is not None and len(cells) == len(names):
            rows.append(cells)
            kept.append(number)
        elif cells is None:
            findings.add(
                "row",
                int(block.places[number]),
                None,
                "a quote is not closed, or text follows it",
                "quote cells as RFC 4180 does, without line breaks in them",
            )
        else:
            findings.add(
                "row",
                int(block.places[number]),
                None,
                f"{len(cells)} cells",
                f"the header has {len(names)} columns",
            )
    table = {
        name: pl.Series([row[names.index(name)] for row in rows], dtype=pl.String)
        for name in layout.columns
    }
    return Rows(pl.DataFrame(table), block.places[np.array(kept, dtype=np.int64)])
