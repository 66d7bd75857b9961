"""What a FlowTime run is: frozen values without any I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.flowtime.model.series_table import SeriesTable

NEVER_READ_FOLDERS = frozenset({"gold", "aggregates"})
"""Folders of a run directory that hold exports of the run, not the run."""

CONFIGURED_ORIGIN = "config"
"""`Run.origin_source` where the config sets the time origin."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A regular time grid: bin `t` starts at the origin plus `t * bin_minutes`.

    Attributes:
        bins: Number of bins.
        bin_minutes: Width of a bin in minutes.
    """

    bins: int
    bin_minutes: int


@dataclass(frozen=True, slots=True)
class ExportOrigin:
    """The export that a run was restored from, as the manifest of the run names it.

    Attributes:
        location: URL of the export's descriptor or file.
        export: What the export was called.
    """

    location: str
    export: str


@dataclass(frozen=True, slots=True)
class RunOverview:
    """What a catalogue shows of a run directory and an export does not need.

    Attributes:
        files: Names of the files directly in the run directory, sorted.
        size: Bytes of all its files, exports of the run apart.
        modified: When a file of it was last written, UTC, where the store says so.
        title: The model's title, by the order in which FlowTime looks for one.
        description: The model's description.
        tags: The model's own tags.
        restored_from: The export it was restored from.
    """

    files: tuple[str, ...] = ()
    size: int = 0
    modified: datetime | None = None
    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    restored_from: ExportOrigin | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One complete run directory.

    Attributes:
        url: URL of the run directory, without a trailing slash or credentials.
        path: The same place as its storage names it.
        name: Name of the run directory.
        run_id: `runId` of run.json.
        grid: The time grid of every series.
        series: All series, in the index's order.
        created: `createdUtc`, or None.
        time_origin: Start of bin 0, UTC.
        origin_source: Where the origin comes from: a file and key, `createdUtc`, or `config`.
        fingerprint: sha256 hex over the bytes of the JSON and YAML files that were read.
        listing: sha256 hex over names, sizes and versions of its files as listed.
        notes: What a reader of the report should know, e.g. an assumed time origin.
        warnings: The run's own warnings, rendered as text.
        source, engine_version, scenario_hash, model_hash, schema_version, template_id,
            template_title, model_title, mode, seed: As the JSON files say; None where absent.
        extra: Unknown top-level keys of run.json, kept as they were.
        is_bundle: Whether it is a flat telemetry bundle, whose files may name a class and lack
            values.
        series_left_out: Series of the index that were not selected and are not in `series`.
        summary: What catalogues show of it, where discovery was asked for that.
    """

    url: str
    path: str
    name: str
    run_id: str
    grid: Grid
    series: SeriesTable
    created: datetime | None
    time_origin: datetime
    origin_source: str
    fingerprint: str
    listing: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    source: str | None
    engine_version: str | None
    scenario_hash: str | None
    model_hash: str | None
    schema_version: int | None
    template_id: str | None
    template_title: str | None
    model_title: str | None
    mode: str | None
    seed: int | None
    extra: Mapping[str, object]
    is_bundle: bool = False
    series_left_out: int = 0
    summary: RunOverview | None = None
