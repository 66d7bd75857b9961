"""Use a registry from exports and comparisons, in bounded time and without failing them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from connectors.flowtime.discover.discovery import KnownRun
from pipeline.config.blocks import RegistryBlock
from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.registry.records.entries import DescriptorToEnter, RunsToEnter

if TYPE_CHECKING:
    from pipeline.registry.registry import Registry

_ASKING_SECONDS = 3.0
_MOST_SHOWN = 3


class RegistrySession:
    """One registry during one export, import or comparison.

    Whatever it is asked for is done on a thread that is not waited for any longer once the time
    is up; from then on nothing more is asked.

    Args:
        url: The registry's URL.
        seconds: How long entering may take.

    Attributes:
        problem: Why the registry was not of use; None where it was.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._registry: Registry | None = None
        self._refused: list[str] = []
        self.problem: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Why the registry was not of use, and what it cannot hold, for the report."""
        found = [] if self.problem is None else [self.problem]
        found += [f"not entered in the registry: {one}" for one in self._refused[:_MOST_SHOWN]]
        more = len(self._refused) - _MOST_SHOWN
        return (*found, f"and {more:,} more not entered in the registry") if more > 0 else (*found,)

    @classmethod
    def of(cls, registry: RegistryBlock) -> RegistrySession:
        """Return the session of a registry by its settings."""
        return cls(registry.url.get_secret_value(), registry.seconds)

    def known_runs(self, folder: str) -> KnownRun | None:
        """Return the runs below a folder that need not be read again; None where there are none.

        Args:
            folder: URL of the folder.
        """

        def look(_proceed: Callable[[], None]) -> KnownRun:
            # Imported when needed: SQLAlchemy takes longer to load than a small export takes.
            from pipeline.registry.known_runs import KnownRuns  # noqa: PLC0415

            return KnownRuns(self._opened().database, folder)

        found: KnownRun | None = self._bounded(look, min(_ASKING_SECONDS, self._seconds))
        return found

    def enter(self, runs: RunsToEnter | None, descriptors: Sequence[DescriptorToEnter]) -> None:
        """Enter runs, exports and comparisons; what goes wrong is among the `notes` alone."""

        def work(proceed: Callable[[], None]) -> list[str]:
            from pipeline.registry.entering import enter  # noqa: PLC0415

            return enter(self._opened(), runs, descriptors, proceed)

        self._refused += self._bounded(work, self._seconds) or ()

    def close(self) -> None:
        """Close the registry, unless its thread is still at work; closing it again does nothing."""
        if self._registry is not None and self.problem is None:
            self._registry.close()

    def _opened(self) -> Registry:
        if self._registry is None:
            from pipeline.registry.registry import Registry  # noqa: PLC0415

            self._registry = Registry(self._url, write_seconds=self._seconds)
        return self._registry

    def _bounded(self, work: Callable[[Callable[[], None]], Any], seconds: float) -> Any:
        """Return what some work gives, or None where it fails or takes too long."""
        if self.problem is not None:
            return None
        until = time.monotonic() + seconds
        answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def proceed() -> None:
            if time.monotonic() > until:
                raise _LateError(f"it did not answer within {seconds:g} s")

        def answer() -> None:
            try:
                answers.put((work(proceed), None))
            except BaseException as error:
                answers.put((None, error))

        threading.Thread(target=answer, name="flowtime-registry", daemon=True).start()
        try:
            found, failure = answers.get(timeout=seconds)
        except Empty:
            found, failure = None, _LateError(f"it did not answer within {seconds:g} s")
        if failure is None:
            return found
        if not isinstance(failure, FlowtimeExportError):
            LOGGER.error("the registry failed", exc_info=failure)
            failure = FlowtimeExportError(f"it failed ({type(failure).__name__})")
        self.problem = (
            f"the registry is not up to date: {failure}; the next run or `artifacts rebuild` "
            "enters what is missing"
        )
        return None


class _LateError(FlowtimeExportError):
    """The registry's time is up."""
