"""Schemas and partition specs of Iceberg tables, and their changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import SinkError
from pipeline.lake_tables.contract import TableChange
from pipeline.rows.column import Column, ColumnType

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table, Transaction
    from pyiceberg.types import PrimitiveType

NAME_MAPPING = "schema.name-mapping.default"
"""Property of a table by which readers find columns in files that have names alone."""

_RETRIES = "commit.retry.num-retries"
_FIRST_PARTITION_FIELD = 1000


def schema(columns: Sequence[Column]) -> Schema:
    """Return the schema of a new table."""
    from pyiceberg.schema import Schema  # noqa: PLC0415 an extra
    from pyiceberg.types import NestedField  # noqa: PLC0415

    return Schema(
        *(
            NestedField(number, column.name, _type(column.type), required=False, doc=column.unit)
            for number, column in enumerate(columns, start=1)
        )
    )


def spec(of: Schema, partition_by: Sequence[str]) -> PartitionSpec:
    """Return the partition spec of a new table."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec  # noqa: PLC0415 an extra
    from pyiceberg.transforms import IdentityTransform  # noqa: PLC0415

    return PartitionSpec(
        *(
            PartitionField(of.find_field(name).field_id, number, IdentityTransform(), name)
            for number, name in enumerate(partition_by, start=_FIRST_PARTITION_FIELD)
        )
    )


def strict_transaction(table: Table) -> Transaction:
    """Return a transaction that fails where another commit was faster, and is not tried again."""
    # In this object alone: pyiceberg would lay the change over the other commit, and the runs of
    # two exporters would be in the table twice.
    table.metadata.properties[_RETRIES] = "0"
    return table.transaction()


def evolve(transaction: Transaction, change: TableChange) -> None:
    """Give a table the columns and partitions of a change, as a part of its commit.

    A column that the table was ever partitioned by stays, as pyiceberg needs it to find the files
    that were written then; new files do not have it.

    Raises:
        SinkError: The type of such a column would change.
    """
    before = transaction.table_metadata
    columns = {column.name: column for column in change.columns}
    fields = {one.name: one for one in before.schema().fields}
    pinned = {field.source_id for one in before.specs().values() for field in one.fields}
    other = [
        name
        for name, field in fields.items()
        if name in columns and field.field_type != _type(columns[name].type)
    ]
    if kept := sorted(name for name in other if fields[name].field_id in pinned):
        raise SinkError(
            f"table {change.name}: column {kept[0]!r} would have another type, and the table was "
            "partitioned by it: choose another table"
        )
    gone = [
        name
        for name, field in fields.items()
        if name in other or (name not in columns and field.field_id not in pinned)
    ]
    new = [name for name in columns if name not in fields or name in other]
    partitions = [one.name for one in before.spec().fields]
    is_repartitioned = partitions != list(change.partition_by)
    if is_repartitioned:
        with transaction.update_spec() as spec_update:
            for name in partitions:
                spec_update.remove_field(name)
    if gone:
        with transaction.update_schema(allow_incompatible_changes=True) as schema_update:
            for name in gone:
                schema_update.delete_column(name)
    if new:
        with transaction.update_schema() as schema_update:
            for name in new:
                schema_update.add_column(name, _type(columns[name].type), doc=columns[name].unit)
    if is_repartitioned:
        with transaction.update_spec() as spec_update:
            for name in change.partition_by:
                spec_update.add_identity(name)
    mapping = transaction.table_metadata.schema().name_mapping.model_dump_json()
    if transaction.table_metadata.properties.get(NAME_MAPPING) != mapping:
        transaction.set_properties({NAME_MAPPING: mapping})


def _type(of: ColumnType) -> PrimitiveType:
    from pyiceberg import types  # noqa: PLC0415 an extra

    made: dict[ColumnType, PrimitiveType] = {
        "timestamp": types.TimestamptzType(),
        "number": types.DoubleType(),
        "integer": types.LongType(),
        "text": types.StringType(),
        "boolean": types.BooleanType(),
    }
    return made[of]
