"""Change what users say of artifacts, in the database and in the journal beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from pipeline.registry import user_tables
from pipeline.registry.database.connection import Database
from pipeline.registry.queries.identity import keys_by_id
from pipeline.registry.user_data import UserChange, UserData
from pipeline.registry.user_journal import UserJournal

_Note = Callable[[Sequence[UserData]], None]
"""Writes changes to the journal; called before the database commits them."""


class UserDataChanges:
    """Changes what users say, so that a journal has all that the database has.

    Args:
        database: The registry's database.
        journal: Its journal; None where it has none.
        changed: Called after each change.
    """

    def __init__(
        self, database: Database, journal: UserJournal | None, changed: Callable[[], None]
    ) -> None:
        self._database = database
        self._journal = journal
        self._changed = changed

    def change(self, names: Sequence[str], wanted: UserChange) -> frozenset[str]:
        """Change what is said of artifacts, and return the ids of those that are there.

        Args:
            names: Ids of the artifacts.
            wanted: The change.

        Raises:
            RegistryError: The database or the journal failed.
        """
        with self._changing() as (connection, note):
            known = keys_by_id(connection, names)
            note(user_tables.change(connection, [*known.values()], wanted))
        return frozenset(known)

    def replace(self, entries: Sequence[UserData]) -> None:
        """Replace what is said of some artifacts, which may have been moved since.

        Raises:
            RegistryError: The database or the journal failed.
        """
        with self._changing() as (connection, note):
            adopted = user_tables.adopt(connection, entries)
            user_tables.write(connection, adopted)
            note(adopted)

    def follow_moves(self) -> None:
        """Give what was said of artifacts that were moved to where they are now.

        Raises:
            RegistryError: The database or the journal failed.
        """
        with self._database.reading(None) as connection:
            if next(user_tables.lost(connection), None) is None:
                return
        with self._changing() as (connection, note):
            lost = [*user_tables.lost(connection)]
            moved = user_tables.adopt(connection, lost)
            changed = [(b, a) for b, a in zip(lost, moved, strict=True) if b.key != a.key]
            emptied = [before.emptied() for before, _ in changed]
            found = [after for _, after in changed]
            user_tables.write(connection, [*emptied, *found])
            note([*emptied, *found])

    @contextmanager
    def _changing(self) -> Iterator[tuple[Connection, _Note]]:
        """Give a connection, and what notes changes in the journal before they are committed."""
        with self._database.writing() as connection:

            def note(changed: Sequence[UserData]) -> None:
                if self._journal is not None:
                    self._journal.append(changed, user_tables.read(connection))

            yield connection, note
        self._changed()
