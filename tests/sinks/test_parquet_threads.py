"""Row groups that are encoded on several threads, and the bytes that come of them."""

from __future__ import annotations

import io
import math
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

import flowtime_export as fx
from pipeline.sinks import ParquetSink, parquet_writer
from pipeline.sinks.parquet_encoding import RowGroupEncoder
from pipeline.sinks.sink import EncodingThreads
from tests.exporting import config, spec, write_runs
from tests.sinks.test_sinks import TABLE, frame

VALUES = [float(place % 97) / 7 if place % 301 else math.nan for place in range(1_500)]
ROWS = frame(VALUES, ["A", "B", None])


def written(sink: ParquetSink, threads: int, most_held: int | None, batch: int, cut: int) -> bytes:
    """The bytes of a file that is written in batches, with a cut after so many rows."""
    stream = io.BytesIO()
    table = replace(TABLE, most_held_rows=most_held)
    with EncodingThreads(threads) if threads else nullcontext() as pool:
        writer = sink.open(stream, table, pool)
        for start in range(0, ROWS.height, batch):
            rows = ROWS.slice(start, batch)
            if start <= cut < start + rows.height:
                writer.write(rows.head(cut - start))
                writer.cut()
                rows = rows.slice(cut - start)
            writer.write(rows)
        assert writer.close().rows == ROWS.height
    return stream.getvalue()


@pytest.mark.parametrize("size", [20, 100, 700, 10_000])
@pytest.mark.parametrize("cut", [0, 150, 1_501])
def test_threads_change_no_byte(size: int, cut: int) -> None:
    sink = ParquetSink(format="parquet", path="x.parquet", row_group_size=size)
    # So few rows may be held that a thread has several row groups, or one, or none ahead.
    most = max(10 * size, 1_000)
    expected = written(sink, 0, most, 1_500, cut)
    for threads, batch in ((1, 500), (2, 1_500), (3, 333), (8, 1_001)):
        assert written(sink, threads, most, batch, cut) == expected
    found = pq.read_table(io.BytesIO(expected))
    back = pl.DataFrame(found).with_columns(pl.col("component_id").cast(pl.String))
    assert back.equals(ROWS.with_columns(pl.col("component_id").cast(pl.String)))
    few = pq.read_table(io.BytesIO(expected), filters=[("value", ">", 13.5)])
    assert (
        few.num_rows == ROWS.filter(pl.col("value").is_not_nan() & (pl.col("value") > 13.5)).height
    )


def test_no_more_row_groups_wait_than_may_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, most = 0, 0
    lock = threading.Lock()
    encode = RowGroupEncoder.encode

    def counted(*arguments: object) -> object:
        nonlocal waiting, most
        with lock:
            waiting += 1
            most = max(most, waiting)
        try:
            return encode(*arguments)  # type: ignore[arg-type]
        finally:
            with lock:
                waiting -= 1

    monkeypatch.setattr(RowGroupEncoder, "encode", counted)
    sink = ParquetSink(format="parquet", path="x.parquet", row_group_size=100)
    written(sink, 8, 300, 1_500, 1_501)
    assert 1 <= most <= 3


def test_what_fails_on_a_thread_fails_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(RowGroupEncoder, "encode", refuse)
    sink = ParquetSink(format="parquet", path="x.parquet", row_group_size=100)
    with pytest.raises(MemoryError, match="no room"):
        written(sink, 4, 1_000, 1_500, 1_501)


@pytest.mark.parametrize("fails", [False, True])
def test_the_files_of_a_sink_share_threads_that_end_with_it(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    encode = RowGroupEncoder.encode

    def watched(*arguments: object) -> object:
        seen.update(name for name in names() if name.startswith("flowtime-encode"))
        if fails and seen:
            raise MemoryError("no room")
        return encode(*arguments)  # type: ignore[arg-type]

    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate()]

    monkeypatch.setattr(RowGroupEncoder, "encode", watched)
    monkeypatch.setattr(parquet_writer, "_BLOCK_ROWS", 1)
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    sink = {"format": "parquet", "path": tmp_path / "out", "row_group_size": 1}
    settings = config(
        runs,
        {**sink, "partition_by": ["run_id", "measure"]},
        execution={"engine": "local", "workers": 2},
    )
    if fails:
        with pytest.raises(MemoryError):
            fx.export(settings)
    else:
        fx.export(settings)
    assert 1 <= len(seen) <= 2
    assert not [name for name in names() if name.startswith("flowtime-encode")]
