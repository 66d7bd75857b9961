"""What an export promises, on real files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors.errors import StorageError
from connectors.storage.disk.local import LocalStorage
from pipeline.errors import ConfigError, PublishConflictError, RunError
from pipeline.exports.run import export
from tests.exporting import config, names, snapshot, spec, write_runs
from tests.read_outputs import exact, read_runs
from tests.run_builder import write_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"), spec("run_c"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def statuses(report: Any) -> list[str]:
    return [target.status for target in report.targets]


def long_rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    text = pl.col("time_bin").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    picked = frame.select(text, "component_id", "measure", "class", "value")
    return exact(picked.rows())


# --- again, changed, afresh -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["e.csv", "e.ndjson.gz", "e.parquet", "set-parquet/", "csv.zst/"])
def test_running_again_writes_nothing(runs: Path, out: Path, path: str) -> None:
    settings = config(runs, {"path": f"{out}/{path}"})
    assert statuses(export(settings)) == ["exported"]
    before = snapshot(out)
    again = export(settings)
    assert snapshot(out) == before
    assert (statuses(again), again.rows_read, again.exit_code) == (["unchanged"], 0, 0)


@pytest.mark.parametrize("key", ["rowCount", "nonFiniteCount"])
@pytest.mark.parametrize("value", [None, "3", []])
def test_what_a_changed_descriptor_does_not_count_is_written_again(
    runs: Path, out: Path, key: str, value: object
) -> None:
    made = export(config(runs, {"path": f"{out}/e.csv"}))
    place = out / "e.datapackage.json"
    found = json.loads(place.read_text())
    before = found["resources"][0].pop(key)
    if value is not None:
        found["resources"][0][key] = value
    place.write_text(json.dumps(found))
    kept = export(config(runs, {"path": f"{out}/e.csv", "if_exists": "skip"}))
    assert statuses(kept) == ["kept"]
    again = export(config(runs, {"path": f"{out}/e.csv"}))
    assert statuses(again) == ["exported"]
    assert again.targets[0].rows == made.targets[0].rows
    assert json.loads(place.read_text())["resources"][0][key] == before


def test_only_a_changed_run_is_written_again(runs: Path, out: Path) -> None:
    settings = config(
        runs, {"path": f"{out}/{{run_id}}/e.csv"}, {"path": f"{out}/{{run_id}}.parquet"}
    )
    export(settings)
    before = snapshot(out)
    write_run(runs, spec("run_b", values=(7.0, 8.0, 9.0, 10.0)))
    report = export(settings)
    after = snapshot(out)
    changed = {
        Path(path).relative_to(out).as_posix() for path in after if after[path] != before[path]
    }
    assert changed == {
        "run_b/e.csv",
        "run_b/e.datapackage.json",
        "run_b.parquet",
        "run_b.datapackage.json",
    }
    assert report.rows_read == 12
    assert Counter(statuses(report)) == {"exported": 2, "unchanged": 4}
    assert pl.read_parquet(out / "run_b.parquet")["value"].head(4).to_list() == [
        7.0,
        8.0,
        9.0,
        10.0,
    ]


def test_a_new_run_changes_what_holds_all_runs(runs: Path, out: Path) -> None:
    settings = config(runs, {"path": out / "all.csv"}, {"path": f"{out}/{{run_id}}.csv"})
    export(settings)
    write_run(runs, spec("run_d"))
    report = export(settings)
    written = [target.url for target in report.targets if target.status == "exported"]
    assert written == [f"{out}/all.csv", f"{out}/run_d.csv"]
    assert len((out / "all.csv").read_text().splitlines()) > 4 * 12


@pytest.mark.parametrize("harm", ["gone", "shorter"])
def test_a_harmed_file_is_written_again(runs: Path, out: Path, harm: str) -> None:
    settings = config(runs, {"path": out / "e.csv"})
    export(settings)
    before = (out / "e.csv").read_bytes()
    if harm == "gone":
        (out / "e.csv").unlink()
    else:
        (out / "e.csv").write_bytes(before[:-1])
    assert statuses(export(settings)) == ["exported"]
    assert (out / "e.csv").read_bytes() == before


def test_full_refresh_writes_the_same_bytes_again(runs: Path, out: Path) -> None:
    settings = config(runs, {"path": out / "e.csv"}, {"path": out / "set-parquet"})
    export(settings)
    before = snapshot(out)
    assert statuses(export(settings, full_refresh=True)) == ["exported", "exported"]
    after = snapshot(out)
    data = [path for path in before if not path.endswith("package.json")]
    assert [after[path][1] for path in data] == [before[path][1] for path in data]
    assert all(after[path][0] > before[path][0] for path in data)


def test_the_same_bytes_on_any_day(runs: Path, tmp_path: Path) -> None:
    found = []
    for place, day in enumerate((1, 20)):
        folder = tmp_path / f"day{place}"
        sinks = [{"path": folder / f"e{end}"} for end in (".csv.gz", ".ndjson.zst", ".parquet")]
        export(config(runs, *sinks), now=datetime(2026, 3, day, tzinfo=UTC))
        found.append(
            [(folder / name).read_bytes() for name in names(folder) if "package" not in name]
        )
    assert len(found[0]) == 3
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {"columns": ["run_id"]}},
        {"metadata": {"constants": {"b": 2, "a": 1}}},
        {"transform": {"filter": "value > 1"}},
        {"transform": {"rename": {"value": "v"}}},
        {"source": {"series": {"measures": ["served"]}}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_config_is_another_export(runs: Path, out: Path, changed: dict[str, Any]) -> None:
    first = config(runs, {"path": out / "e.csv"}, metadata={"constants": {"a": 1, "b": 2}})
    export(first)
    before = (out / "e.csv").read_bytes()
    assert statuses(export(config(runs, {"path": out / "e.csv"}, **changed))) == ["exported"]
    assert (out / "e.csv").read_bytes() != before


def test_a_source_that_moved_is_another_export(runs: Path, out: Path) -> None:
    columns = {"columns": ["run_url"]}
    export(config(runs, {"path": out / "e.parquet"}, metadata=columns))
    moved = runs.rename(runs.with_name("moved"))
    export(config(moved, {"path": out / "e.parquet"}, metadata=columns))
    assert pl.read_parquet(out / "e.parquet")["run_url"][0] == f"{moved}/run_a"


# --- where files go -------------------------------------------------------------------------


def test_templates(runs: Path, out: Path) -> None:
    write_run(runs, spec("other_name", run_id="run_z"))
    report = export(
        config(
            runs,
            {"path": f"{out}/{{name}}/{{date}}/{{format}}/{{run_id}}.csv"},
            {"path": f"{out}/by-name/{{run_name}}.ndjson"},
            {"path": "{run_url}/gold/export.parquet"},
        ),
        now=datetime(2026, 3, 4, 23, tzinfo=UTC),
    )
    found = [name for name in names(out) if not name.endswith(".json")]
    ids, folders = ["run_a", "run_b", "run_c", "run_z"], ["other_name", "run_a", "run_b", "run_c"]
    assert [name for name in found if "by-name" not in name] == [
        f"test/2026-03-04/csv/{one}.csv" for one in ids
    ]
    assert [n for n in found if "by-name" in n] == [f"by-name/{n}.ndjson" for n in folders]
    for one in folders:
        assert names(runs / one / "gold") == ["export.datapackage.json", "export.parquet"]
    for run in read_runs(runs):
        frame = pl.read_parquet(runs / run.name / "gold" / "export.parquet")
        assert long_rows(frame) == exact(run.rows)
    assert len(report.targets) == 12


def test_two_runs_of_one_id_need_the_folders_name(runs: Path, out: Path) -> None:
    write_run(runs, spec("copy", run_id="run_a"))
    with pytest.raises(ConfigError, match=r"runs .*copy and .*run_a would both .*\{run_name\}"):
        export(config(runs, {"path": f"{out}/{{run_id}}.csv"}))
    assert not out.exists()
    export(config(runs, {"path": f"{out}/{{run_name}}.csv"}))
    assert len(names(out)) == 8


@pytest.mark.parametrize("path", ["e.csv", "run_a/series/e.csv", "run_a/e.csv", "deep/out-csv/"])
def test_writing_into_the_source_is_refused(runs: Path, path: str) -> None:
    before = snapshot(runs)
    with pytest.raises(ConfigError, match="which the source reads"):
        export(config(runs, {"path": runs / path}))
    assert snapshot(runs) == before


def test_more_runs_than_files_may_be_open(tmp_path: Path, out: Path) -> None:
    many = [spec(f"run_{n:03d}", "a@A@DEFAULT", values=[float(n)]) for n in range(450)]
    runs = write_runs(tmp_path / "runs", *many)
    report = export(config(runs, {"path": f"{out}/{{run_id}}.parquet"}))
    assert len(report.targets) == 450
    assert pl.read_parquet(out / "run_449.parquet")["value"].to_list() == [449.0]


@pytest.mark.parametrize("path", ["e.csv", "set-csv"])
def test_if_exists(runs: Path, out: Path, path: str) -> None:
    export(config(runs, {"path": out / path}))
    write_run(runs, spec("run_d"))
    before = snapshot(out)
    kept = export(config(runs, {"path": out / path, "if_exists": "skip"}))
    assert statuses(kept) == ["kept"]
    with pytest.raises(PublishConflictError, match="exists already and if_exists is error"):
        export(config(runs, {"path": out / path, "if_exists": "error"}))
    assert snapshot(out) == before
    assert statuses(export(config(runs, {"path": out / path}))) == ["exported"]
    assert snapshot(out) != before


def test_a_file_of_somebody_else_counts_as_existing(runs: Path, out: Path) -> None:
    out.mkdir()
    (out / "e.csv").write_text("mine\n")
    with pytest.raises(PublishConflictError):
        export(config(runs, {"path": out / "e.csv", "if_exists": "error"}))
    export(config(runs, {"path": out / "e.csv", "if_exists": "skip"}))
    assert (out / "e.csv").read_text() == "mine\n"


# --- one pass, and what is never opened -----------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[str]]:
    """Counts how often each series file is read from the disk."""
    count: Counter[str] = Counter()
    read, blocks = LocalStorage.read_many, LocalStorage.blocks

    def counted(self: LocalStorage, paths: Sequence[str]) -> list[bytes | StorageError]:
        count.update("/".join(p.split("/")[-3:]) for p in paths if "/series/" in p)
        return read(self, paths)

    def counted_blocks(self: LocalStorage, path: str, size: int) -> Any:
        count.update(["/".join(path.split("/")[-3:])])
        return blocks(self, path, size)

    monkeypatch.setattr(LocalStorage, "read_many", counted)
    monkeypatch.setattr(LocalStorage, "blocks", counted_blocks)
    return lambda: Counter({k: v for k, v in count.items() if not k.endswith("index.json")})


def test_one_pass_feeds_all_sinks(runs: Path, out: Path, opened: Any) -> None:
    sinks = [{"path": out / f"e.{form}"} for form in ("csv", "ndjson", "parquet")]
    export(config(runs, *sinks, {"path": out / "wide.csv", "layout": "wide"}))
    assert len(opened()) == 9
    assert set(opened().values()) == {1}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({"series": {"measures": ["arr*"]}}, {"arrivals@A@DEFAULT"}),
        ({"series": {"components": ["B"]}}, {"served@B@DEFAULT"}),
        ({"series": {"classes": ["Order"]}}, {"served@A@Order"}),
        ({"series": {"measures": ["served"], "components": ["A"], "classes": ["D*"]}}, set()),
        ({"include": ["*_b"]}, {"b"}),
        ({"exclude": ["*_a", "*_n"]}, {"b"}),
        ({"created": {"from": "2025-02-01", "to": "2025-03-01"}}, {"b"}),
    ],
)
def test_what_is_not_wanted_is_never_opened(
    tmp_path: Path, out: Path, opened: Any, source: dict[str, Any], wanted: set[str]
) -> None:
    ids = ("arrivals@A@DEFAULT", "served@B@DEFAULT", "served@A@Order")
    runs = write_runs(
        tmp_path / "runs",
        spec("run_a", *ids),
        spec("run_b", *ids, created="2025-02-28T23:59:59Z"),
        spec("run_n", *ids, created="2025-03-01T00:00:00Z"),
    )
    report = export(config(runs, {"path": out / "e.csv"}, source=source))
    if wanted == {"b"}:
        expected = {f"run_b/series/{one}.csv" for one in ids}
    else:
        expected = {f"run_{n}/series/{one}.csv" for n in "abn" for one in wanted}
    assert set(opened()) == expected
    assert report.rows_read == 4 * len(expected)


# --- nothing to do, and runs that wait ------------------------------------------------------


def test_a_run_still_being_written_waits(runs: Path, out: Path) -> None:
    manifest = (runs / "run_b" / "manifest.json").rename(runs / "manifest.later")
    report = export(config(runs, {"path": f"{out}/{{run_id}}.csv"}))
    assert report.exit_code == 0
    (waiting,) = report.left_out
    assert (waiting.kind, waiting.url) == ("incomplete", f"{runs}/run_b")
    assert not (out / "run_b.csv").exists()
    manifest.rename(runs / "run_b" / "manifest.json")
    assert Counter(statuses(export(config(runs, {"path": f"{out}/{{run_id}}.csv"})))) == {
        "unchanged": 2,
        "exported": 1,
    }


def test_no_runs(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = export(config(tmp_path / "empty", {"path": out / "e.csv"}))
    assert (report.exit_code, report.targets, report.runs) == (0, (), 0)
    assert not out.exists()
    strict = config(tmp_path / "empty", {"path": out / "e.csv"}, source={"require_runs": True})
    with pytest.raises(ConfigError, match="no run was found under"):
        export(strict)


def test_runs_that_are_all_left_out_were_found(runs: Path, out: Path) -> None:
    for index in runs.glob("*/series/index.json"):
        index.write_text("{}")
    skipping = {"on_error": "skip"}
    report = export(config(runs, {"path": out / "e.csv"}, source=skipping))
    assert f"no run under {runs} is exported: 3 runs left out" in report.as_text()
    assert "no runs found" not in report.as_text()
    strict = config(runs, {"path": out / "e.csv"}, source={**skipping, "require_runs": True})
    with pytest.raises(ConfigError, match=r"3 runs left out, the first .*run_.: .*index\.json"):
        export(strict)


def test_the_source_itself_incomplete_is_an_error(runs: Path, out: Path) -> None:
    (runs / "run_b" / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"manifest\.json"):
        export(config(runs / "run_b", {"path": out / "e.csv"}))
