"""Enter an export in the registry of its config, without ever failing the export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from connectors.flowtime.discover.discovery import KnownRun
from pipeline.config import ExportConfig
from pipeline.exports.report import Report
from pipeline.planning.published import Pending, place_of
from pipeline.planning.source_roots import source_roots
from pipeline.reading.source import Source
from pipeline.registry.records.entries import DescriptorToEnter, RunsToEnter
from pipeline.registry.session import RegistrySession

if TYPE_CHECKING:
    from pipeline.writing.descriptor_file import StagedTarget


class Registration:
    """What one export has to do with the registry of its config; nothing where it names none.

    Args:
        config: The settings.
    """

    def __init__(self, config: ExportConfig) -> None:
        self._config = config
        self._session: RegistrySession | None = None
        self._runs: RunsToEnter | None = None
        self._exports: list[DescriptorToEnter] = []
        if config.registry is not None:
            self._session = RegistrySession.of(config.registry)

    def known_runs(self) -> KnownRun | None:
        """Return the runs that need not be read again; None where the registry knows none."""
        source = self._config.source
        if self._session is None or source.time_origin != "auto":
            return None
        storage, roots = source_roots(self._config)
        known = [self._session.known_runs(storage.url(root.path)) for root in roots]
        return _first_known([one for one in known if one is not None])

    def note(
        self, source: Source, written: Sequence[StagedTarget], current: Sequence[Pending]
    ) -> None:
        """Keep what is to be entered once the export is over.

        Args:
            source: The runs.
            written: Targets that were written.
            current: Targets that were up to date.
        """
        if self._session is None:
            return
        self._runs = RunsToEnter(
            source.storage, [root.path for root in source.roots], source.whole_runs
        )
        targets = [(pending.target, False) for pending in current]
        targets += [(pending.target, True) for pending, _ in written]
        # The runs of a lake table share its descriptor.
        is_new = {place_of(target): new for target, new in targets if not target.is_stdout}
        self._exports = [DescriptorToEnter(*place, new) for place, new in is_new.items()]

    def finished(self, report: Report) -> Report:
        """Enter what was kept, and return the report with notes where that failed."""
        if self._session is None:
            return report
        if self._runs is not None:
            self._session.enter(self._runs, self._exports)
        self.close()
        for note in self._session.notes:
            report = report.with_note(note)
        return report

    def close(self) -> None:
        """Close the registry, whether the export was entered or has failed."""
        if self._session is not None:
            self._session.close()


def _first_known(sources: Sequence[KnownRun]) -> KnownRun | None:
    """Return the runs that any of several folders knows."""
    if len(sources) < 2:
        return sources[0] if sources else None
    return lambda url, listing: next(
        (run for known in sources if (run := known(url, listing)) is not None), None
    )
