"""Say in plain words what is wrong with a request that does not validate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request

from pipeline.service.errors import (
    BadRequestError,
    MediaTypeError,
    ServiceError,
    UnprocessableError,
)

_MOST_PROBLEMS = 5
_DOCS = "GET /docs describes what is expected"
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "literal_error": "expected {expected}",
    "enum": "expected {expected}",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "dict_type": "expected a JSON object",
    "model_type": "expected a JSON object",
    "model_attributes_type": "expected a JSON object",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "too_short": "expected at least {min_length} entries",
    "too_long": "expected at most {max_length} entries",
    "value_error": "{error}",
}
"""Words for each kind of error that pydantic reports; `{…}` are the error's own values."""


def in_words(fault: Mapping[str, Any]) -> str:
    """Return in words what is wrong with a value.

    Args:
        fault: An error as pydantic reports it.

    >>> in_words({"type": "greater_than_equal", "ctx": {"ge": 1}, "msg": ""})
    'expected at least 1'
    """
    words = _WORDS.get(fault["type"], "is malformed")
    return words.format_map(fault.get("ctx") or {"error": "is malformed", "expected": "another"})


def request_error(request: Request, faults: Sequence[Mapping[str, Any]]) -> ServiceError:
    """Return the error of a request that does not validate.

    Args:
        request: The request.
        faults: What is wrong, as FastAPI reports it.
    """
    for fault in faults:
        if fault["type"] == "json_invalid":
            reason = fault.get("ctx", {}).get("error", "malformed")
            return BadRequestError(f"the body is not valid JSON: {reason}", _DOCS)
        if tuple(fault["loc"]) == ("body",) and not _is_json(request):
            given = request.headers.get("content-type", "").partition(";")[0] or "none"
            return MediaTypeError(
                f"the body is expected as JSON, but its content type is {given}",
                "send the header Content-Type: application/json",
            )
    shown = "; ".join(f"{_where(one['loc'])}: {in_words(one)}" for one in faults[:_MOST_PROBLEMS])
    if any("formats" in fault["loc"] and fault["type"] == "literal_error" for fault in faults):
        return BadRequestError(shown, _DOCS, code="unsupported-format")
    return UnprocessableError(shown, _DOCS)


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _where(location: Sequence[int | str]) -> str:
    """Return the place of an error: `body formats[0]`, `query page`."""
    first, *rest = location or ("request",)
    text = ""
    for part in rest:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return f"{first} {text}".strip()
