"""Inputs that are almost as they should be: what flips of bytes seldom make."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from tests.fuzz.target import Shape

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 4.5, 1e300, float("nan"), float("inf"), 2**31, 2**63, 2**64,
    10**12, 10**25, "", " ", "x", "\x00", "a\nb", "\u202e", "\u2028", "../x", "/etc/passwd",
    "@", "a@b@c",
    "NaN", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2025-01-01", "sha256:" + "0" * 64,
    "x" * 600, [], {}, [[]], [None], {"": None}, "\ud800", "^.*$", "1e999", "minutes", "weeks",
)  # fmt: skip


def mutated(data: bytes, shape: Shape, words: tuple[bytes, ...], random: Random) -> bytes | None:
    """An input changed in one or a few places; None where it is not of that shape."""
    if shape == "json":
        try:
            return _json(data, words, random)
        except RecursionError:  # nested more deeply than it can be walked through
            return None
    if shape in ("lines", "text"):
        return _lines(data, words, random)
    return None


def _json(data: bytes, words: tuple[bytes, ...], random: Random) -> bytes | None:
    try:
        root = json.loads(data)
    except ValueError:
        return None
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        places = list(_places(root))
        if not places:
            return None
        holder, key = random.choice(places)
        _change(holder, key, words, random)
    text = json.dumps(root, ensure_ascii=random.random() < 0.5)
    if random.random() < 0.05:  # the same key twice
        text = text.replace("{", '{"runId": 1, "id": 2, "grid": 3, ', 1)
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> Any:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _change(holder: Any, key: Any, words: tuple[bytes, ...], random: Random) -> None:
    kind = random.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == 1:
        holder[random.choice(words).decode("latin-1")] = holder[key]
    elif kind == 2:
        for _ in range(random.choice((1, 3, 250))):
            holder[key] = {"a": holder[key]} if random.random() < 0.5 else [holder[key]]
    elif kind == 3 and isinstance(holder[key], str):
        at = random.randint(0, len(holder[key]))
        holder[key] = holder[key][:at] + random.choice(words).decode("latin-1") + holder[key][at:]
    elif kind == 4 and isinstance(holder[key], int | float):
        holder[key] = random.choice(
            (-holder[key], holder[key] + 1, holder[key] - 1, holder[key] / 3)
        )
    else:
        holder[key] = deepcopy(random.choice(_ODD))


def _lines(data: bytes, words: tuple[bytes, ...], random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(_OF_LINES)(data, words, random)
    return data


def _put_word(data: bytes, words: tuple[bytes, ...], random: Random) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(words) + data[at + random.choice((0, 0, 1, 4)) :]


def _replace_cell(data: bytes, words: tuple[bytes, ...], random: Random) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    cells = lines[at].split(b",")
    cells[random.randrange(len(cells))] = random.choice(words)
    lines[at] = b",".join(cells)
    return b"\n".join(lines)


def _move_line(data: bytes, words: tuple[bytes, ...], random: Random) -> bytes:
    lines = data.split(b"\n")
    line = lines[random.randrange(len(lines))]
    kind = random.randrange(3)
    if kind:
        lines.insert(random.randrange(len(lines) + 1), line)
    if kind != 1:
        lines.remove(line)
    return b"\n".join(lines)


def _flip(data: bytes, words: tuple[bytes, ...], random: Random) -> bytes:
    if not data:
        return random.choice(words)
    at = random.randrange(len(data))
    return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]


def _cut(data: bytes, words: tuple[bytes, ...], random: Random) -> bytes:
    first, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
    return data[:first] + data[end:] if random.random() < 0.7 else data[:end]


_OF_LINES: tuple[Callable[[bytes, tuple[bytes, ...], Random], bytes], ...] = (
    _put_word, _put_word, _replace_cell, _replace_cell, _move_line, _flip, _cut,
)  # fmt: skip
