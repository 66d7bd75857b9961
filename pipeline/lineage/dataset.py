"""Name and describe datasets for lineage events."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.rows.column import Column


@dataclass(frozen=True, slots=True)
class DatasetName:
    """The name of a dataset by OpenLineage's naming rules for files and object stores.

    Attributes:
        namespace: The data source: `file`, or scheme and authority such as `s3://bucket`.
        name: The path within it.
    """

    namespace: str
    name: str

    @classmethod
    def of_url(cls, url: str) -> DatasetName:
        """Return the name of a file, folder or prefix.

        >>> DatasetName.of_url("s3://lake/gold/a.csv")
        DatasetName(namespace='s3://lake', name='gold/a.csv')
        >>> DatasetName.of_url("/data/runs")
        DatasetName(namespace='file', name='/data/runs')
        """
        scheme, found, rest = url.partition("://")
        if not found or scheme in ("file", "local"):
            return cls("file", rest if found else url)
        authority, _, path = rest.partition("/")
        return cls(f"{scheme}://{authority}", path.strip("/") or "/")


@dataclass(frozen=True, slots=True)
class InputDataset:
    """What an export reads.

    Attributes:
        url: The folder of the runs.
        runs: Runs that are exported.
        rows: Rows read.
        size: Bytes read.
    """

    url: str
    runs: int
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of an output and the column of the rows that fills it."""

    column: Column
    source: str


@dataclass(frozen=True, slots=True)
class OutputDataset:
    """What one sink has written.

    Attributes:
        url: The file or folder; the common folder where there is a file for each run.
        columns: Its columns in order.
        rows: Data rows.
        size: Bytes.
        files: Number of files.
    """

    url: str
    columns: tuple[OutputColumn, ...]
    rows: int
    size: int
    files: int
