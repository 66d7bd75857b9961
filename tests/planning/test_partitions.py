"""Partitions whose folders or files could collide: every row stays, under every value.

Meant to fail without the encoding of the null folder's name, and with file names that depend on the
state alone (a disk that ignores case keeps one file of two).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset
import pytest

from connectors.storage import connect
from pipeline.errors import ConfigError
from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.planning import partitions
from pipeline.planning.partitions import data_file_path, is_data_file, partition_folder
from pipeline.verification import verify
from tests.exporting import config, descriptor, names, spec, write_runs
from tests.run_builder import write_run
from tests.servers import S3Server

FORMATS = ("csv", "ndjson", "parquet")
NULL = "__HIVE_DEFAULT_PARTITION__"
SOURCES = (None, NULL, NULL.lower(), "vip", "VIP", "Vip", "a/b=c %", f"%5F{NULL[1:]}", "NA", "007")
_READERS = {
    "csv": "read_csv('{}', comment='#', header=true, delim=',', quote='\"', all_varchar=true, "
    "hive_partitioning=true, hive_types_autocast=false)",
    "ndjson": "read_ndjson('{}', hive_partitioning=true, hive_types_autocast=false)",
    "parquet": "read_parquet('{}', hive_partitioning=true, hive_types_autocast=false)",
}


def runs_by_source(folder: Path, sources: tuple[str | None, ...] = SOURCES) -> Path:
    """A run of 12 rows for each source."""
    for number, source in enumerate(sources):
        name = f"run_{number}"
        path = write_run(folder, spec(name))
        document = json.loads((path / "run.json").read_bytes())
        (path / "run.json").write_text(json.dumps({**document, "source": source}))
    return folder


def by_source(form: str, root: Path) -> Counter[str | None]:
    """Rows of each value, as DuckDB reads the folder."""
    reader = _READERS[form].format(f"{root}/**/*.{form}")
    rows = duckdb.execute(f"SELECT source, count(*) FROM {reader} GROUP BY 1").fetchall()
    return Counter(dict(rows))


def sink(path: Any, form: str, **more: Any) -> dict[str, Any]:
    return {"format": form, "path": path, "partition_by": ["source"], **more}


@pytest.mark.parametrize("form", FORMATS)
def test_every_value_reads_back_as_itself(tmp_path: Path, form: str) -> None:
    runs, out = runs_by_source(tmp_path / "runs"), tmp_path / "gold"
    settings = config(runs, sink(out, form), metadata={"columns": ["run_id", "source"]})
    report = export(settings)
    assert by_source(form, out) == dict.fromkeys(SOURCES, 12)
    assert report.targets[0].rows == 12 * len(SOURCES)
    assert report.targets[0].files == len(SOURCES)
    named = descriptor(out / "_datapackage.json")["resources"]
    assert {one["flowtime"]["partition"]["source"] for one in named} == set(SOURCES)
    assert verify(str(out), str(runs)).ok
    assert export(settings).targets[0].status == "unchanged"
    restored = import_export([str(out)], str(tmp_path / "restored"))
    assert {one.status for one in restored.runs} == {"written"}
    assert sum(one.matched for one in restored.runs) == 3 * len(SOURCES)


@pytest.mark.parametrize("form", FORMATS)
def test_no_two_files_have_one_name(tmp_path: Path, form: str) -> None:
    """As on a disk that takes `source=vip` and `source=VIP` for one folder."""
    runs, out = runs_by_source(tmp_path / "runs"), tmp_path / "gold"
    export(
        config(
            runs, sink(out, form, max_rows_per_file=5), metadata={"columns": ["run_id", "source"]}
        )
    )
    files = [Path(name).name for name in names(out) if not name.endswith(".json")]
    assert len(files) == 3 * len(SOURCES)
    assert len({name.casefold() for name in files}) == len(files)
    assert all(map(is_data_file, files))


def test_rows_are_counted_alike_by_others(tmp_path: Path) -> None:
    """Arrow and Polars decode a folder's name before they look for null, so two values are one."""
    runs, out = runs_by_source(tmp_path / "runs"), tmp_path / "gold-parquet"
    export(config(runs, sink(out, "parquet"), metadata={"columns": ["run_id", "source"]}))
    arrow = pyarrow.dataset.dataset(out, format="parquet", partitioning="hive").to_table()
    scanned = pl.scan_parquet(f"{out}/**/*.parquet", hive_partitioning=True).collect()
    for frame in (pl.DataFrame(arrow), scanned):
        counts = dict(frame.group_by(pl.col("source").cast(pl.String)).len().rows())
        expected = dict.fromkeys(SOURCES, 12) | {None: 24}
        del expected[NULL]
        assert counts == expected


def test_on_s3(tmp_path: Path, moto_s3: S3Server) -> None:
    runs = runs_by_source(tmp_path / "runs")
    lake = {"protocol": "s3", **moto_s3.options().options}
    root = f"s3://{moto_s3.bucket}/{tmp_path.name}"
    settings = config(
        runs, sink(root, "parquet", storage="lake"), storage={"lake": lake},
        metadata={"columns": ["run_id", "source"]},
    )  # fmt: skip
    assert export(settings).targets[0].rows == 12 * len(SOURCES)
    storage, path = connect(root, moto_s3.options())
    files = [entry for folder in storage.walk(path) for entry in folder.files]
    assert len(files) == len(SOURCES) + 1
    assert verify(root, str(runs), moto_s3.options()).ok


@pytest.mark.parametrize("team", [NULL, "", "NULL"])
@pytest.mark.parametrize("form", FORMATS)
def test_classes_called_like_null(tmp_path: Path, form: str, team: str) -> None:
    """What a class, a component or a constant may hold."""
    ids = (f"served@A@{NULL}", "served@A@__hive_default_partition__", "served@A@vip")
    runs = write_runs(tmp_path / "runs", spec("run_a", *ids))
    out = tmp_path / "gold"
    export(
        config(
            runs,
            {"format": form, "path": out, "partition_by": ["class", "team"]},
            metadata={"columns": ["run_id"], "constants": {"team": team}},
        )
    )
    reader = _READERS[form].format(f"{out}/**/*.{form}")
    rows = duckdb.execute(f"SELECT class, team, count(*) FROM {reader} GROUP BY ALL").fetchall()
    assert Counter(rows) == Counter((name, team, 4) for name in (NULL, NULL.lower(), "vip"))
    assert verify(str(out), str(runs)).ok


def test_what_would_still_collide_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = runs_by_source(tmp_path / "runs", ("vip", "VIP"))
    monkeypatch.setattr(partitions, "_DIGEST_DIGITS", 0)
    with pytest.raises(ConfigError, match="source=vip and source=VIP would be written to one file"):
        export(config(runs, sink(tmp_path / "gold", "csv"), metadata={"columns": ["source"]}))
    assert not (tmp_path / "gold").exists()


def test_a_folder_name_that_no_disk_takes(tmp_path: Path) -> None:
    runs = runs_by_source(tmp_path / "runs", ("x" * 300,))
    with pytest.raises(ConfigError, match="307 bytes"):
        export(config(runs, sink(tmp_path / "gold", "csv"), metadata={"columns": ["source"]}))
    assert not (tmp_path / "gold").exists()


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        (None, f"s={NULL}"),
        (NULL, "s=%5F_HIVE_DEFAULT_PARTITION__"),
        ("__Hive_Default_Partition__", "s=%5F_Hive_Default_Partition__"),
        ("%5F_HIVE_DEFAULT_PARTITION__", "s=%255F_HIVE_DEFAULT_PARTITION__"),
        (f"{NULL}x", f"s={NULL}x"),
        ("__H\u0131VE_DEFAULT_PARTITION__", "s=__H%C4%B1VE_DEFAULT_PARTITION__"),
        ("", "s="),
    ],
)
def test_folder_names(value: str | None, folder: str) -> None:
    assert partition_folder("s", value) == folder


def test_names_of_whole_data_sets_are_those_of_the_state() -> None:
    state = "0123456789abcdef" * 4
    assert data_file_path((), state, 7, ".csv.gz") == "part-00007-0123456789ab.csv.gz"
    first, second = (data_file_path((("s", v),), state, 0, ".csv") for v in ("a", None))
    assert first.startswith("s=a/part-00000-")
    assert first.rpartition("/")[2] != second.rpartition("/")[2]
