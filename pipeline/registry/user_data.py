"""What users say of artifacts: tags, title, note, owner, pinned, archived.

It is apart from what a rebuild replaces, and each change of it can be undone by another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from pipeline.errors import ConfigError
from pipeline.registry.records.artifact import ARCHIVED_TAG, ArtifactType, key_of
from pipeline.registry.records.texts import MAX_TAG
from pipeline.wording import first_fault_of

MAX_TAGS = 200
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"


def _check_encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a surrogate pair, which is no character") from None
    if "\x00" in text:
        raise ValueError("holds a NUL character")
    return text


def _check_tag(text: str) -> str:
    if "," in text:
        raise ValueError("a tag holds no comma, which separates tags in queries")
    return text


Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TAG, pattern=_PRINTABLE),
    AfterValidator(_check_encodable),
    AfterValidator(_check_tag),
]
Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=200, pattern=_PRINTABLE),
    AfterValidator(_check_encodable),
]
Note = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_check_encodable)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)]


class _UserModel(BaseModel):
    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore"
    )


class UserData(_UserModel):
    """What users say of one artifact.

    Attributes:
        type: Type of the artifact.
        id: Its id when it was said.
        location: What it is found by: its URL, or the hash of a model.
        tags: Tags that were added.
        removed_tags: Automatic tags that were removed.
        title: A title in place of the automatic one.
        note: Free text.
        owner: Who answers for it.
        pinned: Whether it is pinned.
        archived: Whether lists leave it out.
    """

    type: ArtifactType
    id: Annotated[str, Field(max_length=1_000)]
    location: Annotated[str, Field(min_length=1, max_length=8_192)]
    tags: Tags = ()
    removed_tags: Tags = ()
    title: Label | None = None
    note: Note | None = None
    owner: Label | None = None
    pinned: bool = False
    archived: bool = False

    @property
    def key(self) -> int:
        """Key of the artifact."""
        return key_of(self.type, self.location)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said any more."""
        texts = (self.title, self.note, self.owner)
        return not (any(texts) or self.tags or self.removed_tags or self.pinned or self.archived)

    def emptied(self) -> Self:
        """Return that nothing is said any more."""
        return self.model_construct(type=self.type, id=self.id, location=self.location)

    def changed(self, change: UserChange, automatic: frozenset[str]) -> Self:
        """Return what is said after a change.

        Args:
            change: The change.
            automatic: The artifact's automatic tags.
        """
        archived = self.archived if change.archived is None else change.archived
        tags, removed = set(self.tags) - {ARCHIVED_TAG}, set(self.removed_tags)
        if change.tags is not None:
            tags, removed = set(change.tags) - automatic, set(automatic) - set(change.tags)
            archived = change.archived is True or ARCHIVED_TAG in change.tags
        tags |= set(change.add_tags) - automatic
        removed -= set(change.add_tags)
        tags -= set(change.remove_tags)
        removed |= set(change.remove_tags) & automatic
        if change.archived is None and ARCHIVED_TAG in (*change.add_tags, *change.remove_tags):
            archived = ARCHIVED_TAG in change.add_tags
        tags = (tags - {ARCHIVED_TAG}) | ({ARCHIVED_TAG} if archived else set())
        return self.model_copy(
            update={
                "tags": tuple(sorted(tags)),
                "removed_tags": tuple(sorted(removed)),
                "title": self.title if change.title is None else change.title or None,
                "note": self.note if change.note is None else change.note or None,
                "owner": self.owner if change.owner is None else change.owner or None,
                "pinned": self.pinned if change.pinned is None else change.pinned,
                "archived": archived,
            }
        )


class UserChange(_UserModel):
    """A change of what users say; None leaves a thing as it is, an empty text takes it away.

    Attributes:
        add_tags: Tags to add.
        remove_tags: Tags to remove, automatic ones included.
        tags: All tags that there are to be.
        title, note, owner, pinned, archived: As in `UserData`.
    """

    add_tags: Tags = ()
    remove_tags: Tags = ()
    tags: Tags | None = None
    title: Label | None = None
    note: Note | None = None
    owner: Label | None = None
    pinned: bool | None = None
    archived: bool | None = None

    @classmethod
    def of(cls, changes: Mapping[str, object]) -> Self:
        """Return a change by the names of its attributes.

        Raises:
            ConfigError: A name is unknown, or a value is not as it should be.
        """
        if unknown := sorted(changes.keys() - cls.model_fields.keys()):
            raise ConfigError(
                f"{unknown[0]!r} is nothing that can be changed: choose from "
                f"{', '.join(cls.model_fields)}"
            )
        try:
            return cls.model_validate(changes)
        except ValidationError as error:
            raise ConfigError(first_fault_of(error)) from None
