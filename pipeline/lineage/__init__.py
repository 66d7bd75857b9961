"""OpenLineage events of exports: what was read, what was written, and how it ended."""
