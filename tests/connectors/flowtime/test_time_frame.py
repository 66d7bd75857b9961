"""What a run declares of its times is followed, noted or refused, never ignored silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import RunError
from connectors.flowtime.parse.dialects import parse_run
from connectors.flowtime.parse.spec import read_spec
from pipeline.cli.main import run_cli
from tests.connectors.flowtime.test_dialects import small
from tests.exporting import spec, write_runs
from tests.run_builder import RunSpec, spec_text

Streams = pytest.CaptureFixture[str]
START = ("grid.start", "2025-06-01T06:00:00Z")
LOCAL_START = ("grid.start", "2025-06-01T06:00:00")
ZONE = {"timezone": "Europe/Berlin"}
ALIGN = {"align": "right"}


def declare(run: Path, file: str, declared: dict[str, Any]) -> None:
    """Lay keys over the grid of a JSON file of a run."""
    path = run / file
    data = json.loads(path.read_text())
    data["grid"] |= declared
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("file", ["run.json", "series/index.json"])
@pytest.mark.parametrize(
    ("declared", "origin", "options", "code", "says"),
    [
        (ZONE, START, {}, 0, "grid.timezone 'Europe/Berlin' is passed over"),
        (ZONE, ("window.startTimeUtc", "2025-06-01T06:00:00"), {}, 0, "is passed over"),
        (ZONE, LOCAL_START, {}, 1, "grid.timezone: found 'Europe/Berlin'; the start has no offset"),
        (ZONE, None, {}, 1, "grid.timezone: found 'Europe/Berlin'; the start has no offset"),
        (ZONE, None, {"time_origin": "2025-06-01"}, 0, "is passed over"),
        (ALIGN, START, {}, 1, "grid.align: found 'right'; but rows have the start of each bin"),
        (ALIGN, START, {"time_origin": "2025-06-01"}, 0, "grid.align 'right' is passed over"),
        ({"align": "center"}, START, {}, 1, "grid.align: found 'center'"),
        ({"timezone": 3}, START, {}, 0, "grid.timezone '3' is passed over"),
        ({"align": ["left"]}, START, {}, 1, "grid.align: found ['left'], should be text"),
    ],
)
def test_other_zones_and_alignments(
    file: str,
    declared: dict[str, Any],
    origin: tuple[str, str] | None,
    options: dict[str, str],
    code: int,
    says: str,
    tmp_path: Path,
    capsys: Streams,
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a", origin=origin))
    declare(runs / "run_a", file, declared)
    config = tmp_path / "c.yaml"
    source = json.dumps({"url": str(runs), **options})
    config.write_text(
        f"version: 1\nsource: {source}\nsinks: [{{format: csv, path: {tmp_path}/out/e.csv}}]\n"
    )
    assert run_cli(["run", str(config)]) == code
    out, err = capsys.readouterr()
    assert says in (err if code else out)
    assert file in (err if code else out)
    assert (tmp_path / "out" / "e.csv").exists() == (code == 0)
    assert run_cli(["run", str(config), "--set", "source.on_error=skip"]) == (3 if code else 0)


@pytest.mark.parametrize(
    "declared",
    [{"timezone": "UTC"}, {"timezone": "Etc/UTC"}, {"timezone": "utc"}, {"timezone": "Z"},
     {"timezone": ""}, {"timezone": None}, {"align": "left"}, {"align": "Left"}, {"align": None},
     {"timezone": "UTC", "align": "left"}],
)  # fmt: skip
def test_what_is_as_it_should_be_gets_no_note(declared: dict[str, Any]) -> None:
    grid = {"bins": 4, "binMinutes": 60}
    found = parse_run(small(index={"grid": grid | declared}, run={"grid": grid | declared}))
    assert found.notes == parse_run(small()).notes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("grid:\n  start: 2025-06-01\n  timezone: CET\n", "grid.timezone: found 'CET'"),
        ("grid:\n  start: 2025-06-01T00:00:00Z\n  align: right\n", "grid.align: found 'right'"),
        ("window:\n  timezone: CET\ngrid:\n  bins: 4\nnodes: []\n", "window.timezone: found 'CET'"),
    ],
)
def test_specs_declare_too(text: str, says: str) -> None:
    with pytest.raises(RunError, match=says) as caught:
        parse_run(small(spec_yaml=text))
    assert caught.value.file == "spec.yaml"


@pytest.mark.parametrize("declared", [ZONE, ALIGN])
def test_bundles_declare_too(declared: dict[str, str], tmp_path: Path, capsys: Streams) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "A_arrivals.csv").write_text("bin_index,value\n0,1\n1,2\n")
    manifest = {
        "schemaVersion": 1,
        "window": {"startTimeUtc": "2025-06-01T00:00:00Z"},
        "grid": {"bins": 2, "binSize": 1, "binUnit": "hours", **declared},
        "files": [{"nodeId": "A", "metric": "Arrivals", "path": "A_arrivals.csv"}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    out = str(tmp_path / "e.csv")
    code = 0 if declared == ZONE else 1
    assert run_cli(["export", str(folder), "--format", "csv", "--out", out]) == code
    shown = "".join(capsys.readouterr())
    assert "manifest.json" in shown
    assert next(iter(declared.values())) in shown


# --------------------------------------------------------------------------- specs that are cut off

_GRID_LAST = """\
title: T
nodes:
  - id: a
    values: [1, 2, 3]
grid:
  start: 2025-06-15T06:00:00+02:00
  bins: 4
"""
WHOLE_SPECS = [
    spec_text(RunSpec("r", {"a@b@c": [1.0]}, origin=("grid.start", "2025-06-15T06:00:00Z"))),
    spec_text(RunSpec("r", {"a@b@c": [1.0]}, origin=("window.start", "2025-06-15"))),
    spec_text(RunSpec("r", {"a@b@c": [1.0]}, origin=START, flow_spec=True)),
    _GRID_LAST.encode(),
    _GRID_LAST.replace("\n", "\r\n").encode(),
    ("\ufeff" + _GRID_LAST.replace("2025-06-15T06:00:00+02:00", "'2025-06-15'")).encode(),
]


@pytest.mark.parametrize("whole", WHOLE_SPECS)
def test_a_spec_cut_off_anywhere_never_gives_another_start(whole: bytes) -> None:
    start = read_spec(whole).start
    assert start is not None
    refused = 0
    for end in range(len(whole)):
        try:
            found = read_spec(whole[:end])
        except RunError as error:
            assert "source.time_origin" in error.reason
            refused += 1
        else:
            assert found.start == start, whole[:end]
    assert refused > 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty, so it was not written whole"),
        (" \n", "is empty"),
        ("schemaVersion: 1\n", "has no grid and no nodes, which every model has"),
        ("grid:\n  bins: 4\n", "has no nodes"),
        ("nodes: []\n", "has no grid"),
        ("grid:\n  bins: 4\nnodes:\n  - id: a\n    values: [1, 2", "breaks off"),
        ("grid:\n  bins: 4\nnodes:\n  - id: 'a", "breaks off"),
        ("{grid: {bins: 4}, nodes: [", "breaks off"),
        ("grid:\n  start: 2025-06-1", "ends in the middle of grid.start, '2025-06-1'"),
        ("grid:\n  start: 2025-06-01T06:00:00+0", "ends in the middle of grid.start"),
    ],
)
def test_how_a_cut_spec_is_refused(text: str, says: str, tmp_path: Path, capsys: Streams) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    (runs / "run_a" / "spec.yaml").write_text(text)
    out = str(tmp_path / "e.csv")
    assert run_cli(["export", str(runs / "run_a"), "--format", "csv", "--out", out]) == 1
    assert f"spec.yaml: {says}" in capsys.readouterr().err
    config = tmp_path / "c.yaml"
    config.write_text(
        f"version: 1\nsource: {{url: {runs}, time_origin: 2025-06-01}}\n"
        f"sinks: [{{format: csv, path: {out}}}]\n"
    )
    assert run_cli(["run", str(config)]) == 0
