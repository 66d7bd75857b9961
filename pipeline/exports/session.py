"""Resolve once what all attempts of an export share: settings, storages and targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.config import ExportConfig
from pipeline.errors import ConfigError
from pipeline.execution.workers import Workers
from pipeline.exports.deadline import Clock
from pipeline.exports.lineage import ExportLineage
from pipeline.exports.notification import Notification
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.registration import Registration
from pipeline.exports.remembered_runs import known_runs
from pipeline.planning.target import TargetResolver
from pipeline.reading.source import Look, Source, find_runs
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.planning.plan import ExportPlan


@dataclass(frozen=True)
class ExportSession:
    """One export, however many attempts it takes.

    Attributes:
        config: The settings.
        now: When the export began, UTC.
        resolver: Resolves the targets of all sinks.
        full_refresh: Whether targets that have not changed are written, too.
        progress: Receives the progress.
        registration: Enters the export in the registry of the config, if that names one.
        clock: Times the phases, and holds the deadline.
        lineage: Sends lineage events, if the config asks for them.
        notification: Sends webhooks, if the config names any.
        workers: Worker processes of this export.
    """

    config: ExportConfig
    now: datetime
    resolver: TargetResolver
    full_refresh: bool
    progress: ProgressCallback
    registration: Registration
    clock: Clock = field(repr=False)
    lineage: ExportLineage = field(repr=False)
    notification: Notification = field(repr=False)
    workers: Workers = field(repr=False)

    @classmethod
    def open(
        cls,
        config: ExportConfig,
        *,
        now: datetime | None = None,
        full_refresh: bool = False,
        progress: ProgressCallback | None = None,
    ) -> ExportSession:
        """Resolve a config's storages; no request is made.

        Raises:
            ConfigError: A package that the config needs is not installed.
            StorageError: A URL is none, or no package knows its protocol.
        """
        moment = (now or datetime.now(UTC)).astimezone(UTC)
        resolver = TargetResolver.of(config, moment)
        clock = Clock(config.execution.timeout)
        return cls(
            config,
            moment,
            resolver,
            full_refresh,
            progress or ProgressCallback(),
            Registration(config),
            clock,
            ExportLineage(config, moment),
            Notification(config),
            Workers(config),
        )

    def find_runs(self) -> Source:
        """Find the runs; those that the published exports know as they are listed are not read.

        Raises:
            ConfigError: There is no run and `require_runs` is true.
            RunError: A run is broken and `on_error` is `fail`.
            StorageError: The source cannot be listed or read.
        """
        with self.clock.phase("discover"):
            source = self._look()
        self.progress.discovered(len(source.runs))
        self._require_runs(source)
        return source

    def _look(self) -> Source:
        if self.full_refresh:
            return find_runs(self.config, now=self.now, elsewhere=self.workers.discover)
        # A registry holds all that there is to know of a run; descriptors hold what was exported.
        if (registered := self.registration.known_runs()) is not None:
            return find_runs(self.config, registered, now=self.now)
        known = known_runs(self.config, self.resolver)
        if known is None:
            return find_runs(self.config, now=self.now, elsewhere=self.workers.discover)
        return find_runs(self.config, known, "remembered", now=self.now)

    def find_runs_again(self, before: Source) -> Source:
        """Find and read the runs afresh, as those that were found before are out of date.

        Raises:
            RunError: A run is broken and `on_error` is `fail`.
            StorageError: The source cannot be listed or read.
        """
        with self.clock.phase("discover"):
            look: Look = "second" if before.look == "first" else "first"
            return find_runs(self.config, look=look, now=self.now, elsewhere=self.workers.discover)

    def plan(self, source: Source) -> ExportPlan:
        """Work out what the export of some runs will read and write.

        Raises:
            ConfigError: The runs do not fit the config.
        """
        # Imported when needed: it loads Polars, which finding runs does without.
        from pipeline.planning.make_plan import make_plan  # noqa: PLC0415

        return make_plan(self.config, source.runs, self.resolver)

    def _require_runs(self, source: Source) -> None:
        if self.config.source.require_runs and not source.runs:
            wanted = "and source.require_runs is true"
            if source.left_out:
                number, first = counted(len(source.left_out), "run"), source.left_out[0]
                raise ConfigError(
                    f"no run under {source.url} is exported {wanted}: {number} left out, the first "
                    f"{first.url}: {first.reason}"
                )
            raise ConfigError(
                f"no run was found under {source.url} {wanted}: "
                "check source.url, include, exclude, created and latest"
            )
