"""Make the records of exports from their descriptors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from connectors.flowtime.model.instant import parse_instant
from pipeline.datapackage import descriptor
from pipeline.errors import IntegrityError
from pipeline.registry.records.artifact import ArtifactRecord, Link, TermKind, mark_of
from pipeline.registry.records.described_files import (
    MAX_FILES,
    bytes_of,
    digest_of,
    formats_of,
    rows_of,
)
from pipeline.registry.records.texts import MAX_NAME, MAX_TAG, clean


def record_of_export(
    found: Mapping[str, Any], files: Sequence[Mapping[str, Any]], url: str, version: str
) -> ArtifactRecord:
    """Return an export as the registry keeps it.

    Args:
        found: Its descriptor.
        files: The resources that are files of the export.
        url: URL of the descriptor.
        version: What identifies the version of the descriptor in its store.

    Raises:
        IntegrityError: Its runs are no JSON.
    """
    own = found["flowtime"]
    config = own.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    name = clean(name, MAX_NAME) if isinstance(name, str) and name else "export"
    formats = formats_of(files)
    runs = [*_runs(descriptor.runs_of(found), url)]
    created = own.get("created")
    return ArtifactRecord(
        type="export",
        name=f"{name}-{mark_of(url)}",
        mark=mark_of(url),
        location=url,
        title=f"{name} ({', '.join(formats)})" if formats else name,
        folder=url.rpartition("/")[2],
        created=parse_instant(created) if isinstance(created, str) else None,
        size=bytes_of(files),
        source="export",
        digest=digest_of(files),
        listing=version,
        terms=_terms(formats),
        rows=rows_of(files),
        metadata={
            "configName": name,
            "configHash": _config_hash(config),
            "toolVersion": clean(str(own.get("version", ""))),
            "formats": formats,
            "runCount": len(runs),
            "fileCount": len(files),
        },
        files=[*(clean(one["path"]) for one in files[: MAX_FILES - 1]), url.rpartition("/")[2]],
        links=runs,
    )


def _runs(entries: Iterable[Any], url: str) -> Iterator[Link]:
    try:
        for entry in entries:
            if isinstance(entry, Mapping) and isinstance(entry.get("id"), str):
                yield _link(entry)
    except ValueError as error:
        raise IntegrityError(f"{url}: the runs of the descriptor are no JSON: {error}") from error


def _link(entry: Mapping[str, Any]) -> Link:
    place, fingerprint = entry.get("url"), entry.get("fingerprint")
    return Link(
        "exportOf",
        "run",
        clean(entry["id"], MAX_NAME),
        clean(place) if isinstance(place, str) else "",
        clean(fingerprint) if isinstance(fingerprint, str) else None,
    )


def _terms(formats: Iterable[str]) -> frozenset[tuple[TermKind, str]]:
    return frozenset(("tag", clean(name, MAX_TAG)) for name in ("export", *formats))


def _config_hash(config: object) -> str | None:
    found = config.get("hash") if isinstance(config, dict) else None
    return clean(found) if isinstance(found, str) else None
