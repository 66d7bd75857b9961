"""Build the OpenLineage events of one export (https://openlineage.io/spec/2-0-2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    InputDataset as InputEvent,
)
from openlineage.client.event_v2 import (
    Job,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.event_v2 import (
    OutputDataset as OutputEvent,
)
from openlineage.client.generated.column_lineage_dataset import (
    ColumnLineageDatasetFacet,
    Fields,
    InputField,
    Transformation,
)
from openlineage.client.generated.data_quality_metrics_dataset import (
    ColumnMetrics,
    DataQualityMetricsDatasetFacet,
)
from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
from openlineage.client.generated.input_statistics_input_dataset import (
    InputStatisticsInputDatasetFacet,
)
from openlineage.client.generated.job_type_job import JobTypeJobFacet
from openlineage.client.generated.nominal_time_run import NominalTimeRunFacet
from openlineage.client.generated.output_statistics_output_dataset import (
    OutputStatisticsOutputDatasetFacet,
)
from openlineage.client.generated.parent_run import Job as ParentJob
from openlineage.client.generated.parent_run import ParentRunFacet
from openlineage.client.generated.parent_run import Run as ParentRun
from openlineage.client.generated.processing_engine_run import ProcessingEngineRunFacet
from openlineage.client.generated.schema_dataset import (
    SchemaDatasetFacet,
    SchemaDatasetFacetFields,
)
from openlineage.client.uuid import generate_new_uuid

from pipeline.lineage.dataset import DatasetName, InputDataset, OutputDataset
from pipeline.version import VERSION

PRODUCER = f"https://pypi.org/project/flowtime-export/{VERSION}/"
_READ_COLUMNS = ("time_bin", "component_id", "measure", "class", "value")


@dataclass(frozen=True, slots=True)
class ParentJobRun:
    """The orchestrator's run that an export is a part of.

    Attributes:
        namespace: Namespace of its job.
        job: Name of its job.
        run_id: Its run id, a UUID.
    """

    namespace: str
    job: str
    run_id: str


class ExportEvents:
    """The events of one run of an export's job.

    Args:
        namespace: The job's namespace.
        job: The job's name.
        began: When the export began, UTC.
        parent: The run that it is a part of.
    """

    def __init__(
        self, namespace: str, job: str, began: datetime, parent: ParentJobRun | None
    ) -> None:
        self._job = Job(
            namespace, job, {"jobType": JobTypeJobFacet("BATCH", "FLOWTIME_EXPORT", "EXPORT")}
        )
        self._run_id = str(generate_new_uuid(began))
        self._facets: dict[str, Any] = {
            "nominalTime": NominalTimeRunFacet(_instant(began)),
            "processing_engine": ProcessingEngineRunFacet(VERSION, "flowtime-export"),
        }
        if parent is not None:
            self._facets["parent"] = ParentRunFacet(
                ParentRun(parent.run_id), ParentJob(parent.namespace, parent.job)
            )

    def start(self, source_urls: Sequence[str]) -> RunEvent:
        """Return the event of an export that begins to read."""
        inputs = [InputEvent(name.namespace, name.name) for name in map(_name, source_urls)]
        return self._event(RunState.START, {}, inputs, [])

    def complete(
        self, inputs: Sequence[InputDataset], outputs: Sequence[OutputDataset]
    ) -> RunEvent:
        """Return the event of an export that has been published."""
        return self._event(
            RunState.COMPLETE,
            {},
            [_input(one) for one in inputs],
            [_output(one, [i.url for i in inputs]) for one in outputs],
        )

    def fail(self, source_urls: Sequence[str], message: str) -> RunEvent:
        """Return the event of an export that failed.

        Args:
            source_urls: Where runs were read from.
            message: The error, free of secrets.
        """
        inputs = [InputEvent(name.namespace, name.name) for name in map(_name, source_urls)]
        facets = {"errorMessage": ErrorMessageRunFacet(message, "PYTHON")}
        return self._event(RunState.FAIL, facets, inputs, [])

    def _event(
        self,
        state: RunState,
        facets: dict[str, Any],
        inputs: list[InputEvent],
        outputs: list[OutputEvent],
    ) -> RunEvent:
        return RunEvent(
            eventTime=_instant(datetime.now(UTC)),
            producer=PRODUCER,
            eventType=state,
            run=Run(self._run_id, {**self._facets, **facets}),
            job=self._job,
            inputs=inputs,
            outputs=outputs,
        )


def connect() -> Callable[[RunEvent], None]:
    """Return the function that sends an event, as the OpenLineage client is configured."""
    return OpenLineageClient().emit


def _input(read: InputDataset) -> InputEvent:
    name = _name(read.url)
    fields = [SchemaDatasetFacetFields(column) for column in _READ_COLUMNS]
    return InputEvent(
        name.namespace,
        name.name,
        facets={"schema": SchemaDatasetFacet(fields)},
        inputFacets={"inputStatistics": InputStatisticsInputDatasetFacet(read.rows, read.size)},
    )


def _output(written: OutputDataset, source_urls: Sequence[str]) -> OutputEvent:
    name = _name(written.url)
    sources = [_name(url) for url in source_urls]
    fields = [
        SchemaDatasetFacetFields(
            shown.column.name, shown.column.type, shown.column.unit and f"unit: {shown.column.unit}"
        )
        for shown in written.columns
    ]
    lineage = {
        shown.column.name: Fields(
            [
                InputField(
                    one.namespace,
                    one.name,
                    shown.source,
                    [Transformation("DIRECT", "IDENTITY", "", masking=False)],
                )
                for one in sources
            ]
        )
        for shown in written.columns
    }
    metrics = {
        shown.column.name: ColumnMetrics(count=written.rows)
        for shown in written.columns
        if shown.source == "value"
    }
    return OutputEvent(
        name.namespace,
        name.name,
        facets={
            "schema": SchemaDatasetFacet(fields),
            "columnLineage": ColumnLineageDatasetFacet(lineage),
            "dataQualityMetrics": DataQualityMetricsDatasetFacet(
                metrics, written.rows, written.size, written.files
            ),
        },
        outputFacets={
            "outputStatistics": OutputStatisticsOutputDatasetFacet(
                written.rows, written.size, written.files
            )
        },
    )


def _name(url: str) -> DatasetName:
    return DatasetName.of_url(url)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
