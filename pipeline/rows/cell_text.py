"""Format one cell of a column for a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

_TICKS = {"ns": 1_000_000_000, "us": 1_000_000, "ms": 1_000}
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


def cell_text(column: pl.Series, row: int) -> str | None:
    """Return the text of a cell; None where it is missing.

    Python's calendar has the years 1 to 9999, and Polars ends with a panic beyond them: such a
    time is shown by its number.

    >>> cell_text(pl.Series([2**62]).cast(pl.Datetime("us")), 0)
    '4611686018427 s after 1970'
    """
    kind = column.dtype
    if isinstance(kind, pl.Datetime) or kind == pl.Date:
        number = column.slice(row, 1).to_physical()[0]
        if number is None:
            return None
        ticks = _TICKS[kind.time_unit] if isinstance(kind, pl.Datetime) else None
        seconds = number * _DAY if ticks is None else number // ticks
        if not _FIRST + _DAY <= seconds <= _LAST - _DAY:  # a zone may shift it by most of a day
            return f"{abs(seconds)} s {'after' if seconds > 0 else 'before'} 1970"
    found = column[row]
    return None if found is None else str(found)
