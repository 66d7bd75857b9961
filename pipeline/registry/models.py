"""Derive the models of the registry from its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from pipeline.registry.database.search_text import automatic_tags_of
from pipeline.registry.database.statements import parts, select_described
from pipeline.registry.database.tables import artifact, detail
from pipeline.registry.records.artifact import ArtifactRecord, instant_of
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
) -> Iterator[ArtifactRecord]:
    """Yield the models of some runs, described by what was found in these, not by users."""
    columns = (*artifact.c, *(column for column in detail.c if column.name not in artifact.c))
    automatic_title = detail.c.title.label("automatic_title")
    wanted = select_described([*runs.values()], *columns, automatic_title)
    rows = {row.key: row for row in connection.execute(wanted)}
    tags = automatic_tags_of(connection, {row.shape for row in rows.values()})
    for name, key in runs.items():
        row = rows[key]
        run = ArtifactRecord(
            type="run",
            name=row.name,
            mark=row.mark,
            location=row.location,
            title=row.automatic_title,
            folder=row.folder,
            description=row.description,
            created=instant_of(row.created),
            modified=instant_of(row.modified),
            source=row.source,
            template_id=row.template_id,
            model_hash=hashes[name],
            metadata=json.loads(row.metadata),
            files=tuple(json.loads(row.files)),
            terms=frozenset(("tag", tag) for tag in tags.get(row.shape, ())),
        )
        model = record_of_model(run)
        if model is not None:
            yield model
