"""Definitions, tolerances and metrics of differences, computed block by block."""
