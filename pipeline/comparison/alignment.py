"""Align two time grids: which bins of one side are compared with which of the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.model.run import Run
from pipeline.errors import IncomparableError

AlignmentMethod = Literal["auto", "start_time", "bin", "timestamp"]
"""How two grids are laid over each other.

`timestamp` compares bins of the same instants, `start_time` those of the same time since each
side's start, `bin` those of the same number. `auto` is `timestamp` where both sides name their
start, and `start_time` where one was assumed.
"""

ALIGNMENT_METHODS: tuple[AlignmentMethod, ...] = get_args(AlignmentMethod)
_ASSUMED_ORIGIN = "createdUtc"
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SideBins:
    """The bins of one side that are compared.

    Attributes:
        first: The first of them.
        factor: How many of them make one compared bin.
    """

    first: int
    factor: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """How two grids are compared.

    Attributes:
        method: How they are laid over each other, `auto` being resolved.
        bin_minutes: Width of a compared bin.
        bins: Number of compared bins.
        start: Start of the first compared bin, by the baseline's clock.
        baseline, comparison: The bins of each side.
        notes: What is left out, and what was assumed.
    """

    method: AlignmentMethod
    bin_minutes: int
    bins: int
    start: datetime
    baseline: SideBins
    comparison: SideBins
    notes: tuple[str, ...]

    @property
    def end(self) -> datetime:
        """End of the last compared bin, by the baseline's clock."""
        return self.start + self.bins * self.bin_minutes * _MINUTE

    @property
    def is_aggregated(self) -> bool:
        """Whether several bins of one side make one compared bin."""
        return self.baseline.factor > 1 or self.comparison.factor > 1

    def as_json(self) -> dict[str, Any]:
        """Return the alignment as JSON-compatible data."""
        return {
            "grid": {"binSize": self.bin_minutes, "binUnit": "minutes"},
            "method": self.method,
            "bins": self.bins,
            "from": instant_text(self.start),
            "to": instant_text(self.end),
            "baselineBins": self._side(self.baseline),
            "comparisonBins": self._side(self.comparison),
            "notes": list(self.notes),
        }

    def _side(self, side: SideBins) -> dict[str, int]:
        return {
            "first": side.first,
            "count": self.bins * side.factor,
            "perComparedBin": side.factor,
        }


def align(baseline: Run, comparison: Run, method: AlignmentMethod = "auto") -> Alignment:
    """Lay two grids over each other.

    Args:
        baseline: The run of one side.
        comparison: The run of the other side.
        method: How.

    Raises:
        IncomparableError: The grids have no bin in common, or bins of one do not fit into those of
            the other.
    """
    notes: list[str] = []
    resolved = _resolved(baseline, comparison, method, notes)
    if resolved == "bin":
        factors, offset = (1, 1), 0
        if baseline.grid.bin_minutes != comparison.grid.bin_minutes:
            notes.append(
                f"bins of {baseline.grid.bin_minutes} minutes are compared with bins of "
                f"{comparison.grid.bin_minutes} minutes by their number"
            )
    else:
        factors = _factors(baseline, comparison)
        offset = _offset(baseline, comparison) if resolved == "timestamp" else 0
    width = baseline.grid.bin_minutes * factors[0]
    first = _firsts(baseline, comparison, factors, offset)
    bins = min(
        (baseline.grid.bins - first[0]) // factors[0],
        (comparison.grid.bins - first[1]) // factors[1],
    )
    if bins <= 0:
        raise IncomparableError(
            f"the grids of {baseline.url} ({_span(baseline)}) and {comparison.url} "
            f"({_span(comparison)}) have no bin in common by alignment {resolved}: compare them "
            "by the time since their starts with alignment start_time"
        )
    for run, side_first, factor, name in (
        (baseline, first[0], factors[0], "baseline"),
        (comparison, first[1], factors[1], "comparison"),
    ):
        left_out = run.grid.bins - bins * factor
        if left_out:
            notes.append(
                f"{left_out:,} of {run.grid.bins:,} bins of the {name} have no counterpart and are "
                f"left out ({side_first:,} before, {left_out - side_first:,} after)"
            )
    return Alignment(
        method=resolved,
        bin_minutes=width,
        bins=bins,
        start=baseline.time_origin + first[0] * baseline.grid.bin_minutes * _MINUTE,
        baseline=SideBins(first[0], factors[0]),
        comparison=SideBins(first[1], factors[1]),
        notes=tuple(notes),
    )


def _resolved(
    baseline: Run, comparison: Run, method: AlignmentMethod, notes: list[str]
) -> AlignmentMethod:
    if method != "auto":
        return method
    assumed = [run for run in (baseline, comparison) if run.origin_source == _ASSUMED_ORIGIN]
    if not assumed:
        return "timestamp"
    if baseline.time_origin != comparison.time_origin:
        notes.append(
            f"{assumed[0].name} names no start, so bins are compared by the time since each side's "
            "start"
        )
    return "start_time"


def _factors(baseline: Run, comparison: Run) -> tuple[int, int]:
    """Return how many bins of each side make a compared one."""
    ours, theirs = baseline.grid.bin_minutes, comparison.grid.bin_minutes
    if theirs % ours == 0:
        return theirs // ours, 1
    if ours % theirs == 0:
        return 1, ours // theirs
    raise IncomparableError(
        f"bins of {ours} minutes in {baseline.url} and of {theirs} minutes in {comparison.url}: "
        "neither width is a multiple of the other, so they cannot be aggregated; compare them by "
        "their number with alignment bin"
    )


def _offset(baseline: Run, comparison: Run) -> int:
    """Minutes from the baseline's start to the comparison's."""
    offset, rest = divmod(comparison.time_origin - baseline.time_origin, _MINUTE)
    finer = min(baseline.grid.bin_minutes, comparison.grid.bin_minutes)
    if rest or offset % finer:
        raise IncomparableError(
            f"{baseline.url} starts at {instant_text(baseline.time_origin)} and {comparison.url} "
            f"at {instant_text(comparison.time_origin)}, so bins of {finer} minutes do not begin "
            "at the same instants: compare them by the time since their starts with alignment "
            "start_time"
        )
    return offset


def _firsts(
    baseline: Run, comparison: Run, factors: tuple[int, int], offset: int
) -> tuple[int, int]:
    """Return the first compared bin of each side; the fine grid has to fill a coarse bin."""
    ours, theirs = baseline.grid.bin_minutes, comparison.grid.bin_minutes
    width = ours * factors[0]
    # Compared bins begin where the coarser grid's do; minutes from the baseline's start.
    anchor = 0 if factors[0] == 1 else offset
    latest = max(0, offset)
    start = anchor + -(-(latest - anchor) // width) * width
    return start // ours, (start - offset) // theirs


def _span(run: Run) -> str:
    end = run.time_origin + run.grid.bins * run.grid.bin_minutes * _MINUTE
    return f"{instant_text(run.time_origin)} to {instant_text(end)}"
