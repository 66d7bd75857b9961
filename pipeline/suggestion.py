"""The nearest right name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(name: str, choices: Iterable[str]) -> str:
    """The nearest right name, or all of them.

    >>> suggestion("compresion", ["compression", "path"]), suggestion("x", ["csv", "ndjson"])
    ("did you mean 'compression'?", 'choose from csv, ndjson')
    """
    names = list(choices)
    near = difflib.get_close_matches(name[:128], names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names)}"
