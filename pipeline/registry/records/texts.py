"""Clean untrusted texts for both databases and for display."""

from __future__ import annotations

from collections.abc import Iterable

MAX_NAME = 400
"""Characters of what is sorted or looked up by."""

MAX_TAG = 100
"""Characters of a tag."""

MAX_TEXT = 4_000
"""Characters of what is only shown."""


def clean(text: str, most: int = MAX_TEXT) -> str:
    r"""Return a text without what no database or terminal takes, and no longer than `most`.

    Args:
        text: Any text.
        most: Characters that are kept.

    >>> clean("a\x00b\ud800"), clean("abc", 2)
    ('a b?', 'ab')
    """
    kept = text[:most]
    if kept.isascii() and kept.isprintable():
        return kept
    plain = kept.encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in plain)


def clean_all(texts: Iterable[str], most: int = MAX_TEXT) -> tuple[str, ...]:
    """Return several texts, each as `clean` gives it."""
    return tuple(clean(text, most) for text in texts)
