"""Derive the models of the registry from its runs."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from pipeline.registry.database.statements import parts
from pipeline.registry.database.tables import artifact
from pipeline.registry.queries.loading import artifacts
from pipeline.registry.records.artifact import ArtifactRecord
from pipeline.registry.records.run_records import record_of_model
from pipeline.registry.register import register, remove


def tidy_models(connection: Connection) -> int:
    """Forget models without runs; describe those anew whose describing run is gone.

    Returns:
        How many were forgotten.
    """
    model, run = artifact.alias("model"), artifact.alias("run")
    describing = (run.c.model_id == model.c.name) & (run.c.location == model.c.location)
    undescribed = select(model.c.key, model.c.name, model.c.digest).where(
        model.c.type == "model", ~select(run.c.key).where(describing).exists()
    )
    forgotten = 0
    for some in parts(connection.execute(undescribed).all()):
        hashes = {name: digest for _, name, digest in some}
        runs = _first_runs(connection, [*hashes])
        gone = [key for key, name, _ in some if name not in runs]
        remove(connection, gone)
        forgotten += len(gone)
        register(connection, _models(connection, runs, hashes))
    return forgotten


def _first_runs(connection: Connection, names: list[str]) -> dict[str, int]:
    """Return the run of the smallest location of each model."""
    columns = artifact.c
    first = (
        select(columns.model_id, func.min(columns.location).label("location"))
        .where(columns.model_id.in_(names))
        .group_by(columns.model_id)
        .subquery()
    )
    wanted = select(columns.model_id, columns.key).join(
        first, (first.c.model_id == columns.model_id) & (first.c.location == columns.location)
    )
    return {row.model_id: row.key for row in connection.execute(wanted)}


def _models(
    connection: Connection, runs: dict[str, int], hashes: dict[str, str]
) -> Iterable[ArtifactRecord]:
    for one, name in zip(artifacts(connection, [*runs.values()]), runs, strict=True):
        template = one.metadata.get("templateId")
        run = ArtifactRecord(
            type="run",
            name=one.id,
            mark="",
            location=one.location,
            title=one.title,
            description=one.description,
            created=one.created,
            modified=one.modified,
            source=one.source,
            template_id=template if isinstance(template, str) else None,
            model_hash=hashes[name],
            metadata=one.metadata,
            files=one.files,
            terms=frozenset(("tag", tag) for tag in one.tags),
        )
        model = record_of_model(run)
        if model is not None:
            yield model
