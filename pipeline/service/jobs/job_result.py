"""How a job ended, from what its worker told last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.service.errors import OURS
from pipeline.service.jobs.import_order import ImportRequest, ImportResult, ProblemBody
from pipeline.service.jobs.job import AnyRequest, JobError, JobFile

Mask = Callable[[str], str]
"""Takes the places of this machine out of a text."""


def outcome(request: AnyRequest, event: Mapping[str, Any], masked: Mask) -> dict[str, Any]:
    """What changes of a job when its worker is done.

    Args:
        request: What was to be done.
        event: What the worker told last: `done` with a report, or `failed` with the reason.
        masked: Applied to all texts.
    """
    if event["event"] == "failed":
        return {"state": "failed", "error": job_error(event, masked)}
    report = event["report"]
    notes = tuple(masked(note) for note in report["notes"])
    if isinstance(request, ImportRequest):
        return {"state": "done", "imported": ImportResult.model_validate(report), "notes": notes}
    files = tuple(_file(target) for target in report["targets"])
    if files:
        return {"state": "done", "files": files, "notes": notes}
    left = report["left_out"]
    reason = left[0]["reason"] if left else "the run is not there any more"
    missing = {"type": "RunError", "error": reason, "status": 422, "hint": "export another run"}
    return {"state": "failed", "error": job_error(missing, masked)}


def job_error(told: Mapping[str, Any], masked: Mask) -> JobError:
    """A failure that was told, without places of this machine."""
    status, hint = OURS
    found = (ProblemBody.model_validate(one) for one in told.get("problems", ()))
    return JobError(
        type=told["type"],
        error=masked(told["error"]),
        hint=told.get("hint", hint),
        status=told.get("status", status),
        problems=tuple(
            one.changed(where=masked(one.where), message=masked(one.message), hint=masked(one.hint))
            for one in found
        ),
        problem_counts=told.get("problem_counts", {}),
    )


def _file(target: Mapping[str, Any]) -> JobFile:
    return JobFile(
        format=target["format"],
        name=str(target["url"]).rpartition("/")[2],
        bytes=target["bytes"],
        rows=target["rows"],
        status=target["status"],
    )
