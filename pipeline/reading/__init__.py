"""The source of an export, before rows are read: which runs, which series files, and rechecks."""
