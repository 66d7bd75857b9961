"""Enter comparisons and their sides in a registry, without ever failing a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.comparison.sides.side import OpenSide
from pipeline.registry.records.entries import DescriptorToEnter, RunsToEnter
from pipeline.registry.session import RegistrySession

_BATCH = 50
"""Comparisons that are entered at a time."""


class ComparisonRegistration:
    """What comparisons have to do with a registry; nothing where there is none.

    A registry knows a comparison by the descriptor of what it has written, as it would find it
    again: one that has written nothing is not entered. Used as a context, so that the registry is
    closed whatever happens.

    Args:
        session: The registry.
    """

    def __init__(self, session: RegistrySession | None) -> None:
        self._session = session
        self._runs: list[RunsToEnter] = []
        self._descriptors: list[DescriptorToEnter] = []
        self._written = 0

    def __enter__(self) -> ComparisonRegistration:
        return self

    def __exit__(self, *error: object) -> None:
        if self._session is not None:
            self._session.close()

    def note(self, written: Sequence[DescriptorToEnter], *sides: OpenSide) -> None:
        """Keep what a comparison has written, and what it has compared.

        Args:
            written: The descriptors of its outputs.
            sides: Its sides.
        """
        if self._session is None or not written:
            return
        self._written += 1
        for side in sides:
            self.note_side(side)
        self._descriptors += written
        if self._written % _BATCH == 0:
            self._enter()

    def note_side(self, side: OpenSide) -> None:
        """Keep what was compared."""
        if self._session is None:
            return
        if side.descriptor is not None:
            self._descriptors.append(side.descriptor)
        elif side.storage is not None:
            self._runs.append(RunsToEnter(side.storage, [side.run.path], runs=[side.run]))

    def finish(self) -> tuple[str, ...]:
        """Enter what was kept, and return notes where that failed."""
        if self._session is None:
            return ()
        self._enter()
        return self._session.notes

    def _enter(self) -> None:
        assert self._session is not None
        for runs in _joined(self._runs):
            self._session.enter(runs, ())
        if self._descriptors:
            self._session.enter(None, self._descriptors)
        self._runs, self._descriptors = [], []


def _joined(entries: list[RunsToEnter]) -> Iterator[RunsToEnter]:
    """Yield the runs of one folder together; the settings of a comparison give it one storage."""
    by_folder: dict[str, list[RunsToEnter]] = {}
    for one in entries:
        folder = one.runs[0].url.rstrip("/").rpartition("/")[0]
        by_folder.setdefault(folder, []).append(one)
    for together in by_folder.values():
        runs = {one.runs[0].path: one.runs[0] for one in together}
        yield RunsToEnter(together[0].storage, [*runs], runs=[*runs.values()])
