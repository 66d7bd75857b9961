"""The dialects of a run directory, resolved into one `Run`.

Bytes come in, a `Run` goes out; nothing here reads, lists or writes. What a run directory says
is not trusted: sizes, depths, counts, names and paths are bounded before they are used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import TypeVar

from connectors.errors import RunError
from connectors.flowtime.model.instant import parse_instant
from connectors.flowtime.model.run import CONFIGURED_ORIGIN, ExportOrigin, Grid, Run
from connectors.flowtime.model.series_table import SeriesTable
from connectors.flowtime.parse.schema import (
    GridFile,
    IndexFile,
    ManifestFile,
    MetadataFile,
    ProvenanceFile,
    RngFile,
    RunFile,
    clip,
    load,
)
from connectors.flowtime.parse.series_index import (
    CONTROL,
    INDEX_FILE,
    MANIFEST_FILE,
    MAX_TEXT,
    all_series,
    names_of,
)
from connectors.flowtime.parse.spec import Spec, read_spec
from connectors.flowtime.parse.spec_scalars import SPEC_FILE
from connectors.flowtime.parse.time_frame import TimeDeclaration, notes_on, odd_declarations

__all__ = [
    "INDEX_FILE",
    "MANIFEST_FILE",
    "MAX_RUN_ID",
    "MAX_TEXT",
    "METADATA_FILE",
    "RUN_FILE",
    "RunFiles",
    "created_of",
    "parse_run",
    "restored_from",
]

RUN_FILE = "run.json"
METADATA_FILE = "model/metadata.json"

MAX_RUN_ID = 200
MAX_LOCATION = 8192

_UNIT_MINUTES = {"minute": 1, "hour": 60, "day": 1440, "week": 10080}
_INT64 = 2**63

_MOST_SHARED = 4096

_Value = TypeVar("_Value", Grid, datetime, str, tuple[str, ...])

_MAX_INSTANT = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of one run directory, as read and as listed.

    Attributes:
        url: URL of the run directory.
        path: The same place as its storage names it.
        name: Name of the run directory.
        run_json, manifest_json, index_json, spec_yaml, metadata_json: Bytes of the files.
        sizes: Path relative to the run directory → bytes, for every series file listed.
        listing: Digest of the listing of all its files.
        time_origin: Start of bin 0 as configured, or None to find it in the run.
    """

    url: str
    path: str
    name: str
    run_json: bytes
    manifest_json: bytes
    index_json: bytes
    spec_yaml: bytes | None = None
    metadata_json: bytes | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    listing: str = ""
    time_origin: datetime | None = None


def parse_run(files: RunFiles) -> Run:
    """Resolve the files of a run directory into a `Run`.

    Raises:
        RunError: The run is not as a run should be; the message says where and what to do.
        IntegrityError: Manifest and index promise different bytes for one series.
    """
    try:
        return _parse_run(files)
    except RunError as error:
        # The one place that knows the URL: everything below speaks of files and series only.
        raise type(error)(
            error.reason,
            run_url=files.url,
            series=error.series,
            file=error.file,
            line=error.line,
        ) from error.__cause__


def created_of(files: RunFiles) -> datetime | None:
    """Return the run's `createdUtc`, read without judging anything else.

    Raises:
        RunError: run.json or manifest.json cannot be read, or the instant is none.
    """
    return _created(
        load(RunFile, files.run_json, RUN_FILE),
        load(ManifestFile, files.manifest_json, MANIFEST_FILE),
    )


def restored_from(manifest_json: bytes) -> ExportOrigin | None:
    """Return the export that a run was restored from, if its manifest names one.

    Args:
        manifest_json: The bytes of manifest.json, which have been read before.
    """
    if b'"restoredFrom"' not in manifest_json:
        return None
    try:
        provenance = load(ManifestFile, manifest_json, MANIFEST_FILE).provenance
    except RunError:
        return None  # the manifest of a bundle, which is laid out otherwise
    named = provenance.restored_from if provenance is not None else None
    if not isinstance(named, dict):
        return None
    location, export = named.get("location"), named.get("export")
    if not (isinstance(location, str) and isinstance(export, str)):
        return None
    if not location or len(location) > MAX_LOCATION or len(export) > MAX_TEXT:
        return None
    return ExportOrigin(location, export)


def _parse_run(files: RunFiles) -> Run:
    run = load(RunFile, files.run_json, RUN_FILE)
    manifest = load(ManifestFile, files.manifest_json, MANIFEST_FILE)
    index = load(IndexFile, files.index_json, INDEX_FILE)
    notes: list[str] = []
    metadata = _metadata(files.metadata_json, notes)
    grid = _grid(index.grid, run.grid)
    created = _created(run, manifest)
    spec = _spec(files)
    notes += spec.notes
    notes += notes_on(
        [*_declared(index.grid, INDEX_FILE), *_declared(run.grid, RUN_FILE), *spec.declared],
        is_configured=files.time_origin is not None,
        start_is_utc=spec.start_is_utc,
    )
    origin, origin_source = _origin(files.time_origin, spec, created, notes)
    _check_end(grid, origin)
    series = all_series(index.series, manifest.series_hashes or {}, grid, files.sizes)
    run_id = _run_id(run.run_id, files.name, notes)
    notes += _series_notes(series, run.series, files.sizes)
    provenance = manifest.provenance or ProvenanceFile()
    return Run(
        url=files.url,
        path=files.path,
        name=files.name,
        run_id=run_id,
        grid=_shared(grid),
        series=series,
        created=None if created is None else _shared(created),
        time_origin=_shared(origin),
        origin_source=intern(origin_source),
        fingerprint=_fingerprint(files),
        listing=files.listing,
        warnings=_shared(_warnings(run.warnings)),
        source=_text(run.source, metadata.source),
        engine_version=_text(run.engine_version),
        scenario_hash=_text(run.scenario_hash, manifest.scenario_hash),
        model_hash=_text(run.model_hash, manifest.model_hash, metadata.model_hash),
        schema_version=_first(run.schema_version, index.schema_version, manifest.schema_version),
        template_id=_text(metadata.template_id, run.template_id, provenance.template_id),
        template_title=_text(
            metadata.template_title, run.template_title, provenance.template_title
        ),
        model_title=_text(metadata.model_title, metadata.title, spec.title),
        mode=_text(run.mode, metadata.mode),
        seed=_seed(manifest.rng, notes),
        extra=_extra(run),
        notes=tuple(notes),
    )


def _metadata(data: bytes | None, notes: list[str]) -> MetadataFile:
    # It only describes the model: a run whose description is broken can still be exported.
    if data is None:
        return MetadataFile()
    try:
        return load(MetadataFile, data, METADATA_FILE)
    except RunError as error:
        notes.append(f"{METADATA_FILE} was passed over: {error.reason}")
        return MetadataFile()


def _grid(index: GridFile | None, run: GridFile | None) -> Grid:
    if index is None and run is None:
        raise RunError("grid: is missing, here and in run.json", file=INDEX_FILE)
    ours = _resolve_grid(index, INDEX_FILE) if index is not None else None
    theirs = _resolve_grid(run, RUN_FILE) if run is not None else None
    if ours is not None and theirs is not None and ours != theirs:
        raise RunError(
            f"grid: found {theirs.bins} bins of {theirs.bin_minutes} minutes, but {INDEX_FILE} "
            f"says {ours.bins} of {ours.bin_minutes}; both must agree",
            file=RUN_FILE,
        )
    chosen = ours or theirs
    assert chosen is not None
    return chosen


def _declared(grid: GridFile | None, file: str) -> Iterator[TimeDeclaration]:
    if grid is not None:
        yield from odd_declarations(file, "grid", grid.timezone, grid.align)


def _resolve_grid(grid: GridFile, file: str) -> Grid:
    minutes = grid.bin_minutes
    if grid.bin_size is not None:
        sized = grid.bin_size * _unit_minutes(grid.bin_unit, file)
        if minutes is not None and minutes != sized:
            raise RunError(
                f"grid: binMinutes is {minutes}, but binSize and binUnit make {sized}", file=file
            )
        minutes = sized
    if minutes is None:
        raise RunError("grid: neither binMinutes nor binSize and binUnit are there", file=file)
    return Grid(grid.bins, minutes)


def _unit_minutes(unit: str | None, file: str) -> int:
    minutes = _UNIT_MINUTES.get((unit or "").strip().lower().removesuffix("s"))
    if minutes is None:
        raise RunError(
            f"grid.binUnit: found {clip(unit)}, should be minutes, hours, days or weeks",
            file=file,
        )
    return minutes


def _created(run: RunFile, manifest: ManifestFile) -> datetime | None:
    for text, file in ((run.created_utc, RUN_FILE), (manifest.created_utc, MANIFEST_FILE)):
        if text:
            created = parse_instant(text)
            if created is None:
                raise RunError(
                    f"createdUtc: found {clip(text)}, should be an ISO 8601 instant such as "
                    "2025-01-01T00:00:00Z",
                    file=file,
                )
            return created
    return None


def _spec(files: RunFiles) -> Spec:
    if files.spec_yaml is None:
        return Spec()
    return read_spec(files.spec_yaml, want_start=files.time_origin is None)


def _origin(
    configured: datetime | None, spec: Spec, created: datetime | None, notes: list[str]
) -> tuple[datetime, str]:
    if configured is not None:
        aware = configured if configured.tzinfo else configured.replace(tzinfo=UTC)
        return aware.astimezone(UTC), CONFIGURED_ORIGIN
    if spec.start is not None:
        return spec.start, f"{SPEC_FILE} {spec.start_key}"
    if created is None:
        raise RunError(
            "its start in time is unknown: spec.yaml names none and createdUtc is missing; "
            "set source.time_origin"
        )
    origin = created.replace(hour=0, minute=0, second=0, microsecond=0)
    notes.append(
        f"time origin assumed: {origin:%Y-%m-%d} 00:00 UTC, the day of createdUtc, "
        "as spec.yaml names no start; set source.time_origin to choose another"
    )
    return origin, "createdUtc"


def _check_end(grid: Grid, origin: datetime) -> None:
    room = (_MAX_INSTANT - origin).total_seconds() // 60 + 1
    if grid.bins * grid.bin_minutes > room:
        raise RunError(
            f"grid: {grid.bins} bins of {grid.bin_minutes} minutes from {origin.isoformat()} "
            "end after the year 9999",
            file=INDEX_FILE,
        )


def _run_id(run_id: str | None, name: str, notes: list[str]) -> str:
    if not run_id:
        notes.append(f"{RUN_FILE} names no runId; the directory's name is used")
        run_id = name
    usable = run_id.isprintable() and not set("/\\") & set(run_id) and run_id not in (".", "..")
    if not usable or len(run_id) > MAX_RUN_ID:
        raise RunError(
            f"runId: found {clip(run_id)}, should be at most {MAX_RUN_ID} printable characters "
            "without / and \\",
            file=RUN_FILE,
        )
    return name if run_id == name else run_id


def _series_notes(series: SeriesTable, listed: object, sizes: Mapping[str, int]) -> Iterable[str]:
    known = {one.id for one in series}
    if not series:
        yield f"{INDEX_FILE} lists no series"
    if isinstance(listed, list):
        ids = [str(one.get("id", "?")) if isinstance(one, dict) else str(one) for one in listed]
        if unknown := [one for one in ids if one not in known]:
            yield f"{RUN_FILE} lists series that {INDEX_FILE} does not: {names_of(unknown)}"
    paths = {one.path for one in series}
    if stray := sorted(p for p in sizes if p.endswith(".csv") and p not in paths):
        yield f"files that {INDEX_FILE} does not list were left alone: {names_of(stray)}"
    are_vouched = zip(series, series.are_vouched(), strict=True)
    if unhashed := [one.id for one, is_vouched in are_vouched if not is_vouched]:
        yield f"{len(unhashed)} series have no sha256 to be verified: {names_of(unhashed)}"
    places: dict[tuple[str, str | None, str], str] = {}
    for one in series:
        other = places.setdefault((one.measure, one.component, one.class_name), one.id)
        if other != one.id:
            yield f"series {other} and {one.id} share measure, component and class"


def _warnings(warnings: object) -> tuple[str, ...]:
    if warnings is None:
        return ()
    listed = warnings if isinstance(warnings, list) else [warnings]
    return tuple(CONTROL.sub(" ", _warning(one)) for one in listed)


def _warning(warning: object) -> str:
    if not isinstance(warning, dict):
        return str(warning)
    head = " ".join(str(warning[k]) for k in ("severity", "code", "nodeId") if warning.get(k))
    message = str(warning.get("message") or "")
    text = f"{head}: {message}" if head and message else head or message
    if edges := warning.get("edgeIds"):
        text += f" (edges {_listed(edges)})"
    if bins := warning.get("bins"):
        text += f" (bins {_listed(bins)})"
    return text or str(warning)


def _listed(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    more = f", … {len(value)} in all" if len(value) > 10 else ""
    return ", ".join(map(str, value[:10])) + more


def _seed(rng: RngFile | None, notes: list[str]) -> int | None:
    seed = rng.seed if rng is not None else None
    if seed is not None and not -_INT64 <= seed < _INT64:
        notes.append(f"{MANIFEST_FILE}: rng.seed does not fit 64 bits, it was left out")
        return None
    return seed


def _extra(run: RunFile) -> Mapping[str, object]:
    extra: dict[str, object] = {
        intern(key): intern(value) if isinstance(value, str) else value
        for key, value in (run.model_extra or {}).items()
    }
    if run.class_coverage is not None:
        extra["classesCoverage"] = run.class_coverage
    return extra


def _fingerprint(files: RunFiles) -> str:
    digest = hashlib.sha256()
    for name, data in (
        (RUN_FILE, files.run_json),
        (MANIFEST_FILE, files.manifest_json),
        (INDEX_FILE, files.index_json),
        (SPEC_FILE, files.spec_yaml),
        (METADATA_FILE, files.metadata_json),
    ):
        if data is not None:
            digest.update(f"{name}\n{len(data)}\n".encode())
            digest.update(data)
    return digest.hexdigest()


def _text(*candidates: str | None) -> str | None:
    for one in candidates:
        if one:
            return intern(one)
    return None


@lru_cache(maxsize=_MOST_SHARED, typed=True)
def _shared(value: _Value) -> _Value:
    """Return the first of equal values, as most runs of a source have the same: one for all."""
    return value


def _first(*candidates: int | None) -> int | None:
    return next((one for one in candidates if one is not None), None)
