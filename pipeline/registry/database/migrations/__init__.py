"""Migrations of the registry's schema, for Alembic."""
