"""Keep the results of comparisons in local folders, the newest of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from connectors.storage import connect
from pipeline.service.catalog.export_store import MEDIA_TYPES, DownloadableFile
from pipeline.sinks.formats import ALL_FORMATS, Format

RESULT_FILE = "result.json"
REPORT_FILE = "report.html"
DIGEST_FILE = "digest"
PARTIAL_SUFFIX = ".partial"
"""What the name of a folder ends with whose result is being written."""

FORMATS: tuple[Format, ...] = ALL_FORMATS
_HTML = "text/html; charset=utf-8"
_SESSION = re.compile(r"[0-9a-f]{8,64}")


def file_name(form: str) -> str:
    """Return the name of the file of the differences in a format."""
    return f"differences.{form}"


class ComparisonStore:
    """Finds results of comparisons by the id of their job, and by what shaped them.

    Args:
        folder: The folder of all results.
        keep: How many are kept.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        self._sessions = dict(self._read_digests())

    def folder(self, session: str) -> Path:
        """Return the folder of a result."""
        return self._folder / session

    def find(self, digest: str) -> str | None:
        """Return the session whose result was shaped by the same."""
        session = self._sessions.get(digest)
        if session is not None and not (self.folder(session) / RESULT_FILE).is_file():
            del self._sessions[digest]
            return None
        return session

    def add(self, session: str, digest: str) -> None:
        """Record a result that a worker has written."""
        self._sessions[digest] = session

    def remove_oldest(self) -> None:
        """Remove the oldest results beyond the limit."""
        folders = self._oldest_first()
        for old in folders[: max(0, len(folders) - self._keep)]:
            shutil.rmtree(old, ignore_errors=True)

    def result(self, session: str) -> dict[str, Any] | None:
        """Return a result; None where there is none any more."""
        if not _SESSION.fullmatch(session):
            return None
        try:
            text = (self.folder(session) / RESULT_FILE).read_text(encoding="utf-8")
        except OSError:
            return None
        found: dict[str, Any] = json.loads(text)
        return found

    def file(self, session: str, form: str) -> DownloadableFile | None:
        """Return the file of a result in a format, `html` for the report; None for none."""
        if not _SESSION.fullmatch(session):
            return None
        path = self.folder(session) / (REPORT_FILE if form == "html" else file_name(form))
        storage, stored = connect(str(path))
        info = storage.info(stored)
        if info is None:
            return None
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        media_type = next((MEDIA_TYPES[one] for one in FORMATS if one == form), _HTML)
        return DownloadableFile(storage, info, None, None, modified, media_type)

    def rows(self, session: str) -> pl.LazyFrame:
        """Return the differences of a result as a lazy frame."""
        return pl.scan_parquet(self.folder(session) / file_name("parquet"))

    def _read_digests(self) -> Iterator[tuple[str, str]]:
        """Yield the digest and the session of each result; remove what dead workers left."""
        for folder in self._folder.glob(f"*{PARTIAL_SUFFIX}"):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in self._oldest_first():
            try:
                yield (folder / DIGEST_FILE).read_text(encoding="ascii"), folder.name
            except (OSError, ValueError):  # damaged
                shutil.rmtree(folder, ignore_errors=True)

    def _oldest_first(self) -> list[Path]:
        """Return the folders of results; those that are just being written are not among them."""
        found: list[tuple[float, Path]] = []
        for folder in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # removed meanwhile
                if _SESSION.fullmatch(folder.name):
                    found.append((folder.stat().st_mtime, folder))
        return [folder for _, folder in sorted(found)]
