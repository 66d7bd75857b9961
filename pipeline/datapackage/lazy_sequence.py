"""A sequence whose items are made when they are asked for, and not kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

Item_co = TypeVar("Item_co", covariant=True)


class LazySequence(Sequence[Item_co]):
    """Items that would take much more memory than what they are made of.

    Args:
        count: How many there are.
        item: Makes the one at a place.
    """

    def __init__(self, count: int, item: Callable[[int], Item_co]) -> None:
        self._places = range(count)
        self._item = item

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Item_co: ...
    @overload
    def __getitem__(self, place: slice) -> LazySequence[Item_co]: ...
    def __getitem__(self, place: int | slice) -> Item_co | LazySequence[Item_co]:
        if isinstance(place, slice):
            picked = self._places[place]
            return LazySequence(len(picked), lambda at: self._item(picked[at]))
        return self._item(self._places[place])
