"""Make the records of runs, of their models, and of folders that only look like runs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import zstandard

from connectors.flowtime.discover.discovery import Refusal
from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.model.run import Run, RunOverview
from connectors.flowtime.model.series_table import SeriesShape
from connectors.strict_json import strict_loads
from pipeline.datapackage.run_record import describe_run, read_run
from pipeline.errors import IntegrityError
from pipeline.registry.records.artifact import (
    ARCHIVED_TAG,
    ArtifactRecord,
    Link,
    TermKind,
    mark_of,
)
from pipeline.registry.records.texts import MAX_NAME, MAX_TAG, clean, clean_all

MAX_TERMS = 2_000
_MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
_LEVEL = 1
_SUFFIX = re.compile(r"[^_-]+\Z")
_NO_SUMMARY = RunOverview()
_DAMAGED = (zstandard.ZstdError, ValueError, TypeError, KeyError, IntegrityError)
_as_json = json.JSONEncoder(separators=(",", ":")).encode


class _OfThread(threading.local):
    """What no two threads may use at a time."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)


_OF_THREAD = _OfThread()

_Terms = frozenset[tuple[TermKind, str]]


def record_of_run(run: Run) -> ArtifactRecord:
    """Return a run as the registry keeps it.

    Args:
        run: The run, with its summary.
    """
    summary = run.summary or _NO_SUMMARY
    is_telemetry = run.is_bundle or (run.source == "telemetry" and run.mode == "telemetry")
    return ArtifactRecord(
        type="telemetry" if is_telemetry else "run",
        name=run.run_id,
        mark=mark_of(run.url),
        location=run.url,
        title=clean(_title(run, summary)),
        folder=clean(run.name),
        description=None if summary.description is None else clean(summary.description),
        created=run.created,
        modified=summary.modified,
        size=summary.size,
        source="import" if is_telemetry else _name(run.source),
        template_id=_name(run.template_id),
        model_hash=None if is_telemetry else _name(run.model_hash),
        scenario=_name(run.scenario_hash),
        digest=f"sha256:{run.fingerprint}",
        listing=run.listing,
        terms=_terms_of_series(run.series.shape) | _tags(is_telemetry, summary),
        series=len(run.series),
        rows=len(run.series) * run.grid.bins,
        warnings=len(run.warnings),
        metadata=_metadata(run),
        files=clean_all(summary.files),
        links=tuple(_links(summary)),
        document=None if run.is_bundle else _document(run),
    )


def record_of_refusal(refusal: Refusal) -> ArtifactRecord:
    """Return a folder that looks like a run and cannot be used, as the registry keeps it."""
    reason = clean(refusal.error.detail)
    return ArtifactRecord(
        type="run",
        name=clean(refusal.name, MAX_NAME) or "run",
        mark=mark_of(refusal.url),
        location=refusal.url,
        title=clean(refusal.name),
        folder=clean(refusal.name),
        state=refusal.kind,
        reason=reason,
        listing=f"{refusal.kind}-{mark_of(reason)}",
    )


def record_of_model(run: ArtifactRecord) -> ArtifactRecord | None:
    """Return the model of a run, described by that run; None where the run names none."""
    if run.model_hash is None:
        return None
    digits = run.model_hash.rpartition(":")[2]
    return ArtifactRecord(
        type="model",
        name=model_id(run.model_hash),
        mark=mark_of(run.model_hash),
        location=run.location,
        title=f"Model {digits[:8]}" if run.title.startswith("Run ") else run.title,
        folder=run.folder,
        description=run.description,
        created=run.created,
        modified=run.modified,
        source=run.source,
        template_id=run.template_id,
        model_hash=run.model_hash,
        digest=run.model_hash,
        metadata={
            key: value
            for key, value in run.metadata.items()
            if key in ("modelHash", "templateId", "templateTitle", "modelTitle", "mode")
        },
        files=tuple(name for name in run.files if name == "spec.yaml"),
        terms=frozenset({("tag", "model"), *(t for t in run.terms if t[0] == "tag")} - _RUN_TAGS),
    )


_RUN_TAGS: _Terms = frozenset(("tag", name) for name in ("run", "csv", "json", "configured"))


def model_id(model_hash: str) -> str:
    """Return the id of a model.

    >>> model_id("sha256:27a52c57893835827631b534922859d4abccece036f9ace83a945db163d14eb4")
    'model_27a52c5789383582'
    """
    digits = model_hash.rpartition(":")[2]
    is_plain = re.fullmatch(r"[0-9a-f]{16,}", digits) is not None
    return f"model_{digits[:16] if is_plain else mark_of(model_hash)}"


def run_of_document(body: bytes) -> Run | None:
    """Return the run that `record_of_run` has described, without its path and its sizes.

    Args:
        body: The document of the record.

    Returns:
        None where an older version has described it, or the document is damaged.
    """
    try:
        return read_run(_described(body), "registry").run
    except _DAMAGED:
        return None


def stored_run(body: bytes, path: str) -> Run | None:
    """Return the run that `record_of_run` has described, as it was listed then.

    Args:
        body: The document of the record.
        path: The run directory, as its storage names it.

    Returns:
        None where an older version has described it, or the document is damaged.
    """
    try:
        described = _described(body)
        run = read_run(described, "registry").run
        sizes = zip(run.series, described["sizes"], strict=True)
    except _DAMAGED:
        return None
    listed = {one.path: size for one, size in sizes if size is not None}
    return replace(run, path=path, series=run.series.listed(listed))


def _described(body: bytes) -> dict[str, Any]:
    text = zstandard.ZstdDecompressor().decompress(body, max_output_size=_MAX_DOCUMENT_BYTES)
    return dict(strict_loads(text))


def _document(run: Run) -> bytes | None:
    text = _as_json({**describe_run(run), "sizes": [one.size for one in run.series.digests()]})
    if len(text) > _MAX_DOCUMENT_BYTES:
        return None
    return _OF_THREAD.compressor.compress(text.encode())


def _title(run: Run, summary: RunOverview) -> str:
    named = summary.title or run.model_title or run.template_title
    if named:
        return named
    suffix = _SUFFIX.search(run.run_id)
    return f"Run {suffix[0] if suffix else run.run_id}"


def _name(text: str | None) -> str | None:
    return clean(text, MAX_NAME) if text else None


def _metadata(run: Run) -> dict[str, object]:
    facts: dict[str, object | None] = {
        "runId": run.run_id,
        **run.facts_as_json(),
        "bins": run.grid.bins,
        "binMinutes": run.grid.bin_minutes,
        "timeOrigin": instant_text(run.time_origin),
        "seriesCount": len(run.series),
        "seriesBytes": sum(run.series.sizes()),
        "warningCount": len(run.warnings),
    }
    return {
        key: clean(value) if isinstance(value, str) else value
        for key, value in facts.items()
        if value is not None
    }


@lru_cache(maxsize=4096)
def _terms_of_series(shape: SeriesShape) -> _Terms:
    found: dict[tuple[TermKind, str], None] = {}
    for one in shape.specs:
        found["measure", clean(one.measure, MAX_NAME)] = None
        found["class", clean(one.class_name, MAX_NAME)] = None
        if one.component:
            found["component", clean(one.component, MAX_NAME)] = None
        if len(found) >= MAX_TERMS:
            break
    return frozenset(found)


@lru_cache(maxsize=4096)
def _tag_terms(names: tuple[str, ...]) -> _Terms:
    return frozenset(("tag", name) for name in names if name not in ("", ARCHIVED_TAG))


def _tags(is_telemetry: bool, summary: RunOverview) -> _Terms:
    kind = "telemetry" if is_telemetry else "run"
    files = summary.files
    found = [kind, "csv"]
    found += ["json"] if any(name.endswith(".json") for name in files) else []
    found += ["configured"] if "spec.yaml" in files else []
    return _tag_terms((*found, *map(_tag_of_model, summary.tags)))


def _tag_of_model(tag: str) -> str:
    """Return a tag of a model as people can name it: queries separate tags by commas."""
    return " ".join(clean(tag, MAX_TAG).replace(",", " ").split())


def _links(summary: RunOverview) -> Iterable[Link]:
    origin = summary.restored_from
    if origin is not None:
        yield Link("restoredFrom", "export", clean(origin.export, MAX_NAME), clean(origin.location))
