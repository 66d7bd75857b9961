"""Define the options that say how a foreign table is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from connectors.flowtime.model.instant import parse_instant
from connectors.flowtime.model.series import DEFAULT_CLASS
from connectors.flowtime.parse.schema import MAX_BIN_MINUTES, NAME
from pipeline.sinks.formats import Format

TIME, COMPONENT, MEASURE, CLASS, VALUE = "time_bin", "component_id", "measure", "class", "value"
REQUIRED = (TIME, COMPONENT, MEASURE, VALUE)
KNOWN_COLUMNS = (*REQUIRED, CLASS)

_SIZE = re.compile(r"([0-9]{1,12})\s*(m|min|minutes?|h|hours?|d|days?|w|weeks?)?")
_UNIT_MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10080}


def _parse_size(value: object) -> object:
    """Minutes of `5`, `5m`, `1h`, `1d` or `1w`."""
    match = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is not None:
        value = int(match[1]) * _UNIT_MINUTES[(match[2] or "m")[0]]
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("expected minutes, or a width such as 5m, 1h or 1d")
    return value


def _parse_origin(value: object) -> object:
    instant = parse_instant(value) if isinstance(value, str) else value
    if not isinstance(instant, datetime) or instant.microsecond:
        raise ValueError("expected an instant in whole seconds such as 2025-01-31T08:00:00Z")
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _check_zone(value: str) -> str:
    try:
        ZoneInfo(value)
        pl.Series([0]).cast(pl.Datetime("us", value))  # Polars has names of its own
    except (ZoneInfoNotFoundError, ValueError, OSError, pl.exceptions.PolarsError) as exc:
        raise ValueError("expected a time zone such as UTC or Europe/Berlin") from exc
    return value


def _check_class(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("expected letters, digits, '.', '_', '-' or '@'")
    return value


def _check_run_id(value: str) -> str:
    if not NAME.fullmatch(value) or value in (".", "..") or len(value) > 200:
        raise ValueError("expected 1 to 200 letters, digits, '.', '_', '-' or '@'")
    return value


class ForeignOptions(BaseModel):
    """How a foreign table is to be understood; everything has a default.

    Attributes:
        columns: What the table calls a column, by its name here: `{"time_bin": "timestamp"}`.
        format: Format of the files, or None to infer it from their names.
        separator: Separator of CSV, or None to find it in the header.
        bin_size: Width of a bin in minutes (`5`, `"5m"`, `"1h"`, `"1d"`), or None to infer it.
        time_origin: Start of bin 0, or None for the earliest timestamp.
        time_unit: `text` for ISO 8601; integer columns are seconds, milliseconds or microseconds
            since 1970 (`s`, `ms`, `us`), or numbers of bins from 0 (`bin`).
        time_zone: Time zone of timestamps that name none.
        restamp: The timestamps only number the bins: their own spacing orders them, while
            `bin_size` and `time_origin` say which instants they mean.
        class_name: Class of rows that name none.
        run_id: Id of the run, or None to make one of the file's name and content.
        gaps: `error`, or `nan` to fill missing bins with NaN.
        duplicates: `error`, or `last` to take the last row of a bin.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Mapping[str, str] = Field(default_factory=dict)
    format: Format | None = None
    separator: Literal[",", ";", "\t", "|"] | None = None
    bin_size: Annotated[
        Annotated[int, Field(ge=1, le=MAX_BIN_MINUTES)] | None,
        BeforeValidator(lambda value: None if value is None else _parse_size(value)),
    ] = None
    time_origin: Annotated[
        datetime | None,
        BeforeValidator(lambda value: None if value is None else _parse_origin(value)),
    ] = None
    time_unit: Literal["text", "s", "ms", "us", "bin"] = "text"
    time_zone: Annotated[str, AfterValidator(_check_zone)] = "UTC"
    restamp: bool = False
    class_name: Annotated[str, Field(max_length=512), AfterValidator(_check_class)] = DEFAULT_CLASS
    run_id: Annotated[str, AfterValidator(_check_run_id)] | None = None
    gaps: Literal["error", "nan"] = "error"
    duplicates: Literal["error", "last"] = "error"

    @model_validator(mode="after")
    def _check_together(self) -> ForeignOptions:
        for name in self.columns:
            if name not in KNOWN_COLUMNS:
                known = ", ".join(KNOWN_COLUMNS)
                raise ValueError(
                    f"columns: a run's table has no column {name!r}; choose from {known}"
                )
        if len(set(self.columns.values())) < len(self.columns):
            raise ValueError("columns: two columns are taken from the same one")
        whole = self.bin_size is not None and self.time_origin is not None
        if (self.restamp or self.time_unit == "bin") and not whole:
            wanted = "restamp" if self.restamp else "time_unit: bin"
            raise ValueError(f"{wanted} needs bin_size and time_origin")
        return self

    def source_of(self, column: str) -> str:
        """Return what the table calls one of `KNOWN_COLUMNS`."""
        return self.columns.get(column, column)

    @classmethod
    def of(cls, **options: Any) -> ForeignOptions:
        """Return options by keyword, unset ones (None) left at their defaults.

        Raises:
            pydantic.ValidationError: An option is wrong.
        """
        return cls(**{name: value for name, value in options.items() if value is not None})
