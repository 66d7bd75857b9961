"""Summarise the files of a descriptor: sizes, rows, formats and a digest of all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.datapackage.descriptor import table_of

MAX_FILES = 1_000
"""Names of files that an artifact lists at most."""

_Files = Iterable[Mapping[str, Any]]


def bytes_of(files: _Files) -> int:
    """Return the bytes of some files."""
    return sum(_whole(one.get("bytes")) for one in files)


def rows_of(files: _Files) -> int:
    """Return the rows of some files."""
    return sum(_whole(one.get("rowCount")) for one in files)


def formats_of(files: _Files) -> list[str]:
    """Return the formats of some files, each once; of a lake table that of the table."""
    return sorted({table_of(one) or str(one.get("format")) for one in files})


def digest_of(files: _Files) -> str:
    """Return a digest of the names and hashes of some files."""
    lines = sorted(f"{one['path']}\0{one.get('hash')}\n" for one in files)
    return f"sha256:{hashlib.sha256(''.join(lines).encode('utf-8', 'replace')).hexdigest()}"


def _whole(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**62 else 0
