"""Define the rows of a foreign table as its readers give them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from connectors.flowtime.parse.schema import clip
from pipeline.imports.telemetry.options import (
    CLASS,
    COMPONENT,
    MEASURE,
    REQUIRED,
    TIME,
    VALUE,
    ForeignOptions,
)
from pipeline.imports.telemetry.report import Findings, StopReadingError

Array = np.ndarray[Any, Any]

MOST_COLUMNS = 1_000
_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair, which JSON can spell


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column of a table is what.

    Attributes:
        time, component, measure, value: Names of the columns that must be there.
        class_name: The column of the class, or None where there is none.
        extras: All others, in the table's order.
    """

    time: str
    component: str
    measure: str
    value: str
    class_name: str | None
    extras: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column."""
        own = (self.time, self.component, self.measure, self.value)
        return (*own, *(() if self.class_name is None else (self.class_name,)), *self.extras)


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of rows.

    Attributes:
        frame: The columns of the layout: text, or whatever type Parquet has.
        places: Where each row came from.
    """

    frame: pl.DataFrame
    places: Array


def find_layout(
    names: Sequence[str], options: ForeignOptions, findings: Findings, place: int | None
) -> Layout:
    """Return the layout of a table with these column names.

    Args:
        names: The columns, in the table's order.
        options: What the table calls them.
        findings: Where problems are noted.
        place: The header, or None where the format has no line for it.

    Raises:
        StopReadingError: A column is missing, there twice, or of a name that cannot be kept.
    """
    if len(names) > MOST_COLUMNS:
        raise findings.stop(
            "column", place, None, f"{len(names):,} columns", f"at most {MOST_COLUMNS:,} are read"
        )
    for name in dict.fromkeys(names):
        if name == "*" or (name.startswith("^") and name.endswith("$")):
            # Polars would take it for a pattern of many columns' names.
            raise findings.stop(
                "column", place, None, f"a column is called {clip(name)}", "rename it"
            )
        if not name.isascii() and _HALF.search(name):
            raise findings.stop(
                "column", place, None, f"half a character in {clip(name)}", "rename the column"
            )
        if list(names).count(name) > 1:
            raise findings.stop(
                "column", place, None, f"two columns are called {name!r:.80}", "rename one"
            )
    wanted = {column: options.source_of(column) for column in REQUIRED}
    shown = ", ".join(f"{name!r:.60}" for name in list(names)[:20])
    stopping: StopReadingError | None = None
    for column, source in wanted.items():
        if source not in names:
            stopping = findings.stop(
                "column",
                place,
                source,
                f"is missing; the columns are {shown}",
                f"say which of them is {column} with the option columns",
            )
    if stopping is not None:
        raise stopping
    class_name = options.source_of(CLASS)
    if class_name not in names and CLASS in options.columns:
        raise findings.stop("column", place, class_name, "is missing", f"the columns are {shown}")
    known = {*wanted.values(), class_name}
    return Layout(
        time=wanted[TIME],
        component=wanted[COMPONENT],
        measure=wanted[MEASURE],
        value=wanted[VALUE],
        class_name=class_name if class_name in names else None,
        extras=tuple(name for name in names if name not in known),
    )
