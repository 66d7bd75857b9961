"""Cut text files into blocks of whole rows."""

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
    """Yield a file cut where rows end: at line ends outside of quotes.

    Args:
        path: The file.
        url: The same for messages.
        quote: The quotation mark of cells; None where a line end always ends a row.
        start: Bytes that come before the rows.
        first_line: Line of the first row.

    Raises:
        IntegrityError: It is not UTF-8, a row does not end, or is longer than any of ours.
    """
    line = first_line
    for data, is_whole in whole_rows(_pieces(path, start), LONGEST_ROW, quote):
        if is_whole:
            check_utf8(data, url, line)
            yield Lines(data, line, quote is not None and quote in data)
            line += data.count(b"\n")
        elif len(data) > LONGEST_ROW:
            raise IntegrityError(
                f"{url}: line {line}: the row does not end within {LONGEST_ROW} bytes"
            )
        else:
            check_utf8(data, url, line, cut_off=True)
            raise IntegrityError(f"{url}: line {line}: the row does not end: the file is cut off")


def _pieces(path: Path, start: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(BLOCK_BYTES):
            yield piece


def whole_rows(
    pieces: Iterator[bytes], longest: int, quote: bytes | None = None
) -> Iterator[tuple[bytes, bool]]:
    """Cut bytes at the ends of rows: at line ends outside of quotes.

    Args:
        pieces: The bytes.
        longest: Most bytes that a row may have; a longer one ends the reading.
        quote: The quotation mark of cells; None where a line end always ends a row.

    Returns:
        Bytes, and whether they are whole rows; only the last ones may be a row without its end.
    """
    rest = b""
    for piece in pieces:
        data = rest + piece
        end = _row_end(data, quote)
        if end:
            yield data[:end], True
        rest = data[end:]
        if len(rest) > longest:
            break
    if rest:
        yield rest, False


def _row_end(data: bytes, quote: bytes | None) -> int:
    """Return bytes up to the last line end outside of quotes; 0 where there is none."""
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
    """Refuse bytes that are not UTF-8.

    Raises:
        IntegrityError: Names the line.
    """
    invalid = find_invalid_utf8(data, cut_off=cut_off)
    if invalid is not None:
        place = line + data.count(b"\n", 0, invalid)
        raise IntegrityError(
            f"{url}: line {place}: byte 0x{data[invalid]:02x} is not UTF-8: "
            "the file was changed or converted after it was written"
        )


def find_invalid_utf8(data: bytes, *, cut_off: bool = False) -> int | None:
    """Return the offset of the first byte that is not UTF-8.

    Args:
        data: The bytes.
        cut_off: Whether they may end within a character.
    """
    if data.isascii():
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return None if cut_off and error.reason == "unexpected end of data" else error.start
    return None
