"""Ids of artifacts: the name alone where no other has it, else the name with a mark.

What cannot be used never takes an id from an artifact that can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import (
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

from pipeline.registry.database.statements import parts
from pipeline.registry.database.tables import artifact
from pipeline.registry.records.artifact import ArtifactRecord

_COMPLETE = artifact.c.state == "complete"


def assign_ids(
    connection: Connection, records: Sequence[ArtifactRecord], freed: Iterable[str] = ()
) -> dict[int, str]:
    """Return the ids of artifacts that are about to be written, and rename others where need be.

    Args:
        connection: A connection that may write.
        records: The artifacts.
        freed: Names of artifacts that were removed.

    Returns:
        The id of each of the records, by its key.
    """
    names = sorted({*freed, *(one.name for one in records)})
    written = {one.key for one in records}
    complete = Counter(one.name for one in records if one.state == "complete")
    rest = Counter(one.name for one in records if one.state != "complete")
    for some in parts(names):
        _count_others(connection, some, written, complete, rest)
    # The name alone goes to the only artifact of it that can be used, else to the only one.
    plain = {name: True for name in names if complete[name] == 1}
    plain |= {name: False for name in names if complete[name] == 0 and rest[name] == 1}
    for some in parts(names):
        _rename_others(connection, some, written, plain)
    wanted = {
        one.key: one.name
        if plain.get(one.name) is (one.state == "complete")
        else f"{one.name}~{one.mark}"
        for one in records
    }
    _refuse_taken(connection, records, wanted)
    _step_aside(connection, wanted)
    return wanted


def _count_others(
    connection: Connection,
    names: Sequence[str],
    written: set[int],
    complete: Counter[str],
    rest: Counter[str],
) -> None:
    """Count the artifacts of some names that are in the registry and are not written now."""
    counts = (
        select(artifact.c.name, func.sum(case((_COMPLETE, 1), else_=0)), func.count())
        .where(artifact.c.name.in_(names), artifact.c.key.not_in(written))
        .group_by(artifact.c.name)
    )
    for name, usable, number in connection.execute(counts):
        complete[name] += int(usable)
        rest[name] += int(number) - int(usable)


def _rename_others(
    connection: Connection, names: Sequence[str], written: set[int], plain: Mapping[str, bool]
) -> None:
    owned = [name for name in names if plain.get(name) is True]
    lone = [name for name in names if plain.get(name) is False]
    others = (artifact.c.name.in_(names), artifact.c.key.not_in(written))
    has_name_alone = artifact.c.id == artifact.c.name
    deserves_it = or_(and_(artifact.c.name.in_(owned), _COMPLETE), artifact.c.name.in_(lone))
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


def _refuse_taken(
    connection: Connection, records: Sequence[ArtifactRecord], wanted: dict[int, str]
) -> None:
    """Give another id to an artifact whose id is taken by another name."""
    taken: dict[str, int] = {}
    for some in parts([*dict.fromkeys(wanted.values())]):
        there = select(artifact.c.id, artifact.c.key).where(artifact.c.id.in_(some))
        taken.update({name: key for name, key in connection.execute(there) if key not in wanted})
    for one in records:
        if taken.setdefault(wanted[one.key], one.key) != one.key:
            wanted[one.key] = f"{one.name}~{one.key:016x}"


def _step_aside(connection: Connection, wanted: Mapping[int, str]) -> None:
    """Free the ids of rows that get another one: two rows may swap theirs."""
    for some in parts([*wanted]):
        there = select(artifact.c.key, artifact.c.id).where(artifact.c.key.in_(some))
        moved = [{"moved": k} for k, name in connection.execute(there) if wanted[k] != name]
        if moved:
            aside = update(artifact).where(artifact.c.key == bindparam("moved"))
            connection.execute(aside.values(id=literal("~") + cast(artifact.c.key, String)), moved)
