"""Define what exports, imports and comparisons add to a registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.flowtime.model.run import Run
from connectors.storage import Storage


@dataclass(frozen=True, slots=True)
class RunsToEnter:
    """Runs that are to be entered in a registry.

    Attributes:
        storage: Where they are.
        roots: The folders they were looked for under.
        runs: The runs; what of them is not at hand is read again.
        paths: Further run directories, which are read.
    """

    storage: Storage
    roots: Sequence[str]
    runs: Sequence[Run] = ()
    paths: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class DescriptorToEnter:
    """An export or a comparison that is to be entered in a registry, by its descriptor.

    Attributes:
        storage: Where it is.
        descriptor: The path of its descriptor.
        is_new: Whether it was written just now; else it is passed over where it is known.
    """

    storage: Storage
    descriptor: str
    is_new: bool
