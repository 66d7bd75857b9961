"""Define the bodies of the routes of artifacts, with the field names of FlowTime's clients."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import Field

from pipeline.registry.artifact import ArtifactState, ArtifactType, Capability
from pipeline.service.api_base import Data

ArtifactId = Annotated[
    str,
    Path(
        alias="artifactId",
        description="Id of an artifact as GET /v1/artifacts gives it.",
        examples=["run_checkout_hourly"],
        max_length=1024,
    ),
]

Count = Annotated[int, Field(ge=0)]


class ArtifactItemBody(Data):
    """An artifact."""

    id: str
    type: ArtifactType
    title: str
    description: str | None
    created: datetime | None
    tags: list[str]
    metadata: dict[str, Any]
    files: Annotated[list[str], Field(description="Names of the top-level files.")]
    total_size: Count
    last_modified: datetime | None
    source: str | None
    capabilities: list[Capability]
    digest: str | None
    location: str
    state: ArtifactState
    reason: str | None
    archived: bool
    pinned: bool
    owner: str | None
    note: str | None


class ArtifactDetailBody(ArtifactItemBody):
    """An artifact with the ids of what it was made of, and of what was made of it."""

    relationships: Annotated[
        dict[str, list[str]], Field(description="`derived_from` and `generates`.")
    ]


class ArtifactPageBody(Data):
    """A page of artifacts."""

    artifacts: list[ArtifactItemBody]
    total: Annotated[Count, Field(description="Artifacts that match in all.")]
    total_is_exact: Annotated[
        bool, Field(description="False where counting took too long: there are at least so many.")
    ]
    count: Annotated[Count, Field(description="Artifacts on this page.")]
    next_cursor: Annotated[
        str | None, Field(description="The `cursor` of the next page; null on the last one.")
    ]
    facets: Annotated[
        dict[str, dict[str, int]] | None,
        Field(description="With `facets=true`; null where counting takes too long."),
    ] = None


class ArtifactIndexBody(Data):
    """The whole index."""

    schema_version: int
    last_updated: datetime
    artifacts: list[ArtifactItemBody]
    artifact_count: Count


class RelatedArtifactBody(Data):
    """The other end of a relationship."""

    id: str
    type: str
    title: str
    relationship_type: str
    missing: Annotated[bool, Field(description="It is not in the registry (any more).")] = False


class RelationshipsBody(Data):
    """How an artifact is related to others."""

    artifact_id: str
    derived_from: list[RelatedArtifactBody]
    derivatives: list[RelatedArtifactBody]
    related: list[RelatedArtifactBody]
    truncated: Annotated[bool, Field(description="There are more than are listed.")] = False


class ArtifactFileBody(Data):
    """One file of an artifact."""

    name: str
    size: Count
    media_type: str


class ArtifactFilesBody(Data):
    """The files of an artifact."""

    artifact_id: str
    files: list[ArtifactFileBody]
    count: Count


class ArtifactResultBody(Data):
    """What became of one artifact of several."""

    id: str
    success: bool
    error: str | None = None


class ArchivedBody(Data):
    """What became of artifacts that were to be archived."""

    success: bool
    processed: Count
    archived: Count
    results: list[ArtifactResultBody]


class DeletedBody(Data):
    """What became of artifacts that were to be deleted: they are archived, and keep their files."""

    success: bool
    processed: Count
    deleted: Count
    results: list[ArtifactResultBody]


class RescanBody(Data):
    """What a look at all runs and exports has found."""

    added: Count
    unchanged: Count
    removed: Count
    problems: list[str]
    seconds: float


class ArtifactTypeStatsBody(Data):
    """Counts and sizes of the artifacts of one type."""

    count: Count
    total_size: Count
    oldest: datetime | None
    newest: datetime | None


class ArtifactStatsBody(Data):
    """Counts and sizes of the whole registry."""

    total: Count
    archived: Count
    not_complete: Count
    total_size: Count
    types: dict[str, ArtifactTypeStatsBody]
    revision: Count
