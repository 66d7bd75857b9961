"""Return runs that the registry has read, so that discovery need not read them again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select

from connectors.flowtime.model.run import Run
from pipeline.errors import RegistryError
from pipeline.logs import LOGGER
from pipeline.registry.database.connection import Database
from pipeline.registry.database.statements import below
from pipeline.registry.database.tables import artifact, document
from pipeline.registry.records.run_records import run_of_document

_AHEAD = 128


class _KnownRow(NamedTuple):
    location: str
    key: int
    listing: str


class KnownRuns:
    """The runs below a folder, each given where its folder is listed as it was.

    Discoveries go through folders in order, so that descriptions are fetched some at a time.

    Args:
        database: The registry's database.
        url: The folder.

    Raises:
        RegistryError: The database failed.
    """

    def __init__(self, database: Database, url: str) -> None:
        self._database = database
        columns = artifact.c
        wanted = (
            select(columns.location, columns.key, columns.listing)
            .join(document, document.c.key == columns.key)
            .where(below(columns.location, url), columns.state == "complete")
        )
        with database.reading(None) as connection:
            found = connection.execute(wanted).all()
        self._rows = sorted(_KnownRow(*row) for row in found)
        self._places = [row.location for row in self._rows]
        self._bodies: dict[int, bytes] = {}
        self._has_failed = False

    def __len__(self) -> int:
        return len(self._rows)

    def __call__(self, url: str, listing: str) -> Run | None:
        """Return the run in the folder of a URL, if it was listed so; None where it is unknown."""
        place = bisect_left(self._places, url)
        if place == len(self._rows) or self._has_failed:
            return None
        row = self._rows[place]
        if row.location != url or row.listing != listing:
            return None
        if row.key not in self._bodies:
            self._bodies = self._fetched(self._rows[place : place + _AHEAD])
        body = self._bodies.get(row.key)
        return None if body is None else run_of_document(body)

    def _fetched(self, rows: Sequence[_KnownRow]) -> dict[int, bytes]:
        wanted = select(document).where(document.c.key.in_([row.key for row in rows]))
        try:
            with self._database.reading(None) as connection:
                return {row.key: row.body for row in connection.execute(wanted)}
        except RegistryError as error:
            LOGGER.warning("%s; runs are read instead", error)
            self._has_failed = True
            return {}
