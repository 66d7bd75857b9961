"""A flat telemetry bundle, resolved into the same `Run` as a run directory.

A bundle is a folder of `<Node>_<metric>.csv` files with one manifest.json that says what they
are. The manifest is laid out as the JSON files of a run directory, so that all that is checked
there is checked here, too. Its fields are those of FlowTime's telemetry-manifest.schema.json,
versions 1 and 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import FailFast, Field, StrictInt

from connectors.errors import RunError
from connectors.flowtime.model.instant import parse_instant
from connectors.flowtime.model.run import NEVER_READ_FOLDERS, Run
from connectors.flowtime.model.series import DEFAULT_CLASS
from connectors.flowtime.model.series_table import SeriesTable
from connectors.flowtime.parse.dialects import (
    INDEX_FILE,
    MANIFEST_FILE,
    RUN_FILE,
    RunFiles,
    parse_run,
)
from connectors.flowtime.parse.schema import MAX_SERIES, NAME, GridFile, JsonFile, clip, load
from connectors.flowtime.parse.time_frame import notes_on, odd_declarations

SOURCE = "telemetry"
_ORIGIN_KEY = "window.startTimeUtc"


class _Window(JsonFile):
    """The time a bundle covers."""

    start_time_utc: str | None = None


class _File(JsonFile):
    """One series of a bundle."""

    node_id: str
    metric: str
    path: str
    hash: str | None = None
    points: StrictInt | None = None
    class_id: str | None = None


class _Provenance(JsonFile):
    """The run that a bundle was captured from."""

    run_id: str | None = None
    scenario_hash: str | None = None
    model_hash: str | None = None
    captured_at_utc: str | None = None


class _Manifest(JsonFile):
    """manifest.json of a bundle."""

    schema_version: StrictInt | None = None
    window: _Window | None = None
    grid: GridFile
    files: Annotated[list[_File], FailFast(), Field(max_length=MAX_SERIES)]
    warnings: Any = None
    provenance: _Provenance | None = None
    class_coverage: str | None = None


class _Mark(JsonFile):
    """The key that distinguishes a bundle's manifest from that of a run."""

    files: list[Any]


def parse_bundle(files: RunFiles) -> Run:
    """Resolve a telemetry bundle into a `Run`.

    Args:
        files: The folder; of its JSON files only manifest.json is looked at.

    Raises:
        RunError: It is no bundle, or not as a bundle should be.
    """
    try:
        _check_mark(files.manifest_json)
        manifest = load(_Manifest, files.manifest_json, MANIFEST_FILE)
        for file in manifest.files:
            _check_file(file)
        start = _start(manifest)
        run = parse_run(_as_run_directory(files, manifest))
    except RunError as error:
        raise _of_manifest(error, files.url) from error.__cause__
    if files.time_origin is None and start is not None:
        run = replace(run, origin_source=f"{MANIFEST_FILE} {_ORIGIN_KEY}")
    paths = {_series_id(file): file.path for file in manifest.files}
    specs = (replace(one, path=paths[one.id]) for one in run.series)
    return replace(
        run,
        series=SeriesTable.of(specs, run.series.digests()),
        fingerprint=hashlib.sha256(files.manifest_json).hexdigest(),
        notes=tuple(_own_words(note) for note in run.notes),
        is_bundle=True,
    )


def _check_mark(data: bytes) -> None:
    try:
        load(_Mark, data, MANIFEST_FILE)
    except RunError as error:
        raise RunError(
            f"{RUN_FILE} and {INDEX_FILE} are missing: this is no run directory; exclude it",
            file=MANIFEST_FILE,
        ) from error


def _check_file(file: _File) -> None:
    """Check what is special to bundles: names that become parts of an id."""
    for key, text in (("nodeId", file.node_id), ("metric", file.metric)):
        if not NAME.fullmatch(text) or "@" in text:
            raise RunError(
                f"files.{key}: found {clip(text)}, should consist of A-Z a-z 0-9 . _ -",
                file=MANIFEST_FILE,
            )
    top = file.path.split("/")[0]
    if top in NEVER_READ_FOLDERS or not file.path.endswith(".csv"):
        raise RunError(
            f"files.path: found {clip(file.path)}, should be a .csv file of the bundle",
            file=MANIFEST_FILE,
            series=_series_id(file),
        )


def _series_id(file: _File) -> str:
    # FlowTime's models call them arrivals, queueDepth, ...; its bundles Arrivals, QueueDepth, ...
    measure = file.metric[:1].lower() + file.metric[1:]
    return f"{measure}@{file.node_id}@{file.class_id or DEFAULT_CLASS}"


def _start(manifest: _Manifest) -> str | None:
    """Return the bundle's start, once it is known to be an instant."""
    text = manifest.window.start_time_utc if manifest.window is not None else None
    if text and parse_instant(text) is None:
        raise RunError(
            f"{_ORIGIN_KEY}: found {clip(text)}, should be an ISO 8601 instant; correct it or set "
            "source.time_origin",
            file=MANIFEST_FILE,
        )
    return text or None


def _as_run_directory(files: RunFiles, manifest: _Manifest) -> RunFiles:
    """Return the same facts where a run directory has them."""
    provenance = manifest.provenance or _Provenance()
    grid = manifest.grid.model_dump(by_alias=True, exclude_none=True)
    entries = [
        {
            "id": _series_id(file),
            "path": file.path,
            "componentId": file.node_id,
            "class": file.class_id or DEFAULT_CLASS,
            "points": file.points,
            "hash": file.hash,
        }
        for file in manifest.files
    ]
    run = {
        "schemaVersion": manifest.schema_version,
        "runId": provenance.run_id,
        "source": SOURCE,
        "mode": SOURCE,
        "scenarioHash": provenance.scenario_hash,
        "modelHash": provenance.model_hash,
        "createdUtc": provenance.captured_at_utc,
        "warnings": manifest.warnings,
        "classCoverage": manifest.class_coverage,
    }
    text = _start(manifest)
    if files.time_origin is None and text:
        # The start is handed on as if it were configured, and says by its name that it is UTC.
        declared = odd_declarations(
            MANIFEST_FILE, "grid", manifest.grid.timezone, manifest.grid.align
        )
        notes_on(list(declared), is_configured=False, start_is_utc=True)
    origin = files.time_origin or (parse_instant(text) if text else None)
    return replace(
        files,
        run_json=_json({key: value for key, value in run.items() if value is not None}),
        manifest_json=b"{}",
        index_json=_json({"grid": grid, "series": entries}),
        spec_yaml=None,
        metadata_json=None,
        time_origin=origin,
    )


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()


def _of_manifest(error: RunError, url: str) -> RunError:
    """Return the same error, of the one file that a bundle has."""
    file = MANIFEST_FILE if error.file in (RUN_FILE, INDEX_FILE) else error.file
    reason = _own_words(error.reason)
    return type(error)(reason, run_url=url, series=error.series, file=file, line=error.line)


def _own_words(text: str) -> str:
    return (
        text.replace(f"here and in {RUN_FILE}", "here")
        .replace(INDEX_FILE, MANIFEST_FILE)
        .replace(f"{RUN_FILE} names no runId", f"{MANIFEST_FILE} names no provenance.runId")
        .replace("the day of createdUtc, as spec.yaml names", "the day of capture, as it names")
    )
