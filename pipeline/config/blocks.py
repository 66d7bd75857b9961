"""Define the blocks of a config as frozen models, each checked by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pipeline.config.values import (
    Address,
    BinWidth,
    Bytes,
    ConstantSetting,
    Glob,
    Globs,
    MetadataColumn,
    Moment,
    NotEmpty,
    RegistryUrl,
    Seconds,
    SourceUrls,
    TimeOrigin,
    WebhookUrl,
    WorkerCount,
    passwords_in,
)
from pipeline.rows.aggregation import Aggregation
from pipeline.rows.column import ColumnName
from pipeline.rows.resampling import Resampling
from pipeline.sinks.sink import Flag, PositiveCount

# Two megabytes of text and the rows in it.
_BATCH_BYTES = 9 * 10**6
_MOST_AUTO_WORKERS = 8
DEFAULT_REGISTRY_SECONDS = 10.0
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class ConfigBlock(BaseModel):
    """A block of the config; a key with nothing after it counts as an empty one."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, defer_build=True
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_nothing(cls, value: Any) -> Any:
        return {} if value is None else value


def _shown(bound: datetime | timedelta | None) -> str:
    return f"{bound:%Y-%m-%dT%H:%M:%SZ}" if isinstance(bound, datetime) else "so long ago"


class CreatedBlock(ConfigBlock):
    """When the wanted runs were created, against `createdUtc`; half-open.

    Attributes:
        from_: Earliest instant, included; without an offset it is UTC. `-7d` is seven days before
            the export.
        to: Latest instant, not included; likewise.
    """

    from_: Moment | None = Field(default=None, alias="from")
    to: Moment | None = None

    @model_validator(mode="after")
    def _check_order(self) -> CreatedBlock:
        first, last = self.at(_ANY_TIME)
        is_comparable = type(self.from_) is type(self.to)
        if is_comparable and first is not None and last is not None and first >= last:
            raise ValueError(f"from {_shown(self.from_)} is not before to")
        return self

    def at(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """Return both bounds for an export that begins at an instant."""
        first, last = (
            now + bound if isinstance(bound, timedelta) else bound
            for bound in (self.from_, self.to)
        )
        return first, last


class SeriesBlock(ConfigBlock):
    """Which series are wanted: one glob of each list must match.

    Attributes:
        measures: Globs on the measure.
        components: Globs on the component.
        classes: Globs on the class.
    """

    measures: Globs = ("*",)
    components: Globs = ("*",)
    classes: Globs = ("*",)


class SourceBlock(ConfigBlock):
    """Where runs are read from, and which of them are wanted.

    Attributes:
        url: A folder of run directories at any depth, or one run directory; any fsspec URL. Also a
            list of them; each may hold globs, such as `s3://sim/2025-*/runs`.
        storage: Entry of the storage block to use.
        include: Globs on the run directory's name, one of which must match.
        exclude: Globs on the run directory's name, none of which may match.
        created: When the wanted runs were created.
        latest: So many of the wanted runs that were created last.
        series: Which series are wanted.
        time_origin: Start of bin 0, or `auto` to find it in the run.
        verify: Check the sha256 of each series file against manifest.json.
        on_error: `fail` at a broken run, or `skip` it whole.
        require_runs: Whether finding no run is an error.
    """

    url: SourceUrls
    storage: str | None = None
    include: Globs = ("*",)
    exclude: tuple[Glob, ...] = ()
    created: CreatedBlock = CreatedBlock()
    latest: PositiveCount | None = None
    series: SeriesBlock = SeriesBlock()
    time_origin: TimeOrigin = "auto"
    verify: Flag = True
    on_error: Literal["fail", "skip"] = "fail"
    require_runs: Flag = False

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs, of which there is mostly one."""
        return (self.url,) if isinstance(self.url, str) else self.url


class MetadataBlock(ConfigBlock):
    """Columns beside the base columns.

    Attributes:
        columns: Names from the catalogue, in order.
        constants: Columns with one value, in order.
    """

    columns: tuple[MetadataColumn, ...] = ("run_id", "unit")
    constants: dict[ColumnName, ConstantSetting] = Field(default_factory=dict)


class ResampleBlock(ConfigBlock):
    """Wider bins, each of which holds as many whole bins of the run.

    Attributes:
        to: Width of the new bins, such as `15m`, `1h` or `1d`.
        aggregation: How the values of several bins become one, by kind of series; `*` for all
            others. A flow is summed, of a state or ratio the mean is taken, of a stock the last
            value; other kinds have to be named.
    """

    to: BinWidth
    aggregation: dict[str, Aggregation] = Field(default_factory=dict)

    @property
    def resampling(self) -> Resampling:
        """What the block asks for."""
        return Resampling(self.to, self.aggregation)


class TransformBlock(ConfigBlock):
    """What happens to rows and columns before they are written.

    Attributes:
        resample: Wider bins, before anything else.
        filter: A SQL condition over the columns.
        rename: New names of columns by their old ones.
    """

    resample: ResampleBlock | None = None
    filter: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    rename: dict[str, ColumnName] = Field(default_factory=dict)


class ExecutionBlock(ConfigBlock):
    """What an export may use of the machine.

    Attributes:
        engine: Where runs are read and files are written: in this process (`local`), in worker
            `processes` of this machine, or by the workers of a `dask` cluster; `auto` chooses
            local or processes by the size of the job, the processors and the memory.
        address: The scheduler of a Dask cluster, such as `tcp://10.0.0.7:8786`.
        workers: Worker processes or, for `local`, threads that read and parse; or `auto`.
        read_ahead: Batches of series files that are read before they are needed, or `auto`.
        memory_limit: Bytes such as `512MB` or `1GiB`.
        timeout: Longest duration such as `2h`, `90m` or `30s`; without it there is none.
    """

    engine: Literal["auto", "local", "processes", "dask"] = "auto"
    address: Address | None = None
    workers: WorkerCount = "auto"
    read_ahead: WorkerCount = "auto"
    memory_limit: Bytes = 512 * 10**6
    timeout: Seconds = None

    @model_validator(mode="after")
    def _check_address(self) -> ExecutionBlock:
        if self.engine == "dask" and self.address is None:
            raise ValueError(
                "engine: dask needs address: the scheduler, such as tcp://10.0.0.7:8786"
            )
        if self.engine != "dask" and self.address is not None:
            raise ValueError(f"address has no meaning for engine: {self.engine}; set engine: dask")
        return self

    @property
    def thread_count(self) -> int:
        """Threads that read and parse."""
        if self.workers == "auto":
            return max(1, min(os.cpu_count() or 1, _MOST_AUTO_WORKERS))
        return self.workers

    @property
    def batches_ahead(self) -> int:
        """Batches that are read ahead: one for each thread and one more, as memory allows."""
        wanted = self.thread_count + 1 if self.read_ahead == "auto" else self.read_ahead
        return max(1, min(wanted, self.memory_limit // 4 // _BATCH_BYTES))


class RegistryBlock(ConfigBlock):
    """The registry that an export and its runs are entered in, once the export is published.

    Attributes:
        url: `sqlite:///FILE`, or `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`.
        timeout: How long an export waits for the registry at the most.
    """

    url: RegistryUrl
    timeout: Seconds = DEFAULT_REGISTRY_SECONDS

    @property
    def seconds(self) -> float:
        """How long an export waits at the most."""
        return DEFAULT_REGISTRY_SECONDS if self.timeout is None else self.timeout

    def secrets(self) -> Iterator[str]:
        """Yield the texts that must not be shown."""
        yield from passwords_in(self.url.get_secret_value())


class WebhooksBlock(ConfigBlock):
    """Services that receive the report of an export, signed, once it has ended.

    Attributes:
        urls: http or https URLs, each of which counts as a secret.
        secret: Key of the signatures.
    """

    urls: Annotated[tuple[WebhookUrl, ...], *NotEmpty]
    secret: Annotated[SecretStr, Field(min_length=1)]

    def secrets(self) -> Iterator[str]:
        """Yield the texts that must not be shown."""
        yield self.secret.get_secret_value()
        yield from (url.get_secret_value() for url in self.urls)


class LineageBlock(ConfigBlock):
    """Lineage events; the transport is configured as that of every OpenLineage client.

    Attributes:
        openlineage: Whether events are sent.
        namespace: Namespace of the job; default `OPENLINEAGE_NAMESPACE`, else `default`.
        parent: The orchestrator's run as `NAMESPACE/JOB/RUN_ID`; default `OPENLINEAGE_PARENT_ID`.
    """

    openlineage: Flag = False
    namespace: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        default_factory=lambda: os.environ.get("OPENLINEAGE_NAMESPACE") or "default"
    )
    parent: str | None = Field(
        default_factory=lambda: os.environ.get("OPENLINEAGE_PARENT_ID") or None
    )

    @field_validator("parent")
    @classmethod
    def _check_parent(cls, value: str | None) -> str | None:
        if value is not None:
            _parent_run(value)
        return value

    @property
    def parent_run(self) -> tuple[str, str, str] | None:
        """Namespace, job and run id of the parent."""
        return None if self.parent is None else _parent_run(self.parent)


def _parent_run(text: str) -> tuple[str, str, str]:
    """Split a parent; its namespace may hold slashes.

    Raises:
        ValueError: It has not three parts, or its last one is no UUID.
    """
    parts = text.rsplit("/", 2)
    try:
        namespace, job, run_id = parts
        return namespace, job, str(UUID(run_id))
    except ValueError as error:
        raise ValueError("should be NAMESPACE/JOB/RUN_ID, the run id being a UUID") from error
