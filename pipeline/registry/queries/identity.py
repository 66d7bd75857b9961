"""Find artifacts by their ids."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from pipeline.errors import UnknownArtifactError
from pipeline.registry.database.statements import is_plain, parts
from pipeline.registry.database.tables import artifact

_MOST_SHOWN = 5


def keys_by_id(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Return the keys of those artifacts that are there, by their ids."""
    found: dict[str, int] = {}
    for some in parts([one for one in ids if is_plain(one)]):
        known = select(artifact.c.id, artifact.c.key).where(artifact.c.id.in_(some))
        found.update((row.id, row.key) for row in connection.execute(known))
    return found


def unknown_artifact(connection: Connection, artifact_id: str) -> UnknownArtifactError:
    """Return the error of an id that is none, with the ids that may be meant."""
    same: tuple[str, ...] = ()
    if is_plain(artifact_id):
        alike = select(artifact.c.id).where(artifact.c.name == artifact_id)
        same = tuple(connection.execute(alike.order_by(artifact.c.id).limit(_MOST_SHOWN)).scalars())
    hint = f": several are called so: {', '.join(same)}" if same else ""
    return UnknownArtifactError(f"Artifact '{artifact_id}' not found{hint}")
