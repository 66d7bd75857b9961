"""Lay out the schema and the metadata of a Parquet file."""

from __future__ import annotations

import base64
import json

import pyarrow as pa

from pipeline.rows.column import Column, Table

FOOTER_PREFIX = "flowtime."
ARROW_TYPES: dict[str, pa.DataType] = {
    "timestamp": pa.timestamp("us", "UTC"),
    "number": pa.float64(),
    "integer": pa.int64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
}
_CODES = pa.dictionary(pa.int32(), pa.string())


def written_schema(table: Table) -> pa.Schema:
    """Return the Arrow schema that the rows of a table are encoded from: text as dictionaries."""
    return pa.schema([_written_field(column) for column in table.columns])


def footer_metadata(table: Table, rows: int) -> dict[str, str]:
    """Return the key-value pairs of a footer.

    Args:
        table: What the file holds.
        rows: How many rows it has.
    """
    own = {FOOTER_PREFIX + key: json.dumps(value) for key, value in table.metadata.items()}
    own[FOOTER_PREFIX + "rows"] = json.dumps(rows)
    return {"ARROW:schema": _declared_schema(table), **own}


def _written_field(column: Column) -> pa.Field:
    return pa.field(column.name, _CODES if column.type == "text" else ARROW_TYPES[column.type])


def _declared_schema(table: Table) -> str:
    """Return the Arrow schema that readers see: plain strings, and units on the fields.

    Arrow keeps field metadata in the file's `ARROW:schema` entry, an IPC schema message in
    base64. Writing it here lets text be written from dictionaries and still be read as strings.
    """
    fields = [
        pa.field(
            column.name,
            ARROW_TYPES[column.type],
            metadata=None if column.unit is None else {"unit": column.unit},
        )
        for column in table.columns
    ]
    return base64.b64encode(pa.schema(fields).serialize().to_pybytes()).decode("ascii")
