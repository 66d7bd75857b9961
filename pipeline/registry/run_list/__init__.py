"""The list of the runs below one folder, in a registry in SQLite: kept, searched, sorted, paged."""
