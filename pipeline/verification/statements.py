"""Compare what a descriptor says of a file with what an export says of such a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from connectors.flowtime.parse.schema import clip
from pipeline.datapackage.descriptor import ExportedFile, statements_of, table_resources
from pipeline.datapackage.table_spec import TextOptions
from pipeline.errors import IntegrityError
from pipeline.readback.row_order import RowOrder
from pipeline.readback.tables import TableFile
from pipeline.sinks import CsvSink, NdjsonSink, ParquetSink, Sink
from pipeline.sinks.compression import SUFFIXES, Compression

_FRACTIONS = ".%f"


def check_statements(file: TableFile, order: RowOrder) -> None:
    """Compare format, schema and dialect of a file's resource with what its rows are.

    What other tools have added to the resource is passed over.

    Args:
        file: The file; its units alone are compared where no descriptor names it.
        order: The rows of its table.

    Raises:
        IntegrityError: Something differs, so that other readers would misunderstand the file.
    """
    contents = order.contents
    _check_units(file, order)
    if file.statements is None:
        return
    if file.non_finite is None:
        raise IntegrityError(f"{file.url}: nonFiniteCount is missing in the descriptor")
    for where, found, expected in _differences(file.statements, _expected(file, contents.options)):
        says = "does not say so" if found is None else f"says {clip(found)}"
        raise IntegrityError(
            f"{file.url}: {where} should be {clip(expected)}; the descriptor {says}"
        )


def _check_units(file: TableFile, order: RowOrder) -> None:
    """Compare units with those of the runs; one that other runs of the export lack is not shown."""
    for column in file.columns:
        unit = order.units[column.name]
        if column.unit not in (None, unit):
            raise IntegrityError(
                f"{file.url}: column {column.name!r} should be in {unit or 'no single unit'}, "
                f"is in {clip(column.unit)}"
            )


def _expected(file: TableFile, options: TextOptions) -> dict[str, Any]:
    """Return the resource that an export writes for a file."""
    assert file.statements is not None
    fields = file.statements["schema"]["fields"]
    with_fractions = {field["name"] for field in fields if _FRACTIONS in str(field.get("format"))}
    columns = [
        replace(column, has_fractions=column.name in with_fractions) for column in file.columns
    ]
    described = ExportedFile(
        path=file.path,
        size=file.stored.size or 0,
        sha256=file.stored.sha256 or "",
        rows=file.rows or 0,
        non_finite=file.non_finite or 0,
        partition={},
        header_row=file.header_row,
    )
    (resource,) = table_resources({}, _sink(file, options), columns, [described])
    return statements_of(resource)


def _sink(file: TableFile, options: TextOptions) -> Sink:
    """Return a sink that writes such files; its options are not checked again."""
    codec = "" if file.stored.codec is None else f".{file.stored.codec}"
    compression: Compression = next(name for name, suffix in SUFFIXES.items() if suffix == codec)
    if file.format == "csv":
        return CsvSink.model_construct(
            format="csv",
            separator=options.separator,
            decimal=options.decimal,
            quote=options.quote,
            null_value=options.null_value,
            metadata_header=file.has_comments,
            compression=compression,
        )
    if file.format == "ndjson":
        return NdjsonSink.model_construct(format="ndjson", compression=compression)
    return ParquetSink.model_construct(format="parquet")


def _differences(found: Any, expected: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield where a JSON value lacks what is expected: the place, what is there, what should be."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key, value in expected.items():
            yield from _differences(found.get(key), value, f"{where}.{key}".lstrip("."))
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        for place, value in enumerate(expected):
            yield from _differences(found[place], value, f"{where}[{place}]")
    elif type(found) is not type(expected) or found != expected:
        yield where, found, expected
