"""List artifacts; show one, its relationships and its files; download it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from connectors.flowtime.model.instant import instant_text
from pipeline.registry.queries.query import MAX_LIMIT, ArtifactQuery
from pipeline.registry.records.artifact import SCHEMA_VERSION, Artifact
from pipeline.registry.registry import Registry
from pipeline.service.catalog.artifact_files import ArtifactFolder, artifact_folder
from pipeline.service.web.downloads import attachment, download
from pipeline.service.web.models.artifacts import (
    ArtifactDetailBody,
    ArtifactFilesBody,
    ArtifactId,
    ArtifactIndexBody,
    ArtifactPageBody,
    ArtifactStatsBody,
    RelationshipsBody,
    RescanBody,
)
from pipeline.service.web.routes.shared import (
    PART_OR_CACHED,
    ServiceOf,
    errors,
    on_registry,
    on_thread,
)
from pipeline.service.web.service import Service
from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"], route_class=StrictRoute)

_LENIENT = "Passed over where it cannot be understood, as in FlowTime."


def _parameter(description: str, **more: Any) -> Any:
    return Query(description=description, **more)


@router.get("", response_model=ArtifactPageBody, responses=errors(502, 503))
async def list_artifacts(
    request: Request,
    service: ServiceOf,
    type_: Annotated[
        str | None,
        _parameter("run, telemetry, model, export, comparison; several by commas.", alias="type"),
    ] = None,
    search: Annotated[str | None, _parameter("Text in the title or in metadata.")] = None,
    full_text: Annotated[
        str | None,
        _parameter("Text in these, in ids, tags and names of files.", alias="fullText"),
    ] = None,
    tags: Annotated[str | None, _parameter("With one of these, by commas.")] = None,
    created_after: Annotated[
        str | None, _parameter(f"Instant, included. {_LENIENT}", alias="createdAfter")
    ] = None,
    created_before: Annotated[
        str | None, _parameter(f"Instant, included. {_LENIENT}", alias="createdBefore")
    ] = None,
    min_size: Annotated[str | None, _parameter(f"Bytes. {_LENIENT}", alias="minSize")] = None,
    max_size: Annotated[str | None, _parameter(f"Bytes. {_LENIENT}", alias="maxSize")] = None,
    related_to: Annotated[str | None, _parameter("Id of an artifact.", alias="relatedTo")] = None,
    template_id: Annotated[str | None, _parameter("Exactly this.", alias="templateId")] = None,
    model_id: Annotated[str | None, _parameter("Id or hash.", alias="modelId")] = None,
    source: Annotated[str | None, _parameter("Exactly this, e.g. engine.")] = None,
    component: Annotated[str | None, _parameter("With series of this component.")] = None,
    measure: Annotated[str | None, _parameter("With series of this measure.")] = None,
    class_: Annotated[str | None, _parameter("With series of this class.", alias="class")] = None,
    owner: Annotated[str | None, _parameter("Exactly this.")] = None,
    day: Annotated[str | None, _parameter("Created on this UTC day.")] = None,
    state: Annotated[str | None, _parameter("broken, incomplete, link: not usable.")] = None,
    pinned: Annotated[str | None, _parameter("true or false.")] = None,
    include_archived: Annotated[
        str | None, _parameter("true: with the archived ones.", alias="includeArchived")
    ] = None,
    sort_by: Annotated[
        str | None, _parameter("created, id, title, size, modified.", alias="sortBy")
    ] = None,
    sort_order: Annotated[str | None, _parameter("desc or asc.", alias="sortOrder")] = None,
    skip: Annotated[str | None, _parameter("Default 0.")] = None,
    limit: Annotated[str | None, _parameter(f"Default 50, at most {MAX_LIMIT}.")] = None,
    cursor: Annotated[str | None, _parameter("nextCursor of the page before.")] = None,
    facets: Annotated[str | None, _parameter("true: count values of fields.")] = None,
) -> Response:
    """List artifacts, the newest first.

    What cannot be understood in the query is passed over, as in FlowTime; a wrong cursor is an
    error. `minFileSize`, `maxFileSize` and `fullTextSearch` are other names that FlowTime has.
    """
    query = ArtifactQuery.parse(dict(request.query_params))
    return JSONResponse(await on_registry(service, lambda registry: registry.list(query).as_json()))


@router.get("/stats", responses=errors(502, 503))
async def get_artifact_stats(service: ServiceOf) -> ArtifactStatsBody:
    """Show how many artifacts there are, and how large they are."""
    return ArtifactStatsBody.model_validate(await on_registry(service, Registry.stats))


@router.post("/index", response_model=ArtifactIndexBody, responses=errors(502, 503))
async def rebuild_artifact_index(service: ServiceOf) -> Response:
    """Look at all runs and exports again, and answer with the whole index.

    The index is sent while it is read; `POST /v1/artifacts/rescan` answers with counts alone.
    """
    await service.artifacts.rebuild()
    registry = await on_thread(service.readers, service.artifacts.registry)
    body = service.transfers.blocks(_index(registry))
    return StreamingResponse(body, media_type="application/json")


@router.post("/rescan", responses=errors(502, 503))
async def rescan_artifacts(service: ServiceOf) -> RescanBody:
    """Look at all runs and exports again, and forget what is gone."""
    report = (await service.artifacts.rebuild()).as_json()
    problems = [service.locations.masked(one) for one in report["problems"]]
    return RescanBody.model_validate({**report, "problems": problems})


@router.get("/{artifactId}", responses=errors(404, 502, 503))
async def get_artifact(service: ServiceOf, artifact_id: ArtifactId) -> ArtifactDetailBody:
    """Show an artifact, with the ids of what it was made of, and of what was made of it."""
    found = await on_registry(service, lambda registry: registry.detail(artifact_id))
    return ArtifactDetailBody.model_validate(found)


@router.get("/{artifactId}/relationships", responses=errors(404, 502, 503))
async def get_relationships(service: ServiceOf, artifact_id: ArtifactId) -> RelationshipsBody:
    """Show what an artifact was made of, what was made of it, and what is like it.

    Relationships come from descriptors, manifests and hashes. What is gone is `missing`.
    """
    found = await on_registry(
        service, lambda registry: registry.relationships(artifact_id).as_json()
    )
    return RelationshipsBody.model_validate(found)


@router.get("/{artifactId}/files", responses=errors(404, 502, 503))
async def list_artifact_files(service: ServiceOf, artifact_id: ArtifactId) -> ArtifactFilesBody:
    """List the files of an artifact as they are now."""
    _, folder = await _opened(service, artifact_id)
    files = [
        {"name": file.name, "size": file.info.size, "media_type": file.media_type}
        for file in folder.files
    ]
    return ArtifactFilesBody.model_validate(
        {"artifact_id": artifact_id, "files": files, "count": len(files)}
    )


_FILE: dict[int | str, dict[str, Any]] = {
    **errors(404, 416, 502, 503),
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string"}}},
    },
    **PART_OR_CACHED,
}


@router.get("/{artifactId}/files/{fileName:path}", response_class=Response, responses=_FILE)
async def get_artifact_file(
    request: Request,
    service: ServiceOf,
    artifact_id: ArtifactId,
    file_name: Annotated[
        str,
        Path(alias="fileName", description="A name that its list of files has.", max_length=1024),
    ],
) -> Response:
    """Download one of the files of an artifact."""
    _, folder = await _opened(service, artifact_id)
    name = file_name.rpartition("/")[2]
    return download(request, folder.file(file_name), name=name, transfers=service.transfers)


_ZIP: dict[int | str, dict[str, Any]] = {
    **errors(404, 502, 503),
    200: {
        "description": "The files.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    },
}


@router.get("/{artifactId}/download", response_class=Response, responses=_ZIP)
async def download_artifact(service: ServiceOf, artifact_id: ArtifactId) -> Response:
    """Download all files of an artifact as a zip, which is sent while it is made."""
    found, folder = await _opened(service, artifact_id)
    name = f"{found.title.replace(' ', '_')}.zip"
    return StreamingResponse(
        service.transfers.blocks(folder.zipped()),
        media_type="application/zip",
        headers={"Content-Disposition": attachment(name), "Cache-Control": "private, no-cache"},
    )


async def _opened(service: Service, artifact_id: str) -> tuple[Artifact, ArtifactFolder]:
    found = await on_registry(service, lambda registry: registry.get(artifact_id))
    folder = await on_thread(service.readers, artifact_folder, service.locations, found)
    return found, folder


def _index(registry: Registry) -> Iterator[bytes]:
    """Yield the whole index, a page at a time."""
    now = instant_text(datetime.now(UTC).replace(microsecond=0))
    head = {"schemaVersion": SCHEMA_VERSION, "lastUpdated": now}
    yield json.dumps(head)[:-1].encode() + b', "artifacts": ['
    count, cursor, separator = 0, None, b""
    while True:
        page = registry.list(
            include_archived=True, sort_by="id", sort_order="asc", limit=MAX_LIMIT, cursor=cursor
        )
        for one in page.artifacts:
            yield separator + json.dumps(one.as_json(), ensure_ascii=False).encode()
            separator = b", "
        count, cursor = count + len(page.artifacts), page.next_cursor
        if cursor is None:
            break
    yield b'], "artifactCount": ' + str(count).encode() + b"}"
