"""Compare what a descriptor says of a lake table with the table's own log."""

from __future__ import annotations

from pipeline.errors import ConfigError, SinkError, StorageError
from pipeline.lake_tables.opening import described_table
from pipeline.readback.tables import Export
from pipeline.verification.report import CheckedFile
from pipeline.wording import counted, few

_MOST_FILES = 5


def check_log(export: Export) -> tuple[list[CheckedFile], list[str]]:
    """Return the log with what is wrong with it, and notes; nothing where there is no lake table.

    Args:
        export: An export that was opened as a whole.
    """
    reference = export.lake_table
    if reference is None:
        return [], []
    form = str(reference.get("format"))
    try:
        table = described_table(reference, export.storage, export.folder)
        version = None if table is None else table.read()
    except ConfigError as error:
        return [], [f"the log of the table was not looked at: {error}"]
    except (SinkError, StorageError) as error:
        return [CheckedFile("log", export.url, form, 0, None, (str(error),))], []
    if version is None:
        return [CheckedFile("log", export.url, form, 0, None, ("there is no such table",))], []
    named = {file.path for file in export.files}
    problems = []
    if missing := sorted(named - version.files.keys()):
        problems.append(
            f"{counted(len(missing), 'file')} of the descriptor are not in the newest version of "
            f"the table: {few(missing, _MOST_FILES)}; another tool has rewritten or removed them, "
            "or an export was interrupted: export again"
        )
    if extra := sorted(version.files.keys() - named):
        problems.append(
            f"the newest version of the table holds {counted(len(extra), 'file')} that the "
            f"descriptor does not name: {few(extra, _MOST_FILES)}; another tool has written them, "
            "or an export was interrupted: export again"
        )
    size = sum(version.files.values())
    return [CheckedFile("log", export.url, form, size, None, tuple(problems))], []
