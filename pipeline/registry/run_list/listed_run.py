"""Define a run as a list of runs shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select

from pipeline.registry.database.tables import LISTED_RUN, LISTED_RUN_DETAIL
from pipeline.registry.records.artifact import ArtifactState, instant_of

SHOWN_FACTS = {
    "source": "source",
    "mode": "mode",
    "templateId": "template_id",
    "templateTitle": "template_title",
    "modelTitle": "model_title",
}
"""What a list shows of a run's facts: names in the registry's metadata, and here."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run, or a directory that looks like one.

    Attributes:
        artifact: Key of its artifact.
        key: Its id in the list: the run id, with a mark where several runs have the same.
        run_id: Its own id; the directory's name where that cannot be read.
        name: The directory's name.
        path: The directory, relative to the folder of the runs; `.` for that folder itself.
        location: URL of the directory.
        state: `complete`, or why it cannot be exported as it is.
        reason: The same in words.
        is_readable: Whether what describes the run could be read; a run that a job has found
            damaged is readable and broken.
        created: When it was created, UTC; None where that is unknown.
        fingerprint: sha256 hex of what describes it; empty where it is not readable.
        listing: sha256 hex of its files as they were listed.
        series, rows, bytes: Number of series, rows of a plain export, bytes of the series files.
        bins, bin_minutes: Its time grid.
        warnings: Number of warnings.
        source, mode, template_id, template_title, model_title: What the run says of its origin.
    """

    artifact: int
    key: str
    run_id: str
    name: str
    path: str
    location: str
    state: ArtifactState
    reason: str | None
    is_readable: bool
    created: datetime | None
    fingerprint: str
    listing: str
    series: int
    rows: int
    bytes: int
    bins: int
    bin_minutes: int
    warnings: int
    source: str | None = None
    mode: str | None = None
    template_id: str | None = None
    template_title: str | None = None
    model_title: str | None = None

    @property
    def version(self) -> str:
        """Text that changes whenever a file of the run does."""
        return version_of_run(self.fingerprint, self.listing) if self.is_readable else ""


def version_of_run(fingerprint: str, listing: str) -> str:
    """Return text that changes whenever a file of a run does."""
    return f"{fingerprint} {listing}"


def fingerprint_of(digest: str | None) -> str:
    """Return the fingerprint of a run by the digest of its artifact."""
    return (digest or "").removeprefix("sha256:")


_COLUMNS = (
    LISTED_RUN.c.key,
    LISTED_RUN.c.id,
    LISTED_RUN.c.state,
    LISTED_RUN.c.is_readable,
    LISTED_RUN.c.created,
    LISTED_RUN.c.series,
    LISTED_RUN.c.rows,
    LISTED_RUN.c.warnings,
    *(column for column in LISTED_RUN_DETAIL.c if column.name != "key"),
)


def select_listed() -> Select[Any]:
    """Return a query of all that lists show of runs."""
    is_same = LISTED_RUN_DETAIL.c.key == LISTED_RUN.c.key
    return select(*_COLUMNS).select_from(LISTED_RUN).join(LISTED_RUN_DETAIL, is_same)


def runs_found_by(connection: Connection, wanted: Select[Any]) -> list[ListedRun]:
    """Return the runs that a query made by `select_listed` finds."""
    return [*_runs(connection.execute(wanted).all())]


def listed_by_keys(connection: Connection, keys: Sequence[int]) -> list[ListedRun]:
    """Return the runs of some artifacts, in that order."""
    rows = connection.execute(_BY_KEYS, {"keys": json.dumps([*keys])}).all()
    found = {one.artifact: one for one in _runs(rows)}
    return [found[key] for key in keys]


_BY_KEYS = select_listed().where(
    LISTED_RUN.c.key.in_(select(func.json_each(bindparam("keys")).table_valued("value").c.value))
)


def _runs(rows: Sequence[Row[Any]]) -> Iterator[ListedRun]:
    for row in rows:
        facts = json.loads(row.facts)
        yield ListedRun(
            artifact=row.key,
            key=row.id,
            run_id=row.run_id,
            name=row.name,
            path=row.path,
            location=row.location,
            state=row.state,
            reason=row.reason,
            is_readable=bool(row.is_readable),
            created=None if row.created is None else instant_of(row.created),
            fingerprint=fingerprint_of(row.digest),
            listing=row.listing,
            series=row.series,
            rows=row.rows,
            bytes=row.bytes,
            bins=row.bins,
            bin_minutes=row.bin_minutes,
            warnings=row.warnings,
            **{here: facts.get(there) for there, here in SHOWN_FACTS.items()},
        )
