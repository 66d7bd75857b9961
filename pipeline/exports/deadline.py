"""Measure wall time by phase, and end an export at its deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from connectors.storage.calls.deadline import Deadline, DeadlinePassed, within
from pipeline.errors import SinkError


@dataclass
class Clock:
    """Wall time by phase, and a deadline for all of them.

    Attributes:
        timeout: Seconds that all phases may take together; None for no limit.
        seconds: Seconds of each phase, and in `total` of all.
    """

    timeout: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _cpu_began: float = field(default_factory=time.process_time)
    _phase: str = ""

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds that this process has spent since the beginning."""
        return time.process_time() - self._cpu_began

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase."""
        began = time.monotonic()
        self._phase = name
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)
            self.seconds["total"] = round(time.monotonic() - self._began, 3)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Bound every batch and every call to a storage by the deadline, in any thread.

        `DeadlinePassed` may come from elsewhere, too: the command line raises it by an alarm,
        wherever the main thread is waiting.

        Raises:
            SinkError: `execution.timeout` has passed.
        """
        if self.timeout is None:
            yield
            return
        try:
            with within(Deadline(self.timeout)):
                yield
        except DeadlinePassed:
            raise self._error(self.timeout) from None

    def _error(self, timeout: float) -> SinkError:
        kept = "what was published before stays"
        return SinkError(
            f"execution.timeout of {timeout:g} s has passed; "
            f"{kept if self._phase == 'publish' else 'nothing was published'}: "
            "allow more time or select fewer runs"
        )
