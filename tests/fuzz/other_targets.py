"""Targets among configs and foreign tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import polars as pl

from connectors.flowtime.restore.run_files import check_restorable
from pipeline.config import config_hash, load_config
from pipeline.imports.telemetry import open_foreign
from tests.fuzz.target import CANARY, Target

_CONFIGS = Path(__file__).parents[2] / "configs"
_ENVIRONMENT = {"S3_KEY": "k", "S3_SECRET": CANARY, "S3_ENDPOINT": "http://127.0.0.1:9"}
_TABLE = (
    b"time_bin,component_id,measure,class,value,unit\n"
    b"2025-01-01T00:00:00Z,A,served,DEFAULT,1.5,req\n"
    b"2025-01-01T00:05:00Z,A,served,DEFAULT,NaN,req\n"
    b"2025-01-01T00:00:00Z,B,served,DEFAULT,-inf,\n"
    b"2025-01-01T00:05:00Z,B,served,DEFAULT,,\n"
)


def _read_config(data: bytes, folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_bytes(data)
    made = load_config(path, environ=_ENVIRONMENT)
    config_hash(made)
    assert CANARY not in repr(made.storage)


def _config_seeds() -> Iterator[bytes]:
    yield from (path.read_bytes() for path in sorted(_CONFIGS.glob("*.yaml")))


def _foreign(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        with open_foreign([str(folder / name)]) as found:
            assert sum(1 for _ in found.series()) == len(found.run.series)
            check_restorable(found.run)

    return read


def _csv_seeds() -> Iterator[bytes]:
    yield _TABLE
    yield b"\xef\xbb\xbf" + _TABLE.replace(b",", b";").replace(b"\n", b"\r\n")
    yield _TABLE.replace(b",A,", b',"A",')
    yield _TABLE.replace(b"T", b" ").replace(b"Z", b"+01:00")
    yield b"# a comment\n" + _TABLE


def _ndjson_seeds() -> Iterator[bytes]:
    frame = pl.read_csv(_TABLE, infer_schema=False)
    yield frame.write_ndjson().encode()
    numbers = frame.with_columns(pl.col("value").cast(pl.Float64, strict=False))
    yield numbers.write_ndjson().encode()


def _parquet_seeds() -> Iterator[bytes]:
    frame = pl.read_csv(_TABLE, infer_schema=False)
    typed = frame.with_columns(
        pl.col("value").cast(pl.Float64, strict=False),
        pl.col("time_bin").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC"),
        pl.col("measure").cast(pl.Categorical),
    )
    for one in (frame, typed):
        written = BytesIO()
        one.write_parquet(written, compression="uncompressed")
        yield written.getvalue()


_KEYS = (
    b"version: 1", b"name:", b"storage:", b"source:", b"url:", b"metadata:", b"columns:", b"&a",
    b"constants:", b"transform:", b"filter:", b"rename:", b"sinks:", b"- format: csv", b"path:",
    b"layout: wide", b"partition_by:", b"execution:", b"memory_limit: 512MB", b"timeout: 2h",
    b"${S3_SECRET}", b"${file:/x}", b"$${", b"{run_id}", b"{date}", b"*a", b"<<:",
    b"!!python/", b".nan",
    b".inf", b"0x10", b"0o7", b"1e9", b"~", b"null", b"'", b'"', b"|", b">", b"---\n", b"\t", b"? ",
    b"value > 0 AND measure <> 'x'", b"measure IN ('a')", b"NOT (", b"LIKE '%'", b"BETWEEN 1 AND 2",
    b"CAST(value AS int)", b"time_bin >= '2025-01-01'", b"separator: ';'", b"null_value:",
)  # fmt: skip
_CELLS = (
    b"time_bin", b"component_id", b"measure", b"class", b"value", b"run_id", b"unit", b"kind", b";",
    b"\t", b'"', b'""', b"\r\n", b"NaN", b"inf", b"1,5", b"1e999",
    b"2025-01-01T00:00:00", b"+02:00",
    b"1735689600", b"9999-12-31T23:59:59Z", b"0001-01-01", b"# ", b"\x1f\x8b",
    b"(\xb5/\xfd", b"null",
    b"\\u0000", b"\\ud800", b"{", b"}", b"[1]", b"true", b"-0", b"\x00", b"\xff",
)  # fmt: skip

OTHER_TARGETS = (
    Target("config", "text", _read_config, _config_seeds, _KEYS),
    Target("foreign_csv", "lines", _foreign("t.csv"), _csv_seeds, _CELLS),
    Target("foreign_ndjson", "lines", _foreign("t.ndjson"), _ndjson_seeds, _CELLS),
    Target("foreign_parquet", "bytes", _foreign("t.parquet"), _parquet_seeds, _CELLS),
)
