"""Read and check one series file: its header, its rows, its digest."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from connectors.errors import IntegrityError, RunError

_BOM = b"\xef\xbb\xbf"
_HEADERS = (b"bin_index,value", b"t,value")
_USUAL_BEGINNINGS = tuple(header + b"\n" for header in _HEADERS)
_CLASS_HEADER = b"bin_index,classId,value"
_LONGEST_HEAD = len(_BOM) + len(_CLASS_HEADER) + 2
_LONGEST_ROW = 400  # the longest double written in full takes about 330 digits
_MAGIC = {
    b"\x1f\x8b": "gzip compressed",
    b"\x28\xb5\x2f\xfd": "zstd compressed",
    b"PK\x03\x04": "zip compressed",
    b"BZh": "bzip2 compressed",
    b"\xfd7zXZ\x00": "xz compressed",
    b"\x04\x22\x4d\x18": "lz4 compressed",
    b"PAR1": "Parquet",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")
_NAMED = {
    b"NaN": math.nan,
    b"Infinity": math.inf,
    b"-Infinity": -math.inf,
    b"inf": math.inf,
    b"-inf": -math.inf,
}
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """One series file as the scan sees it.

    Attributes:
        row: Place of the series in the scan's table of series.
        run_path: The run directory, as its storage names it.
        file: The file, relative to its run directory.
        run_url: The run directory, for messages.
        series_id: The series, for messages.
        points: Rows it must hold.
        size: Bytes when it was listed, or None where it is missing.
        sha256: Lower-case hex digest it must have, or None where none is recorded.
        bundle_class: The class of a telemetry bundle's file, which may be named in each row and
            whose values may be absent; None in a run directory.
    """

    row: int
    run_path: str
    file: str
    run_url: str
    series_id: str
    points: int
    size: int | None
    sha256: str | None
    bundle_class: str | None = None

    def error(
        self, reason: str, *, line: int | None = None, kind: type[RunError] = IntegrityError
    ) -> RunError:
        """Return an error that names this file."""
        return kind(reason, run_url=self.run_url, series=self.series_id, file=self.file, line=line)

    @property
    def path(self) -> str:
        """The file, as its storage names it."""
        return f"{self.run_path}/{self.file}"

    @property
    def size_limit(self) -> int:
        """Bytes that a file of this many rows cannot exceed."""
        return _LONGEST_HEAD + self.points * (_LONGEST_ROW + len(self.bundle_class or ""))


def header_length(head: bytes, source: SeriesFile) -> int:
    """Return bytes of the mark and the header row, line end included.

    Raises:
        IntegrityError: The file is empty, compressed, or begins otherwise.
    """
    if head.startswith(_USUAL_BEGINNINGS):
        return head.index(b"\n") + 1
    if not head:
        raise source.error(
            "the file is empty: the run was not written whole, evaluate the model again"
        )
    start = len(_BOM) if head.startswith(_BOM) else 0
    end = head.find(b"\n", start, start + _LONGEST_HEAD)
    line = head[start:end] if end >= 0 else head[start : start + _SHOWN]
    if end >= 0 and line.removesuffix(b"\r") in _HEADERS:
        return end + 1
    if end >= 0 and source.bundle_class and line.removesuffix(b"\r") == _CLASS_HEADER:
        return end + 1
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            raise source.error(f"the file is {name}; series files are plain text in UTF-8")
    raise source.error(
        f"the header is {_shown(line)}; expected 't,value' or 'bin_index,value'", line=1
    )


def plain_rows(body: bytes, head: bytes, source: SeriesFile, *, first_bin: int = 0) -> bytes:
    """Return the rows of a telemetry bundle's file as a run directory has them; others as they are.

    A row `bin,class,value` loses its class, an absent value becomes NaN. Lines stay lines.

    Args:
        body: Rows without the header.
        head: The file's first bytes, with the header.
        source: The file they come from.
        first_bin: Bin index of the first row.

    Raises:
        IntegrityError: A row is of another class; names the line.
    """
    if source.bundle_class is None:
        return body
    if _CLASS_HEADER in head[:_LONGEST_HEAD]:
        cell = b"," + source.bundle_class.encode() + b","
        for place, row in enumerate(body.split(b"\n")[:-1]) if _lacks(body, cell) else ():
            if row.count(cell) != 1:
                raise source.error(
                    f"{_shown(row)} should be of class {source.bundle_class}",
                    line=first_bin + place + 2,
                )
        body = body.replace(cell, b",")
    return body.replace(b",\n", b",NaN\n").replace(b",\r\n", b",NaN\r\n")


def _lacks(body: bytes, cell: bytes) -> bool:
    return body.count(cell) != body.count(b"\n")


def parse_strictly(
    body: bytes, source: SeriesFile, *, first_bin: int = 0, complete: bool = True
) -> list[float]:
    """Return every value of a body, or the first thing that is wrong with it.

    The slow, exact counterpart of the bulk parse, called where the bulk parse is in doubt, to
    name the line.

    Args:
        body: Rows without the header.
        source: The file they come from.
        first_bin: Bin index of the first row.
        complete: The body reaches to the end of the file, so that rows can be counted.

    Raises:
        IntegrityError: Names the line.
    """
    if body and not body.endswith(b"\n"):
        last = first_bin + body.count(b"\n") + 2
        raise source.error("the last row has no line end: the file is cut off", line=last)
    values: list[float] = []
    for place, row in enumerate(body.split(b"\n")[:-1]):
        values.append(_value(row.removesuffix(b"\r"), first_bin + place, source))
    found = first_bin + len(values)
    if complete and found != source.points:
        raise source.error(f"holds {found} rows; the index says {source.points} points")
    return values


def _value(row: bytes, bin_index: int, source: SeriesFile) -> float:
    line = bin_index + 2
    cells = row.split(b",")
    if not row:
        raise source.error("the line is blank", line=line)
    if len(cells) != 2:
        count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
        raise source.error(
            f"{_shown(row)} has {count}; expected 2, the bin and the value as in '{bin_index},1.5'",
            line=line,
        )
    if not cells[0].isdigit() or int(cells[0][:20]) != bin_index:
        raise source.error(f"bin is {_shown(cells[0])}; expected {bin_index}", line=line)
    if cells[1] in _NAMED:
        return _NAMED[cells[1]]
    if not _NUMBER.match(cells[1]):
        raise source.error(f"value {_shown(cells[1])} is not a number", line=line)
    value = float(cells[1])
    if math.isinf(value):
        raise source.error(f"value {_shown(cells[1])} does not fit a double", line=line)
    return value


def _shown(text: bytes) -> str:
    cut = text[:_SHOWN]
    try:
        plain = cut.decode("utf-8")
    except UnicodeDecodeError:
        plain = cut.decode("latin-1")
    return ascii(plain) + ("..." if len(text) > _SHOWN else "")
