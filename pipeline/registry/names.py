"""Ids of artifacts: the name alone where no other has it, else the name with a mark.

What cannot be used never takes an id from an artifact that can, and no artifact takes the address
of a route.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
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
from pipeline.registry.records.artifact import MARKED_NAMES, ArtifactRecord

_COMPLETE = artifact.c.state == "complete"


def assign_ids(
    connection: Connection, records: Sequence[ArtifactRecord], *, before: Mapping[int, str]
) -> dict[int, str]:
    """Return the ids of artifacts that are about to be written, and rename others where need be.

    Args:
        connection: A connection that may write.
        records: The artifacts.
        before: The ids of those of them that are in the registry already, by their keys.

    Returns:
        The id of each of the records, by its key.
    """
    written = [one.key for one in records]
    counts = _counts(connection, {one.name for one in records}, written)
    have_others = [*counts]
    for one in records:
        count = counts.setdefault(one.name, _Count(is_marked=one.name in MARKED_NAMES))
        if one.state == "complete":
            count.usable += 1
        else:
            count.rest += 1
    _rename(connection, have_others, counts, written)
    wanted = {
        one.key: one.name
        if counts[one.name].has_plain(is_usable=one.state == "complete")
        else f"{one.name}~{one.mark}"
        for one in records
    }
    _refuse_taken(connection, records, wanted)
    _step_aside(connection, wanted, before)
    return wanted


def free_names(connection: Connection, names: Collection[str]) -> None:
    """Rename the artifacts that share names with others that were removed.

    Args:
        connection: A connection that may write.
        names: The names.
    """
    counts = _counts(connection, names, [])
    _rename(connection, [*counts], counts, [])


@dataclass(slots=True)
class _Count:
    """How many artifacts have one name.

    Attributes:
        usable: Those that can be used.
        rest: The others.
        is_marked: Whether the name is never an id by itself.
    """

    usable: int = 0
    rest: int = 0
    is_marked: bool = False

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
    counts = (
        select(artifact.c.name, func.sum(case((_COMPLETE, 1), else_=0)), func.count())
        .where(is_among(connection, artifact.c.name, names), _others(connection, written))
        .group_by(artifact.c.name)
    )
    return {
        name: _Count(int(usable), int(number) - int(usable), name in MARKED_NAMES)
        for name, usable, number in connection.execute(counts)
    }


def _rename(
    connection: Connection,
    names: Sequence[str],
    counts: Mapping[str, _Count],
    written: Collection[int],
) -> None:
    """Give the artifacts of some names that are not written now the ids that are due to them."""
    if not names:
        return
    owned = [name for name in names if counts[name].has_plain(is_usable=True)]
    lone = [name for name in names if counts[name].has_plain(is_usable=False)]
    others = (is_among(connection, artifact.c.name, names), _others(connection, written))
    has_name_alone = artifact.c.id == artifact.c.name
    deserves_it = or_(
        and_(is_among(connection, artifact.c.name, owned), _COMPLETE),
        is_among(connection, artifact.c.name, lone),
    )
    marking = (
        update(artifact)
        .where(*others, has_name_alone, ~deserves_it)
        .values(id=artifact.c.name + "~" + artifact.c.mark)
    )
    connection.execute(marking)
    unmarking = (
        update(artifact).where(*others, ~has_name_alone, deserves_it).values(id=artifact.c.name)
    )
    connection.execute(unmarking)


def _others(connection: Connection, written: Collection[int]) -> ColumnElement[bool]:
    return ~is_among(connection, artifact.c.key, written)


def _refuse_taken(
    connection: Connection, records: Sequence[ArtifactRecord], wanted: dict[int, str]
) -> None:
    """Give another id to an artifact whose id is taken by another name."""
    there = select(artifact.c.id, artifact.c.key)
    rows = connection.execute(there.where(is_among(connection, artifact.c.id, {*wanted.values()})))
    taken = {name: key for name, key in rows if key not in wanted}
    for one in records:
        if taken.setdefault(wanted[one.key], one.key) != one.key:
            wanted[one.key] = f"{one.name}~{one.key:016x}"


def _step_aside(
    connection: Connection, wanted: Mapping[int, str], before: Mapping[int, str]
) -> None:
    """Free the ids of rows that get another one: two rows may swap theirs."""
    moved = [key for key, name in before.items() if wanted[key] != name]
    if moved:
        aside = update(artifact).where(is_among(connection, artifact.c.key, moved))
        connection.execute(aside.values(id=literal("~") + cast(artifact.c.key, String)))
