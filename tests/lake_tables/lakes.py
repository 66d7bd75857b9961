"""Lake tables in tests: what is in their logs, by their own packages, and what readers see."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from pipeline.config import ExportConfig
from tests.exporting import config
from tests.read_outputs import bits

# Polars warns of a faster planner that is not installed; this one says the same.
os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")


@dataclass(frozen=True)
class Commit:
    """What one commit of a table says.

    Attributes:
        added: Names of files that it adds.
        removed: Names of files that it removes.
        properties: What it says of itself.
    """

    added: frozenset[str]
    removed: frozenset[str]
    properties: Mapping[str, str]

    @property
    def written(self) -> dict[str, str]:
        """Fingerprints of the runs that it has written."""
        found: dict[str, str] = json.loads(self.properties["flowtime.runsWritten"])
        return found

    @property
    def disappeared(self) -> set[str]:
        """Runs that it has removed."""
        return {*json.loads(self.properties["flowtime.runsRemoved"])}


class DeltaLake:
    """A Delta table."""

    form = "delta"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def config(
        self, runs: Path, *, blocks: Mapping[str, Any] | None = None, **sink: Any
    ) -> ExportConfig:
        """Of an export to the table."""
        return config(runs, {"format": "delta", "path": self.folder, **sink}, **(blocks or {}))

    @property
    def versions(self) -> int:
        """Number of commits."""
        return DeltaTable(self.folder).version() + 1

    def commit(self, number: int = -1) -> Commit:
        """A commit by its number, the last one by default."""
        version = number if number >= 0 else self.versions + number
        lines = (self.folder / f"_delta_log/{version:020d}.json").read_text().splitlines()
        actions = [json.loads(line) for line in lines]
        (info,) = (one["commitInfo"] for one in actions if "commitInfo" in one)
        return Commit(
            frozenset(one["add"]["path"] for one in actions if "add" in one),
            frozenset(one["remove"]["path"] for one in actions if "remove" in one),
            {key: value for key, value in info.items() if key.startswith("flowtime.")},
        )

    def files(self) -> dict[str, set[str]]:
        """Names of the files of each run."""
        actions = pa.table(DeltaTable(self.folder).get_add_actions(flatten=True))
        return _by_run(self.folder, actions["path"].to_pylist())

    def dataset(self, number: int | None = None) -> ds.Dataset:
        """The table as pyarrow reads it, of an earlier version where one is named."""
        return DeltaTable(self.folder, version=number).to_pyarrow_dataset()

    def scan(self) -> pl.LazyFrame:
        """The table as Polars reads it."""
        return pl.scan_delta(str(self.folder))


class IcebergLake:
    """An Iceberg table in a SQL catalog."""

    form = "iceberg"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = {"type": "sql", "uri": f"sqlite:///{folder.parent}/catalog.db"}

    def config(
        self, runs: Path, *, blocks: Mapping[str, Any] | None = None, **sink: Any
    ) -> ExportConfig:
        """Of an export to the table."""
        own = {"format": "iceberg", "path": self.folder, "catalog": self.catalog}
        return config(runs, {**own, "table": "ns.gold", **sink}, **(blocks or {}))

    @property
    def table(self) -> Table:
        """The table as its catalog has it now."""
        return load_catalog("default", **self.catalog).load_table("ns.gold")

    @property
    def versions(self) -> int:
        """Number of commits."""
        return len(self.table.snapshots())

    def commit(self, number: int = -1) -> Commit:
        """A commit by its number, the last one by default."""
        snapshots = self.table.snapshots()
        place = range(len(snapshots))[number]
        now = self._names(snapshots[place])
        before = self._names(snapshots[place - 1]) if place else frozenset[str]()
        summary = snapshots[place].summary
        assert summary is not None
        return Commit(now - before, before - now, summary.additional_properties)

    def _names(self, snapshot: Snapshot) -> frozenset[str]:
        io = self.table.io
        entries = [
            entry
            for manifest in snapshot.manifests(io)
            for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)
        ]
        names = [entry.data_file.file_path.rpartition("/")[2] for entry in entries]
        assert len({*names}) == len(names)
        return frozenset(names)

    def files(self) -> dict[str, set[str]]:
        """Names of the files of each run."""
        current = self.table.current_snapshot()
        assert current is not None
        return _by_run(self.folder, self._names(current))

    def dataset(self, number: int | None = None) -> pa.Table:
        """The table as pyiceberg reads it, of an earlier version where one is named."""
        table = self.table
        chosen = None if number is None else table.snapshots()[number].snapshot_id
        return table.scan(snapshot_id=chosen).to_arrow()

    def scan(self) -> pl.LazyFrame:
        """The table as Polars reads it."""
        return pl.scan_iceberg(self.table)


Lake = DeltaLake | IcebergLake
LAKES: dict[str, type[DeltaLake] | type[IcebergLake]] = {
    one.form: one for one in (DeltaLake, IcebergLake)
}


def _by_run(folder: Path, names: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name in names:
        for run in pl.read_parquet(folder / name, columns=["run_id"])["run_id"].unique():
            found.setdefault(run, set()).add(name)
    return found


def whole(lake: Lake, number: int | None = None) -> pa.Table:
    """All rows of a table, of an earlier version where one is named."""
    found = lake.dataset(number)
    return found if isinstance(found, pa.Table) else found.to_table()


def rows(table: pa.Table) -> Counter[tuple[Any, ...]]:
    """Rows of a table as they compare: run, instant, series, and the bits of the value."""
    names = ["run_id", "time_bin", "component_id", "measure", "class", "value"]
    columns = [table[name].to_pylist() for name in names]
    return Counter((*key, bits(value)) for *key, value in zip(*columns, strict=True))


def query(dataset: ds.Dataset | pa.Table, condition: str) -> pa.Table:
    """Rows that DuckDB finds by a condition, which it passes down to the table."""
    with duckdb.connect() as session:
        session.register("gold", dataset)
        return session.sql(f"SELECT * FROM gold WHERE {condition}").to_arrow_table()
