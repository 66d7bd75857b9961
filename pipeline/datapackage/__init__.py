"""The descriptor beside every export: files, table specs and run records."""
