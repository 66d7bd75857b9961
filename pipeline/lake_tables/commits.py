"""Recognise commits to lake tables: those of this export, and those that overtook it."""

from __future__ import annotations

from pipeline.errors import PublishConflictError

WRITE_ID = "flowtime.writeId"
"""Property of a commit that holds its `TableChange.write_id`."""


def overtaken(url: str, kind: str) -> PublishConflictError:
    """Return the error of an export that another writer's commit has overtaken.

    Args:
        url: The table for people.
        kind: Name of its format for people.
    """
    return PublishConflictError(
        f"{url}: another writer has committed to the {kind} table since this export began; nothing "
        "was changed: run it again, and one exporter of a table at a time"
    )
