"""Read and write what users say of artifacts, in the tables of the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, select, update

from pipeline.registry.database import search_text
from pipeline.registry.database.statements import insert_into, parts, upsert
from pipeline.registry.database.tables import artifact, detail, user_data, user_tag
from pipeline.registry.records.artifact import Visibility
from pipeline.registry.user_data import UserChange, UserData


def change(connection: Connection, keys: Sequence[int], wanted: UserChange) -> list[UserData]:
    """Change what users say of artifacts, and return what is said now.

    Args:
        connection: A connection that may write.
        keys: The artifacts; those that are not in the registry are passed over.
        wanted: The change.
    """
    changed: list[UserData] = []
    for some in parts(sorted(set(keys))):
        before = {one.key: one for one in read(connection, some)}
        for key, blank, automatic in _artifacts(connection, some):
            changed.append(before.get(key, blank).changed(wanted, automatic))
    write(connection, changed)
    return changed


def write(connection: Connection, entries: Sequence[UserData]) -> None:
    """Replace what users say of some artifacts, whether these are in the registry or not."""
    if not entries:
        return
    keys = [one.key for one in entries]
    for some in parts(keys):
        connection.execute(delete(user_data).where(user_data.c.key.in_(some)))
        connection.execute(delete(user_tag).where(user_tag.c.key.in_(some)))
    said = [one for one in entries if not one.is_empty]
    if said:
        connection.execute(upsert(connection, user_data), [_row(one) for one in said])
    tags = [*_tag_rows(said)]
    if tags:
        connection.execute(insert_into(connection, user_tag).on_conflict_do_nothing(), tags)
    _follow(connection, entries)


def read(connection: Connection, keys: Sequence[int] | None = None) -> Iterator[UserData]:
    """Yield what users say of some artifacts, or of all, by key.

    Args:
        connection: A connection.
        keys: The artifacts; None for all.
    """
    wanted = select(user_data).order_by(user_data.c.key)
    tags = select(user_tag).order_by(user_tag.c.key, user_tag.c.tag)
    if keys is not None:
        wanted = wanted.where(user_data.c.key.in_(keys))
        tags = tags.where(user_tag.c.key.in_(keys))
    of_key: dict[int, tuple[list[str], list[str]]] = {}
    for key, tag, is_removed in connection.execute(tags):
        of_key.setdefault(key, ([], []))[int(is_removed)].append(tag)
    for row in connection.execute(wanted):
        added, removed = of_key.get(row.key, ([], []))
        yield UserData.model_construct(
            type=row.type,
            id=row.id,
            location=row.location,
            tags=tuple(added),
            removed_tags=tuple(removed),
            title=row.title,
            note=row.note,
            owner=row.owner,
            pinned=row.pinned,
            archived=row.archived,
        )


def lost(connection: Connection) -> Iterator[UserData]:
    """Yield what is said of artifacts that are not in the registry."""
    gone = (
        select(user_data.c.key)
        .outerjoin(artifact, artifact.c.key == user_data.c.key)
        .where(artifact.c.key.is_(None))
    )
    for some in parts(connection.execute(gone).scalars().all()):
        yield from read(connection, some)


def adopt(connection: Connection, entries: Iterable[UserData]) -> list[UserData]:
    """Return entries as they belong to what is in the registry now.

    What was said of a place where nothing is any more belongs to the artifact that has the same
    id now, if nothing is said of that: the artifact was moved.
    """
    listed = list(entries)
    known: set[int] = set()
    for some in parts([one.key for one in listed]):
        there = select(artifact.c.key).where(artifact.c.key.in_(some))
        known.update(connection.execute(there).scalars())
    lost = {one.id: one for one in listed if one.key not in known}
    moved: dict[int, UserData] = {}
    for names in parts(sorted(lost)):
        there = (
            select(artifact.c.id, artifact.c.type, artifact.c.location, artifact.c.digest)
            .outerjoin(user_data, user_data.c.key == artifact.c.key)
            .where(artifact.c.id.in_(names), user_data.c.key.is_(None))
        )
        for name, kind, location, digest in connection.execute(there):
            before = lost[name]
            if kind == before.type:
                place = digest if kind == "model" else location
                moved[before.key] = before.model_copy(update={"location": place})
    return [moved.get(one.key, one) for one in listed]


def _artifacts(
    connection: Connection, keys: Sequence[int]
) -> Iterator[tuple[int, UserData, frozenset[str]]]:
    columns = artifact.c
    wanted = select(
        columns.key, columns.type, columns.id, columns.location, columns.digest, columns.shape
    ).where(columns.key.in_(keys))
    rows = connection.execute(wanted).all()
    tags = search_text.automatic_tags_of(connection, {row.shape for row in rows})
    for row in rows:
        place = row.digest if row.type == "model" else row.location
        blank = UserData.model_construct(type=row.type, id=row.id, location=place)
        yield row.key, blank, frozenset(tags.get(row.shape, ()))


def _row(one: UserData) -> dict[str, Any]:
    return {
        "key": one.key,
        "type": one.type,
        "id": one.id,
        "location": one.location,
        "title": one.title,
        "note": one.note,
        "owner": one.owner,
        "pinned": one.pinned,
        "archived": one.archived,
    }


def _tag_rows(entries: Iterable[UserData]) -> Iterator[dict[str, Any]]:
    for one in entries:
        for tags, is_removed in ((one.removed_tags, True), (one.tags, False)):
            for tag in dict.fromkeys(tags):
                yield {"key": one.key, "tag": tag, "removed": is_removed}


def _follow(connection: Connection, entries: Sequence[UserData]) -> None:
    """Bring the rows that lists read up to what users say."""
    automatic: dict[int, str] = {}
    for some in parts([one.key for one in entries]):
        known = select(detail.c.key, detail.c.title).where(detail.c.key.in_(some))
        automatic.update({row.key: row.title for row in connection.execute(known)})
    rows = [
        {
            "of": one.key,
            "new_title": one.title or automatic[one.key],
            "is_archived": one.archived,
            "new_visibility": Visibility.of("complete", archived=one.archived).value,
            "is_pinned": one.pinned,
        }
        for one in entries
        if one.key in automatic
    ]
    if not rows:
        return
    following = (
        update(artifact)
        .where(artifact.c.key == bindparam("of"))
        .values(
            title=bindparam("new_title"),
            archived=bindparam("is_archived"),
            visibility=case(
                (artifact.c.state != "complete", Visibility.NOT_USABLE.value),
                else_=bindparam("new_visibility"),
            ),
            pinned=bindparam("is_pinned"),
        )
    )
    connection.execute(following, rows)
    search_text.rewrite(connection, [*automatic])
