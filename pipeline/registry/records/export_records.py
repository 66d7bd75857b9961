"""Exports, by their descriptors alone, as the registry keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connectors.flowtime.model.instant import parse_instant
from pipeline.datapackage import descriptor
from pipeline.datapackage.descriptor import FILE_SUFFIX, FOLDER_NAME
from pipeline.errors import IntegrityError
from pipeline.registry.records.artifact import ArtifactRecord, Link, TermKind, mark_of
from pipeline.registry.records.texts import MAX_NAME, clean

MAX_FILES = 1_000
_DIGITS = 12


def is_descriptor(name: str) -> bool:
    """Return whether a file's name is that of a descriptor.

    >>> is_descriptor("export.datapackage.json"), is_descriptor("datapackage.json")
    (True, False)
    """
    return name == FOLDER_NAME or name.endswith(FILE_SUFFIX)


def record_of_export(data: bytes, url: str, version: str) -> ArtifactRecord:
    """Return an export as the registry keeps it.

    Args:
        data: The bytes of its descriptor.
        url: URL of the descriptor.
        version: What identifies the version of the descriptor in its store.

    Raises:
        IntegrityError: It is no descriptor of an export of this project.
    """
    found = descriptor.load(data, url, check_runs=False)
    own = found["flowtime"]
    config = own.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    name = clean(name, MAX_NAME) if isinstance(name, str) and name else "export"
    files = [one for one in found["resources"] if isinstance(one.get("flowtime"), dict)]
    formats = sorted({str(one.get("format")) for one in files})
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
        size=sum(_whole(one.get("bytes")) for one in files),
        source="export",
        digest=_digest(files),
        listing=version,
        terms=_terms(formats),
        rows=sum(_whole(one.get("rowCount")) for one in files),
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
    return frozenset(("tag", clean(name, 100)) for name in ("export", *formats))


def _digest(files: Iterable[Mapping[str, Any]]) -> str:
    lines = sorted(f"{one['path']}\0{one.get('hash')}\n" for one in files)
    return f"sha256:{hashlib.sha256(''.join(lines).encode('utf-8', 'replace')).hexdigest()}"


def _config_hash(config: object) -> str | None:
    found = config.get("hash") if isinstance(config, dict) else None
    return clean(found) if isinstance(found, str) else None


def _whole(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**62 else 0
