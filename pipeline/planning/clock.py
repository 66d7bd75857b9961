"""Find out what makes an export depend on the time at which it runs."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.config import ExportConfig
from pipeline.rows.filter import parse_filter
from pipeline.rows.row_filter import RowFilter
from pipeline.sinks import Sink

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_CLOCK_COLUMN = "exported_at"


def filter_of(config: ExportConfig, now: datetime) -> RowFilter | None:
    """Return the filter of a config, or None where it has none.

    Args:
        config: The settings.
        now: The instant of functions such as `now()`, UTC.
    """
    text = config.transform.filter
    return None if text is None else parse_filter(text, config.metadata.constants, now)


def clock_uses(
    config: ExportConfig, sink: Sink, row_filter: RowFilter | None = None
) -> tuple[str, ...]:
    """Return what makes the rows of a sink depend on the clock; empty where nothing does.

    Args:
        config: The settings.
        sink: The sink.
        row_filter: The filter, where it is parsed already.
    """
    row_filter = row_filter or filter_of(config, _ANY_TIME)
    asked = () if row_filter is None else row_filter.clock
    uses = tuple(f"{name} in transform.filter" for name in asked)
    shown = config.transform.rename.get(_CLOCK_COLUMN, _CLOCK_COLUMN)
    has_column = _CLOCK_COLUMN in config.metadata.columns
    if has_column and (sink.columns is None or shown in sink.columns):
        return (*uses, f"column {shown}")
    return uses
