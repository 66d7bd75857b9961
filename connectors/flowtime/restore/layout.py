"""Define the layout of series files: everything of their bytes beyond bins and values."""

from __future__ import annotations

import hashlib
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, Literal, cast

import numpy as np
import polars as pl

from connectors.errors import IntegrityError
from connectors.flowtime.restore.float_text import (
    FLOAT_DIALECTS,
    FloatDialect,
    distinct_dialects,
    float_text,
)

Header = Literal["bin_index", "t"]
Newline = Literal["lf", "crlf"]

BLOCK_ROWS = 262_144

_NEWLINES: dict[Newline, str] = {"lf": "\n", "crlf": "\r\n"}
_HEAD = re.compile(rb"(\xef\xbb\xbf)?(bin_index|t),value(\r?)\n")
_SHOWN = 60
_Array = np.ndarray[Any, Any]

# What only one family of writers makes, with the dialect that it implies. Of .NET's, the smallest
# number that has an exponent and the largest that has none set the dialects apart.
_EVIDENCE: tuple[tuple[re.Pattern[bytes], FloatDialect], ...] = (
    (re.compile(rb",-?(?:inf|0\.0000|\d{18})"), "rust"),
    (re.compile(rb",-?[\d.]+E\+15"), "dotnet15"),
    (re.compile(rb",-?[\d.]+E\+16"), "dotnet16"),
    (re.compile(rb",-?(?:Infinity|[\d.]+E)"), "dotnet"),
)


@dataclass(frozen=True, slots=True)
class SeriesLayout:
    """How a writer lays out a series file.

    Attributes:
        header: The header's first name: `bin_index,value` or `t,value`.
        bom: Whether a UTF-8 byte-order mark comes first.
        newline: What ends each line, the last one included.
        floats: How doubles are spelled.
    """

    header: Header = "bin_index"
    bom: bool = False
    newline: Newline = "lf"
    floats: FloatDialect = "rust"

    @property
    def code(self) -> str:
        """The layout as a short text for descriptors.

        >>> SeriesLayout("t", True, "crlf", "dotnet").code
        't bom crlf dotnet'
        """
        mark = ("bom",) if self.bom else ()
        return " ".join((self.header, *mark, self.newline, self.floats))

    @classmethod
    def parse(cls, code: str) -> SeriesLayout:
        """Read a layout's `code`.

        Raises:
            ValueError: It is none; the message says what would be.

        >>> SeriesLayout.parse("bin_index lf rust") == SeriesLayout()
        True
        """
        found = _by_code().get(code)
        if found is None:
            raise ValueError(
                f"{code[:_SHOWN]!r} is no layout of a series file: expected "
                "`bin_index` or `t`, then perhaps `bom`, then `lf` or `crlf`, then "
                f"one of {', '.join(FLOAT_DIALECTS)}"
            )
        return found

    @property
    def head(self) -> bytes:
        """Byte-order mark and header line."""
        line = f"{self.header},value{_NEWLINES[self.newline]}".encode()
        return BOM_UTF8 + line if self.bom else line

    def encode(self, values: _Array) -> bytes:
        """Return the bytes of a whole series file with these values in bins 0..n-1."""
        return b"".join((self.head, *self.body(values)))

    def body(self, values: _Array) -> Iterator[bytes]:
        """Yield the lines after the header, in blocks of `BLOCK_ROWS`.

        They are the same for each `header` and `bom`.
        """
        for start in range(0, len(values), BLOCK_ROWS):
            block = values[start : start + BLOCK_ROWS]
            bins = np.arange(start, start + len(block), dtype=np.uint32)
            lines = pl.DataFrame({"bin": bins, "value": float_text(block, self.floats)})
            written = io.BytesIO()
            lines.write_csv(
                written,
                include_header=False,
                line_terminator=_NEWLINES[self.newline],
                quote_style="never",
            )
            yield written.getvalue()


def sniff(data: bytes) -> SeriesLayout:
    """Return the layout of a series file, by its bytes.

    The dialect of its floats is that of the first evidence found: an exponent, a spelled out
    infinity, many plain digits. Where nothing decides, a byte-order mark or the header `t,value`
    means `dotnet`, else it is `rust`.

    Args:
        data: The file, or its beginning with the whole header.

    Raises:
        IntegrityError: It does not begin as a series file does.
    """
    match = _HEAD.match(data)
    if match is None:
        raise IntegrityError(
            f"the header is {data[:_SHOWN]!r}; expected 't,value' or 'bin_index,value'"
        )
    bom, header = match.group(1) is not None, cast(Header, match.group(2).decode())
    likely: FloatDialect = "dotnet" if bom or header == "t" else "rust"
    found = (floats for pattern, floats in _EVIDENCE if pattern.search(data, match.end() - 1))
    return SeriesLayout(header, bom, "crlf" if match.group(3) else "lf", next(found, likely))


def candidates(hint: SeriesLayout | None = None) -> Iterator[SeriesLayout]:
    """Yield every layout once, the likely ones first: the hint, similar ones, known writers'."""
    if hint is None:
        yield from _likely()
        return
    like = [replace(hint, floats=floats) for floats in FLOAT_DIALECTS]
    yield from dict.fromkeys((hint, *like, *_likely()))


def find_layout(
    values: _Array, sha256: str, hint: SeriesLayout | None = None
) -> SeriesLayout | None:
    """Return the layout in which the file of these values has a digest, or None where none has.

    Lines are rendered once for all headers, and only in dialects that differ for these values.

    Args:
        values: The values of bins 0..n-1.
        sha256: Lower-case hex digest of the file.
        hint: The layout to try first.
    """
    order = tuple(candidates(hint))
    distinct = distinct_dialects(values, tuple(dict.fromkeys(one.floats for one in order)))
    for newline, floats in dict.fromkeys((one.newline, one.floats) for one in order):
        if floats not in distinct:
            continue
        alike = [one for one in order if (one.newline, one.floats) == (newline, floats)]
        digests = [hashlib.sha256(one.head) for one in alike]
        for block in alike[0].body(values):
            for digest in digests:
                digest.update(block)
        for layout, digest in zip(alike, digests, strict=True):
            if digest.hexdigest() == sha256:
                return layout
    return None


@lru_cache(maxsize=1)
def _likely() -> tuple[SeriesLayout, ...]:
    known = (
        SeriesLayout(),
        SeriesLayout("bin_index", True, "lf", "dotnet"),
        SeriesLayout("t", True, "lf", "dotnet"),
        SeriesLayout("t", True, "crlf", "dotnet"),
    )
    headers: tuple[Header, ...] = ("bin_index", "t")
    # Rust's first: without a hint it is the writer of most runs.
    others = (floats for floats in FLOAT_DIALECTS if floats != "rust")
    dialects: tuple[FloatDialect, ...] = ("rust", *others)
    every = product(_NEWLINES, dialects, headers, (False, True))
    rest = (SeriesLayout(header, bom, newline, floats) for newline, floats, header, bom in every)
    return tuple(dict.fromkeys((*known, *rest)))


@lru_cache(maxsize=1)
def _by_code() -> dict[str, SeriesLayout]:
    return {layout.code: layout for layout in _likely()}
