"""Report what a rebuild of the registry found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RebuildReport:
    """What a rebuild found.

    Attributes:
        urls: Where it looked.
        added: Artifacts that are new or have changed.
        unchanged: Artifacts that were known as they are.
        removed: Artifacts that are not there any more.
        models_added: Models that are new. They follow their runs, and are counted apart.
        models_removed: Models without runs, which were forgotten.
        problems: What was not registered, and why.
        seconds: How long it took.
    """

    urls: list[str] = field(default_factory=list)
    added: int = 0
    unchanged: int = 0
    removed: int = 0
    models_added: int = 0
    models_removed: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, part: RebuildReport) -> None:
        """Add what was found in a part of a folder."""
        self.added += part.added
        self.unchanged += part.unchanged
        self.removed += part.removed
        self.problems += part.problems

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {
            "urls": self.urls,
            "added": self.added,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "modelsAdded": self.models_added,
            "modelsRemoved": self.models_removed,
            "problems": self.problems,
            "seconds": round(self.seconds, 3),
        }
