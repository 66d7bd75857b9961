"""Import uploaded files within a worker process."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from connectors.storage import scratch_below
from pipeline.errors import ConfigError, FlowtimeExportError, NotFoundError
from pipeline.imports import ImportedRun, ImportOptions, import_export
from pipeline.imports.telemetry import ForeignDataError, ForeignOptions, TableProblem
from pipeline.service.errors import UnprocessableError, failure
from pipeline.service.jobs.import_order import (
    ImportedRunBody,
    ImportOrder,
    ImportResult,
    ImportWishes,
    ProblemBody,
)
from pipeline.wording import first_fault_of

_CORRECT = "correct the file, or change the options"
_REPORT_NOTE = ": see the report)"
_OPTION = re.compile(r"--(as-telemetry|values-only|partial)\b")


def imported(order: ImportOrder, publishing: Callable[[], None]) -> dict[str, Any]:
    """Import files, and return an `ImportResult` as plain data, with `notes`.

    Args:
        order: The order.
        publishing: Called when everything is checked, before the first run becomes visible.

    Raises:
        FlowtimeExportError: They cannot become runs, or a store failed.
    """
    sources = [f"{order.files}/{name}" for name in order.request.sources]
    options = _options(order.request.wishes)
    with scratch_below(Path(order.scratch)):
        report = import_export(
            sources, order.out, options, out_storage=order.storage_options, publishing=publishing
        )
    result = ImportResult(kind=report.kind, runs=tuple(_run(run) for run in report.runs))
    notes = [str(note) for note in report.notes]
    return {**result.model_dump(mode="json", by_alias=False), "notes": notes}


def import_failure(order: ImportOrder, error: FlowtimeExportError) -> dict[str, Any]:
    """Return why files could not become runs, with the file names that the client sent."""
    if isinstance(error, NotFoundError) and error.url.startswith(f"{order.files}/"):
        error = UnprocessableError(
            f"{error.url} was not sent", "send it with the others", code="import-rejected"
        )
    found = failure(error)
    if type(error) is not UnprocessableError and found["status"] == UnprocessableError.status:
        found |= {"hint": _CORRECT, "code": "import-rejected"}
    found["error"] = _as_sent(order, found["error"])
    if isinstance(error, ForeignDataError):
        problems = (_problem(one) for one in error.report.problems)
        found["problems"] = [one.model_dump(mode="json", by_alias=False) for one in problems]
        found["problem_counts"] = error.report.counts
    return found


def _as_sent(order: ImportOrder, text: str) -> str:
    """Return a message with the file names that were sent, and form fields instead of options."""
    text = text.replace(f"{order.files}/", "").replace(_REPORT_NOTE, ")")
    return _OPTION.sub(_field, text)


def _field(option: re.Match[str]) -> str:
    first, *rest = option[1].split("-")
    return first + "".join(word.capitalize() for word in rest) + "=true"


def _options(wishes: ImportWishes) -> ImportOptions:
    try:
        foreign = ForeignOptions.of(**wishes.of_tables())
    except ValidationError as error:
        raise ConfigError(first_fault_of(error)) from None
    return ImportOptions(
        if_exists=wishes.if_exists,
        partial=wishes.partial,
        values_only=wishes.values_only,
        as_telemetry=wishes.as_telemetry,
        foreign=foreign,
        dry_run=wishes.dry_run,
    )


def _run(run: ImportedRun) -> ImportedRunBody:
    notes = []
    if run.matched:
        notes.append(f"{run.matched} of {run.series} files as they were, byte for byte")
    if run.different:
        notes.append(f"{len(run.different)} files with the same values in other bytes")
    return ImportedRunBody(
        run_id=run.run_id,
        status=run.status,
        series=run.series,
        rows=run.rows,
        bytes=run.size,
        notes=tuple(notes),
    )


def _problem(one: TableProblem) -> ProblemBody:
    where = [one.file.rpartition("/")[2] or "the table"]
    if one.line is not None:
        where.append(f"line {one.line:,}")
    if one.column is not None:
        where.append(f"column {one.column}")
    return ProblemBody(where=", ".join(where), message=one.found, hint=one.expected)
