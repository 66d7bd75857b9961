"""Report the results of many comparisons, for people and machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.comparison.metrics.series_metrics import PairStatus, SeriesMetrics
from pipeline.comparison.result import FailOn, metrics_as_json
from pipeline.comparison.sides.side import Side


@dataclass(frozen=True, slots=True)
class SweepEntry:
    """One of many comparisons, without its series.

    Attributes:
        url: What was compared with the baseline.
        name: A short name for people.
        run_id: Id of the run; None where it could not be read.
        summary: How many series are equal, within their tolerance, and different.
        missing: How many series have no counterpart.
        total: Metrics over all bins; None where it could not be compared.
        worst: Id and status of the series that lies furthest apart.
        has_failed: Whether there is what the sweep fails on.
        error: Why it could not be compared.
        seconds: How long it took.
    """

    url: str
    name: str
    run_id: str | None = None
    summary: dict[PairStatus, int] = field(default_factory=dict)
    missing: int = 0
    total: SeriesMetrics | None = None
    worst: tuple[str, PairStatus] | None = None
    has_failed: bool = False
    error: str | None = None
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """One word: `error`, `failed` or `passed`."""
        return "error" if self.error is not None else "failed" if self.has_failed else "passed"

    def as_json(self) -> dict[str, Any]:
        """Return the entry as JSON-compatible data."""
        return {
            "url": self.url,
            "name": self.name,
            "runId": self.run_id,
            "outcome": self.outcome,
            "summary": dict(self.summary),
            "missing": self.missing,
            "total": None if self.total is None else metrics_as_json(self.total),
            "worstSeries": None if self.worst is None else self.worst[0],
            "error": self.error,
            "seconds": round(self.seconds, 3),
        }

    def line(self, width: int) -> str:
        """Return the entry as a line for people."""
        if self.total is None:
            return f"  {self.outcome:<7} {self.name:<{width}}  {self.error}"
        counts = ", ".join(f"{count:,} {status}" for status, count in self.summary.items())
        missing = f", {self.missing:,} on one side only" if self.missing else ""
        worst = f"; worst {self.worst[0]}" if self.worst and self.worst[1] != "equal" else ""
        return f"  {self.outcome:<7} {self.name:<{width}}  {counts}{missing}{worst}"


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The results of many comparisons.

    Attributes:
        name: The config's name.
        baseline: What everything was compared with.
        fail_on: What made comparisons fail.
        entries: The comparisons, in order.
        notes: What a reader should know.
    """

    name: str
    baseline: Side
    fail_on: FailOn | None
    entries: tuple[SweepEntry, ...]
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """How many could not be compared."""
        return sum(entry.outcome == "error" for entry in self.entries)

    @property
    def failures(self) -> int:
        """How many have what makes comparisons fail."""
        return sum(entry.outcome == "failed" for entry in self.entries)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-compatible data."""
        return {
            "name": self.name,
            "baseline": self.baseline.as_json(),
            "failOn": self.fail_on,
            "comparisons": [entry.as_json() for entry in self.entries],
            "summary": {
                "passed": len(self.entries) - self.errors - self.failures,
                "failed": self.failures,
                "errors": self.errors,
            },
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """Return the report as a line for each comparison."""
        width = max((len(entry.name) for entry in self.entries), default=0)
        passed = len(self.entries) - self.errors - self.failures
        head = (
            f"{self.name}: {passed:,} passed, {self.failures:,} failed, {self.errors:,} errors "
            f"against {self.baseline.url}"
        )
        notes = (f"  note: {note}" for note in self.notes)
        return "\n".join([head, *(entry.line(width) for entry in self.entries), *notes])
