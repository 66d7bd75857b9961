"""Define the runs that an export leaves out, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that is not in the export.

    Attributes:
        url: The run directory.
        reason: Why.
        kind: `broken`; `incomplete`, as it is still being written; `link`, not followed; or
            `unlisted`, a folder that may not be looked into and that `include` does not ask for.
    """

    url: str
    reason: str
    kind: Literal["broken", "incomplete", "link", "unlisted"]
