"""Define artifacts: how they are named and related."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Any, Literal, get_args

from connectors.flowtime.model.instant import instant_text

ArtifactType = Literal["run", "telemetry", "model", "export", "comparison"]
ArtifactState = Literal["complete", "broken", "incomplete", "link", "unlisted"]
Relation = Literal[
    "exportOf", "restoredFrom", "model", "baseline", "comparison", "sameScenario", "sameModel"
]
Capability = Literal["replay", "compare", "export", "import"]
TermKind = Literal["component", "measure", "class", "tag"]

STATES: tuple[ArtifactState, ...] = get_args(ArtifactState)
TYPES: tuple[ArtifactType, ...] = get_args(ArtifactType)
ARCHIVED_TAG = "archived"
SCHEMA_VERSION = 1

ROUTE_NAMES = frozenset({"archive", "bulk-delete", "index", "rescan", "stats"})
"""Routes of their own below `/v1/artifacts`."""

MARK_DIGITS = 12
"""Hexadecimal digits of a mark."""

UNKNOWN_INSTANT = -(2**63)
"""What the database keeps where an instant is unknown: less than any instant, for orders."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARKED = re.compile(rf"~[0-9a-f]{{{MARK_DIGITS}}}\Z")


class Visibility(IntEnum):
    """Which lists show an artifact."""

    NOT_USABLE = 0
    LISTED = 1
    ARCHIVED = 2

    @classmethod
    def of(cls, state: ArtifactState, *, archived: bool) -> Visibility:
        """Return the visibility of an artifact."""
        if state != "complete":
            return cls.NOT_USABLE
        return cls.ARCHIVED if archived else cls.LISTED


@dataclass(frozen=True, slots=True)
class Link:
    """What an artifact was derived from, as its descriptor or manifest names it.

    Attributes:
        relation: How the two are related.
        type: Type of the other artifact.
        name: What the other is called, shown where it is gone.
        location: URL of the other; empty where only its digest is known.
        digest: Digest of the other's content, by which it is found where it was moved.
    """

    relation: Relation
    type: ArtifactType
    name: str
    location: str
    digest: str | None = None

    @property
    def key(self) -> int:
        """Key of the other artifact."""
        return key_of(self.type, self.location or self.digest or self.name)


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """An artifact as it is registered.

    Attributes:
        type: Its type.
        name: Its id, where no other artifact has the same.
        mark: What is added to the id where another has the same name.
        location: URL of the run directory or the descriptor; of a model, that of one of its runs.
        title: For people.
        folder: Name of the run directory, or of the file.
        description: For people.
        state: Whether it can be used, or why not.
        reason: Why it cannot be used.
        created: When it was made, UTC.
        modified: When it was last written, UTC.
        size: Bytes.
        source: Who made it: `engine`, `sim`, `import`, ...
        template_id: Template of its model.
        model_hash: Hash of its model.
        scenario: Hash of its scenario.
        digest: Digest of its content.
        listing: Digest of its files as they were listed; empty where that is not known.
        terms: Components, measures, classes and automatic tags, each with its kind.
        series: Number of series.
        rows: Number of rows.
        warnings: Number of warnings.
        metadata: Further facts by name.
        files: Names of its top-level files.
        links: What it was derived from.
        document: The whole description of a run, by which it need not be read again.
        key: The number that the database knows it by.
    """

    type: ArtifactType
    name: str
    mark: str
    location: str
    title: str
    folder: str = ""
    description: str | None = None
    state: ArtifactState = "complete"
    reason: str | None = None
    created: datetime | None = None
    modified: datetime | None = None
    size: int = 0
    source: str | None = None
    template_id: str | None = None
    model_hash: str | None = None
    scenario: str | None = None
    digest: str | None = None
    listing: str = ""
    terms: frozenset[tuple[TermKind, str]] = frozenset()
    series: int = 0
    rows: int = 0
    warnings: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[str] = ()
    links: Sequence[Link] = ()
    document: bytes | None = None
    key: int = field(init=False)

    def __post_init__(self) -> None:
        is_model = self.type == "model" and self.model_hash is not None
        place = self.model_hash or "" if is_model else self.location
        object.__setattr__(self, "key", key_of(self.type, place))


@dataclass(frozen=True, slots=True)
class RelatedArtifact:
    """The other end of a relationship.

    Attributes:
        id: Its id, or what it was called where it is gone.
        type: Its type.
        title: For people.
        relation: How the two are related.
        is_missing: Whether it is not in the registry (any more).
    """

    id: str
    type: str
    title: str
    relation: str
    is_missing: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as FlowTime's clients know it."""
        return {
            "id": self.id,
            "type": self.type,
            "title": self.title,
            "relationshipType": self.relation,
            "missing": self.is_missing,
        }


@dataclass(frozen=True, slots=True)
class Relationships:
    """How an artifact is related to others.

    Attributes:
        artifact_id: The artifact.
        derived_from: What it was made of.
        derivatives: What was made of it.
        related: Others of the same scenario or model.
        is_cut: Whether there are more than are listed.
    """

    artifact_id: str
    derived_from: tuple[RelatedArtifact, ...]
    derivatives: tuple[RelatedArtifact, ...]
    related: tuple[RelatedArtifact, ...]
    is_cut: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return them as FlowTime's clients know them."""
        return {
            "artifactId": self.artifact_id,
            "derivedFrom": [one.as_json() for one in self.derived_from],
            "derivatives": [one.as_json() for one in self.derivatives],
            "related": [one.as_json() for one in self.related],
            "truncated": self.is_cut,
        }


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact as the registry gives it.

    Attributes:
        key: The number that the database knows it by.
        id: What it is called everywhere; no other artifact has the same.
        type: Its type.
        state: Whether it can be used, or why not.
        reason: Why it cannot be used.
        title: For people; a user's title, where there is one.
        description: For people.
        created: When it was made, UTC.
        modified: When it was last written, UTC.
        size: Bytes.
        source: Who made it.
        location: URL of the run directory or the descriptor.
        digest: Digest of its content.
        listing: Digest of its files as they were listed.
        tags: Automatic and user's tags, sorted.
        metadata: Further facts by name.
        files: Names of its top-level files.
        archived: Whether lists leave it out unless they are asked for it.
        pinned: Whether a user has pinned it.
        owner: Who answers for it, as a user says.
        note: A user's note.
    """

    key: int
    id: str
    type: ArtifactType
    state: ArtifactState
    reason: str | None
    title: str
    description: str | None
    created: datetime | None
    modified: datetime | None
    size: int
    source: str | None
    location: str
    digest: str | None
    listing: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]
    files: tuple[str, ...]
    archived: bool
    pinned: bool
    owner: str | None
    note: str | None

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What can be done with it."""
        if self.state != "complete":
            return ()
        if self.type == "run":
            return ("replay", "compare", "export") if self.has_model else ("compare", "export")
        if self.type == "telemetry":
            return ("compare", "export")
        if self.type == "model":
            return ("replay",)
        return ("compare", "import") if self.type == "export" else ()

    @property
    def has_model(self) -> bool:
        """Whether the text of its model is among its files."""
        return "spec.yaml" in self.files

    def as_json(self) -> dict[str, Any]:
        """Return it as FlowTime's clients know it, with what this registry adds."""
        return {
            "id": self.id,
            "type": self.type,
            "title": self.title,
            "description": self.description,
            "created": shown_instant(self.created),
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
            "files": list(self.files),
            "totalSize": self.size,
            "lastModified": shown_instant(self.modified or self.created),
            "source": self.source,
            "capabilities": list(self.capabilities),
            "digest": self.digest,
            "location": self.location,
            "state": self.state,
            "reason": self.reason,
            "archived": self.archived,
            "pinned": self.pinned,
            "owner": self.owner,
            "note": self.note,
        }


def key_of(kind: ArtifactType, location: str) -> int:
    """Return the number of an artifact: the same in every database, whatever is registered first.

    Args:
        kind: Its type; a run and a telemetry run of one place are the same artifact.
        location: Its URL.
    """
    family = "run" if kind == "telemetry" else kind
    return _number(f"{family}\0{location}")


@lru_cache(maxsize=4096)
def shape_of(terms: frozenset[tuple[TermKind, str]]) -> int:
    """Return the number of a set of terms."""
    return _number("\0".join(f"{kind}\1{value}" for kind, value in sorted(terms)))


def mark_of(text: str) -> str:
    """Return what distinguishes artifacts of one name.

    >>> mark_of("a/run_1")
    '83a26bf8b8d5'
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:MARK_DIGITS]


def always_has_mark(name: str) -> bool:
    """Return whether a name is never an id by itself.

    It would hide a route, or be like the id of an artifact of another name with its mark.

    >>> always_has_mark("stats"), always_has_mark("run~83a26bf8b8d5"), always_has_mark("run")
    (True, True, False)
    """
    return name in ROUTE_NAMES or _MARKED.search(name) is not None


def microseconds(moment: datetime) -> int:
    """Return an instant as the database keeps it.

    >>> microseconds(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    return (moment - _EPOCH) // timedelta(microseconds=1)


def stored_instant(moment: datetime | None) -> int:
    """Return an instant as the database keeps it, `UNKNOWN_INSTANT` for none."""
    return UNKNOWN_INSTANT if moment is None else microseconds(moment)


def instant_of(value: int) -> datetime | None:
    """Return the instant that `stored_instant` has given."""
    return None if value == UNKNOWN_INSTANT else _EPOCH + timedelta(microseconds=value)


def shown_instant(moment: datetime | None) -> str | None:
    """Return an instant as JSON shows it."""
    return None if moment is None else instant_text(moment.astimezone(UTC))


def _number(text: str) -> int:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
