"""Parse queries of lists of artifacts, and the cursors from page to page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from connectors.flowtime.model.instant import parse_instant
from pipeline.errors import ConfigError
from pipeline.registry.database.statements import is_plain
from pipeline.registry.records.artifact import STATES, TYPES, ArtifactState, ArtifactType

SortKey = Literal["created", "id", "title", "size", "modified"]
SortOrder = Literal["asc", "desc"]

SORT_KEYS: tuple[SortKey, ...] = ("created", "id", "title", "size", "modified")
DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000
_MAX_SKIP = 2**31
_MAX_TEXT = 4_000
_MAX_TAGS = 50
_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no"})
_ALIASES = {
    "minfilesize": "minsize",
    "maxfilesize": "maxsize",
    "fulltextsearch": "fulltext",
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ends: what comes after it begins the next one.

    Attributes:
        sort_by: What the list is sorted by.
        order: In which direction.
        value: That of the last artifact.
        id: Id of the last artifact.
    """

    sort_by: SortKey
    order: SortOrder
    value: int | str
    id: str

    def as_text(self) -> str:
        """Return the cursor as text without special characters."""
        data = json.dumps([self.sort_by, self.order, self.value, self.id], ensure_ascii=False)
        return base64.urlsafe_b64encode(data.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor.

        Raises:
            ConfigError: It is none.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list) and len(found) == 4:
            sort_by, order, value, last = found
            by_text = sort_by in ("id", "title")
            is_value = isinstance(value, str) if by_text else _is_whole(value)
            is_known = sort_by in SORT_KEYS and order in ("asc", "desc")
            is_text = isinstance(last, str) and is_plain(f"{value}{last}")
            if is_known and is_value and is_text:
                return cls(sort_by, order, value, last)
        raise ConfigError("the cursor is not valid: give the nextCursor of a page, unchanged")


@dataclass(frozen=True, slots=True)
class ArtifactQuery:
    """What is asked of a list of artifacts; conditions are met all at once.

    Attributes:
        types: Of one of these types; empty for any.
        search: Text in the title or a value of the metadata, in any case.
        full_text: Text in these, or in an id, a tag or a file's name.
        tags: With one of these tags; empty for any.
        created_after, created_before: Created then or between, both included.
        min_size, max_size: Bytes, both included.
        related_to: Id of an artifact: what it is related to.
        template_id, model_id, source, component, measure, class_name, owner: Equal to these.
        day: Created on this UTC day, e.g. `2025-01-31`.
        state: In this state; None for those that can be used.
        pinned: Pinned or not.
        include_archived: With the archived ones.
        sort_by, order: The order; the second key is the id, in the same direction.
        skip, limit: The page.
        cursor: Where the page before ended; instead of `skip`.
        with_facets: Count the values of some fields, too.
    """

    types: tuple[ArtifactType, ...] = ()
    search: str = ""
    full_text: str = ""
    tags: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    min_size: int | None = None
    max_size: int | None = None
    related_to: str = ""
    template_id: str = ""
    model_id: str = ""
    source: str = ""
    component: str = ""
    measure: str = ""
    class_name: str = ""
    owner: str = ""
    day: str = ""
    state: ArtifactState | None = None
    pinned: bool | None = None
    include_archived: bool = False
    sort_by: SortKey = "created"
    order: SortOrder = "desc"
    skip: int = 0
    limit: int = DEFAULT_LIMIT
    cursor: Cursor | None = None
    with_facets: bool = False

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> ArtifactQuery:
        """Read a query of FlowTime's clients; what cannot be understood is passed over, as there.

        Args:
            values: Names in camelCase, or in any case, with their values. Of a text that is
                searched the first 4,000 characters count, and of tags the first 50.

        Raises:
            ConfigError: The cursor is none; to pass over that would begin the list anew.
        """
        lowered = {name.lower(): value.strip() for name, value in values.items()}
        for alias, name in _ALIASES.items():
            lowered.setdefault(name, lowered.get(alias, ""))

        def text(name: str) -> str:
            value = lowered.get(name.lower(), "")
            return value if is_plain(value) else ""

        def flag(name: str) -> bool | None:
            value = text(name).lower()
            return True if value in _TRUE else False if value in _FALSE else None

        sort_by = text("sortBy").lower()
        state = text("state").lower()
        cursor = lowered.get("cursor")
        query = cls(
            types=_types(text("type")),
            search=text("search")[:_MAX_TEXT],
            full_text=text("fullText")[:_MAX_TEXT],
            tags=tuple(filter(None, (t.strip() for t in text("tags").split(","))))[:_MAX_TAGS],
            created_after=_moment(text("createdAfter")),
            created_before=_moment(text("createdBefore")),
            min_size=_whole(text("minSize")),
            max_size=_whole(text("maxSize")),
            related_to=text("relatedTo"),
            template_id=text("templateId"),
            model_id=text("modelId"),
            source=text("source"),
            component=text("component"),
            measure=text("measure"),
            class_name=text("class"),
            owner=text("owner"),
            day=text("day"),
            state=_STATES.get(state),
            pinned=flag("pinned"),
            include_archived=flag("includeArchived") is True,
            sort_by=sort_by if sort_by in SORT_KEYS else "created",
            order="asc" if text("sortOrder").lower() == "asc" else "desc",
            skip=min(_whole(text("skip")) or 0, _MAX_SKIP),
            limit=min(max(_whole(text("limit")) or DEFAULT_LIMIT, 1), MAX_LIMIT),
            with_facets=flag("facets") is True,
        )
        if not cursor:
            return query
        found = Cursor.parse(cursor)
        return replace(query, cursor=found, sort_by=found.sort_by, order=found.order, skip=0)

    @property
    def conditions(self) -> tuple[Any, ...]:
        """What decides which artifacts match, whatever the page and the order."""
        return tuple(getattr(self, f.name) for f in fields(self) if f.name not in _PAGING)


PARAMETERS = (
    *("type", "search", "fullText", "tags", "createdAfter", "createdBefore", "minSize", "maxSize"),
    *("relatedTo", "templateId", "modelId", "source", "component", "measure", "class", "owner"),
    *("day", "state", "pinned", "includeArchived", "sortBy", "sortOrder", "skip", "limit"),
    *("cursor", "facets"),
)
"""Names of what a query is read from; each is understood in any case."""

_PAGING = frozenset({"sort_by", "order", "skip", "limit", "cursor", "with_facets"})
_STATES: Mapping[str, ArtifactState] = {name: name for name in STATES}


def _types(text: str) -> tuple[ArtifactType, ...]:
    wanted = {name.strip().lower() for name in text.split(",")}
    return tuple(name for name in TYPES if name in wanted)


def _moment(text: str) -> datetime | None:
    return parse_instant(text) if text else None


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _is_whole(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63
