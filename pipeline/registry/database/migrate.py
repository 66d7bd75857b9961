"""Bring a database to the present schema, by Alembic's migrations."""

from __future__ import annotations

from sqlalchemy import Connection

KNOWN = ("0001", "0002", "0003")
"""The migrations, the oldest first."""

HEAD = KNOWN[-1]
"""The newest migration; a database at it is not looked at any further."""


def migrate(connection: Connection) -> None:
    """Apply the migrations that a database has not seen, within the transaction that is open.

    Args:
        connection: A connection that may change the schema.
    """
    # Imported when needed: most openings find the schema as it should be.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "pipeline.registry.database:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
