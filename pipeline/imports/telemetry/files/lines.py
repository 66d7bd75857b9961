"""Cut the text of a foreign table into blocks of whole, numbered lines."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.imports.telemetry.files.rows import Array
from pipeline.imports.telemetry.report import MAX_LINES, Findings
from pipeline.readback.line_blocks import find_invalid_utf8, whole_rows

MOST_LINE_BYTES = 1_000_000

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines, each with its line end, and the places they have.

    Attributes:
        data: The lines, UTF-8, with LF ends.
        places: The place of each.
    """

    data: bytes
    places: Array


def line_blocks(
    pieces: Iterator[bytes], start: int, findings: Findings, *, comment: bytes | None
) -> Iterator[LineBlock]:
    """Yield lines without blank ones and comments.

    Args:
        pieces: The file's bytes.
        start: The place before its first line.
        findings: Where problems are noted.
        comment: What a line begins with that is none, or None.

    Raises:
        StopReadingError: It is not UTF-8, or a line does not end.
    """
    place = start
    for data in _whole_lines(pieces, findings):
        count = data.count(b"\n")
        if place + count > MAX_LINES:
            raise findings.stop_in_file(f"more than {MAX_LINES:,} lines", "import it in parts")
        text = data.replace(b"\r\n", b"\n") if b"\r" in data else data
        _check_text(text, place, findings)
        places = np.arange(place + 1, place + count + 1, dtype=np.uint32)
        place += count
        if _is_regular(text, comment):
            yield LineBlock(text, places)
        else:
            yield _without_blank(text, places, comment)


def _whole_lines(pieces: Iterator[bytes], findings: Findings) -> Iterator[bytes]:
    for number, (data, is_whole) in enumerate(whole_rows(pieces, MOST_LINE_BYTES)):
        if not is_whole and len(data) > MOST_LINE_BYTES:
            raise findings.stop_in_file(
                f"a line is longer than {MOST_LINE_BYTES:,} bytes",
                "is this a table with a row a line?",
            )
        text = data if number else _without_mark(data, findings)
        if text:
            yield text if is_whole else text + b"\n"


def _without_mark(data: bytes, findings: Findings) -> bytes:
    """Return the first lines of a file without their byte-order mark."""
    if data.startswith(_UTF16):
        raise findings.stop_in_file("the file is UTF-16", "save it as UTF-8", 1)
    return data.removeprefix(BOM_UTF8)


def _check_text(data: bytes, place: int, findings: Findings) -> None:
    invalid = find_invalid_utf8(data)
    if invalid is not None:
        line = place + data.count(b"\n", 0, invalid) + 1
        reason = f"byte 0x{data[invalid]:02x} is not UTF-8"
        raise findings.stop("file", line, None, reason, "save the file as UTF-8")


def _is_regular(data: bytes, comment: bytes | None) -> bool:
    if data.startswith((b"\n", b" ", b"\t")) or b"\n\n" in data or b"\n " in data:
        return False
    if b"\n\t" in data:
        return False
    return comment is None or not (data.startswith(comment) or b"\n" + comment in data)


def _without_blank(data: bytes, places: Array, comment: bytes | None) -> LineBlock:
    lines = data.split(b"\n")[:-1]
    kept = [
        number
        for number, line in enumerate(lines)
        if line.strip() and not (comment is not None and line.startswith(comment))
    ]
    text = b"".join(lines[number] + b"\n" for number in kept)
    return LineBlock(text, places[kept])
