"""Translate failures of the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from connectors.storage.calls.failures import SYSTEM


@contextmanager
def translating(path: str, doing: str) -> Iterator[None]:
    """Raise what fails meanwhile as an error of ours.

    Args:
        path: The path concerned.
        doing: What is tried, as `reading`.
    """
    try:
        yield
    except (OSError, ValueError) as failure:
        raise SYSTEM.translate(failure, path, doing) from failure
