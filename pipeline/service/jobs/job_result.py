"""Turn the last event of a worker into the result of its job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.service.errors import INTERNAL
from pipeline.service.jobs.compare_order import CompareRequest, CompareResult
from pipeline.service.jobs.import_order import ImportRequest, ImportResult, ProblemBody
from pipeline.service.jobs.job import AnyRequest, JobError, JobFile

Mask = Callable[[str], str]
"""Removes the locations of this machine from a text."""


def job_result(request: AnyRequest, event: Mapping[str, Any], masked: Mask) -> dict[str, Any]:
    """Return the fields of a job that change when its worker has finished.

    Args:
        request: What the job does.
        event: Last event of the worker: `done` with a report, or `failed` with the reason.
        masked: Applied to all texts.
    """
    if event["event"] == "failed":
        return {"state": "failed", "error": job_error(event, masked)}
    report = event["report"]
    notes = tuple(masked(note) for note in report["notes"])
    if isinstance(request, ImportRequest):
        return {"state": "done", "imported": ImportResult.model_validate(report), "notes": notes}
    if isinstance(request, CompareRequest):
        return {"state": "done", "compared": CompareResult.model_validate(report), "notes": notes}
    files = tuple(_file(target) for target in report["targets"])
    if files:
        return {"state": "done", "files": files, "notes": notes}
    left = report["left_out"]
    missing = {
        "type": "RunError",
        "code": "run-not-complete",
        "error": left[0]["reason"] if left else "the run does not exist any more",
        "status": 422,
        "hint": "export another run",
    }
    return {"state": "failed", "error": job_error(missing, masked)}


def job_error(reported: Mapping[str, Any], masked: Mask) -> JobError:
    """Return a reported failure without the locations of this machine."""
    status, code, hint = INTERNAL
    problems = (ProblemBody.model_validate(one) for one in reported.get("problems", ()))
    return JobError(
        type=reported["type"],
        code=reported.get("code", code),
        error=masked(reported["error"]),
        hint=reported.get("hint", hint),
        status=reported.get("status", status),
        problems=tuple(
            one.changed(where=masked(one.where), message=masked(one.message), hint=masked(one.hint))
            for one in problems
        ),
        problem_counts=reported.get("problem_counts", {}),
    )


def _file(target: Mapping[str, Any]) -> JobFile:
    return JobFile(
        format=target["format"],
        name=str(target["url"]).rpartition("/")[2],
        bytes=target["bytes"],
        rows=target["rows"],
        status=target["status"],
    )
