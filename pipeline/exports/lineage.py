"""Report an export as OpenLineage events, without ever failing or delaying it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.config import ExportConfig, LineageBlock
from pipeline.errors import ConfigError
from pipeline.exports.report import ExportedTarget, Report
from pipeline.lineage.dataset import InputDataset, OutputColumn, OutputDataset
from pipeline.lineage.delivery import Emit, EventDelivery
from pipeline.logs import LOGGER
from pipeline.planning.source_roots import source_roots
from pipeline.wording import without_secrets

if TYPE_CHECKING:
    from pipeline.planning.plan import ExportPlan, SinkPlan


class ExportLineage:
    """The lineage events of one export; none where the config does not ask for them.

    Args:
        config: The settings.
        began: When the export began, UTC.

    Raises:
        ConfigError: The OpenLineage client is not installed.
    """

    def __init__(self, config: ExportConfig, began: datetime) -> None:
        self._config = config
        self._plan: ExportPlan | None = None
        self._delivery: EventDelivery | None = None
        if config.lineage is None or not config.lineage.openlineage:
            return
        if importlib.util.find_spec("openlineage") is None:
            raise ConfigError(
                "lineage.openlineage is true, but the OpenLineage client is not installed: "
                "pip install 'flowtime-export[lineage]'"
            )
        self._events = _LazyEvents(config.lineage, config.name, began)
        self._delivery = EventDelivery(_connect)
        sources = list(self._source_urls())
        self._delivery.send(lambda: self._events.get().start(sources))

    def note(self, plan: ExportPlan) -> None:
        """Keep the plan that was carried out, for the columns of its sinks."""
        self._plan = plan

    def failed(self, error: BaseException) -> None:
        """Send the event of a failed export."""
        if self._delivery is None:
            return
        message = without_secrets(f"{type(error).__name__}: {error}", self._config.secrets())
        sources = list(self._source_urls())
        self._delivery.send(lambda: self._events.get().fail(sources, message))
        if problem := self._delivery.close():
            LOGGER.warning(problem)

    def finished(self, report: Report) -> Report:
        """Send the event of a finished export, and return the report with a note on failure."""
        if self._delivery is None:
            return report
        inputs = [
            InputDataset(url, report.runs, report.rows_read, report.bytes_read)
            for url in self._source_urls()
        ]
        outputs = list(self._outputs(report))
        self._delivery.send(lambda: self._events.get().complete(inputs, outputs))
        problem = self._delivery.close()
        return report if problem is None else report.with_note(problem)

    def _source_urls(self) -> Iterator[str]:
        storage, roots = source_roots(self._config)
        for root in roots:
            yield storage.url(root.path)

    def _outputs(self, report: Report) -> Iterator[OutputDataset]:
        """Yield one dataset per sink that was written or is up to date."""
        if self._plan is None:
            return
        by_url = {target.url: target for target in report.targets}
        for sink in self._plan.sinks:
            if sink.sink.is_stdout:  # no dataset that a later job could read
                continue
            written = [by_url[t.url] for t in sink.targets if t.url in by_url]
            if written:
                yield _output(sink, written)


class _LazyEvents:
    """The events of an export, built by the OpenLineage client once it has been imported."""

    def __init__(self, block: LineageBlock, job: str, began: datetime) -> None:
        self._block = block
        self._job = job
        self._began = began
        self._made: Any = None

    def get(self) -> Any:
        """Return the builder of the events; called on the delivery thread alone."""
        if self._made is None:
            from pipeline.lineage.events import ExportEvents, ParentJobRun  # noqa: PLC0415

            parent = self._block.parent_run
            self._made = ExportEvents(
                self._block.namespace,
                self._job,
                self._began,
                None if parent is None else ParentJobRun(*parent),
            )
        return self._made


def _connect() -> Emit:
    from pipeline.lineage.events import connect  # noqa: PLC0415 an extra, which takes long to load

    return connect()


def _output(sink: SinkPlan, written: Sequence[ExportedTarget]) -> OutputDataset:
    columns = tuple(OutputColumn(shown.column, shown.source) for shown in sink.shown)
    return OutputDataset(
        written[0].url if len(sink.targets) == 1 else _common_folder([t.url for t in written]),
        columns,
        rows=sum(target.rows for target in written),
        size=sum(target.size for target in written),
        files=sum(target.files for target in written),
    )


def _common_folder(urls: Sequence[str]) -> str:
    """Return the deepest folder that holds all of the files.

    >>> _common_folder(["s3://lake/a/x/1.csv", "s3://lake/a/y/1.csv"])
    's3://lake/a'
    """
    parts = [url.rpartition("/")[0].split("/") for url in urls]
    shared = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return "/".join(shared) or "/"
