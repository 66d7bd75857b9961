"""Run migrations in the transaction of the connection that asks for them."""

from __future__ import annotations

from alembic import context

from pipeline.registry.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds all of it
)
context.run_migrations()
