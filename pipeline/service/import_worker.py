"""A process that imports what it is told."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from connectors.storage import StorageOptions
from pipeline.errors import ConfigError, FlowtimeExportError
from pipeline.foreign import ForeignDataError, ForeignOptions, Problem
from pipeline.ingest import ImportOptions, import_export
from pipeline.service.import_order import ImportOrder, ImportWishes
from pipeline.service.orders import Events, limit_memory, serve_orders, tell_outcome


def _serve(line: str, events: Events) -> None:
    order = ImportOrder.model_validate_json(line)
    limit_memory(order.address_space)
    tell_outcome(events, lambda: _imported(order), "the import", _problems)


def _imported(order: ImportOrder) -> dict[str, Any]:
    storage = None
    if order.storage is not None:
        storage = StorageOptions("imports", order.protocol, order.storage)
    options = _options(order.wishes)
    return import_export(order.sources, order.out, options, out_storage=storage).as_json()


def _options(wishes: ImportWishes) -> ImportOptions:
    try:
        foreign = ForeignOptions.of(**wishes.of_tables())
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in fault["loc"]) or "options"
        raise ConfigError(f"{name}: {fault['msg'].removeprefix('Value error, ')}") from None
    return ImportOptions(
        if_exists=wishes.if_exists,
        partial=wishes.partial,
        values_only=wishes.values_only,
        as_telemetry=wishes.as_telemetry,
        foreign=foreign,
        dry_run=wishes.dry_run,
    )


def _problems(error: FlowtimeExportError) -> dict[str, Any]:
    """The report of a table that cannot become a run."""
    if not isinstance(error, ForeignDataError):
        return {}
    problems = [_problem(one) for one in error.report.problems]
    return {"problems": problems, "problem_counts": error.report.counts}


def _problem(one: Problem) -> dict[str, str]:
    where = _where(one.file, one.line, one.column)
    return {"where": where, "message": one.found, "hint": one.expected}


def _where(file: str, line: int | None, column: str | None) -> str:
    parts = [file.rpartition("/")[2] or "the table"]
    if line is not None:
        parts.append(f"line {line:,}")
    if column is not None:
        parts.append(f"column {column}")
    return ", ".join(parts)


if __name__ == "__main__":
    serve_orders(_serve)
