"""Convert instants to text and back."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"[ \t]*([Zz]|[+-][0-9]{1,2}(?::?[0-9]{2})?)?)?"
)
_USUAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z")


def instant_text(moment: datetime) -> str:
    """Return an instant in UTC, to the microsecond where it is no whole second.

    >>> instant_text(datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2025-01-02T03:04:05Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_instant(text: str) -> datetime | None:
    """Read an ISO 8601 or YAML timestamp; without an offset it is UTC. None: it is neither.

    >>> parse_instant("2025-01-01T01:00:00.1234567+01:00").isoformat()
    '2025-01-01T00:00:00.123456+00:00'
    """
    if _USUAL.fullmatch(text):
        with suppress(ValueError):
            return datetime.fromisoformat(text)
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    # .NET writes ticks of 100 ns: what is below a microsecond is cut.
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        zone = _zone(offset)
        clock = (int(hour or 0), int(minute or 0), int(second or 0), micros)
        return datetime(int(year), int(month), int(day), *clock, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def names_offset(text: str) -> bool:
    """Return whether an instant's text says how far it is from UTC.

    >>> names_offset("2025-01-01T00:00:00Z"), names_offset("2025-01-01T00:00:00")
    (True, False)
    """
    match = _INSTANT.fullmatch(text.strip())
    return match is not None and match[8] is not None


def _zone(offset: str | None) -> timezone:
    if offset is None or offset in "Zz":
        return UTC
    hours, _, minutes = offset[1:].partition(":")
    if len(hours) > 2:
        hours, minutes = hours[:-2], hours[-2:]
    if int(minutes or 0) > 59:
        raise ValueError(offset)
    delta = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return timezone(-delta if offset[0] == "-" else delta)
