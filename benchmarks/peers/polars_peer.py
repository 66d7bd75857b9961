"""Polars: one scan over the list of series files, joined with what the JSON files say of them.

It is left at its own settings: the streaming engine, all cores. What helps it is done:

- A given schema, so that it infers nothing.
- Only the files that are wanted are in the list.
- Three formats at once: one `collect_all`, which shares the scan.
- The origin is given: the runs that the benchmark generates all begin at the same instant.

Its rows are checked against nothing: neither a hash nor the number of rows that a run promises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.peers.arguments import PeerTask, peer_task

_ORIGIN = datetime(2025, 1, 1, tzinfo=UTC)
_TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"
_COLUMNS = (
    "time_bin",
    "component_id",
    "measure",
    "class",
    "value",
    "bin_index",
    "run_id",
    "unit",
    "source",
    "scenario_hash",
)


def _series(task: PeerTask) -> Iterator[dict[str, Any]]:
    for run in sorted(task.source.iterdir()):
        about = json.loads((run / "run.json").read_bytes())
        index = json.loads((run / "series/index.json").read_bytes())
        for one in index["series"]:
            measure = one["id"].split("@")[0]
            if task.measure not in (None, measure):
                continue
            if task.component not in (None, one["componentId"]):
                continue
            yield {
                "file": str(run / one["path"]),
                "component_id": one["componentId"],
                "measure": measure,
                "class": one["class"],
                "run_id": about["runId"],
                "unit": one["unit"],
                "source": about["source"],
                "scenario_hash": about["scenarioHash"],
                "bin_hours": index["grid"]["binSize"],
            }


def rows(task: PeerTask) -> pl.LazyFrame:
    """Return the rows of the export."""
    series = pl.DataFrame(list(_series(task)))
    return (
        pl.scan_csv(
            series["file"].to_list(),
            schema={"bin_index": pl.Int64(), "value": pl.Float64()},
            include_file_paths="file",
            glob=False,
        )
        .join(series.lazy(), on="file")
        .with_columns(
            time_bin=pl.lit(_ORIGIN, dtype=pl.Datetime("us", "UTC"))
            + pl.duration(hours=pl.col("bin_index") * pl.col("bin_hours"))
        )
        .select(_COLUMNS)
    )


def _sink(frame: pl.LazyFrame, file_format: str, path: Path) -> pl.LazyFrame:
    if file_format == "parquet":
        return frame.sink_parquet(path, compression="zstd", compression_level=1, lazy=True)
    if file_format == "csv":
        return frame.sink_csv(path, datetime_format=_TIMESTAMP, lazy=True)
    text = pl.col("time_bin").dt.to_string(_TIMESTAMP)
    return frame.with_columns(text).sink_ndjson(path, lazy=True)


def write(task: PeerTask) -> None:
    """Write the rows in every format that is asked for."""
    frame = rows(task)
    sinks = [_sink(frame, one, Path(path)) for one, path in task.outputs.items()]
    pl.collect_all(sinks, engine="streaming")


if __name__ == "__main__":
    write(peer_task())
