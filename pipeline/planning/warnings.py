"""Warn about settings that are valid and may not do what is meant."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config import ExportConfig
from pipeline.config.path_template import template_fields
from pipeline.planning.clock import clock_uses
from pipeline.sinks import Sink


def config_warnings(config: ExportConfig) -> list[str]:
    """Return a sentence for each thing that `plan` and `validate` warn about."""
    return [
        f"sink {sink.path}: {warning}" for sink in config.sinks for warning in _of(config, sink)
    ]


def _of(config: ExportConfig, sink: Sink) -> Iterator[str]:
    if "date" in template_fields(sink.path):
        yield (
            "{date} is the day of the export, so that each day writes a new copy of all runs; "
            "{created_date} is the day of the run"
        )
    uses = clock_uses(config, sink)
    if uses:
        yield (
            f"its rows depend on the clock ({', '.join(uses)}), so that every export writes them "
            "again, even if no run has changed"
        )
