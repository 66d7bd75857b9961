"""The runs that a descriptor names, each made when it is asked for."""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from connectors.strict_json import strict_loads

RunEntry = Mapping[str, Any]
"""A run as `pipeline.run_facts.describe_run` gives it."""

_BEGIN = b'\n    "runs": [\n'
_INDENT = b"      "
_END = b"\n    ]"


class RunEntries(Sequence[RunEntry]):
    """Entries that are made when they are asked for, and not kept.

    A descriptor may name tens of thousands of runs; as objects they take four times the bytes of
    their text, and six times those of the runs themselves.

    Args:
        count: How many there are.
        entry: Makes the one at a place.
    """

    def __init__(self, count: int, entry: Callable[[int], RunEntry]) -> None:
        self._places = range(count)
        self._entry = entry

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> RunEntry: ...
    @overload
    def __getitem__(self, place: slice) -> RunEntries: ...
    def __getitem__(self, place: int | slice) -> RunEntry | RunEntries:
        if isinstance(place, slice):
            picked = self._places[place]
            return RunEntries(len(picked), lambda at: self._entry(picked[at]))
        return self._entry(self._places[place])


def cut_out(data: bytes) -> tuple[dict[str, Any], RunEntries] | None:
    """A descriptor without its runs, and the runs, where it is laid out as `dump` lays it out.

    Each run has a line of its own. No text of JSON goes over the end of a line, so a line that is
    a JSON object, between others in the list of the runs, is an entry of that list.

    Returns:
        None where it is laid out in another way, as it is after somebody's editor.

    Raises:
        ValueError: It is no JSON. The entries raise it likewise.
    """
    begin = data.find(_BEGIN) + len(_BEGIN)
    if begin < len(_BEGIN):
        return None
    edges = array("Q")
    place, more = begin, True
    while more and data.startswith(_INDENT + b"{", place):
        end = data.find(b"\n", place)
        if end < 0:
            return None
        more = data.endswith(b",", place, end)
        edges.extend((place + len(_INDENT), end - more))
        place = end + 1
    if more or not data.startswith(_END, place - 1):
        return None
    # Whether the list is that of the runs is told by what stands in it.
    mark = secrets.token_hex(16)
    rest = strict_loads(data[:begin] + f'"{mark}"'.encode() + data[place - 1 :])
    own = rest.get("flowtime") if isinstance(rest, dict) else None
    if not isinstance(own, dict) or own.pop("runs", None) != [mark]:
        return None
    count = len(edges) // 2
    return rest, RunEntries(count, lambda at: strict_loads(data[edges[2 * at] : edges[2 * at + 1]]))
