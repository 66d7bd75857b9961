"""Define runs as frozen values, without any I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from connectors.flowtime.model.series_table import SeriesTable

_Integer64 = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the JSON files of a run say of its origin; None where they say nothing.

    Descriptors, the registry, the service and imports take the list of facts from here.

    Attributes:
        source: What wrote the run.
        engine_version: Version of the engine.
        scenario_hash, model_hash: Hashes of the scenario and of the model.
        schema_version: Version of the JSON files.
        template_id, template_title: The template that the model was made from.
        model_title: Title of the model.
        mode: `simulation` or `telemetry`.
        seed: Seed of the random numbers.
    """

    # Descriptors have them in the spelling of FlowTime's JSON files.
    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    source: str | None
    engine_version: str | None
    scenario_hash: str | None
    model_hash: str | None
    schema_version: _Integer64 | None
    template_id: str | None
    template_title: str | None
    model_title: str | None
    mode: str | None
    seed: _Integer64 | None

    def facts(self) -> dict[str, Any]:
        """Return the facts by name, in order."""
        return {name: getattr(self, name) for name in RUN_FACTS}

    def facts_as_json(self) -> dict[str, Any]:
        """Return the facts with the names that FlowTime's JSON files have for them."""
        return {key: getattr(self, name) for name, key in _JSON_NAMES.items()}


RUN_FACTS: tuple[str, ...] = tuple(field.name for field in fields(RunFacts))
"""Names of the facts, in order."""

_JSON_NAMES = {name: to_camel(name) for name in RUN_FACTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(RunFacts):
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
    extra: Mapping[str, object]
    is_bundle: bool = False
    series_left_out: int = 0
    summary: RunOverview | None = None
