"""The rows of an export: column types, metadata columns, filters and layouts."""
