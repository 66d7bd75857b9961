"""Parse the timestamps of a foreign table as microseconds since 1970, UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from connectors.flowtime.model.instant import instant_text, parse_instant
from pipeline.imports.telemetry.files.rows import Array
from pipeline.imports.telemetry.options import ForeignOptions

MINUTE = 60_000_000
OK, NAIVE, WRONG, UNTIMELY = 0, 1, 2, 3
"""States of a timestamp: with a zone, without one, none at all, none in its time zone."""

_UNIT_MICROS = {"days": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros_of(instant: datetime) -> int:
    """Microseconds from 1970 to an instant."""
    passed = instant - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def instant_of(micros: int) -> datetime:
    """Return the instant of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def shown_time(micros: int) -> str:
    """Return an instant for people."""
    return instant_text(instant_of(micros))


FIRST_MICROS = micros_of(datetime.min.replace(tzinfo=UTC))
LAST_MICROS = micros_of(datetime.max.replace(tzinfo=UTC))

# The common layout, which is parsed in bulk; all others go one by one.
_PLAIN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|\+00:00)?$"
)
_ZONED = re.compile(r":[0-9]{2}(?:[.,][0-9]+)?\s*(?:[Zz]|[+-][0-9]{1,2}(?::?[0-9]{2})?)\s*$")


@dataclass(frozen=True, slots=True)
class Instants:
    """Timestamps of a batch.

    Attributes:
        micros: Microseconds since 1970; without meaning where the state is `WRONG` or more.
        states: `OK`, `NAIVE`, `WRONG` or `UNTIMELY`, one of each.
        expected: What a wrong one should have been.
    """

    micros: Array
    states: Array
    expected: str


def instants(column: pl.Series, options: ForeignOptions) -> Instants:
    """Return the instants of a column of text, integers, dates or timestamps.

    Those outside of the years 1 to 9999, where a time zone may move them, are wrong.
    """
    found = _read(column, options)
    outside = (found.micros < FIRST_MICROS) | (found.micros > LAST_MICROS)
    if not outside.any():
        return found
    return replace(found, states=np.where(outside, np.maximum(found.states, WRONG), found.states))


def _read(column: pl.Series, options: ForeignOptions) -> Instants:
    kind = column.dtype
    if isinstance(kind, pl.Datetime) or kind == pl.Date:
        return _typed(column, options)
    if options.time_unit != "text":
        return _counted(column, options)
    if kind.is_integer():
        return _all_wrong(column, "in seconds or another unit: say which with time_unit")
    if kind != pl.String:
        return _all_wrong(column, "a column of timestamps")
    return _coded(column, options)


def distinct_texts(coded: pl.Series) -> pl.Series:
    """Return the texts of a categorical column, in the order of their codes."""
    kind = coded.dtype
    assert isinstance(kind, pl.Categorical)
    codes = coded.to_physical().max()
    assert isinstance(codes, int)
    return pl.Series([kind.categories[code] for code in range(codes + 1)], dtype=pl.String)


def _all_wrong(column: pl.Series, expected: str) -> Instants:
    states = np.full(len(column), WRONG, dtype=np.uint8)
    return Instants(np.zeros(len(column), dtype=np.int64), states, expected)


def _coded(column: pl.Series, options: ForeignOptions) -> Instants:
    """Parse each distinct text once."""
    coded = column.fill_null("").cast(pl.Categorical(pl.Categories.random()))
    codes = coded.to_physical().to_numpy()
    micros, states = _parsed(distinct_texts(coded), options)
    expected = (
        "an ISO 8601 timestamp such as 2025-01-31T08:05:00Z"
        if options.time_zone == "UTC"
        else f"an ISO 8601 timestamp that {options.time_zone} has, once"
    )
    return Instants(micros[codes], states[codes], expected)


def _parsed(texts: pl.Series, options: ForeignOptions) -> tuple[Array, Array]:
    plain = texts.str.contains(_PLAIN)
    zoned = texts.str.ends_with("Z") | texts.str.ends_with("+00:00")
    bare = texts.str.strip_suffix("Z").str.strip_suffix("+00:00")
    read = bare.str.replace("T", " ", literal=True).str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False
    )
    fits = (plain & read.is_not_null()).to_numpy()
    micros = read.to_physical().fill_null(0).to_numpy().astype(np.int64, copy=True)
    states = np.where(fits, np.where(zoned.to_numpy(), OK, NAIVE), WRONG).astype(np.uint8)
    for at in np.flatnonzero(~fits):
        text = texts[int(at)]
        instant = parse_instant(text)
        if instant is not None:
            micros[at] = micros_of(instant)
            states[at] = OK if _ZONED.search(text) else NAIVE
    return _in_zone(micros, states, options)


def _in_zone(micros: Array, states: Array, options: ForeignOptions) -> tuple[Array, Array]:
    """Naive timestamps moved to UTC."""
    naive = states == NAIVE
    if options.time_zone == "UTC" or not naive.any():
        return micros, states
    local = pl.Series(micros[naive]).cast(pl.Datetime("us"))
    moved = local.dt.replace_time_zone(
        options.time_zone, ambiguous="null", non_existent="null"
    ).to_physical()
    micros, states = micros.copy(), states.copy()
    micros[naive] = moved.fill_null(0).to_numpy()
    states[naive] = np.where(moved.is_null().to_numpy(), UNTIMELY, NAIVE)
    return micros, states


def _typed(column: pl.Series, options: ForeignOptions) -> Instants:
    """Timestamps and dates; not by a cast, which ends with a panic where one is far away."""
    kind = column.dtype
    has_zone = isinstance(kind, pl.Datetime) and kind.time_zone is not None
    unit = kind.time_unit if isinstance(kind, pl.Datetime) else "days"
    physical = column.to_physical().cast(pl.Int64)
    numbers = physical.fill_null(0).to_numpy()
    if unit == "ns":
        numbers, unit = numbers // 1_000, "us"
    micros, outside = _scaled(numbers, _UNIT_MICROS[unit])
    wrong = outside | physical.is_null().to_numpy()
    states = np.where(wrong, WRONG, OK if has_zone else NAIVE).astype(np.uint8)
    return Instants(*_in_zone(micros, states, options), "a timestamp between the years 1 and 9999")


def _counted(column: pl.Series, options: ForeignOptions) -> Instants:
    """Integers since 1970, or numbers of bins."""
    is_number = column.dtype == pl.String or column.dtype.is_integer()
    whole = column.cast(pl.Int64, strict=False) if is_number else None
    if whole is None:
        return _all_wrong(column, "whole numbers")
    numbers = whole.fill_null(-1).to_numpy()
    if options.time_unit == "bin":
        assert options.bin_size is not None
        assert options.time_origin is not None
        start = micros_of(options.time_origin)
        micros, outside = _scaled(numbers, options.bin_size * MINUTE, start)
        outside |= numbers < 0
        expected = "the number of a bin, from 0"
    else:
        micros, outside = _scaled(numbers, _UNIT_MICROS[options.time_unit])
        expected = f"whole {options.time_unit} since 1970"
    wrong = outside | whole.is_null().to_numpy()
    return Instants(micros, np.where(wrong, WRONG, OK).astype(np.uint8), expected)


def _scaled(numbers: Array, unit: int, start: int = 0) -> tuple[Array, Array]:
    """Return microseconds since 1970, and which are outside of the years 1 to 9999.

    Args:
        numbers: How many units have passed since the start.
        unit: Microseconds of a unit.
        start: Microseconds from 1970 to the start.
    """
    first, last = -((start - FIRST_MICROS) // unit), (LAST_MICROS - start) // unit
    outside = (numbers < first) | (numbers > last)
    return np.where(outside, 0, numbers) * unit + start, outside
