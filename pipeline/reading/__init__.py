"""The source of an export: its runs, its series files and rechecks after a fault."""
