"""Filters: a SQL condition becomes typed Polars expressions, or is refused in plain words."""
