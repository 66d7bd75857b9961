"""Import uploaded exports and tables as runs."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from pipeline.config.path_template import format_of, stem
from pipeline.service.errors import BadRequestError, MediaTypeError, UnknownError
from pipeline.service.jobs.import_order import ImportedRunBody, ImportRequest, ImportWishes
from pipeline.service.jobs.job import Job
from pipeline.service.web.models.jobs import ImportAnswer
from pipeline.service.web.models.problems import ImportProblemsBody
from pipeline.service.web.protection import UPLOAD_PATH
from pipeline.service.web.request_errors import in_words
from pipeline.service.web.routes.shared import (
    IMPORT_REJECTED,
    JOB_BEGUN,
    ClientOf,
    JobFailedError,
    Prefer,
    ServiceOf,
    begun_or_done,
    errors,
    preference,
)
from pipeline.service.web.strict_route import StrictRoute
from pipeline.sinks.formats import READING_ORDER

router = APIRouter(tags=["import"], route_class=StrictRoute)

MOST_FILES = 100
_BLOCK = 1024 * 1024
_BOUNDS = {"max_files": MOST_FILES, "max_fields": MOST_FILES, "max_part_size": 64 * 1024}
"""Limits of a form; the size is that of a field which is no file."""
_DOCS = "GET /docs describes the fields"
_DATA_SET = "_datapackage.json"
_DESCRIPTOR = ".datapackage.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,199}")
_ODD = re.compile(r"[^A-Za-z0-9._@-]+")

_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MOST_FILES,
                        "items": {"type": "string", "format": "binary"},
                        "description": "Data files, and the descriptor beside them.",
                    },
                    **ImportWishes.model_json_schema()["properties"],
                },
                "additionalProperties": False,
            }
        }
    },
}


@router.post(
    UPLOAD_PATH,
    response_model=ImportAnswer,
    responses={
        200: {"model": ImportAnswer, "description": "Done."},
        202: {"model": ImportAnswer, **JOB_BEGUN},
        **errors(404, 408, 409, 415, 500, 502, 503),
        422: IMPORT_REJECTED,
    },
    openapi_extra={"requestBody": _FORM},
)
async def import_files(
    request: Request, service: ServiceOf, client: ClientOf, prefer: Prefer = None
) -> Response:
    """Make runs of uploaded exports, or a telemetry run of a table; all of it or nothing.

    The response follows when the import has finished, unless another wait is preferred.
    """
    if service.settings.max_upload == 0:
        raise UnknownError(
            "This server takes no uploads", "see --max-upload", code="uploads-disabled"
        )
    _require_form(request)
    async with service.uploads.receiving(client) as upload:
        async with request.form(**_BOUNDS) as form:
            wishes = _wishes(form)
            names = await _kept(form, upload.files)
        wanted = ImportRequest(
            files=tuple(names), sources=tuple(_sources(names)), bytes=upload.size, wishes=wishes
        )
        job, _ = await service.runner.submit(wanted, upload.id)
    wait, preferred = preference(prefer, None)
    job = await service.runner.wait(job.id, wait)
    if job.is_over:
        await service.uploads.left(job.id)
    if job.is_over and job.state != "done":
        raise ImportFailedError(job)
    return begun_or_done(job, _answer(job, wishes), preferred)


def _require_form(request: Request) -> None:
    given = request.headers.get("content-type", "")
    if not given.lower().startswith("multipart/form-data"):
        raise MediaTypeError(
            f"expected multipart/form-data, not {given.partition(';')[0] or 'a body without type'}",
            "send the files as parts named files, such as curl -F files=@export.csv",
        )


def _wishes(form: FormData) -> ImportWishes:
    """Return the options of a form's fields.

    Raises:
        BadRequestError: One is unknown, repeated or malformed.
    """
    given: dict[str, Any] = {}
    for key, value in form.multi_items():
        if key == "files":
            continue
        if not isinstance(value, str) or key in given:
            raise BadRequestError(f"field {key!r}: expected one text", _DOCS)
        given[key] = value
    try:
        if "columns" in given:
            given["columns"] = json.loads(given["columns"])
        return ImportWishes.model_validate(given)
    except json.JSONDecodeError:
        raise BadRequestError("field columns: expected a JSON object", _DOCS) from None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise BadRequestError(f"field {where}: {in_words(fault)}", _DOCS) from None


async def _kept(form: FormData, folder: Path) -> list[str]:
    """Write the form's files into a folder, under safe names, and return these."""
    names: list[str] = []
    for part in form.getlist("files"):
        if not isinstance(part, UploadFile):
            raise BadRequestError("field files: expected a file", "send multipart/form-data")
        name = plain_name(part.filename or "")
        if name in names:
            raise BadRequestError(f"two files have the name {name}", "give each its own name")
        names.append(name)
        await asyncio.to_thread(_copy, part, folder / name)
    if not names:
        raise BadRequestError("no file was sent", "send multipart/form-data with parts `files`")
    return names


def plain_name(name: str) -> str:
    r"""Return a file's name without folders and special characters.

    Raises:
        BadRequestError: Nothing remains.

    >>> plain_name("C:\\tables\\März (1).csv"), plain_name("../../etc/passwd")
    ('M_rz_1_.csv', 'passwd')
    """
    last = re.split(r"[/\\]", name)[-1]
    plain = _ODD.sub("_", last).lstrip(".-")[-200:]
    if not _NAME.fullmatch(plain):
        raise BadRequestError("a file has no usable name", "use letters, digits, '.', '_' and '-'")
    return plain


def _copy(part: UploadFile, path: Path) -> None:
    with path.open("xb") as file:
        while block := part.file.read(_BLOCK):
            file.write(block)


def _sources(names: Sequence[str]) -> list[str]:
    """Return the files to read: of an export in several formats only one.

    Raises:
        BadRequestError: There are only descriptors.
    """
    if _DATA_SET in names:
        return [_DATA_SET]
    exports = {name.removesuffix(_DESCRIPTOR) for name in names if name.endswith(_DESCRIPTOR)}
    chosen: dict[str, str] = {}
    for name in sorted((one for one in names if not one.endswith(_DESCRIPTOR)), key=_rank):
        base = stem(name).removesuffix(".")
        chosen.setdefault(base if base in exports else name, name)
    if not chosen:
        raise BadRequestError("a descriptor has no rows", "send its data files with it")
    return sorted(chosen.values())


def _rank(name: str) -> int:
    form = format_of(name)
    return READING_ORDER.index(form) if form in READING_ORDER else len(READING_ORDER)


def _answer(job: Job, wishes: ImportWishes) -> ImportAnswer:
    done = job.imported
    return ImportAnswer(
        message="Import is running" if done is None else _message(done.runs),
        dry_run=wishes.dry_run,
        kind=None if done is None else done.kind,
        runs=() if done is None else done.runs,
        notes=job.notes,
        job_id=job.id,
        state=job.state,
    )


def _message(runs: Sequence[ImportedRunBody]) -> str:
    """Return what was done with the runs: `2 runs imported, 1 run unchanged`."""
    words = {"checked": "can be imported", "skipped": "unchanged", "": "imported"}
    counts = Counter(run.status if run.status in words else "" for run in runs)
    parts = [
        f"{count} {'run' if count == 1 else 'runs'} {words[status]}"
        for status, count in sorted(counts.items())
    ]
    return ", ".join(parts)


class ImportFailedError(JobFailedError):
    """An import that failed or was cancelled.

    Args:
        job: The job.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._error = job.error

    def body(self) -> dict[str, Any]:
        """Return the problem document, with all problems of the files."""
        error = self._error
        return ImportProblemsBody(
            **super().body(),
            problems=() if error is None else error.problems,
            problem_counts={} if error is None else error.problem_counts,
        ).model_dump(mode="json")
