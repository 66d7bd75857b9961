"""There and back again: every value and every byte of a run survives each format."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.main import run_cli
from pipeline.errors import RunError
from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.imports import roundtrip as room
from pipeline.imports.roundtrip import VARIANTS, RoundtripReport, roundtrip
from tests.examples import in_parts
from tests.exporting import config, snapshot, spec, upload, write_runs
from tests.run_builder import DIALECTS, RunSpec, write_bundles, write_run
from tests.servers import S3Server


def _check(report: RoundtripReport, runs: int) -> None:
    assert [leg.problem for leg in report.legs] == [None] * len(VARIANTS)
    assert report.ok
    assert report.runs == runs
    assert all(leg.values_equal == leg.series > 0 for leg in report.legs)
    assert all(leg.hashes_equal == leg.comparable for leg in report.legs)


def test_runs_of_every_dialect(tmp_path: Path) -> None:
    for name, build in DIALECTS.items():
        write_run(tmp_path, build(name))
    before = snapshot(tmp_path)
    report = roundtrip(str(tmp_path))
    _check(report, len(DIALECTS))
    assert all(leg.comparable == leg.series for leg in report.legs)
    assert snapshot(tmp_path) == before


def test_bundles_come_back_as_run_directories(tmp_path: Path) -> None:
    write_bundles(tmp_path)
    report = roundtrip(str(tmp_path))
    _check(report, 4)
    assert all(leg.comparable == 0 for leg in report.legs)


def test_runs_on_s3(tmp_path: Path, rclone_s3: S3Server) -> None:
    options = rclone_s3.options()
    url = f"s3://{rclone_s3.bucket}/roundtrip"
    upload(write_runs(tmp_path, spec("run_a")), url, options)
    _check(roundtrip(url, storage=options), 1)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no complete run"):
        roundtrip(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [(b"2.5", b"2.6", "other values"), (b"22.5", b"22.50", "other bytes"), (b"", b"", "another")],
)
def test_a_difference_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes, complaint: str
) -> None:
    """An import that loses something: a value, a byte, a field of the run."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))

    def lossy(sources: Any, out: str, options: Any) -> None:
        shutil.copytree(runs, out)
        if old:
            file = Path(out) / "run_a" / "series" / "served@B@DEFAULT.csv"
            file.write_bytes(file.read_bytes().replace(old, new))
        else:
            file = Path(out) / "run_a" / "run.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "mode": "other"}))

    monkeypatch.setattr(room, "import_export", lossy)
    report = roundtrip(str(runs))
    assert not report.ok
    assert all(complaint in str(leg.problem) for leg in report.legs)


def test_an_unknown_spelling_costs_one_hash_and_no_value(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    file = runs / "run_a/series/served@B@DEFAULT.csv"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"22.5", b"22.50"))
    digests = [hashlib.sha256(data).hexdigest() for data in (before, file.read_bytes())]
    for described in ("manifest.json", "series/index.json"):
        path = runs / "run_a" / described
        path.write_text(path.read_text().replace(*digests))
    report = roundtrip(str(runs))
    for leg in report.legs:
        assert (leg.values_equal, leg.hashes_equal, leg.series) == (3, 2, 3)
        assert "series served@B@DEFAULT came back in other bytes" in str(leg.problem)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    assert run_cli(["test-loop", str(runs / "run_a")]) == 0
    table = capsys.readouterr().out
    assert "everything returned" in table
    assert all(variant.name in table for variant in VARIANTS)
    assert run_cli(["test-loop", str(runs / "run_a"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert [leg["hashes_equal"] for leg in found["legs"]] == [3] * len(VARIANTS)


def test_the_command_fails_where_something_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    monkeypatch.setattr(room, "_same_values", lambda *_: False)
    assert run_cli(["test-loop", str(runs)]) == 1
    assert "NOT everything returned" in capsys.readouterr().out


# --- any run ----------------------------------------------------------------------------------

NAMES = st.text("ABZabz019._-", min_size=1, max_size=8)
IDS = st.tuples(NAMES, NAMES, NAMES).map("@".join)
GRIDS = st.fixed_dictionaries(
    {"bins": st.just(0), "binSize": st.integers(1, 400)}
    | {"binUnit": st.sampled_from(["minutes", "hours", "days", "weeks"])}
)


@st.composite
def run_specs(draw: st.DrawFn) -> RunSpec:
    """A run with any grid, ids and doubles, in any layout of its files."""
    bins = draw(st.integers(1, 5))
    values = st.lists(st.floats(), min_size=bins, max_size=bins)
    return RunSpec(
        "run_a",
        draw(st.dictionaries(IDS, values, min_size=1, max_size=4)),
        grid=draw(GRIDS),
        header=draw(st.sampled_from(["t,value", "bin_index,value"])),
        bom=draw(st.booleans()),
        newline=draw(st.sampled_from(["\n", "\r\n"])),
        floats=draw(st.sampled_from(["dotnet", "rust"])),
        origin=draw(st.sampled_from([None, ("grid.start", "1999-12-31T23:59:59Z")])),
    )


@in_parts(200)
@given(made=run_specs(), wide=st.booleans())
def test_any_run_in_any_format(made: RunSpec, wide: bool) -> None:
    """Each example goes through all three formats; the files are compared byte for byte."""
    with TemporaryDirectory() as folder:
        base = Path(folder)
        write_run(base / "runs", made)
        layout = {"layout": "wide"} if wide else {}
        names = ("e.csv", "e.ndjson", "e.parquet")
        export(config(base / "runs", *({"path": base / name, **layout} for name in names)))
        expected = {p.name: p.read_bytes() for p in (base / "runs").rglob("series/*.csv")}
        for name in names:
            back = base / f"back-{name}"
            import_export([str(base / name)], str(back))
            found = {p.name: p.read_bytes() for p in back.rglob("series/*.csv")}
            assert found == expected, name
