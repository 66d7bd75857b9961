"""Define the health and the facts of the service, and sessions of browsers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict

from pipeline.service.api_base import Data
from pipeline.service.web.health import HealthProblem
from pipeline.sinks.formats import ALL_FORMATS, Format
from pipeline.version import VERSION


class HealthBody(Data):
    """Whether the service works.

    Attributes:
        status: `ok`; `starting`: the runs have not been listed yet; `failing`: they could never be
            listed; `degraded`: something does not work, and what is shown may be old.
        version: Version of this project.
        problem: What is wrong, in one text.
        problems: What is wrong, part by part.
        listed_utc: When the runs were listed last.
        found: Directories that a first listing has looked at so far.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "status": "degraded",
                "version": VERSION,
                "problem": "runs: no such folder",
                "problems": [{"part": "runs", "message": "runs: no such folder"}],
                "listedUtc": "2026-11-27T08:00:00Z",
                "found": 0,
            }
        }
    )

    status: Literal["ok", "starting", "failing", "degraded"]
    version: str
    problem: str | None = None
    problems: tuple[HealthProblem, ...] = ()
    listed_utc: datetime | None = None
    found: int = 0


class ServiceBody(Data):
    """What a client may want to know about the service.

    Attributes:
        version: Version of this project.
        runs: The folder or bucket of the runs, as the service was started with.
        exports: The folder of the exports; none for each run's own `gold/`.
        refresh_seconds: Age at which the runs are listed again.
        max_upload_bytes: Bytes that an upload may have; 0 for no uploads.
        formats: The formats of exports.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": VERSION,
                "runs": "s3://sim/runs",
                "exports": None,
                "refreshSeconds": 30,
                "maxUploadBytes": 1_000_000_000,
                "formats": list(ALL_FORMATS),
            }
        }
    )

    version: str
    runs: str
    exports: str | None
    refresh_seconds: float
    max_upload_bytes: int
    formats: tuple[Format, ...]


class SessionBody(Data):
    """A session of a browser.

    Attributes:
        required: Whether tokens are required at all.
        seconds: How long the session lasts.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"required": True, "seconds": 43_200}})

    required: bool
    seconds: int
