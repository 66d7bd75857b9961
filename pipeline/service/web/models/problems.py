"""Define the problem documents of errors."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from pipeline.service.api_base import Data
from pipeline.service.errors import problem
from pipeline.service.jobs.import_order import ProblemBody


class ErrorBody(Data):
    """A problem document (RFC 9457) with FlowTime's own `error` and `hint` beside its members.

    Attributes:
        type: URI of the kind of problem.
        title: The kind of problem in words.
        status: HTTP status.
        detail: What was wrong; the same as `error`.
        code: Stable code of the kind of problem.
        error: What was wrong.
        hint: What to do about it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": problem(
                404, "run-not-found", "Run not found", "GET /v1/runs lists the runs with their ids"
            )
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    error: str
    hint: str = ""


class ImportProblemsBody(ErrorBody):
    """Why nothing was imported.

    Attributes:
        problems: The first problems of each kind.
        problem_counts: Number of problems of each kind.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **problem(422, "import-rejected", "table.csv: 1 problem", "correct the file"),
                "problems": [
                    {
                        "where": "table.csv, line 2, column value",
                        "message": "'one' is not a number",
                        "hint": "a number such as 1.5",
                    }
                ],
                "problemCounts": {"value": 1},
            }
        }
    )

    problems: tuple[ProblemBody, ...] = ()
    problem_counts: dict[str, int] = Field(default_factory=dict)
