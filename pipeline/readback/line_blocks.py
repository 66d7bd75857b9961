"""A text file in blocks of whole rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import IntegrityError

BLOCK_BYTES = 4 * 1024 * 1024
LONGEST_ROW = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Lines:
    """Some whole rows of a text file.

    Attributes:
        data: Their bytes, the last line end included.
        first_line: Line of the first row, from 1.
        has_quotes: Whether a quote occurs in them.
    """

    data: bytes
    first_line: int
    has_quotes: bool


def line_blocks(
    path: Path, url: str, quote: bytes | None, *, start: int = 0, first_line: int = 1
) -> Iterator[Lines]:
    """A file cut where rows end: at line ends outside of quotes.

    Args:
        path: The file.
        url: The same for messages.
        quote: What quoted cells stand in; None where a line end always ends a row.
        start: Bytes that come before the rows.
        first_line: Line of the first row.

    Raises:
        IntegrityError: It is not UTF-8, a row does not end, or is longer than any of ours.
    """
    line = first_line
    rest = b""
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(BLOCK_BYTES):
            data = rest + block
            end = _row_end(data, quote)
            if end == 0 and len(data) > LONGEST_ROW:
                raise IntegrityError(
                    f"{url}: line {line}: the row does not end within {LONGEST_ROW} bytes"
                )
            whole, rest = data[:end], data[end:]
            if whole:
                check_utf8(whole, url, line)
                yield Lines(whole, line, quote is not None and quote in whole)
                line += whole.count(b"\n")
    if rest:
        check_utf8(rest, url, line, cut_off=True)
        raise IntegrityError(f"{url}: line {line}: the row does not end: the file is cut off")


def _row_end(data: bytes, quote: bytes | None) -> int:
    """Bytes up to the last line end outside of quotes; 0 where there is none."""
    end = data.rfind(b"\n") + 1
    if quote is None:
        return end
    # An even number of quotes before a line end means that none is open there.
    quotes = data.count(quote, 0, end)
    while end and quotes % 2:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(quote, before, end)
        end = before
    return end


def check_utf8(data: bytes, url: str, line: int, *, cut_off: bool = False) -> None:
    """Refuse bytes that are no UTF-8.

    Raises:
        IntegrityError: Names the line.
    """
    if data.isascii():
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if cut_off and error.reason == "unexpected end of data":
            return
        place = line + data.count(b"\n", 0, error.start)
        raise IntegrityError(
            f"{url}: line {place}: byte 0x{data[error.start]:02x} is not UTF-8: "
            "the file was changed or converted after it was written"
        ) from error
