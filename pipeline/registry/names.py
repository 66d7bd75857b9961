"""Ids of artifacts: the name alone where no other has it, else the name with a mark.

What cannot be used never takes an id from an artifact that can, and no artifact takes the address
of a route, or an id that another one has by its mark.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    update,
)

from pipeline.registry.database.statements import is_among
from pipeline.registry.database.tables import artifact
from pipeline.registry.records.artifact import ArtifactRecord, always_has_mark

_COMPLETE = artifact.c.state == "complete"
_ASIDE = "\n"
"""What an id begins with while its row is moved: no name holds it."""


class RegisteredName(NamedTuple):
    """What an artifact that is in the registry is called.

    Attributes:
        id: Its id.
        name: Its name.
    """

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class AssignedIds:
    """Ids of artifacts that are about to be written.

    Attributes:
        of_records: The id of each of them, by its key.
        renamed: Keys of other artifacts, which have got new ids.
    """

    of_records: Mapping[int, str]
    renamed: Collection[int]


def assign_ids(
    connection: Connection,
    records: Sequence[ArtifactRecord],
    *,
    before: Mapping[int, RegisteredName],
) -> AssignedIds:
    """Return the ids of artifacts that are about to be written, and rename others where need be.

    Args:
        connection: A connection that may write.
        records: The artifacts.
        before: What those of them that are in the registry already are called, by their keys.
    """
    wanted = [_Named(one.key, one.name, one.mark, one.state == "complete") for one in records]
    names = {one.name for one in wanted} | {one.name for one in before.values()}
    counts = _counts(connection, names, [one.key for one in wanted])
    for one in wanted:
        counts[one.name].add(is_usable=one.is_usable)
    others = _misnamed(connection, counts, [one.key for one in wanted])
    ids = _distinct(connection, [*others, *wanted], counts)
    moved = [one.key for one in others]
    moved += [key for key, row in before.items() if ids[key] != row.id]
    _step_aside(connection, moved)
    _rename(connection, others, ids)
    return AssignedIds({one.key: ids[one.key] for one in wanted}, [one.key for one in others])


def free_names(connection: Connection, names: Collection[str]) -> Collection[int]:
    """Rename the artifacts that share names with others that were removed.

    Args:
        connection: A connection that may write.
        names: The names.

    Returns:
        The keys of what was renamed.
    """
    counts = _counts(connection, names, [])
    others = _misnamed(connection, counts, [])
    ids = _distinct(connection, others, counts)
    _step_aside(connection, [one.key for one in others])
    _rename(connection, others, ids)
    return [one.key for one in others]


@dataclass(frozen=True, slots=True)
class _Named:
    """An artifact, as far as its id depends on it."""

    key: int
    name: str
    mark: str
    is_usable: bool


@dataclass(slots=True)
class _Count:
    """How many artifacts have one name.

    Attributes:
        is_marked: Whether the name is never an id by itself.
        usable: Those that can be used.
        rest: The others.
    """

    is_marked: bool
    usable: int = 0
    rest: int = 0

    def add(self, *, is_usable: bool) -> None:
        """Count another one."""
        if is_usable:
            self.usable += 1
        else:
            self.rest += 1

    def has_plain(self, *, is_usable: bool) -> bool:
        """Return whether the name alone goes to an artifact that can be used, or to another.

        It goes to the only one that can be used, else to the only one.
        """
        if self.is_marked:
            return False
        if is_usable:
            return self.usable == 1
        return self.usable == 0 and self.rest == 1


def _counts(
    connection: Connection, names: Collection[str], written: Collection[int]
) -> dict[str, _Count]:
    """Count the artifacts of some names that are in the registry and are not written now."""
    counts = {name: _Count(always_has_mark(name)) for name in names}
    counting = (
        select(artifact.c.name, func.sum(case((_COMPLETE, 1), else_=0)), func.count())
        .where(is_among(connection, artifact.c.name, names), _others(connection, written))
        .group_by(artifact.c.name)
    )
    for name, usable, number in connection.execute(counting):
        counts[name].usable = int(usable)
        counts[name].rest = int(number) - int(usable)
    return counts


def _misnamed(
    connection: Connection, counts: Mapping[str, _Count], written: Collection[int]
) -> list[_Named]:
    """Return the artifacts of some names that are not written now and need another id.

    These are two of a name at most: the one that has it alone, and the one that is to have it.
    """
    owned = [name for name, count in counts.items() if count.has_plain(is_usable=True)]
    lone = [name for name, count in counts.items() if count.has_plain(is_usable=False)]
    has_name_alone = artifact.c.id == artifact.c.name
    deserves_it = or_(
        and_(is_among(connection, artifact.c.name, owned), _COMPLETE),
        is_among(connection, artifact.c.name, lone),
    )
    columns = (artifact.c.key, artifact.c.name, artifact.c.mark, _COMPLETE)
    wanted = select(*columns).where(
        is_among(connection, artifact.c.name, [*counts]),
        _others(connection, written),
        or_(and_(has_name_alone, ~deserves_it), and_(~has_name_alone, deserves_it)),
    )
    rows = connection.execute(wanted)
    return [_Named(key, name, mark, bool(is_usable)) for key, name, mark, is_usable in rows]


def _others(connection: Connection, written: Collection[int]) -> ColumnElement[bool]:
    return ~is_among(connection, artifact.c.key, written)


def _distinct(
    connection: Connection, wanted: Sequence[_Named], counts: Mapping[str, _Count]
) -> dict[int, str]:
    """Return an id for each artifact that no other has; of equal marks one gives way."""
    ids = {
        one.key: one.name
        if counts[one.name].has_plain(is_usable=one.is_usable)
        else f"{one.name}~{one.mark}"
        for one in wanted
    }
    there = select(artifact.c.id, artifact.c.key)
    rows = connection.execute(there.where(is_among(connection, artifact.c.id, {*ids.values()})))
    taken = {name: key for name, key in rows if key not in ids}
    for one in wanted:
        if taken.setdefault(ids[one.key], one.key) != one.key:
            ids[one.key] = f"{one.name}~{one.key:016x}"
    return ids


def _step_aside(connection: Connection, keys: Collection[int]) -> None:
    """Free the ids of rows that get another one: two rows may swap theirs."""
    if keys:
        aside = update(artifact).where(is_among(connection, artifact.c.key, keys))
        connection.execute(aside.values(id=literal(_ASIDE) + cast(artifact.c.key, String)))


def _rename(connection: Connection, others: Iterable[_Named], ids: Mapping[int, str]) -> None:
    values = [{"renamed": one.key, "new_id": ids[one.key]} for one in others]
    if values:
        renaming = update(artifact).where(artifact.c.key == bindparam("renamed"))
        connection.execute(renaming.values(id=bindparam("new_id")), values)
