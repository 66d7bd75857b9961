"""The database of the registry: connections, tables, migrations and the index of texts."""
