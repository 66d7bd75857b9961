"""Write the outputs of many comparisons: one table of metrics, and files for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import polars as pl

from connectors.storage import StorageOptions
from pipeline.comparison.matching import MatchedSides
from pipeline.comparison.outputs import OutputFiles, publish_tables, write_outputs
from pipeline.comparison.registration import ComparisonRegistration
from pipeline.comparison.reports.junit import junit_report
from pipeline.comparison.reports.sweep_report import SweepReport
from pipeline.comparison.result import METRIC_TYPES, Comparison, metrics_frame
from pipeline.comparison.sides.side import OpenSide
from pipeline.config.comparison import ComparisonConfig, ComparisonOutputs
from pipeline.errors import ConfigError
from pipeline.registry.records.comparison_records import MAX_SIDES
from pipeline.registry.records.entries import DescriptorToEnter
from pipeline.rows.column import Column, ColumnType
from pipeline.writing.page_output import PageTarget
from pipeline.writing.table_output import TableTarget, TableWriting

_RUN_FIELDS = ("{run_id}", "{run_name}")
_COLUMN_TYPES: dict[Any, ColumnType] = {pl.Int64(): "integer", pl.Float64(): "number"}
_NAMES = ("run_id", "run_name", "run_url", "series_id", "component_id", "measure", "class")
_DESCRIPTIONS = ("unit", "kind")

METRIC_COLUMNS = (
    *(Column(name, "text") for name in (*_NAMES, *_DESCRIPTIONS)),
    *(Column(name, _COLUMN_TYPES.get(kind, "text")) for name, kind in METRIC_TYPES.items()),
)
"""The columns of the metrics of many comparisons."""


class SweepOutputs:
    """What a config wants to be written of its comparisons.

    Args:
        config: The settings.
        registration: Enters what is written in a registry.
    """

    def __init__(self, config: ComparisonConfig, registration: ComparisonRegistration) -> None:
        self._config = config
        self._registration = registration
        self._compared: list[dict[str, Any]] = []
        self._wanted: ComparisonOutputs = config.outputs
        self._storage: StorageOptions | None = config.storage_options(self._wanted.storage)
        self._seen: dict[str, str] = {}
        self._metrics: TableWriting | None = None
        if self._wanted.metrics is not None:
            target = TableTarget.of(self._wanted.metrics, self._storage)
            about = {"format": f"flowtime-{target.sink.format}", "content": "metrics"}
            self._metrics = TableWriting(target, METRIC_COLUMNS, {**about, "config": config.name})

    def write(self, found: Comparison, sides: MatchedSides) -> None:
        """Write the outputs of one comparison, and add its metrics to those of all.

        Args:
            found: The comparison.
            sides: Its open sides.

        Raises:
            ConfigError: An output would replace that of another comparison, or lies in a side.
            IntegrityError: The values of a side are not as they should be.
            SinkError: An output could not be written.
            StorageError: A store failed.
        """
        files = self._files_of(found)
        written = write_outputs(found, sides, files)
        self._registration.note(written, sides.baseline, sides.comparison)
        if self._metrics is not None:
            self._add_metrics(found, self._metrics)
            if not written:
                self._registration.note_side(sides.comparison)
            if len(self._compared) < MAX_SIDES:
                self._compared.append(sides.comparison.as_described())

    def _files_of(self, found: Comparison) -> OutputFiles:
        run = found.comparison.run
        urls = []
        for template in (self._wanted.differences, self._wanted.html):
            if template is None:
                continue
            url = template.replace("{run_id}", run.run_id).replace("{run_name}", run.name)
            other = self._seen.setdefault(url, found.comparison.url)
            if other != found.comparison.url:
                raise ConfigError(
                    f"outputs: the comparisons of {other} and {found.comparison.url} would both be "
                    f"written to {url}: name the run by {' or '.join(_RUN_FIELDS)}"
                )
            urls.append(url)
        return OutputFiles.of(urls, self._storage)

    def _add_metrics(self, found: Comparison, metrics: TableWriting) -> None:
        """Add a row for each series of a comparison."""
        run = found.comparison.run
        names = (run.run_id, run.name, found.comparison.url)
        frame = metrics_frame(found.series)
        texts = [pl.lit(text).alias(name) for name, text in zip(_NAMES[:3], names, strict=True)]
        metrics.write(frame.select(*texts, *frame.columns))

    @contextmanager
    def discarded_on_error(self) -> Iterator[None]:
        """Throw away what is staged when something goes wrong."""
        try:
            yield
        except BaseException:
            if self._metrics is not None:
                self._metrics.discard()
            raise

    def publish(self, report: SweepReport, baseline: OpenSide, now: datetime) -> None:
        """Make the table of metrics and the report for CI systems visible."""
        if self._metrics is not None:
            staged = self._metrics.finish()
            about = {
                "baseline": baseline.as_described(),
                "comparisons": self._compared,
                "config": report.name,
            }
            publish_tables([staged], about, now)
            target = staged.target
            entry = DescriptorToEnter(target.storage, target.descriptor, is_new=True)
            self._registration.note([entry], baseline)
        if self._wanted.junit is not None:
            PageTarget.of(self._wanted.junit, self._storage).write(junit_report(report))
