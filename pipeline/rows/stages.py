"""Stages of rows: each turns frames of rows into other frames, in order, and holds few back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import polars as pl


class RowStage(Protocol):
    """Takes the rows of one pass over series, batch after batch."""

    def add(self, batch: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Take rows; yield those that are complete by now."""

    def finish(self) -> Iterator[pl.DataFrame]:
        """Yield what was held back, as no rows follow."""


def staged(frames: Iterable[pl.DataFrame], stages: Sequence[RowStage]) -> Iterator[pl.DataFrame]:
    """Yield what frames become by stages, one after the other."""
    for stage in stages:
        frames = _through(stage, frames)
    yield from frames


def _through(stage: RowStage, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        yield from stage.add(frame)
    yield from stage.finish()
