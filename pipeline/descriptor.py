"""What an export consists of: a Frictionless Data Package, as data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from connectors.flowtime.run import Run
from pipeline.errors import IntegrityError
from pipeline.sinks import Column, Sink
from pipeline.sinks.sink import ColumnType
from pipeline.version import VERSION

FILE_SUFFIX = ".datapackage.json"
FOLDER_NAME = "_datapackage.json"
"""Spark, DuckDB's hive scan and Polars pass over names that begin with an underscore."""

MAX_BYTES = 256 * 1024 * 1024
_FRICTIONLESS_TYPES: dict[ColumnType, str] = {
    "timestamp": "datetime",
    "number": "number",
    "integer": "integer",
    "text": "string",
    "boolean": "boolean",
}
_COMPRESSION = {".gz": "gz", ".zst": "zst"}


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export.

    Attributes:
        path: Relative to the descriptor's folder, with `/`.
        size: Bytes.
        sha256: Lower-case hex digest of the bytes.
        rows: Data rows.
        non_finite: NaN and infinite values.
        partition: Columns that the folders name instead of the file.
        header_row: Line of the row with the column names, in formats that have one.
    """

    path: str
    size: int
    sha256: str
    rows: int
    non_finite: int
    partition: Mapping[str, str | None]
    header_row: int | None


def resources(
    target: str, state: str, sink: Sink, columns: Iterable[Column], files: Iterable[ExportedFile]
) -> list[dict[str, Any]]:
    """Data Resources of one target (https://datapackage.org/standard/data-resource/).

    Args:
        target: What tells this target from others of the same descriptor.
        state: Digest of all that shaped the bytes: an equal one means nothing has changed.
        sink: The sink that wrote the files.
        columns: The columns of the files.
        files: The files.
    """
    schema = {"fields": [_field(column) for column in columns]}
    return [_resource(target, state, sink, schema, file) for file in files]


def package(
    name: str,
    config_hash: str,
    created: datetime,
    runs: Iterable[Mapping[str, Any]],
    files: list[dict[str, Any]],
) -> dict[str, Any]:
    """A Data Package of the given resources and runs.

    Args:
        name: The config's name.
        config_hash: sha256 hex of what the config asks for.
        created: When the export began, UTC.
        runs: The runs in the files, as `describe_run` gives them.
        files: The resources, as `resources` gives them.
    """
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": _slug(name),
        "created": _instant(created),
        "resources": _with_unique_names(files),
        "flowtime": {
            "version": VERSION,
            "created": _instant(created),
            "config": {"name": name, "hash": f"sha256:{config_hash}"},
            "runs": list(runs),
        },
    }


def describe_run(run: Run) -> dict[str, Any]:
    """A run as a descriptor names it."""
    return {
        "id": run.run_id,
        "name": run.name,
        "url": run.url,
        "fingerprint": f"sha256:{run.fingerprint}",
        "listing": f"sha256:{run.listing}",
        "seriesCount": len(run.series),
        "bins": run.grid.bins,
        "binMinutes": run.grid.bin_minutes,
        "timeOrigin": _instant(run.time_origin),
        "timeOriginFrom": run.origin_source,
        "created": None if run.created is None else _instant(run.created),
        "warnings": list(run.warnings),
        "notes": list(run.notes),
    }


def dump(descriptor: Mapping[str, Any]) -> bytes:
    """A descriptor as the bytes that are published."""
    # The standard library indents in Python: seconds for the runs of a large export.
    return to_json(descriptor, indent=2) + b"\n"


def runs_of(descriptor: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The runs that a descriptor names."""
    listed = descriptor["flowtime"].get("runs", [])
    return [run for run in listed if isinstance(run, dict)] if isinstance(listed, list) else []


def load(data: bytes, url: str) -> dict[str, Any]:
    """Read a descriptor of ours.

    Raises:
        IntegrityError: It is no JSON object, or not one of ours.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{url}: the descriptor is no JSON: {error}") from error
    ours = isinstance(found, dict) and isinstance(found.get("flowtime"), dict)
    listed = found.get("resources") if ours else None
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise IntegrityError(
            f"{url}: this is a descriptor of something else; choose another path for the export"
        )
    return dict(found)


def resources_of(descriptor: Mapping[str, Any], target: str) -> list[dict[str, Any]]:
    """The resources of one target in a descriptor."""
    return [item for item in descriptor["resources"] if _own(item).get("target") == target]


def state_of(resource: Mapping[str, Any]) -> str | None:
    """The state digest that a resource was written for."""
    state = _own(resource).get("state")
    return state if isinstance(state, str) else None


def _own(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    own = resource.get("flowtime")
    return own if isinstance(own, dict) else {}


def _resource(
    target: str, state: str, sink: Sink, schema: Mapping[str, Any], file: ExportedFile
) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "name": _slug(file.path),
        "type": "table",
        "path": file.path,
        "format": sink.format,
        "mediatype": sink.mediatype,
    }
    suffix = "." + sink.extension.rsplit(".", 1)[-1]
    if suffix in _COMPRESSION:
        resource["compression"] = _COMPRESSION[suffix]
    if sink.format != "parquet":
        resource["encoding"] = "utf-8"
    resource |= {
        "bytes": file.size,
        "hash": f"sha256:{file.sha256}",
        "rowCount": file.rows,
        "nonFiniteCount": file.non_finite,
        "schema": _schema(schema, sink),
    }
    dialect = sink.dialect(file.header_row)
    if dialect:
        resource["dialect"] = dict(dialect)
    resource["flowtime"] = {"target": target, "state": state, "partition": dict(file.partition)}
    return resource


def _schema(schema: Mapping[str, Any], sink: Sink) -> dict[str, Any]:
    null = getattr(sink, "null_value", "")
    return {**schema, "missingValues": [null]}


def _field(column: Column) -> dict[str, Any]:
    field: dict[str, Any] = {"name": column.name, "type": _FRICTIONLESS_TYPES[column.type]}
    if column.type == "timestamp":
        field["format"] = "%Y-%m-%dT%H:%M:%SZ"
        field["timezone"] = "UTC"
    if column.unit is not None:
        field["unit"] = column.unit
    return field


def _with_unique_names(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: dict[str, int] = {}
    named = []
    for item in files:
        count = seen[item["name"]] = seen.get(item["name"], 0) + 1
        named.append(item if count == 1 else {**item, "name": f"{item['name']}-{count}"})
    return named


def _slug(text: str) -> str:
    """A name as the specification asks: lower case, and `-`, `_`, `.`, `/` only."""
    return re.sub(r"[^a-z0-9._/-]+", "-", text.lower()).strip("-") or "export"


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
