"""Define the report of an import, for people and machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.exit_codes import DONE
from pipeline.wording import counted, few, human_size

ImportStatus = Literal["written", "replaced", "skipped", "checked"]
_MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """One run directory of an import.

    Attributes:
        run_id: The run's id.
        url: The run directory.
        status: `written`; `replaced`, as another existed; `skipped`, as the same existed;
            `checked`, as nothing was to be written.
        series: Series files.
        rows: Values in them.
        size: Bytes in them.
        matched: Series files whose sha256 is the one that the original had.
        unpromised: Series for which the export knows no sha256.
        different: Ids of series whose values came back, but in other bytes.
    """

    run_id: str
    url: str
    status: ImportStatus
    series: int
    rows: int
    size: int
    matched: int
    unpromised: int
    different: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        kind: `restored` from an export of this project, or `telemetry` made of a foreign table.
        sources: URLs of what was imported.
        runs: The run directories.
        notes: What a reader should know.
        seconds: Wall time.
    """

    kind: Literal["restored", "telemetry"]
    sources: tuple[str, ...]
    runs: tuple[ImportedRun, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Values in all series files."""
        return sum(run.rows for run in self.runs)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-compatible data."""
        data = asdict(self)
        for run in data["runs"]:
            run["bytes"] = run.pop("size")
        data["status"] = "done"
        data["exit_code"] = DONE
        return data

    def as_text(self) -> str:
        """Return the report as lines for people."""
        series = sum(run.series for run in self.runs)
        lines = [
            f"{self.kind} {counted(len(self.runs), 'run')}: {series:,} series, "
            f"{self.rows:,} rows in {self.seconds:.1f} s"
        ]
        lines += [_line(run) for run in self.runs[:_MOST_LINES]]
        if len(self.runs) > _MOST_LINES:
            lines.append(f"  ... {len(self.runs) - _MOST_LINES} more (all of them with --json)")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _line(run: ImportedRun) -> str:
    return (
        f"  {run.status:<10}{run.series:>6,} series  {human_size(run.size):>9}  "
        f"{run.url}{_verdict(run)}"
    )


def _verdict(run: ImportedRun) -> str:
    parts = []
    if run.matched:
        parts.append(f"{run.matched:,} of {run.series:,} files as they were, byte for byte")
    if run.different:
        parts.append(f"other bytes: {few(run.different)}")
    return f", {'; '.join(parts)}" if parts else ""
