"""Refuse CSV dialects whose files could not be read back."""

from __future__ import annotations

import re
import string
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from connectors.flowtime.model.instant import parse_instant

COMMENT = "#"
NUMBER_CHARACTERS = frozenset("0123456789-+.eNaNinf")
TIMESTAMP_CHARACTERS = frozenset("0123456789-:.TZ")
BOOLEAN_CHARACTERS = frozenset("truefalse")
"""What numbers, timestamps and booleans are written with."""

QuoteStyle = Literal["necessary", "always", "non_numeric"]

_SEPARATOR = r"^[\t\x20-\x7e]$"
_QUOTE = r"^[\x21-\x7e]$"


def _check_one(pattern: str, what: str, text: str) -> str:
    if re.fullmatch(pattern, text) is None:
        raise ValueError(f"expected {what}, found text {text!r}")
    return text


Separator = Annotated[
    str,
    AfterValidator(partial(_check_one, _SEPARATOR, "one printable ASCII character or a tab")),
    Field(json_schema_extra={"pattern": _SEPARATOR}),
]
QuoteMark = Annotated[
    str,
    AfterValidator(partial(_check_one, _QUOTE, "one printable ASCII character")),
    Field(json_schema_extra={"pattern": _QUOTE}),
]

_UNQUOTED: dict[QuoteStyle, frozenset[str]] = {
    "necessary": NUMBER_CHARACTERS | TIMESTAMP_CHARACTERS | BOOLEAN_CHARACTERS,
    "non_numeric": NUMBER_CHARACTERS,
    "always": frozenset(),
}
"""Characters of the cells that are never quoted: text is quoted where it needs to be."""

# Quotes are doubled within text alone, and Polars does not undo that in names of columns.
_NO_QUOTES = _UNQUOTED["necessary"] | frozenset(string.ascii_letters + string.digits + "_")


def check_separator(separator: str, quote: str, style: QuoteStyle, *, has_comments: bool) -> None:
    """Raise a ValueError if cells could not be distinguished.

    Args:
        separator: The character between cells.
        quote: The character around cells.
        style: Which cells are quoted.
        has_comments: Whether lines that begin with `#` are comments.
    """
    if separator == quote:
        raise ValueError("separator and quote are the same character")
    if has_comments and separator == COMMENT:
        raise ValueError(_begins_comments("separator"))
    if separator in _UNQUOTED[style]:
        raise ValueError(
            f"separator {separator!r} also occurs in numbers, timestamps or booleans, which are "
            "not quoted: choose another separator, or quote_style: always"
        )


def check_decimal(decimal: str, separator: str, style: QuoteStyle) -> None:
    """Raise a ValueError if the decimal mark of numbers that are not quoted is the separator."""
    if decimal == separator and style != "always":
        raise ValueError(
            f"separator {separator!r} is also the decimal mark: choose another one, e.g. ';', or "
            "quote_style: always"
        )


def check_quote(quote: str, *, has_comments: bool) -> None:
    """Raise a ValueError if a quote could be taken for a part of a cell or of a name."""
    if has_comments and quote == COMMENT:
        raise ValueError(_begins_comments("quote"))
    if quote in _NO_QUOTES:
        raise ValueError(
            f"quote {quote!r} also occurs in numbers, timestamps or names of columns: "
            "choose a punctuation mark"
        )


def check_null_value(null_value: str, separator: str, quote: str, *, has_comments: bool) -> None:
    """Raise a ValueError if nulls would be read as something else, or something else as null."""
    if separator in null_value or quote in null_value:
        raise ValueError("null_value holds the separator or the quote")
    if has_comments and COMMENT in null_value:
        raise ValueError(_begins_comments("null_value"))
    if _is_value(null_value):
        raise ValueError(
            f"null_value {null_value!r} is also a number, a timestamp or a boolean: "
            "values would be read as missing; choose another text, e.g. NULL"
        )


def _begins_comments(option: str) -> str:
    return (
        "'#' begins the metadata header's lines, and readers cut other lines at it: "
        f"choose another {option}, or metadata_header: false"
    )


def _is_value(text: str) -> bool:
    """Return whether a reader may take a text for a value that is no text."""
    if text.strip().lower() in ("true", "false") or parse_instant(text) is not None:
        return True
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
