"""Parse single values of a config."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from connectors.errors import StorageError
from connectors.flowtime.model.instant import parse_instant
from connectors.storage import check_url, split_glob, storage_kind
from pipeline.config.problems import expected
from pipeline.rows.catalogue import BASE_COLUMNS, CATALOGUE_NAMES
from pipeline.webhooks.message import check_webhook_url
from pipeline.wording import suggestion

SMALLEST_MEMORY = 64 * 10**6
LARGEST_MEMORY = 2**50
LONGEST_TIMEOUT = 366 * 86_400.0
MOST_WORKERS = 64

_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
_DURATION = re.compile(
    rf"(?:{_NUMBER}w)? ?(?:{_NUMBER}d)? ?(?:{_NUMBER}h)? ?(?:{_NUMBER}m)? ?(?:{_NUMBER}s)?"
)
_SECONDS = (604_800, 86_400, 3_600, 60, 1)
_LONGEST_AGO = 100 * 366 * 86_400
_LONGEST_URL = 2048
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_PROTOCOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]{0,50}")
_ADDRESS = re.compile(r"(?:tcp|tls|ws|wss|ucx)://[^\s/@]{1,255}:[0-9]{1,5}")
_PASSWORD = re.compile(r"[A-Za-z0-9+.-]+://[^/@:]*:(.*)@", re.DOTALL)
_URL_PASSWORD = re.compile(r"[A-Za-z0-9+.-]+://[^/@]*:[^/]*@")


def _parse_instant(value: object) -> object:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    instant = parse_instant(value) if isinstance(value, str) else None
    if instant is None and value is not None:
        raise expected("a date or an instant such as 2025-01-31 or 2025-01-31T08:00:00Z")
    return instant


def _parse_moment(value: object) -> object:
    """Return a date or an instant, or how long ago: `-7d` is seven days before the export."""
    if isinstance(value, str) and value.strip().startswith("-"):
        seconds = _seconds_of(value.strip()[1:])
        if seconds is not None and 0 < seconds <= _LONGEST_AGO:
            return -timedelta(seconds=seconds)
    if isinstance(value, datetime | timedelta):
        return _parse_instant(value) if isinstance(value, datetime) else value
    try:
        return _parse_instant(value)
    except ValueError:
        raise expected(
            "a date or an instant such as 2025-01-31 or 2025-01-31T08:00:00Z, or a time before "
            "the export such as -7d or -36h"
        ) from None


def _seconds_of(text: str) -> float | None:
    """Return seconds of a text such as `2h`, `1h 30m`; None where it is no duration."""
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        return None
    parts = zip(match.groups(), _SECONDS, strict=True)
    return sum(float(number) * unit for number, unit in parts if number)


def _parse_origin(value: object) -> object:
    if value == "auto":
        return value
    try:
        instant = _parse_instant(value)
    except ValueError:
        instant = None
    # Outputs show whole seconds: a fraction would be lost in them.
    if not isinstance(instant, datetime) or instant.microsecond:
        raise expected("'auto' or an instant in whole seconds such as 2025-01-31T08:00:00Z")
    return instant


def _parse_memory(value: object) -> object:
    amount = value if isinstance(value, int) and not isinstance(value, bool) else None
    match = _MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None:
        power = _POWERS[(match[2] or "").lower()]
        amount = int(float(match[1]) * (1024 if match[3] else 1000) ** power)
    if amount is None:
        raise expected("a number of bytes such as 512MB or 1GiB")
    if not SMALLEST_MEMORY <= amount <= LARGEST_MEMORY:
        raise expected("at least 64MB and at most 1PiB")
    return amount


def parse_duration(value: object) -> float | None:
    """Return seconds of a duration such as `2h`, `1h 30m`, `45`; None stays None.

    Raises:
        ValueError: It is none, not above 0, or more than a leap year.
    """
    if value is None:
        return None
    seconds: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str) and re.fullmatch(_NUMBER, value):
        seconds = float(value)
    elif isinstance(value, str):
        seconds = _seconds_of(value.strip())
    if seconds is None:
        raise expected("a duration such as 2h, 90m, 30s or a number of seconds")
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise expected("a duration above 0 and of at most 366d")
    return float(seconds)


def _parse_bin_width(value: object) -> int:
    seconds = parse_duration(value) if isinstance(value, str) else None
    if seconds is None or seconds % 60:
        raise expected("the width of a bin in whole minutes, such as 15m, 1h or 1d")
    return int(seconds) // 60


def _parse_workers(value: object) -> object:
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value) else value
    is_count = isinstance(number, int) and not isinstance(number, bool)
    if value != "auto" and not (is_count and 1 <= number <= MOST_WORKERS):  # type: ignore[operator]
        raise expected(f"'auto' or a whole number from 1 to {MOST_WORKERS}")
    return number


def _check_constant(value: object) -> object:
    if isinstance(value, float) and value - value != 0:
        raise expected("a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise expected("a whole number of at most 64 bits")
    if not isinstance(value, str | int | float):
        raise expected("text, a number, true or false")
    return value


def _check_name(value: str) -> str:
    if not _NAME.fullmatch(value) or value in (".", ".."):
        raise expected("1 to 100 letters, digits, '.', '_' or '-'")
    return value


def _check_metadata_column(value: str) -> str:
    if value in BASE_COLUMNS:
        raise ValueError(f"{value!r} is a base column, which every row has; leave it out here")
    if value not in CATALOGUE_NAMES:
        raise ValueError(f"no metadata column {value!r}; {suggestion(value, CATALOGUE_NAMES)}")
    return value


def check_not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse an empty list; pydantic's own bound would also count entries that are wrong.

    Raises:
        ValueError: It is empty.
    """
    if not values:
        raise ValueError("expected at least one entry, found none")
    return values


def _check_protocol(value: str) -> str:
    if not _PROTOCOL.fullmatch(value):
        raise expected("a protocol of fsspec such as s3 or file")
    return value


def check_no_password(url: str) -> str:
    """Refuse a URL that carries a password: URLs are shown in reports and descriptors.

    Raises:
        ValueError: It does.
    """
    if _URL_PASSWORD.match(url):
        raise ValueError("the URL holds a password; put it into an entry of the storage block")
    return url


def passwords_in(url: str) -> Iterator[str]:
    """Yield the password of a URL as it is written there, and decoded.

    >>> sorted(passwords_in("postgresql://me:p%40ss@host/db"))
    ['p%40ss', 'p@ss']
    """
    match = _PASSWORD.match(url)
    if match is not None:
        yield from {match[1], unquote(match[1])}


def _check_registry_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    is_sqlite = text.startswith("sqlite:///") and text != "sqlite:///"
    if not is_sqlite and not re.match(r"postgres(?:ql)?(?:\+psycopg)?://[^/]*/.", text):
        raise ValueError("should be sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE")
    return url


def check_glob(glob: str) -> str:
    """Refuse a pattern that can match no name, as its brackets are wrong.

    Raises:
        ValueError: A `[` is not closed, or a range runs backwards.
    """
    place = glob.find("[")
    while place >= 0:
        first = place + 2 if glob[place + 1 : place + 2] == "!" else place + 1
        end = glob.find("]", first + 1)  # a ] that comes first is one of the characters
        if end < 0:
            raise ValueError(f"the [ in {glob!r} is not closed; a literal one is written [[]")
        for low, high in re.findall(r"(.)-(.)", glob[first:end], re.DOTALL):
            if low > high:
                raise ValueError(f"the range {low}-{high} in {glob!r} runs backwards")
        place = glob.find("[", end)
    return glob


def _check_name_glob(glob: str) -> str:
    if "/" in glob:
        raise ValueError(f"{glob!r} holds a /, but names have none; folders are part of source.url")
    return check_glob(glob)


def _check_url(url: str) -> str:
    try:
        check_url(check_no_password(url))
    except StorageError as error:
        raise ValueError(str(error)) from error
    return url


def _check_source_urls(value: object) -> object:
    """Return one URL or a list of them, each of which may hold globs."""
    if not isinstance(value, list | tuple):
        if not isinstance(value, str):
            raise expected("a URL or a list of URLs")
        return _check_source_url(value)
    if not value:
        raise ValueError("expected at least one URL")
    for place, url in enumerate(value):
        if not isinstance(url, str):
            raise expected("a list of URLs")
        try:
            _check_source_url(url)
        except ValueError as error:
            raise ValueError(f"URL {place + 1} of the list: {error}") from error
    if len({storage_kind(url) for url in value}) > 1:
        raise ValueError("the URLs are of different storages; write a config for each")
    return tuple(value)


def _check_source_url(url: str) -> str:
    if not 1 <= len(url) <= _LONGEST_URL:
        raise ValueError(f"expected 1 to {_LONGEST_URL} characters")
    try:
        fixed, pattern = split_glob(url)
    except StorageError as error:
        raise ValueError(str(error)) from error
    _check_url(fixed)
    for level in pattern:
        check_glob(level)
    return url


def _check_address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise expected("the address of a Dask scheduler such as tcp://10.0.0.7:8786")
    return value


def _check_webhook(value: SecretStr) -> SecretStr:
    check_webhook_url(value.get_secret_value())
    return value


def _check_version(value: object) -> object:
    if isinstance(value, bool | float):  # they equal 1, and are not written as it
        raise expected("1")
    return value


Version = Annotated[Literal[1], BeforeValidator(_check_version)]
Address = Annotated[str, AfterValidator(_check_address)]
Protocol = Annotated[str, AfterValidator(_check_protocol)]
ConfigName = Annotated[str, AfterValidator(_check_name)]
WebhookUrl = Annotated[SecretStr, AfterValidator(_check_webhook)]
RegistryUrl = Annotated[
    SecretStr,
    AfterValidator(_check_registry_url),
    WithJsonSchema(
        {"type": "string", "examples": ["sqlite:///registry.db", "postgresql+psycopg://host/db"]}
    ),
]
Url = Annotated[str, Field(min_length=1, max_length=_LONGEST_URL), AfterValidator(_check_url)]
SourceUrls = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_check_source_urls),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 2048},
                {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
            ]
        }
    ),
]
Glob = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_check_name_glob)]
NotEmpty = [AfterValidator(check_not_empty), Field(json_schema_extra={"minItems": 1})]
Globs = Annotated[tuple[Glob, ...], *NotEmpty]
ConstantSetting = Annotated[str | int | float | bool, BeforeValidator(_check_constant)]
MetadataColumn = Annotated[
    str,
    AfterValidator(_check_metadata_column),
    WithJsonSchema({"type": "string", "enum": list(CATALOGUE_NAMES)}),
]
Moment = Annotated[
    datetime | timedelta,
    BeforeValidator(_parse_moment),
    WithJsonSchema(
        {"type": "string", "examples": ["2025-01-31", "2025-01-31T08:00:00Z", "-7d", "-36h"]}
    ),
]
TimeOrigin = Annotated[
    Literal["auto"] | datetime,
    BeforeValidator(_parse_origin),
    WithJsonSchema({"type": "string", "examples": ["auto", "2025-01-31T08:00:00Z"]}),
]
Bytes = Annotated[
    int,
    BeforeValidator(_parse_memory),
    WithJsonSchema({"type": ["integer", "string"], "examples": ["512MB", "1GiB", 536870912]}),
]
Seconds = Annotated[
    float | None,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["number", "string", "null"], "examples": ["2h", "90m", "30s", 45]}),
]
BinWidth = Annotated[
    int,
    BeforeValidator(_parse_bin_width),
    WithJsonSchema({"type": "string", "examples": ["15m", "1h", "1d", "7d"]}),
]
"""Whole minutes."""

WorkerCount = Annotated[
    Literal["auto"] | int,
    BeforeValidator(_parse_workers),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 64}]}
    ),
]
