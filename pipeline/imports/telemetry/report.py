"""Report the problems of a foreign table, before anything is written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from connectors.flowtime.parse.schema import clip
from pipeline.errors import IntegrityError
from pipeline.wording import counted

SHOWN = 20
"""Problems of one kind that are listed one by one; the others are counted."""

MAX_LINES = 2**32 - 1

ProblemKind = Literal[
    "file",
    "column",
    "row",
    "name",
    "value",
    "time",
    "zone",
    "spacing",
    "gap",
    "duplicate",
    "grid",
    "size",
]


@dataclass(frozen=True, slots=True)
class TableProblem:
    """One thing that is wrong.

    Attributes:
        kind: What sort of thing; problems are counted by it.
        file: The file's URL, or "" where the table as a whole is meant.
        line: Line in the file (row in Parquet), counted from 1, or None.
        column: The column as the table names it, or None.
        found: What is there, short and escaped.
        expected: What would be right, or what to do.
    """

    kind: ProblemKind
    file: str
    line: int | None
    column: str | None
    found: str
    expected: str

    def __str__(self) -> str:
        line = "" if self.line is None else f" line {self.line}"
        where = f"{self.file}{line}" + (f", {self.column}" if self.column else "")
        return f"{where}: {self.found}; {self.expected}" if where else self._what

    @property
    def _what(self) -> str:
        return f"{self.found}; {self.expected}"


@dataclass(frozen=True, slots=True)
class ForeignReport:
    """The facts of a foreign table, and everything that is wrong with it.

    Attributes:
        files: URLs of the files.
        rows: Rows read.
        series: Series found.
        bins: Bins of the grid, or None where there is none.
        bin_minutes: Width of a bin in minutes, or None.
        time_origin: Start of bin 0, UTC, or None.
        filled: Bins that no row named and that became NaN.
        replaced: Rows that a later one for the same bin replaced.
        notes: What was assumed or left out.
        problems: The first of each kind.
        counts: How many there are of each kind.
    """

    files: tuple[str, ...]
    rows: int = 0
    series: int = 0
    bins: int | None = None
    bin_minutes: int | None = None
    time_origin: datetime | None = None
    filled: int = 0
    replaced: int = 0
    notes: tuple[str, ...] = ()
    problems: tuple[TableProblem, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the table can become a run."""
        return not self.problems

    def as_text(self) -> str:
        """For people: facts, notes, then problems, one a line."""
        lines = [
            f"{counted(self.rows, 'row')}, {counted(self.series, 'series', 'series')} "
            f"in {', '.join(self.files)}"
        ]
        if self.bins is not None and self.time_origin is not None:
            lines.append(
                f"{counted(self.bins, 'bin')} of {self.bin_minutes:,} minutes "
                f"from {self.time_origin:%Y-%m-%dT%H:%M:%SZ}"
            )
        lines += [f"note: {note}" for note in self.notes]
        for kind, count in self.counts.items():
            listed = [problem for problem in self.problems if problem.kind == kind]
            lines += [f"{kind}: {problem}" for problem in listed]
            if count > len(listed):
                lines.append(f"{kind}: and {count - len(listed):,} more")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the same for programs, as JSON-compatible data."""
        origin = self.time_origin
        return {
            "ok": self.ok,
            "files": list(self.files),
            "rows": self.rows,
            "series": self.series,
            "bins": self.bins,
            "binMinutes": self.bin_minutes,
            "timeOrigin": None if origin is None else f"{origin:%Y-%m-%dT%H:%M:%SZ}",
            "filled": self.filled,
            "replaced": self.replaced,
            "notes": list(self.notes),
            "problemCounts": self.counts,
            "problems": [
                {
                    "kind": one.kind,
                    "file": one.file or None,
                    "line": one.line,
                    "column": one.column,
                    "found": one.found,
                    "expected": one.expected,
                }
                for one in self.problems
            ],
        }


class ForeignDataError(IntegrityError):
    """A foreign table cannot become a run; nothing was written.

    Args:
        report: Everything that is wrong with it.
    """

    def __init__(self, report: ForeignReport) -> None:
        self.report = report
        first = report.problems[0]
        total = sum(report.counts.values())
        more = f" (and {total - 1:,} more: see the report)" if total > 1 else ""
        super().__init__(f"{first}{more}")


class StopReadingError(Exception):
    """What was noted last makes reading on pointless; never leaves this package."""


@dataclass(slots=True)
class Findings:
    """Problems and notes as they are found.

    A place is a line counted through all files, so that one number says where a row came from.
    """

    files: list[str] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[TableProblem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def begin_file(self, url: str, start: int) -> None:
        """Note that lines after the place `start` are those of `url`."""
        self.files.append(url)
        self._starts.append(start)

    def where(self, place: int) -> tuple[str, int]:
        """File and line of a place."""
        at = bisect_right(self._starts, place - 1) - 1
        return self.files[at], place - self._starts[at]

    def add(
        self, kind: ProblemKind, place: int | None, column: str | None, found: object, expected: str
    ) -> None:
        """Note a problem; `place` is None where no line is to blame."""
        self.count(kind, 1)
        if self._shown(kind) >= SHOWN:
            return
        file, line = ("", None) if place is None else self.where(place)
        text = found if isinstance(found, str) else clip(found)
        self.problems.append(TableProblem(kind, file, line, column, text, expected))

    def add_all(
        self,
        kind: ProblemKind,
        column: str | None,
        expected: str,
        found: Iterable[tuple[int, object]],
        total: int,
    ) -> None:
        """Note `total` problems of one kind, of which the first ones are given by place."""
        room = max(SHOWN - self._shown(kind), 0)
        listed = 0
        for place, what in found:
            if listed >= room:
                break
            self.add(kind, place, column, clip(what), expected)
            listed += 1
        self.count(kind, total - listed)

    def count(self, kind: ProblemKind, number: int) -> None:
        """Count problems without listing them."""
        if number > 0:
            self.counts[kind] = self.counts.get(kind, 0) + number

    def stop(
        self, kind: ProblemKind, place: int | None, column: str | None, found: object, expected: str
    ) -> StopReadingError:
        """Note a problem after which nothing more can be read; to be raised."""
        self.add(kind, place, column, found, expected)
        return StopReadingError(str(self.problems[-1]))

    def stop_in_file(self, found: str, expected: str, line: int | None = None) -> StopReadingError:
        """Likewise, in the file that is being read."""
        self.count("file", 1)
        self.problems.append(TableProblem("file", self.files[-1], line, None, found, expected))
        return StopReadingError(found)

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    def snapshot(self) -> tuple[tuple[TableProblem, ...], dict[str, int]]:
        """Return the problems so far, for `restore`."""
        return tuple(self.problems), dict(self.counts)

    def restore(self, snapshot: tuple[tuple[TableProblem, ...], dict[str, int]]) -> None:
        """Forget the problems noted since."""
        self.problems, self.counts = list(snapshot[0]), dict(snapshot[1])

    def _shown(self, kind: ProblemKind) -> int:
        return sum(problem.kind == kind for problem in self.problems)
