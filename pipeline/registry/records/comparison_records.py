"""Make the records of comparisons from their descriptors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.flowtime.model.instant import parse_instant
from pipeline.registry.records.artifact import (
    ArtifactRecord,
    ArtifactType,
    Link,
    Relation,
    TermKind,
    mark_of,
)
from pipeline.registry.records.described_files import (
    MAX_FILES,
    bytes_of,
    digest_of,
    formats_of,
    rows_of,
)
from pipeline.registry.records.texts import MAX_NAME, MAX_TAG, clean

MAX_SIDES = 1_000
"""Sides of one comparison that the registry knows at most."""

_STATUSES = ("different", "within", "equal")
_METRICS = ("maxAbs", "mae", "rmse", "smape", "correlation")
_ALIGNMENT = ("method", "bins", "from", "to")
_SIDE_TYPES: Mapping[str, ArtifactType] = {
    "run": "run",
    "telemetry": "telemetry",
    "export": "export",
    "table": "telemetry",  # what a plain table becomes once it is imported
}


def is_of_comparison(resource: Mapping[str, Any]) -> bool:
    """Return whether a resource of a descriptor is a table of a comparison."""
    own = resource.get("flowtime")
    return isinstance(own, dict) and isinstance(own.get("comparison"), dict)


def record_of_comparison(
    own: Mapping[str, Any], resources: Sequence[Mapping[str, Any]], url: str, version: str
) -> ArtifactRecord:
    """Return a comparison as the registry keeps it.

    Args:
        own: What the descriptor says under `flowtime`.
        resources: Its tables of comparisons, one at least.
        url: URL of the descriptor.
        version: What identifies the version of the descriptor in its store.
    """
    abouts = [one["flowtime"]["comparison"] for one in resources]
    about = abouts[0]
    name = url.rpartition("/")[2]
    created = own.get("created")
    formats = formats_of(resources)
    return ArtifactRecord(
        type="comparison",
        name=f"comparison-{mark_of(url)}",
        mark=mark_of(url),
        location=url,
        title=_title(about),
        folder=name,
        created=parse_instant(created) if isinstance(created, str) else None,
        size=bytes_of(resources),
        source="comparison",
        digest=digest_of(resources),
        listing=version,
        terms=_terms(formats, about),
        rows=rows_of(resources),
        metadata={**_metadata(about), "formats": formats},
        files=[*(clean(one["path"]) for one in resources[: MAX_FILES - 1]), name],
        links=list(dict.fromkeys(link for one in abouts for link in _links(one))),
    )


def _title(about: Mapping[str, Any]) -> str:
    baseline = _name_of(about.get("baseline"))
    others = _others(about)
    if len(others) == 1:
        return clean(f"{_name_of(others[0])} compared with {baseline}")
    name = about.get("config")
    prefix = f"{name}: " if isinstance(name, str) and name else ""
    return clean(f"{prefix}{len(others):,} runs compared with {baseline}")


def _name_of(side: object) -> str:
    found = side.get("runId") if isinstance(side, Mapping) else None
    return clean(found, MAX_NAME) if isinstance(found, str) and found else "a run"


def _others(about: Mapping[str, Any]) -> Sequence[Any]:
    """Return what was compared with the baseline: one side, or those of a sweep."""
    several = about.get("comparisons")
    return several[:MAX_SIDES] if isinstance(several, list) else [about.get("comparison")]


def _links(about: Mapping[str, Any]) -> Iterator[Link]:
    sides: list[tuple[Relation, Any]] = [("baseline", about.get("baseline"))]
    sides += [("comparison", one) for one in _others(about)]
    for relation, side in sides:
        if not isinstance(side, Mapping):
            continue
        kind = _SIDE_TYPES.get(str(side.get("type")), "run")
        place = side.get("location", side.get("url"))
        digest = side.get("fingerprint")
        yield Link(
            relation,
            kind,
            _name_of(side),
            clean(place) if isinstance(place, str) else "",
            clean(digest) if isinstance(digest, str) else None,
        )


def _terms(formats: Sequence[str], about: Mapping[str, Any]) -> frozenset[tuple[TermKind, str]]:
    counts = _counts(about)
    worst = [status for status in _STATUSES if counts.get(status)][:1]
    return frozenset(("tag", clean(name, MAX_TAG)) for name in ("comparison", *formats, *worst))


def _counts(about: Mapping[str, Any]) -> dict[str, int]:
    summary = about.get("summary")
    if not isinstance(summary, Mapping):
        return {}
    return {one: summary[one] for one in _STATUSES if type(summary.get(one)) is int}


def _metadata(about: Mapping[str, Any]) -> dict[str, Any]:
    others = _others(about)
    facts: dict[str, Any] = {
        "baselineRunId": _name_of(about.get("baseline")),
        "comparisonRunId": _name_of(others[0]) if len(others) == 1 else None,
        "comparisonCount": len(others),
        **_counts(about),
    }
    for part, names in (("total", _METRICS), ("alignment", _ALIGNMENT)):
        values = about.get(part)
        if isinstance(values, Mapping):
            facts |= {name: _plain(values.get(name)) for name in names}
    return {name: value for name, value in facts.items() if value is not None}


def _plain(value: object) -> str | int | float | None:
    if isinstance(value, str):
        return clean(value, MAX_NAME)
    return value if type(value) in (int, float) else None  # type: ignore[return-value]
