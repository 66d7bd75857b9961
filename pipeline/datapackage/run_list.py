"""Read and merge the runs of descriptors, each made when it is used."""

from __future__ import annotations

import hashlib
import json
import secrets
from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from connectors.strict_json import strict_loads
from pipeline.datapackage.lazy_sequence import LazySequence

RunEntry = Mapping[str, Any]
"""A run as `pipeline.datapackage.run_record.describe_run` gives it."""

_BEGIN = b'\n    "runs": [\n'
_INDENT = b"      "
_END = b"\n    ]"


RunEntries = LazySequence[RunEntry]
"""Runs that are text, or runs, until their entries are asked for.

A descriptor may name tens of thousands of them; as objects they take four times the bytes of their
text, and six times those of the runs themselves.
"""


def cut_out(data: bytes) -> tuple[dict[str, Any], RunEntries] | None:
    """Split a descriptor that `dump` wrote into the rest and its runs.

    Each run has a line of its own. No text of JSON goes over the end of a line, so a line that is
    a JSON object, between others in the list of the runs, is an entry of that list.

    Returns:
        None where it is laid out in another way, as after an edit by hand.

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
    # What is in the list decides whether it is that of the runs.
    mark = secrets.token_hex(16)
    rest = strict_loads(data[:begin] + f'"{mark}"'.encode() + data[place - 1 :])
    own = rest.get("flowtime") if isinstance(rest, dict) else None
    if not isinstance(own, dict) or own.pop("runs", None) != [mark]:
        return None
    count = len(edges) // 2
    return rest, RunEntries(count, lambda at: strict_loads(data[edges[2 * at] : edges[2 * at + 1]]))


def merged_runs(
    now: Sequence[RunEntry], known: Sequence[RunEntry], kept: Sequence[dict[str, Any]]
) -> tuple[RunEntries, list[dict[str, Any]]]:
    """Return the runs of a descriptor that is written again, and the resources that stay in it.

    Args:
        now: The runs of what has been written.
        known: The runs of the published descriptor.
        kept: Its resources that stay; their runs are looked up anew.
    """
    added: list[int] = []
    places = {_digest(run): place for place, run in enumerate(now)}

    @cache
    def placed(before: int) -> int:
        end = len(now) + len(added)
        place = places.setdefault(_digest(known[before]), end)
        if place == end:
            added.append(before)
        return place

    def listed(place: int) -> RunEntry:
        return now[place] if place < len(now) else known[added[place - len(now)]]

    moved: list[dict[str, Any]] = []
    for resource in kept:
        own = resource.get("flowtime")
        if not isinstance(own, dict):  # another tool's
            moved.append(resource)
            continue
        wanted = places_of(own.get("runs"), len(known))
        # Where an earlier version wrote it, it does not say which runs it holds.
        held = [placed(place) for place in (range(len(known)) if wanted is None else wanted)]
        runs = {} if wanted is None else {"runs": spans(held)}
        moved.append({**resource, "flowtime": {**own, **runs}})
    return RunEntries(len(now) + len(added), listed), moved


def _digest(run: RunEntry) -> bytes:
    text = json.dumps(run, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def spans(places: Sequence[int]) -> list[list[int]]:
    """Return positions as half-open spans, in their order.

    >>> spans([0, 1, 2, 7])
    [[0, 3], [7, 8]]
    """
    found: list[list[int]] = []
    for place in places:
        if found and found[-1][1] == place:
            found[-1][1] += 1
        else:
            found.append([place, place + 1])
    return found


def places_of(data: object, count: int) -> list[int] | None:
    """Return the places that `spans` wrote, or None where the data are no spans below `count`.

    >>> places_of([[0, 3], [7, 8]], 8), places_of([[0, 9]], 8)
    ([0, 1, 2, 7], None)
    """
    if not isinstance(data, list):
        return None
    places: list[int] = []
    for span in data:
        if not isinstance(span, list) or len(span) != 2 or {type(end) for end in span} != {int}:
            return None
        start, end = span
        if not 0 <= start < end <= count or len(places) + end - start > count:
            return None
        places += range(start, end)
    return places if len(set(places)) == len(places) else None
