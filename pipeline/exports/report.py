"""Define the report of an export, for people and machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pipeline.execution.engine import EngineChoice
from pipeline.exit_codes import DONE, SKIPPED
from pipeline.reading.left_out import LeftOut
from pipeline.wording import counted, first_names, human_size, names_by_text

TargetStatus = Literal["exported", "unchanged", "kept", "removed"]


@dataclass(frozen=True, slots=True)
class ExportedTarget:
    """One target of a sink.

    Attributes:
        format: The sink's format.
        url: The file or folder.
        descriptor: URL of the descriptor that names its files; None for standard output.
        status: `exported`; `unchanged`, as nothing had changed; `kept`, as `if_exists` is `skip`;
            `removed`, as its run is gone and the sink has `prune`.
        files: Number of files.
        rows: Data rows in them.
        size: Bytes in them.
        non_finite: NaN and infinite values in them.
        is_part: Whether it is one run of a lake table.
    """

    format: str
    url: str
    descriptor: str | None
    status: TargetStatus
    files: int = 0
    rows: int = 0
    size: int = 0
    non_finite: int = 0
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class RunNote:
    """What a reader should know of one run.

    Attributes:
        run: Name of the run directory.
        text: The note.
    """

    run: str
    text: str


@dataclass(frozen=True)
class Report:
    """What happened.

    Attributes:
        name: The config's name.
        source: URL the runs were looked for under.
        runs: Runs that the export covers.
        series: Series of those runs, after selection.
        rows_read: Rows read from series files.
        bytes_read: Bytes read from series files.
        targets: What was written or found unchanged.
        left_out: Runs that are not in the export.
        export_notes: What a reader should know of the export as a whole, e.g. that the registry
            is not up to date.
        sink_notes: What a reader should know of the sinks, e.g. columns that a layout leaves out.
        run_notes: What a reader should know of the runs, e.g. assumed time origins.
        seconds: Wall time by phase; in `cpu` the processor time of this process since the export
            began, and of its workers.
        engine: Where the tasks were done; None where there was nothing to do.
    """

    name: str
    source: str
    runs: int
    series: int
    rows_read: int = 0
    bytes_read: int = 0
    targets: tuple[ExportedTarget, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    sink_notes: tuple[str, ...] = ()
    export_notes: tuple[str, ...] = ()
    run_notes: tuple[RunNote, ...] = ()
    seconds: dict[str, Any] = field(default_factory=dict)
    engine: EngineChoice | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, each run's own ones by its name."""
        of_runs = (f"run {note.run}: {note.text}" for note in self.run_notes)
        return (*self.export_notes, *self.sink_notes, *of_runs)

    @property
    def skipped(self) -> tuple[LeftOut, ...]:
        """Broken runs that were left out; runs still being written and links are not among them."""
        return tuple(run for run in self.left_out if run.kind == "broken")

    @property
    def exit_code(self) -> int:
        """0 when done, 3 when broken runs were left out."""
        return SKIPPED if self.skipped else DONE

    def with_note(self, note: str) -> Report:
        """Return the report with a further note on the export as a whole."""
        return replace(self, export_notes=(*self.export_notes, note))

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-compatible data."""
        data = asdict(replace(self, export_notes=(), sink_notes=(), run_notes=()))
        del data["export_notes"], data["sink_notes"], data["run_notes"]
        data["notes"] = self.notes
        for target in data["targets"]:
            target["bytes"] = target.pop("size")
            del target["is_part"]
        data["exit_code"] = self.exit_code
        data["status"] = "skipped some runs" if self.skipped else "done"
        return data

    def as_text(self) -> str:
        """Return the report as lines for people."""
        lines = [self._headline()]
        lines += [_target_line(target) for target in _shown(self.targets)]
        if len(self.targets) > _MOST_LINES:
            lines.append(f"  ... {len(self.targets) - _MOST_LINES} more (all of them with --json)")
        lines += [f"  {_verdict(run)} {run.url}: {run.reason}" for run in self.left_out]
        lines += [f"  note: {note}" for note in self._condensed_notes()]
        return "\n".join(lines)

    def _condensed_notes(self) -> list[str]:
        """Return notes for people: what several runs have in common is said once."""
        shown = [*dict.fromkeys((*self.export_notes, *self.sink_notes)), *_by_text(self.run_notes)]
        if len(shown) <= _MOST_LINES:
            return shown
        return [*shown[:_MOST_LINES], f"{len(shown) - _MOST_LINES} more (all of them with --json)"]

    def _headline(self) -> str:
        if not self.targets and not self.runs and self.left_out:
            left_out = counted(len(self.left_out), "run")
            return f"{self.name}: no run under {self.source} is exported: {left_out} left out"
        if not self.targets and not self.runs:
            return f"{self.name}: no runs found under {self.source}; nothing to do"
        written = [target for target in self.targets if target.status == "exported"]
        if not written:
            removed = sum(target.status == "removed" for target in self.targets)
            rest = f", {counted(removed, 'export')} removed" if removed else ""
            runs = counted(self.runs, "run")
            return f"{self.name}: {runs}, nothing changed, nothing written{rest}"
        total = self.seconds.get("total", 0.0)
        series = counted(self.series, "series", "series")
        return (
            f"{self.name}: {counted(self.runs, 'run')}, {series}, "
            f"{self.rows_read:,} rows read in {total:.1f} s"
        )


_MOST_LINES = 20
_VERDICTS = {
    "broken": "skipped",
    "incomplete": "waiting",
    "link": "passed by",
    "unlisted": "passed by",
}


def _shown(targets: Sequence[ExportedTarget]) -> Sequence[ExportedTarget]:
    return targets[:_MOST_LINES]


def _target_line(target: ExportedTarget) -> str:
    if target.status != "exported":
        return f"  {target.format:<8}{target.status:<10}{target.url}"
    files = "" if target.files == 1 else f", {target.files} files"
    odd = f", {target.non_finite} not finite" if target.non_finite else ""
    return (
        f"  {target.format:<8}{target.rows:>12,} rows  {human_size(target.size):>9}  "
        f"{target.url}{files}{odd}"
    )


def _verdict(run: LeftOut) -> str:
    return _VERDICTS[run.kind]


def _by_text(notes: Sequence[RunNote]) -> Iterator[str]:
    for text, names in names_by_text((note.run, note.text) for note in notes).items():
        if len(names) == 1:
            yield f"run {names[0]}: {text}"
        else:
            yield f"{len(names):,} runs ({first_names(names)}): {text}"
