"""Strict parser for untrusted JSON."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections import Counter
from typing import Any, NoReturn

MAX_DEPTH = 250
"""Objects and lists within each other. How deep Python reads and writes JSON depends on who calls:
what has been read must be fit to be written, by whatever is about to write it. pydantic reads 200,
so that what a run says is fit to be read again from a descriptor."""

_TOO_DEEP = "it is nested too deeply"
_Pairs = list[tuple[str, Any]]


def strict_loads(data: bytes | str) -> Any:
    """Read JSON that every reader reads alike (RFC 8259, sections 4, 6 and 8).

    NaN and infinities are no JSON, though Python takes them. Of a key that is there twice, some
    readers take the first and some the last value. Half a surrogate pair is no character, and
    cannot be written again as UTF-8.

    Raises:
        ValueError: It is no JSON, one of the above, or nested deeper than `MAX_DEPTH`.

    >>> strict_loads('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' is there twice: readers differ in which one they take
    """
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    try:
        found = json.loads(text, object_pairs_hook=unique_keys, parse_constant=_refuse)
        if "\\u" in text:  # else each character is one, as the bytes were UTF-8
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except UnicodeEncodeError:
        raise ValueError("a text holds half a surrogate pair, which is no character") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(found) > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    return found


def _depth(found: Any) -> int:
    depth = 0
    level = [found]
    while level := [one for one in level if isinstance(one, (dict, list))]:
        depth += 1
        level = [
            one for each in level for one in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def check_unique_keys(data: bytes) -> None:
    """Refuse a key that is there twice in one object; nothing of the content is kept.

    Args:
        data: JSON that has been found to be valid, so that only its keys are looked at.

    Raises:
        ValueError: Names the key, and the object by its id where it has one.
    """
    text = data.removeprefix(BOM_UTF8).decode()
    try:
        if text.startswith(("{", "[")):
            _KEYS.raw_decode(text)
        else:
            _KEYS.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _nothing(pairs: _Pairs) -> None:
    if len(dict(pairs)) != len(pairs):
        unique_keys(pairs)


_KEYS = json.JSONDecoder(object_pairs_hook=_nothing)
"""Made once: `json.loads` would make one for each of thousands of small files. `raw_decode` looks
at the value alone: what is before and after it has been found to be white space."""


def unique_keys(pairs: _Pairs) -> dict[str, Any]:
    """Return the object of these pairs: the hook for `json.loads` by which a key may be there once.

    Raises:
        ValueError: Names the key, and the object by its id where it has one.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        name = found.get("id")
        beside = f" beside id {ascii(name)[:80]}" if isinstance(name, str) and twice != "id" else ""
        raise ValueError(
            f"the key {ascii(twice)[:80]} is there twice{beside}: "
            "readers differ in which one they take"
        )
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
