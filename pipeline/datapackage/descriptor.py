"""Build and read descriptors: Frictionless Data Packages, as data."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from connectors.flowtime.model.instant import instant_text
from connectors.strict_json import strict_loads
from pipeline.datapackage.lazy_sequence import LazySequence
from pipeline.datapackage.run_list import RunEntry, cut_out, spans
from pipeline.datapackage.table_spec import TableSpec
from pipeline.errors import DamagedDescriptorError, IntegrityError
from pipeline.rows.column import Column, ColumnType
from pipeline.sinks import Sink
from pipeline.version import VERSION

FILE_SUFFIX = ".datapackage.json"
FOLDER_NAME = "_datapackage.json"
"""Spark, DuckDB's hive scan and Polars pass over names that begin with an underscore."""

MAX_BYTES = 1024 * 1024 * 1024
_MAX_BYTES_AT_ONCE = 256 * 1024 * 1024
FRICTIONLESS_TYPES: dict[ColumnType, str] = {
    "timestamp": "datetime",
    "number": "number",
    "integer": "integer",
    "text": "string",
    "boolean": "boolean",
}
Codec = Literal["gz", "zst"]
DocumentFormat = Literal["html"]
_OF_FILES = {"name", "path", "bytes", "hash", "rowCount", "nonFiniteCount", "flowtime"}
"""Keys of a resource that differ between the files of one table."""

_DOCUMENT_TYPES: Mapping[str, str] = {"html": "text/html"}
COMPRESSION: dict[str, Codec] = {".gz": "gz", ".zst": "zst"}
"""Codec by the ending of a file's name."""


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


@dataclass(frozen=True, slots=True)
class Described:
    """What the files of one target have in common.

    Attributes:
        target: What distinguishes this target from others of the same descriptor.
        config: Name of the config that wrote it.
        state: Digest of all that shaped the bytes: an equal one means nothing has changed.
        contents: What the rows are.
        runs: Positions of the runs in the descriptor's list, in the order of the rows.
        table: Format of the lake table that the files belong to; None for files of their own.
    """

    target: str
    config: str
    state: str
    contents: TableSpec
    runs: Sequence[int]
    table: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON-compatible data."""
        return {
            "target": self.target,
            **({} if self.table is None else {"table": self.table}),
            "config": self.config,
            "state": self.state,
            **self.contents.as_json(),
            "runs": spans(self.runs),
        }


def resources(
    described: Described, sink: Sink, columns: Iterable[Column], files: Iterable[ExportedFile]
) -> list[dict[str, Any]]:
    """Return data Resources of one target (https://datapackage.org/standard/data-resource/).

    Args:
        described: What the files have in common.
        sink: The sink that wrote the files.
        columns: The columns of the files.
        files: The files.
    """
    return table_resources(described.as_json(), sink, columns, files)


def table_resources(
    own: Mapping[str, Any], sink: Sink, columns: Iterable[Column], files: Iterable[ExportedFile]
) -> list[dict[str, Any]]:
    """Return data Resources of any table.

    Args:
        own: What each says under `flowtime`, with the `target` that identifies its table.
        sink: The sink that wrote the files.
        columns: The columns of the files.
        files: The files.
    """
    decimal = sink.text_options().get("decimal", ".")
    schema = {"fields": [_field(column, decimal) for column in columns]}
    return [_resource(own, sink, schema, file) for file in files]


def document_resource(
    own: Mapping[str, Any], path: str, form: DocumentFormat, size: int, sha256: str
) -> dict[str, Any]:
    """Return the data Resource of a document, which has no rows.

    Args:
        own: What it says under `flowtime`, with the `target` that identifies it.
        path: Relative to the descriptor's folder.
        form: Its format.
        size: Bytes.
        sha256: Lower-case hex digest of the bytes.
    """
    return {
        "name": _slug(path),
        "type": "file",
        "path": path,
        "format": form,
        "mediatype": _DOCUMENT_TYPES[form],
        "encoding": "utf-8",
        "bytes": size,
        "hash": f"sha256:{sha256}",
        "flowtime": dict(own),
    }


def is_document(resource: Mapping[str, Any]) -> bool:
    """Return whether a resource is a document, which has no rows."""
    form = resource.get("format")
    return isinstance(form, str) and form in _DOCUMENT_TYPES


def package(
    name: str,
    config_hash: str,
    created: datetime,
    runs: Sequence[RunEntry],
    files: list[dict[str, Any]],
    write_id: str | None = None,
) -> dict[str, Any]:
    """Return a Data Package of the given resources and runs.

    Args:
        name: The config's name.
        config_hash: sha256 hex of what the config asks for.
        created: When the export began, UTC.
        runs: The runs in the files, as `describe_run` gives them.
        files: The resources, as `resources` gives them.
        write_id: Unique id of this write, by which a lost answer of the store is recognised.
    """
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": _slug(name),
        "created": instant_text(created),
        "resources": _with_unique_names(files),
        "flowtime": {
            "version": VERSION,
            "created": instant_text(created),
            "config": {"name": name, "hash": f"sha256:{config_hash}"},
            **({} if write_id is None else {"writeId": write_id}),
            "runs": runs,
        },
    }


def with_table(descriptor: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return a descriptor that names the version of the lake table whose files it lists."""
    own = {**descriptor["flowtime"]}
    runs = own.pop("runs", [])
    return {**descriptor, "flowtime": {**own, "table": dict(reference), "runs": runs}}


def dump(descriptor: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the bytes of a descriptor that are published, with each run on its own line.

    Tens of thousands of series are listed: laid out over lines they would take ten times the time
    and half again the bytes.
    """
    own = descriptor["flowtime"]
    rest = without_runs(descriptor)
    rest["flowtime"]["runs"] = []
    text = json.dumps(rest, indent=2, ensure_ascii=False) + "\n"
    # The last of all: no key follows the runs.
    head, mark, tail = text.rpartition('"runs": []')
    between = f"{head}{mark[:-1]}\n"
    for run in own.get("runs", []):
        line = json.dumps(run, ensure_ascii=False, separators=(",", ":"))
        yield f"{between}      {line}".encode()
        between = ",\n"
    yield (f"\n    ]{tail}" if between == ",\n" else text).encode()


def without_runs(descriptor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same descriptor without its runs, which are most of it."""
    own = {key: value for key, value in descriptor["flowtime"].items() if key != "runs"}
    return {**descriptor, "flowtime": own}


def runs_of(descriptor: Mapping[str, Any]) -> Sequence[RunEntry]:
    """Return the runs that a descriptor names."""
    listed = descriptor["flowtime"].get("runs", [])
    if isinstance(listed, LazySequence):
        return listed
    return [run for run in listed if isinstance(run, dict)] if isinstance(listed, list) else []


def load(data: bytes, url: str, *, check_runs: bool = True) -> dict[str, Any]:
    """Read a descriptor of ours; its runs stay text until they are asked for.

    Args:
        data: The bytes of the descriptor.
        url: Where it is, for errors.
        check_runs: Whether each run is looked at now; else one that is no JSON raises a ValueError
            when it is asked for.

    Raises:
        DamagedDescriptorError: It is no JSON, or a part that is written again is not as it was.
        IntegrityError: It is not one of ours, or too large.
    """
    if len(data) > MAX_BYTES:
        raise IntegrityError(f"{url}: has {len(data)} bytes, too many for a descriptor")
    try:
        found = _parsed(data, check_runs)
    except ValueError as error:
        raise _damaged(f"{url}: the descriptor is no JSON: {error}") from error
    ours = isinstance(found, dict) and isinstance(found.get("flowtime"), dict)
    listed = found.get("resources") if ours else None
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise IntegrityError(
            f"{url}: this is a descriptor of something else; choose another path for the export"
        )
    for number, item in enumerate(listed):
        if fault := _fault_of(item):
            raise _damaged(
                f"{url}: resources[{number}].{fault}: the descriptor was changed after it was "
                "written"
            )
    return dict(found)


def _damaged(what: str) -> DamagedDescriptorError:
    return DamagedDescriptorError(
        f"{what}: restore it, or export again with --full-refresh, which replaces it"
    )


def _parsed(data: bytes, check_runs: bool) -> Any:
    with suppress(ValueError):  # it is raised again, with the place in the whole
        cut = cut_out(data)
        if cut is not None:
            rest, runs = cut
            if check_runs:
                for _ in runs:
                    pass
            rest["flowtime"]["runs"] = runs
            return rest
    if len(data) > _MAX_BYTES_AT_ONCE:
        raise ValueError(f"its {len(data)} bytes are not laid out as an export writes them")
    return strict_loads(data)


def _fault_of(resource: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a resource, of the keys that an export over it relies on."""
    if not isinstance(resource.get("name"), str):
        return "name: should be text"
    if "flowtime" not in resource:  # another tool's, which is kept as it is
        return None
    if not isinstance(resource["flowtime"], dict):
        return "flowtime: should be a JSON object"
    if not isinstance(resource.get("path"), str):
        return "path: should be text"
    return None if type(resource.get("bytes")) is int else "bytes: should be an integer"


def statements_of(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a resource says that is the same for all files of its table."""
    return {key: value for key, value in resource.items() if key not in _OF_FILES}


def is_counted(resource: Mapping[str, Any]) -> bool:
    """Return whether a resource says how many rows its file has, and how many are not finite."""
    return all(type(resource.get(key)) is int for key in ("rowCount", "nonFiniteCount"))


def total_of(resources: Iterable[Mapping[str, Any]], key: str) -> int:
    """Return the sum of a count over those resources that have it."""
    counts = (one.get(key) for one in resources)
    return sum(count for count in counts if type(count) is int)


def resources_beside(descriptor: Mapping[str, Any], targets: set[str]) -> list[dict[str, Any]]:
    """Return the resources of all other targets, and of others than us."""
    return [item for item in descriptor["resources"] if target_of(item) not in targets]


def data_set_target(form: str) -> str:
    """Return what distinguishes the data set of a format from others in its folder.

    >>> data_set_target("csv")
    'csv:*'
    """
    return f"{form}:*"


def table_target(form: str, run_url: str) -> str:
    """Return what distinguishes the files of a run in a lake table.

    >>> table_target("delta", "/runs/run_1")
    'delta:/runs/run_1'
    """
    return f"{form}:{run_url}"


def target_of(resource: Mapping[str, Any]) -> str:
    """Return the target that a resource belongs to; empty for other tools' resources."""
    target = _own(resource).get("target")
    return target if isinstance(target, str) else ""


def table_of(resource: Mapping[str, Any]) -> str | None:
    """Return the format of the lake table that a resource belongs to; None for other files."""
    table = _own(resource).get("table")
    return table if isinstance(table, str) else None


def resources_by_target(
    descriptor: Mapping[str, Any], config: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return the resources of ours in a descriptor by the targets that they belong to.

    Args:
        descriptor: The descriptor.
        config: Name of a config, for those alone that it wrote.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for item in descriptor["resources"]:
        target = target_of(item)
        if target and config in (None, _own(item).get("config")):
            found.setdefault(target, []).append(item)
    return found


def obsolete_resources(
    descriptor: Mapping[str, Any], config: str, targets: Collection[str]
) -> list[dict[str, Any]]:
    """Return what a config wrote into a data set's folder and writes there no more.

    A lake table belongs to the config that wrote it last.

    Args:
        descriptor: The folder's descriptor.
        config: The config's name.
        targets: The targets that its sinks have in the folder now.
    """
    last = descriptor["flowtime"].get("config")
    last_name = last.get("name") if isinstance(last, dict) else None
    return [
        item
        for item in descriptor["resources"]
        if (target := target_of(item)) not in targets
        and (
            table_of(item) is not None
            or (
                target.endswith(data_set_target(""))
                and _own(item).get("config", last_name) == config
            )
        )
    ]


def paths_of(resources: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the paths of resources; others than ours may name several files, or none."""
    return {item["path"] for item in resources if isinstance(item.get("path"), str)}


def state_of(resource: Mapping[str, Any]) -> str | None:
    """Return the state digest that a resource was written for."""
    state = _own(resource).get("state")
    return state if isinstance(state, str) else None


def _own(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    own = resource.get("flowtime")
    return own if isinstance(own, dict) else {}


def _resource(
    own: Mapping[str, Any], sink: Sink, schema: Mapping[str, Any], file: ExportedFile
) -> dict[str, Any]:
    codec = COMPRESSION.get("." + sink.extension.rsplit(".", 1)[-1])
    # frictionless reports a wrong number of bytes for every table that it reads by Arrow, and an
    # error for what zstd has compressed; of a file it checks bytes and hash.
    is_table = sink.is_text and codec != "zst"
    resource: dict[str, Any] = {
        "name": _slug(file.path),
        "type": "table" if is_table else "file",
        "path": file.path,
        "format": sink.file_format,
        "mediatype": sink.mediatype,
    }
    if codec == "gz":
        resource["compression"] = codec
    if sink.is_text:
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
    resource["flowtime"] = {**own, "partition": dict(file.partition)}
    return resource


def _schema(schema: Mapping[str, Any], sink: Sink) -> dict[str, Any]:
    null = getattr(sink, "null_value", "")
    return {**schema, "missingValues": [null]}


def _field(column: Column, decimal: str) -> dict[str, Any]:
    field: dict[str, Any] = {"name": column.name, "type": FRICTIONLESS_TYPES[column.type]}
    if column.type == "number" and decimal != ".":
        field["decimalChar"] = decimal
    if column.type == "timestamp":
        field["format"] = f"%Y-%m-%dT%H:%M:%S{'.%f' if column.has_fractions else ''}Z"
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
    """Return a name as the specification asks: lower case, and `-`, `_`, `.`, `/` only."""
    return re.sub(r"[^a-z0-9._/-]+", "-", text.lower()).strip("-") or "export"
