"""Read the time zone and the alignment of bins that a run declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.errors import RunError
from connectors.flowtime.parse.schema import clip

_UTC = frozenset(
    {"", "utc", "z", "gmt", "zulu", "uct", "universal", "etc/utc", "etc/gmt", "etc/uct", "etc/zulu",
     "utc+0", "utc+00:00", "+00:00", "+0000", "+00"}
)  # fmt: skip
_LEFT = frozenset({"", "left"})


@dataclass(frozen=True, slots=True)
class TimeDeclaration:
    """A declaration that rows of this project cannot follow: their times are UTC starts of bins.

    Attributes:
        file: The file, relative to the run directory.
        key: The key in it, e.g. `grid.timezone`.
        value: What it says.
    """

    file: str
    key: str
    value: str

    @property
    def is_zone(self) -> bool:
        """Whether it is a time zone; else it is an alignment."""
        return self.key.endswith("timezone")

    @property
    def passed_over(self) -> str:
        """The note where the start is known all the same."""
        return (
            f"{self.file}: {self.key} {clip(self.value)} is passed over: times are the starts of "
            "bins, UTC"
        )


def odd_declarations(
    file: str, block: str, timezone: str | None, align: str | None
) -> Iterator[TimeDeclaration]:
    """Yield what a block declares other than UTC and left-aligned bins.

    Args:
        file: The file, relative to the run directory.
        block: The block in it, e.g. `grid`.
        timezone: Its `timezone`, if it has one.
        align: Its `align`, if it has one.
    """
    if timezone is not None and timezone.strip().lower() not in _UTC:
        yield TimeDeclaration(file, f"{block}.timezone", timezone)
    if align is not None and align.strip().lower() not in _LEFT:
        yield TimeDeclaration(file, f"{block}.align", align)


def notes_on(
    declared: Sequence[TimeDeclaration], *, is_configured: bool, start_is_utc: bool
) -> list[str]:
    """Return notes on declarations that change nothing.

    Args:
        declared: The declarations.
        is_configured: Whether the start of bin 0 comes from the config.
        start_is_utc: Whether the start names its offset, and so an instant.

    Raises:
        RunError: Following a declaration would give other times, with no way to decide.
    """
    for one in declared:
        if is_configured or (one.is_zone and start_is_utc):
            continue
        reason = (
            "the start has no offset, so that its instant is unknown: add one"
            if one.is_zone
            else "but rows have the start of each bin: align it to the left"
        )
        raise RunError(
            f"{one.key}: found {clip(one.value)}; {reason}, or set source.time_origin to the start "
            "of bin 0",
            file=one.file,
        )
    return [one.passed_over for one in declared]
