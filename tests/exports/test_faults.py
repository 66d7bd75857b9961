"""Broken runs: the export fails by name, or leaves the run out whole by name."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.cli.main import run_cli
from pipeline.errors import RunError
from pipeline.exports.run import export
from tests.exporting import config, descriptor, names, spec, write_runs
from tests.read_outputs import exact, read_run
from tests.run_builder import write_run

ID = "served@A@DEFAULT"
FILE = f"series/{ID}.csv"

Harm = Callable[[Path], object]


def rewritten(change: Callable[[bytes], bytes], *, vouched: bool = True) -> Harm:
    """Another content for the series file; the manifest vouches for it, except on request."""

    def harm(run: Path) -> None:
        file = run / FILE
        data = change(file.read_bytes())
        file.write_bytes(data)
        if vouched:
            promised = hashlib.sha256(data).hexdigest()
            _edit(
                run / "manifest.json",
                lambda m: m["seriesHashes"].update({ID: f"sha256:{promised}"}),
            )
            _edit(
                run / "series" / "index.json",
                lambda i: i["series"][1].update(hash=f"sha256:{promised}"),
            )

    return harm


def replaced(old: bytes, new: bytes) -> Harm:
    def change(data: bytes) -> bytes:
        assert data.count(old) == 1
        return data.replace(old, new)

    return rewritten(change)


def index(change: Callable[[Any], object]) -> Harm:
    def harm(run: Path) -> None:
        _edit(run / "series" / "index.json", change)

    return harm


def _edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def entry(**changes: Any) -> Harm:
    return index(lambda found: found["series"][1].update(changes))


# The file holds: header, 0,11 / 1,12.5 / 2,10 / 3,14. Each fault with what the message must say.
FAULTS: dict[str, tuple[Harm, list[str]]] = {
    "missing file": (lambda run: (run / FILE).unlink(), [ID, FILE, "missing"]),
    "wrong hash": (
        rewritten(lambda d: d.replace(b"12.5", b"12.6"), vouched=False),
        [ID, FILE, "sha256", "manifest"],
    ),
    "fewer rows": (replaced(b"3,14\n", b""), [ID, FILE, "holds 3 rows", "4 points"]),
    "more rows": (replaced(b"3,14\n", b"3,14\n4,1\n"), [ID, FILE, "5 rows", "4 points"]),
    "not a number": (replaced(b"12.5", b"abc"), [ID, f"{FILE} line 3", "'abc'"]),
    "hexadecimal": (replaced(b"12.5", b"0x1p3"), [ID, f"{FILE} line 3", "not a number"]),
    "underscore": (replaced(b"12.5", b"1_2"), [ID, f"{FILE} line 3", "not a number"]),
    "empty file": (rewritten(lambda _: b""), [ID, FILE, "empty"]),
    "header alone": (rewritten(lambda _: b"bin_index,value\n"), [ID, FILE, "holds 0 rows"]),
    "other header": (replaced(b"bin_index", b"bin"), [ID, f"{FILE} line 1", "header"]),
    "no header": (replaced(b"bin_index,value\n", b""), [ID, f"{FILE} line 1", "header"]),
    "cut last line": (rewritten(lambda d: d[:-2]), [ID, f"{FILE} line 5", "cut off"]),
    "no last line end": (rewritten(lambda d: d[:-1]), [ID, f"{FILE} line 5", "cut off"]),
    "gap": (replaced(b"2,10\n", b"5,10\n"), [ID, f"{FILE} line 4", "expected 2"]),
    "twice": (replaced(b"2,10\n", b"1,10\n"), [ID, f"{FILE} line 4", "expected 2"]),
    "blank line": (replaced(b"2,10\n", b"\n"), [ID, f"{FILE} line 4"]),
    "third cell": (replaced(b"2,10\n", b"2,10,1\n"), [ID, f"{FILE} line 4", "3 cells"]),
    "quoted": (replaced(b"2,10\n", b'2,"10"\n'), [ID, f"{FILE} line 4", "not a number"]),
    "too large": (replaced(b"12.5", b"1e999"), [ID, f"{FILE} line 3", "does not fit"]),
    "no value": (replaced(b"12.5", b""), [ID, f"{FILE} line 3", "not a number"]),
    "spaced": (replaced(b",12.5", b", 12.5"), [ID, f"{FILE} line 3", "not a number"]),
    "not text": (replaced(b"12.5", b"\xff\xfe"), [ID, f"{FILE} line 3"]),
    "zero byte": (replaced(b"12.5", b"12\x005"), [ID, f"{FILE} line 3"]),
    "gzip": (rewritten(gzip.compress), [ID, FILE, "gzip compressed"]),
    "huge file": (rewritten(lambda d: d + b"\n" * 4000), [ID, FILE, "too many for 4 rows"]),
    "broken index": (
        lambda run: (run / "series" / "index.json").write_text('{"series": ['),
        ["series/index.json line 1", "cut off"],
    ),
    "index of null": (
        lambda run: (run / "series" / "index.json").write_text("null"),
        ["series/index.json"],
    ),
    "no index": (lambda run: (run / "series" / "index.json").unlink(), ["series/index.json"]),
    "no run.json": (lambda run: (run / "run.json").unlink(), ["run.json"]),
    "other points": (entry(points=5), [ID, "points"]),
    "listed twice": (index(lambda i: i["series"].append(i["series"][1])), [ID, "twice"]),
    "not listed": (index(lambda i: i["series"].pop(1)), [ID]),
    "climbs out": (entry(path="../../run_a/series/served@A@DEFAULT.csv"), [ID, "path"]),
    "absolute": (entry(path="/etc/hostname"), [ID, "path"]),
    "no grid": (index(lambda i: i.pop("grid")), []),
}
STILL_WHOLE = {"no grid"}  # run.json has the grid as well
BROKEN = [pytest.param(*FAULTS[name], id=name) for name in FAULTS if name not in STILL_WHOLE]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"), spec("run_c"))


def written_config(tmp_path: Path, on_error: str) -> str:
    text = f"""\
version: 1
source: {{url: {tmp_path}/runs, on_error: {on_error}}}
sinks:
  - {{format: csv, path: {tmp_path}/out/all.csv}}
  - {{format: ndjson, path: "{tmp_path}/out/{{run_id}}.ndjson"}}
  - {{format: parquet, path: {tmp_path}/out/set, partition_by: [measure]}}
  - {{format: parquet, path: {tmp_path}/out/wide.parquet, layout: wide}}
"""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(("harm", "said"), BROKEN)
def test_a_broken_run_fails_the_export(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Harm, said: list[str]
) -> None:
    harm(runs / "run_b")
    assert run_cli(["run", written_config(tmp_path, "fail"), "--json"]) == 1
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["status"] == "failed"
    for text in (f"{runs}/run_b", *said):
        assert text in stderr
    assert "run_a" not in stderr.replace("../../run_a", "")
    assert "Traceback" not in stderr
    out = tmp_path / "out"
    assert not out.exists() or names(out) == []


@pytest.mark.parametrize(("harm", "said"), BROKEN)
def test_a_broken_run_is_skipped_whole(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Harm, said: list[str]
) -> None:
    harm(runs / "run_b")
    assert run_cli(["run", written_config(tmp_path, "skip"), "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    (skipped,) = report["left_out"]
    assert (skipped["url"], skipped["kind"]) == (f"{runs}/run_b", "broken")
    for text in said:
        assert text in skipped["reason"]
    assert (report["exit_code"], report["runs"]) == (3, 2)
    out = tmp_path / "out"
    expected = [row for name in "ac" for row in read_run(runs / f"run_{name}").rows]
    frame = pl.read_csv(out / "all.csv", comment_prefix="#")
    assert exact(frame.select(frame.columns[:5]).rows()) == exact(expected)
    assert frame["run_id"].unique().sort().to_list() == ["run_a", "run_c"]
    assert not any("run_b" in name for name in names(out))
    for path in out.rglob("*datapackage.json"):
        assert "run_b" not in [run["name"] for run in descriptor(path)["flowtime"]["runs"]]
    hive = pl.read_parquet(out / "set/**/*.parquet", hive_partitioning=True)
    assert hive.height == len(expected)
    assert pl.read_parquet(out / "wide.parquet").height == 2 * 2 * 4


def test_every_broken_run_is_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [name for name in FAULTS if name not in STILL_WHOLE]
    folder = tmp_path / "runs"
    write_runs(folder, *(spec(f"run_{place:02d}") for place in range(len(chosen))), spec("whole"))
    for place, name in enumerate(chosen):
        FAULTS[name][0](folder / f"run_{place:02d}")
    assert run_cli(["run", written_config(tmp_path, "skip"), "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    reasons = {Path(run["url"]).name: run["reason"] for run in report["left_out"]}
    assert sorted(reasons) == [f"run_{place:02d}" for place in range(len(chosen))]
    for place, name in enumerate(chosen):
        assert all(text in reasons[f"run_{place:02d}"] for text in FAULTS[name][1]), name
    assert report["runs"] == 1


@pytest.mark.parametrize("name", sorted(STILL_WHOLE))
def test_what_is_no_fault(runs: Path, tmp_path: Path, name: str) -> None:
    FAULTS[name][0](runs / "run_b")
    assert run_cli(["run", written_config(tmp_path, "fail")]) == 0


def test_a_broken_run_leaves_the_last_export_as_it_was(runs: Path, tmp_path: Path) -> None:
    path = written_config(tmp_path, "fail")
    assert run_cli(["run", path]) == 0
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    FAULTS["not a number"][0](runs / "run_b")
    assert run_cli(["run", path]) == 1
    after = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    assert after == before


def test_a_repaired_run_is_exported(runs: Path, tmp_path: Path) -> None:
    FAULTS["gap"][0](runs / "run_b")
    path = written_config(tmp_path, "skip")
    assert run_cli(["run", path]) == 3
    assert run_cli(["run", path]) == 3
    write_run(runs, spec("run_b"))
    assert run_cli(["run", path]) == 0
    assert (tmp_path / "out" / "run_b.ndjson").exists()
    assert run_cli(["run", path]) == 0


def test_all_runs_broken(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        FAULTS["empty file"][0](runs / f"run_{name}")
    assert run_cli(["run", written_config(tmp_path, "skip"), "--json"]) == 3
    assert len(json.loads(capsys.readouterr().out)["left_out"]) == 3


def test_without_verify_hashes_are_passed_over_and_rows_counted(runs: Path, tmp_path: Path) -> None:
    FAULTS["wrong hash"][0](runs / "run_b")
    lenient = config(
        runs,
        {"path": tmp_path / "e.csv"},
        source={"verify": False, "series": {"components": ["A"]}},
    )
    report = export(lenient)
    assert report.rows_read == 3 * 2 * 4
    assert "T01:00:00Z,A,served,DEFAULT,12.6,run_b" in (tmp_path / "e.csv").read_text()
    FAULTS["fewer rows"][0](runs / "run_b")
    with pytest.raises(RunError, match=re.escape(f"{FILE}: holds 3 rows")):
        export(lenient)


@pytest.mark.parametrize("name", ["fewer rows", "more rows", "wrong hash", "not a number"])
def test_a_fault_in_a_file_that_is_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from connectors.flowtime.scan import scanner as scan

    runs = write_runs(tmp_path / "runs", spec("run_b"))
    FAULTS[name][0](runs / "run_b")
    small = scan.ScanOptions(batch_bytes=32)
    monkeypatch.setattr("pipeline.execution.job.scan_options", lambda _: small)
    with pytest.raises(RunError, match=f"run {runs}/run_b: series {ID}, file {FILE}"):
        export(config(runs, {"path": tmp_path / "out" / "e.csv"}))
    assert names(tmp_path / "out") == []
