"""What a FlowTime run is: frozen values without any I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.flowtime.model.series_table import SeriesTable

NEVER_READ_FOLDERS = frozenset({"gold", "aggregates"})
"""Folders of a run directory that hold exports of the run, not the run."""


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
        origin_source: Where the origin comes from: a file and key, or `createdUtc`.
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
