"""Render a `Run` as the JSON and YAML files of its directory: the inverse of `dialects`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC
from typing import Any

from connectors.errors import RunError
from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.model.run import ExportOrigin, Run
from connectors.flowtime.model.series import FileDigest, SeriesSpec
from connectors.flowtime.parse.dialects import (
    INDEX_FILE,
    MANIFEST_FILE,
    METADATA_FILE,
    RUN_FILE,
    RunFiles,
    parse_run,
)
from connectors.flowtime.parse.spec_scalars import SPEC_FILE, START_KEYS
from connectors.flowtime.parse.spec_summary import RESTORED_COMMENT

DESCRIBING_FILES = (INDEX_FILE, RUN_FILE, SPEC_FILE, METADATA_FILE, MANIFEST_FILE)
"""Every file that says what a run is, in the order of their writing."""

_INDENTED_SERIES = 10_000
_NO_HASH = "sha256:none"
_PLACE = ("url", "path", "name", "fingerprint", "listing", "notes", "summary")


def describing_files(run: Run, restored_from: ExportOrigin | None = None) -> dict[str, bytes]:
    """Return the describing files of a run, in the order of `DESCRIBING_FILES`.

    `spec.yaml` is there to name the start of the grid, and is left out where the start was
    assumed from `createdUtc`, so that it is assumed again. `model/metadata.json` is left out
    where it would say nothing.

    Args:
        run: The run, with the digests of its files as they are written.
        restored_from: The export that the run is restored from, which the manifest then names.

    Raises:
        RunError: The run holds what JSON cannot.
    """
    spec = _spec(run)
    metadata = _metadata(run)
    files = {
        INDEX_FILE: _json(_index(run), run),
        RUN_FILE: _json(_run(run), run),
        SPEC_FILE: spec,
        METADATA_FILE: _json(metadata, run) if metadata else None,
        MANIFEST_FILE: _json(_manifest(run, restored_from), run),
    }
    return {name: data for name, data in files.items() if data is not None}


def check_restorable(run: Run) -> None:
    """Find out whether a run would be read again as it is, once it is written.

    Raises:
        RunError: It would not: a run of no run directory, or of a hostile description.
    """
    files = describing_files(run)
    try:
        found = parse_run(
            RunFiles(
                url=run.url,
                path=run.path,
                name=run.name,
                run_json=files[RUN_FILE],
                manifest_json=files[MANIFEST_FILE],
                index_json=files[INDEX_FILE],
                spec_yaml=files.get(SPEC_FILE),
                metadata_json=files.get(METADATA_FILE),
                sizes=dict(zip((one.path for one in run.series), run.series.sizes(), strict=True)),
            )
        )
    except RunError as error:
        raise RunError(f"cannot be written as a run: {error.detail}", run_url=run.url) from error
    if odd := differences(run, found):
        raise RunError(
            f"cannot be written as a run: it would be read with another {', '.join(odd)}",
            run_url=run.url,
        )


def differences(run: Run, found: Run) -> list[str]:
    """Return names of the fields in which two runs differ, their places apart.

    Where a run lies (`url`, `path`, `name`), what that place makes of it (`fingerprint`,
    `listing`, `notes`, sizes of files that were not known) and the words for an origin that was
    set by hand are passed over.
    """
    ours, theirs = _comparable(run), _comparable(found)
    return [key for key in ours if ours[key] != theirs[key]]


def _comparable(run: Run) -> dict[str, object]:
    found: dict[str, object] = {
        field.name: getattr(run, field.name) for field in fields(run) if field.name not in _PLACE
    }
    found["series"] = run.series.listed({})
    # As text, because a NaN in it is not equal to itself.
    found["extra"] = json.dumps(dict(run.extra), sort_keys=True, default=repr)
    found["origin_source"] = _start_key(run)
    return found


def _start_key(run: Run) -> str | None:
    """Return the key of spec.yaml that names the start; None where `createdUtc` implies it."""
    if run.origin_source == "createdUtc" and run.created is not None:
        midnight = run.created.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight == run.time_origin:
            return None
    key = run.origin_source.removeprefix(f"{SPEC_FILE} ")
    return key if key in START_KEYS else START_KEYS[0]


def _spec(run: Run) -> bytes | None:
    key = _start_key(run)
    if key is None:
        return None
    block, name = key.split(".")
    grid = {"bins": run.grid.bins, "binSize": run.grid.bin_minutes, "binUnit": "minutes"}
    blocks: dict[str, dict[str, object]] = {"grid": {**grid}}
    blocks.setdefault(block, {})[name] = f'"{instant_text(run.time_origin)}"'
    lines = [f"# {RESTORED_COMMENT}"]
    for title, keys in blocks.items():
        lines += [f"{title}:", *(f"  {key}: {value}" for key, value in keys.items())]
    return ("\n".join(lines) + "\n").encode()


def _grid(run: Run) -> dict[str, object]:
    return {
        "bins": run.grid.bins,
        "binSize": run.grid.bin_minutes,
        "binUnit": "minutes",
        "timezone": "UTC",
        "align": "left",
    }


def _run(run: Run) -> dict[str, object]:
    known = _present(
        schemaVersion=run.schema_version,
        runId=run.run_id,
        engineVersion=run.engine_version,
        source=run.source,
        scenarioHash=run.scenario_hash,
        modelHash=run.model_hash,
        createdUtc=_created(run),
        mode=run.mode,
        grid=_grid(run),
        warnings=list(run.warnings),
        series=[_present(id=one.id, path=one.path, unit=one.unit) for one in run.series],
    )
    return {**known, **{key: run.extra[key] for key in run.extra if key not in known}}


def _index(run: Run) -> dict[str, object]:
    return _present(
        schemaVersion=run.schema_version,
        grid=_grid(run),
        series=list(map(_entry, run.series, run.series.digests())),
    )


def _entry(series: SeriesSpec, digest: FileDigest) -> dict[str, object]:
    return _present(
        id=series.id,
        kind=series.kind,
        path=series.path,
        unit=series.unit,
        componentId=series.component,
        **{"class": series.class_name},
        classKind=series.class_kind,
        points=series.points,
        hash=None if digest.sha256 is None else f"sha256:{digest.sha256}",
    )


def _manifest(run: Run, origin: ExportOrigin | None) -> dict[str, object]:
    pairs = zip(run.series, run.series.digests(), strict=True)
    promised = {one.id: digest.sha256 for one, digest in pairs}
    # A reader wants an entry for each series, or none at all.
    is_any = any(sha256 is not None for sha256 in promised.values())
    hashes = {name: _NO_HASH if one is None else f"sha256:{one}" for name, one in promised.items()}
    return _present(
        schemaVersion=run.schema_version,
        scenarioHash=run.scenario_hash,
        modelHash=run.model_hash,
        rng=None if run.seed is None else {"seed": run.seed},
        seriesHashes=hashes if is_any else {},
        createdUtc=_created(run),
        provenance=None if origin is None else _provenance(origin),
    )


def _provenance(origin: ExportOrigin) -> dict[str, object]:
    return {"restoredFrom": {"location": origin.location, "export": origin.export}}


def _metadata(run: Run) -> dict[str, object]:
    return _present(
        templateId=run.template_id,
        templateTitle=run.template_title,
        modelTitle=run.model_title,
    )


def _present(**fields: Any) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}


def _created(run: Run) -> str | None:
    return None if run.created is None else instant_text(run.created)


def _json(content: Mapping[str, object], run: Run) -> bytes:
    indent = 2 if len(run.series) <= _INDENTED_SERIES else None
    try:
        return (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RunError(f"cannot be written as JSON: {error}", run_url=run.url) from error
