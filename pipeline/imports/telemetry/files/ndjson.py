"""Read the rows of an NDJSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from connectors.strict_json import unique_keys
from pipeline.imports.telemetry.files.lines import LineBlock
from pipeline.imports.telemetry.files.rows import Layout, Rows, find_layout
from pipeline.imports.telemetry.options import CLASS, ForeignOptions
from pipeline.imports.telemetry.report import Findings

# Read as a whole number, this would lose its sign.
_MINUS_ZERO = re.compile(rb"-0+(?:[eE][+-]?[0-9]+)?[\s,}\]]")
_HEAD_LINES = 1_000


def ndjson_rows(
    blocks: Iterator[LineBlock], options: ForeignOptions, findings: Findings
) -> tuple[Layout, Iterator[Rows]]:
    """Return the layout of an NDJSON file, and its rows as text.

    The columns are the keys of the first thousand objects; a key that an object lacks is null.

    Raises:
        StopReadingError: There is no object, or a column is missing.
    """
    first = next((block for block in blocks if block.data), None)
    if first is None:
        raise findings.stop_in_file("the file is empty", "it should hold a JSON object a line")
    names: dict[str, None] = {}
    for line in first.data.split(b"\n", _HEAD_LINES)[:_HEAD_LINES]:
        found = _object(line)
        if isinstance(found, dict):
            names.update(dict.fromkeys(found))
    if not names:
        raise findings.stop(
            "row", int(first.places[0]), None, "no JSON object", "each line should be one object"
        )
    # Only rows that have a class need name it: it may come late.
    names.setdefault(options.source_of(CLASS))
    layout = find_layout(list(names), options, findings, int(first.places[0]))
    return layout, _rows(first, blocks, layout, findings)


def _rows(
    first: LineBlock, rest: Iterator[LineBlock], layout: Layout, findings: Findings
) -> Iterator[Rows]:
    yield _read(first, layout, findings)
    for block in rest:
        if block.data:
            yield _read(block, layout, findings)


def _read(block: LineBlock, layout: Layout, findings: Findings) -> Rows:
    if _MINUS_ZERO.search(block.data) is None:
        try:
            frame = pl.read_ndjson(block.data, schema=dict.fromkeys(layout.columns, pl.String))
        except pl.exceptions.PolarsError:
            pass
        else:
            if frame.height == len(block.places) and not _may_repeat(block.data, frame):
                return Rows(frame, block.places)
    return _strict(block, layout, findings)


def _may_repeat(data: bytes, frame: pl.DataFrame) -> bool:
    """Return whether an object may have a key twice, of which Polars takes the first silently.

    Then there are more keys than cells. Keys that are not counted as they are, those before a
    gap, are left to the exact way.
    """
    missing = sum(column.null_count() for column in frame) - data.count(b":null")
    missing -= data.count(b": null")
    return b'" :' in data or data.count(b'":') > frame.height * frame.width - missing


def _strict(block: LineBlock, layout: Layout, findings: Findings) -> Rows:
    """Read line by line; bad lines are reported and left out."""
    objects: list[dict[str, Any]] = []
    kept: list[int] = []
    for number, line in enumerate(block.data.split(b"\n")[:-1]):
        found = _object(line)
        if isinstance(found, dict):
            objects.append(found)
            kept.append(number)
        else:
            findings.add(
                "row", int(block.places[number]), None, found, "each line should be a JSON object"
            )
    table = {
        name: pl.Series([_text(one.get(name)) for one in objects], dtype=pl.String)
        for name in layout.columns
    }
    return Rows(pl.DataFrame(table), block.places[np.array(kept, dtype=np.int64)])


def _object(line: bytes) -> dict[str, Any] | str:
    """Return the object of a line, its numbers as they are written; or what is wrong with it."""
    try:
        found = json.loads(
            line,
            parse_float=str,
            parse_int=str,
            parse_constant=str,
            object_pairs_hook=unique_keys,
        )
    except json.JSONDecodeError as error:
        return f"not JSON ({error})"
    except (ValueError, RecursionError) as error:
        return str(error)
    return found if isinstance(found, dict) else "JSON, but no object"


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()  # JSON can spell half a character
