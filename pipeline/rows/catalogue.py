"""List the columns that an output can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pipeline.rows.column import ColumnType

Level = Literal["series", "row", "export"]


@dataclass(frozen=True, slots=True)
class CatalogueColumn:
    """A column this project knows how to fill.

    Attributes:
        name: Its name.
        type: Its logical type.
        level: What its value depends on: the series (or its run), the single row, or the export.
        meaning: One line for people.
    """

    name: str
    type: ColumnType
    level: Level
    meaning: str


_BASE = (
    CatalogueColumn("time_bin", "timestamp", "row", "start of the bin, UTC"),
    CatalogueColumn("component_id", "text", "series", "component of the model"),
    CatalogueColumn("measure", "text", "series", "what is measured"),
    CatalogueColumn("class", "text", "series", "class of the flow; DEFAULT where none is named"),
    CatalogueColumn("value", "number", "row", "the value"),
)

_METADATA = (
    CatalogueColumn("run_id", "text", "series", "runId of run.json"),
    CatalogueColumn("run_name", "text", "series", "name of the run directory"),
    CatalogueColumn("run_url", "text", "series", "URL of the run directory"),
    CatalogueColumn("source", "text", "series", "what wrote the run, as run.json says"),
    CatalogueColumn("engine_version", "text", "series", "version of the engine"),
    CatalogueColumn("scenario_hash", "text", "series", "hash of the scenario"),
    CatalogueColumn("model_hash", "text", "series", "hash of the model"),
    CatalogueColumn("created_at", "timestamp", "series", "createdUtc of the run"),
    CatalogueColumn("created_month", "text", "series", "month of createdUtc, `2025-01`, UTC"),
    CatalogueColumn("schema_version", "integer", "series", "schemaVersion of run.json"),
    CatalogueColumn("template_id", "text", "series", "template the model was made from"),
    CatalogueColumn("template_title", "text", "series", "title of that template"),
    CatalogueColumn("model_title", "text", "series", "title of the model"),
    CatalogueColumn("mode", "text", "series", "simulation or telemetry"),
    CatalogueColumn("seed", "integer", "series", "seed of the random numbers"),
    CatalogueColumn("series_id", "text", "series", "id of the series as the index writes it"),
    CatalogueColumn("kind", "text", "series", "flow, stock, ratio, ..."),
    CatalogueColumn("unit", "text", "series", "unit of the values"),
    CatalogueColumn("class_kind", "text", "series", "fallback or specific"),
    CatalogueColumn("bin_index", "integer", "row", "number of the bin, from 0"),
    CatalogueColumn("bin_size_minutes", "integer", "series", "width of a bin in minutes"),
    CatalogueColumn("time_origin", "timestamp", "series", "start of bin 0, UTC"),
    CatalogueColumn("exported_at", "timestamp", "export", "when this export began, UTC"),
)

CATALOGUE: Mapping[str, CatalogueColumn] = MappingProxyType(
    {column.name: column for column in _BASE + _METADATA}
)
BASE_COLUMNS: tuple[str, ...] = tuple(column.name for column in _BASE)
CATALOGUE_NAMES: tuple[str, ...] = tuple(column.name for column in _METADATA)

PER_MEASURE: frozenset[str] = frozenset(
    {"measure", "value", "series_id", "kind", "unit", "class_kind"}
)
"""Columns that a wide layout cannot have: they differ between the measures of one row."""
