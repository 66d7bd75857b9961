"""Define the report of a verification, for people and machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.exit_codes import DONE, FAILED
from pipeline.wording import counted, first_names, human_size, names_by_text

_MOST_FILES = 20
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One file of an export.

    Attributes:
        path: Relative to the export's folder.
        url: The file.
        format: Its format.
        size: Bytes as recorded, else as found.
        rows: Rows as recorded, else as read; None where neither is known.
        problems: What is wrong with it; empty: nothing is.
    """

    path: str
    url: str
    format: str
    size: int
    rows: int | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """The values of one table compared with those of its runs.

    Attributes:
        table: Name of the table.
        values: Values that were compared.
        different: How many of them differ.
        problems: The first differences, and what could not be compared though it should be.
    """

    table: str
    values: int
    different: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        target: What was verified.
        descriptor: The descriptor it was verified by; None: the file's own metadata.
        against: Where the runs are that values were compared with, if they were.
        files: The files.
        comparisons: One for each table that was compared.
        notes: What could not be checked, and what else a reader should know.
        descriptors: The descriptors, where a folder of several exports was verified.
    """

    target: str
    descriptor: str | None
    against: str | None
    files: tuple[CheckedFile, ...]
    comparisons: tuple[ValueCheck, ...] = ()
    notes: tuple[str, ...] = ()
    descriptors: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that was checked is as it should be."""
        wrong = [file.problems for file in self.files]
        return not any(wrong) and not any(one.problems for one in self.comparisons)

    @property
    def exit_code(self) -> int:
        """0 when everything is as it should be, else 1."""
        return DONE if self.ok else FAILED

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-compatible data."""
        data = asdict(self)
        for file in data["files"]:
            file["bytes"] = file.pop("size")
        return {"ok": self.ok, **data, "exit_code": self.exit_code}

    def as_text(self) -> str:
        """Return the report as a table for people."""
        bad = [file for file in self.files if file.problems]
        good = [file for file in self.files if not file.problems]
        room = max(0, _MOST_FILES - len(bad))
        lines = [self._headline()]
        lines += [line for file in (*bad, *good[:room]) for line in _file_lines(file)]
        if len(good) > room:
            lines.append(f"  ... {len(good) - room} more, ok (all of them with --json)")
        lines += [line for one in self.comparisons for line in _comparison_lines(one, self.against)]
        lines += [f"  note: {note}" for note in _condensed(self.notes)]
        return "\n".join(lines)

    def _headline(self) -> str:
        rows = sum(file.rows or 0 for file in self.files)
        verdict = "as promised" if self.ok else "NOT as promised"
        by = self.descriptor or "its own metadata"
        if self.descriptors:
            by = counted(len(self.descriptors), "descriptor")
        files = counted(len(self.files), "file")
        return f"{self.target}: {files}, {rows:,} rows, {verdict} by {by}"


def _condensed(notes: Sequence[str]) -> Iterator[str]:
    """Yield notes for people: what is said of many tables is said once."""
    parts = (note.partition(": ") for note in notes)
    for text, names in names_by_text((head, tail or head) for head, _, tail in parts).items():
        if names == [text]:
            yield text
        elif len(names) <= _MOST_NAMES:
            yield f"{', '.join(names)}: {text}"
        else:
            yield f"{len(names):,} tables ({first_names(names, _MOST_NAMES)}): {text}"


def _file_lines(file: CheckedFile) -> list[str]:
    verdict = "FAIL" if file.problems else "ok"
    rows = "" if file.rows is None else f"{file.rows:,} rows"
    head = f"  {file.format:<8}{rows:>18}  {human_size(file.size):>9}  {verdict:<5} {file.path}"
    return [head, *(f"      {problem}" for problem in file.problems)]


def _comparison_lines(one: ValueCheck, against: str | None) -> list[str]:
    verdict = "ok" if not one.problems else "FAIL"
    head = (
        f"  values  {one.values - one.different:>13,} equal  {one.different:>6,} differ  "
        f"{verdict:<5} {one.table} against {against}"
    )
    return [head, *(f"      {problem}" for problem in one.problems)]
