"""Name the files of a data set: hive folders, and names that no other file has."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from pipeline.config.path_template import format_of
from pipeline.errors import ConfigError

Partition = tuple[tuple[str, str | None], ...]
"""Partition columns with their values, in the order of the folders."""

_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_LONGEST_NAME = 255
_DIGEST_DIGITS = 12
_TABLE_DIGEST_DIGITS = 24
_DATA_FILE = re.compile(
    rf"part-\d{{5,}}-(?:[0-9a-f]{{{_DIGEST_DIGITS}}}|[0-9a-f]{{{_TABLE_DIGEST_DIGITS}}})\..+"
)


def partition_folder(column: str, value: str | None) -> str:
    """Return a hive folder's name, its value percent-encoded as Hive and Spark do.

    The text that means null is encoded as well, in any case, so that it stays a text.

    >>> partition_folder("measure", "a/b"), partition_folder("kind", None)
    ('measure=a%2Fb', 'kind=__HIVE_DEFAULT_PARTITION__')
    >>> partition_folder("kind", "__hive_default_partition__")
    'kind=%5F_hive_default_partition__'
    """
    shown = _NULL_FOLDER if value is None else quote(value, safe=" @+,!()-_.~")
    if value is not None and shown.upper() == _NULL_FOLDER:
        shown = f"%5F{shown[1:]}"
    return f"{quote(column, safe='')}={shown}"


def is_partition(path: str) -> bool:
    """Return whether a path below a data set is one that partitions give, of any depth.

    >>> is_partition(""), is_partition("source=a/measure=b"), is_partition("archive/measure=b")
    (True, True, False)
    """
    return not path or all("=" in part for part in path.split("/"))


def data_file_path(partition: Partition, state: str, number: int, extension: str) -> str:
    """Return the path of a data file below the folder of its data set.

    The digits in its name are made of the state and the partition. So a new export writes no file
    that an earlier one named, and two files have different names even where a disk takes the
    folders `class=vip` and `class=VIP` for one.

    Args:
        partition: Where the rows belong.
        state: The digest of what shapes the bytes, as hexadecimal text.
        number: The file's number within its partition.
        extension: The extension of the sink's files.
    """
    digest = state
    if partition:
        digest = hashlib.sha256(json.dumps([state, *partition]).encode()).hexdigest()
    name = f"part-{number:05d}-{digest[:_DIGEST_DIGITS]}{extension}"
    return "/".join((*(partition_folder(column, value) for column, value in partition), name))


def table_file_path(
    partition: Partition, state: str, number: int, sha256: str, extension: str
) -> str:
    """Return the path of a file in the folder of a lake table.

    Logs keep files of earlier versions: a file with other bytes has another name, and the values of
    partitions, which logs encode in many ways, are in no name.

    Args:
        partition: Where the rows belong.
        state: The digest of what shapes the bytes of the run, as hexadecimal text.
        number: The file's number within its partition.
        sha256: The digest of its bytes.
        extension: The extension of the sink's files.
    """
    named = json.dumps([state, *partition, sha256])
    digest = hashlib.sha256(named.encode()).hexdigest()[:_TABLE_DIGEST_DIGITS]
    return f"part-{number:05d}-{digest}{extension}"


def is_data_file(name: str) -> bool:
    """Return whether a file name is one that `data_file_path` or `table_file_path` gives.

    >>> is_data_file("part-00000-0123456789ab.csv.gz"), is_data_file("mine.csv")
    (True, False)
    """
    return _DATA_FILE.fullmatch(name) is not None and format_of(name) is not None


def refuse_colliding(
    columns: Sequence[str], values: Iterable[tuple[str | None, ...]], sink_path: str, *, local: bool
) -> None:
    """Refuse partitions whose files would share a path, even where case does not count.

    Args:
        columns: The partition columns.
        values: Their values, a tuple for each series.
        sink_path: The sink's path, for errors.
        local: Whether the folders are folders of a disk, where long names are refused.

    Raises:
        ConfigError: Two partitions share a path, or a folder's name is too long.
    """
    seen: dict[str, Partition] = {}
    for row in dict.fromkeys(values):
        partition = tuple(zip(columns, row, strict=True))
        path = data_file_path(partition, "", 0, "").casefold()
        if path in seen:
            raise ConfigError(
                f"sink {sink_path}: the partitions {_shown(seen[path])} and {_shown(partition)} "
                "would be written to one file: partition by other columns"
            )
        seen[path] = partition
        longest = max(path.split("/"), key=len)
        if local and len(longest) > _LONGEST_NAME:
            raise ConfigError(
                f"sink {sink_path}: a partition's folder would have a name of {len(longest)} "
                f"bytes ({longest[:40]}...), and disks take {_LONGEST_NAME}: partition by "
                "another column"
            )


def refuse_empty(
    columns: Sequence[str], values: Iterable[tuple[str | None, ...]], sink_path: str
) -> None:
    """Refuse empty texts as values of partitions, where the format takes them for null.

    Args:
        columns: The partition columns.
        values: Their values, a tuple for each series.
        sink_path: The sink's path, for errors.

    Raises:
        ConfigError: A value is an empty text.
    """
    for row in dict.fromkeys(values):
        for column, value in zip(columns, row, strict=True):
            if value == "":
                raise ConfigError(
                    f"sink {sink_path}: partition_by {column}: a series has an empty text there, "
                    "which the log of the table takes for null: partition by another column"
                )


def _shown(partition: Partition) -> str:
    return "/".join(partition_folder(column, value) for column, value in partition)
