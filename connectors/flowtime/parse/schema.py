"""Define the JSON files of a run directory as pydantic models, read within bounds."""

from __future__ import annotations

import re
import reprlib
from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StrictInt,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from connectors.errors import RunError
from connectors.strict_json import check_unique_keys

MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_JSON_VALUES = 4_000_000
MAX_SERIES = 1_000_000
MAX_BINS = 100_000_000
MAX_BIN_MINUTES = 10_000 * 366 * 24 * 60

NAME = re.compile(r"[A-Za-z0-9._@-]+")
"""What ids, their parts and the segments of paths are made of."""

_NOT_WHOLE = "the run was not written whole, evaluate the model again"
_BEGINNINGS = {
    b"\x1f\x8b": "is gzip compressed, should be plain JSON",
    b"\x28\xb5\x2f\xfd": "is zstd compressed, should be plain JSON",
    b"\xff\xfe": "is UTF-16, should be UTF-8",
    b"\xfe\xff": "is UTF-16, should be UTF-8",
}
_JSON_FAULT = re.compile(r"Invalid JSON: (.*) at line (\d+) column (\d+)", re.DOTALL)
_WANTED = {
    "bool_type": "be true or false",
    "dataclass_type": "be a JSON object",
    "dict_type": "be a JSON object",
    "greater_than_equal": "be at least {ge}",
    "int_from_float": "be a whole number",
    "int_parsing_size": "be a whole number",
    "int_type": "be a whole number",
    "less_than": "be less than {lt}",
    "less_than_equal": "be at most {le}",
    "list_type": "be a list",
    "model_type": "be a JSON object",
    "string_pattern_mismatch": "match {pattern}",
    "string_too_long": "have at most {max_length} characters",
    "string_too_short": "have at least {min_length} characters",
    "string_type": "be text",
    "tuple_type": "be a list",
}
"""What something should, by pydantic's name of the fault."""

ModelT = TypeVar("ModelT", bound="JsonFile")
BoundedBins = Annotated[StrictInt, Field(ge=1, le=MAX_BINS)]
BoundedMinutes = Annotated[StrictInt, Field(ge=1, le=MAX_BIN_MINUTES)]


_CONFIG = ConfigDict(
    alias_generator=to_camel,
    extra="ignore",
    frozen=True,
    coerce_numbers_to_str=True,
    defer_build=True,  # worker processes that read no run need no validators
)


class JsonFile(BaseModel):
    """Base of what the JSON files hold: camelCase keys, unknown ones passed over."""

    model_config = _CONFIG


class GridFile(JsonFile):
    """A grid: `{bins, binMinutes}` or `{bins, binSize, binUnit}`."""

    bins: BoundedBins
    bin_minutes: BoundedMinutes | None = None
    bin_size: BoundedMinutes | None = None
    bin_unit: str | None = None
    timezone: str | None = None
    align: str | None = None


@dataclass(frozen=True, slots=True)
class IndexedSeries:
    """One entry of series/index.json; no model, as there are hundreds of thousands."""

    __pydantic_config__ = _CONFIG

    id: str
    kind: str | None = None
    path: str | None = None
    unit: str | None = None
    component_id: str | None = None
    class_name: Annotated[str | None, Field(alias="class")] = None
    class_kind: str | None = None
    points: StrictInt | None = None
    hash: str | None = None


class IndexFile(JsonFile):
    """series/index.json."""

    schema_version: StrictInt | None = None
    grid: GridFile | None = None
    series: Annotated[list[IndexedSeries], FailFast(), Field(max_length=MAX_SERIES)]


class RngFile(JsonFile):
    """The random generator of a manifest."""

    seed: StrictInt | None = None


class ProvenanceFile(JsonFile):
    """Where the model of a run came from."""

    template_id: str | None = None
    template_title: str | None = None
    # Written by an import; whatever else is found under this name is passed over.
    restored_from: Any = None


class ManifestFile(JsonFile):
    """manifest.json."""

    schema_version: StrictInt | None = None
    scenario_hash: str | None = None
    model_hash: str | None = None
    created_utc: str | None = None
    rng: RngFile | None = None
    # Values are looked at one by one later: a million wrong ones make one error, not a million.
    series_hashes: dict[str, Any] | None = None
    provenance: ProvenanceFile | None = None


class RunFile(JsonFile):
    """run.json."""

    model_config = ConfigDict(extra="allow")

    schema_version: StrictInt | None = None
    run_id: str | None = None
    engine_version: str | None = None
    source: str | None = None
    scenario_hash: str | None = None
    model_hash: str | None = None
    created_utc: str | None = None
    mode: str | None = None
    template_id: str | None = None
    template_title: str | None = None
    grid: GridFile | None = None
    class_coverage: Any = Field(
        default=None, validation_alias=AliasChoices("classesCoverage", "classCoverage")
    )
    warnings: Any = None
    series: Any = None


class MetadataFile(JsonFile):
    """model/metadata.json."""

    template_id: str | None = None
    template_title: str | None = None
    model_title: str | None = None
    title: str | None = None
    mode: str | None = None
    model_hash: str | None = None
    source: str | None = None


def load(model: type[ModelT], data: bytes, file: str) -> ModelT:
    """Read one JSON file into its model.

    Args:
        model: The model of the file.
        data: Its bytes, with or without a byte-order mark.
        file: Its path below the run directory, for errors.

    Raises:
        RunError: It is too large, not JSON, has a key twice, or is not as the model wants it.
    """
    if len(data) > MAX_JSON_BYTES:
        raise RunError(f"has {len(data)} bytes, at most {MAX_JSON_BYTES} are read", file=file)
    if data.count(b",") > MAX_JSON_VALUES:
        raise RunError(f"holds more than {MAX_JSON_VALUES} values", file=file)
    try:
        found = model.model_validate_json(data.removeprefix(BOM_UTF8))
        check_unique_keys(data)
    except ValidationError as exc:
        raise _not_json(exc, data, file) or RunError(_brief(exc), file=file) from exc
    except ValueError as exc:
        raise RunError(f"{exc}", file=file) from exc
    return found


def _not_json(exc: ValidationError, data: bytes, file: str) -> RunError | None:
    """Return the error of a file that is no JSON at all."""
    error = exc.errors(include_url=False, include_context=False)[0]
    if error["type"] != "json_invalid":
        return None
    for beginning, reason in _BEGINNINGS.items():
        if data.startswith(beginning):
            return RunError(reason, file=file)
    if not data.strip():
        return RunError(f"is empty: {_NOT_WHOLE}", file=file)
    found = _JSON_FAULT.fullmatch(error["msg"])
    if found is None:
        return RunError(f"is not JSON: {error['msg']}", file=file)
    what, line, column = found[1], int(found[2]), found[3]
    if what == "recursion limit exceeded":
        reason = "is nested more deeply than any run is"
    elif what.startswith("EOF"):
        reason = f"is cut off at column {column}: {_NOT_WHOLE}"
    else:
        reason = f"is not JSON: {what} at column {column}"
    return RunError(reason, file=file, line=line)


def _brief(exc: ValidationError) -> str:
    errors = exc.errors(include_url=False)
    reasons = [_brief_one(error) for error in errors[:3]]
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return "; ".join(reasons) + more


def _brief_one(error: Any) -> str:
    kind = error["type"]
    key = "".join(
        f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in error["loc"]
    ).lstrip(".")
    if kind == "missing":
        return f"{key}: is missing"
    if kind == "model_type":
        return f"{key or 'the file'}: found {clip(error['input'])}, should be a JSON object"
    if kind == "too_long":
        return f"{key}: found more than {error['ctx']['max_length']} entries"
    return f"{key}: found {clip(error['input'])}, {wish(error)}"


def wish(error: Any) -> str:
    """Return what one of pydantic's errors asks for, in plain words."""
    wanted = _WANTED.get(error["type"])
    if wanted is not None:
        return f"should {wanted.format(**error.get('ctx', {}))}"
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")


def shown(text: object) -> str:
    """Return a foreign name in a message: plain where it is harmless, else quoted and short."""
    plain = str(text)
    return plain if len(plain) <= 120 and NAME.fullmatch(plain) else clip(plain)


def clip(value: object) -> str:
    """Return a foreign value in a message: quoted, escaped, short whatever its size."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()  # as JSON spells them
    text = ascii(value[:81]) if isinstance(value, str) else reprlib.repr(value)
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 80 else text[:77] + "..."
