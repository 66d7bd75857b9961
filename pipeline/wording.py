"""Format counts, sizes and names for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_UNITS = ("B", "kB", "MB", "GB", "TB")


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with what it counts.

    >>> counted(1, "run"), counted(1_200, "run"), counted(2, "series", "series")
    ('1 run', '1,200 runs', '2 series')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def few(names: Sequence[str], most: int = 3) -> str:
    """Return the first of many names, and how many more there are.

    >>> few(["a", "b", "c"]), few(["a", "b", "c", "d", "e"])
    ('a, b, c', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_names(names: Sequence[str], most: int = 3) -> str:
    """Return the first of many names.

    >>> first_names(["a", "b", "c"]), first_names(["a", "b", "c", "d"])
    ('a, b, c', 'a, b, c, ...')
    """
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def names_by_text(notes: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return whom each text concerns, so that what many have in common is said once.

    >>> names_by_text([("run_a", "late"), ("run_b", "short"), ("run_c", "late")])
    {'late': ['run_a', 'run_c'], 'short': ['run_b']}
    """
    found: dict[str, list[str]] = {}
    for name, text in notes:
        found.setdefault(text, []).append(name)
    return found


def human_size(size: int) -> str:
    """Return bytes for people.

    >>> human_size(999), human_size(1_234_567)
    ('999 B', '1.2 MB')
    """
    value = float(size)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def suggestion(name: str, choices: Iterable[str]) -> str:
    """Return the nearest right name, or all of them.

    >>> suggestion("compresion", ["compression", "path"]), suggestion("x", ["csv", "ndjson"])
    ("did you mean 'compression'?", 'choose from csv, ndjson')
    """
    names = list(choices)
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near is not None else f"choose from {', '.join(names)}"


def nearest(name: str, choices: Sequence[str]) -> str | None:
    """Return the choice that a mistyped name is likely to mean, or None.

    >>> nearest("CSV", ["csv", "ndjson"]), nearest("x", ["csv"])
    ('csv', None)
    """
    for spelled in (name[:128], name[:128].lower()):
        near = difflib.get_close_matches(spelled, choices, n=1)
        if near:
            return near[0]
    return None


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text with `***` in place of secrets, the longest first: one may be part of another.

    >>> without_secrets("key=abc, token=abcdef", {"abc", "abcdef"})
    'key=***, token=***'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def first_fault_of(error: ValidationError, *within: str) -> str:
    """Return the first fault of some options: the name of the option, and what is wrong with it.

    Args:
        error: The error of their model.
        within: Names of what the options are in.
    """
    fault = error.errors(include_url=False, include_input=False)[0]
    name = ".".join([*within, *map(str, fault["loc"])]) or "options"
    return f"{name}: {fault['msg'].removeprefix('Value error, ')}"
