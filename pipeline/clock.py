"""Wall time by phase, under a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.errors import SinkError


@dataclass
class Clock:
    """Wall time by phase, and a deadline for all of them."""

    timeout: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)
            self.seconds["total"] = round(time.monotonic() - self._began, 3)

    def check(self) -> None:
        """Stop when the time is up.

        Raises:
            SinkError: `execution.timeout` has passed.
        """
        if self.timeout is not None and time.monotonic() - self._began > self.timeout:
            raise SinkError(
                f"execution.timeout of {self.timeout:g} s has passed; nothing was published: "
                "allow more time or select fewer runs"
            )
