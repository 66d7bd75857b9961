"""An importer that dies at a chosen instant: no half run is seen, and the next import finishes it.

Meant to fail with a manifest.json that is published first, or left in place while what it vouches
for is replaced, and with series files that are written in place.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.scan.scanner import ScanOptions, scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import connect
from pipeline.exports.run import export
from pipeline.imports.importer import ImportOptions, import_export
from tests.exporting import config, names, spec, write_runs
from tests.reliability.killing import Trace, Victims, tries
from tests.stores import leftovers

KILLS = 15
"""In CI, for each state."""
RUNS = ("run_a", "run_b")


def contents(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names(folder)
    }


def exported(folder: Path, values: list[float]) -> Path:
    """An export of two runs, and what comes of it when nothing disturbs its import."""
    runs = write_runs(folder / "source", *(spec(name, values=values) for name in RUNS))
    file = folder / "e.parquet"
    export(config(runs, {"path": file}))
    import_export([str(file)], str(folder / "runs"))
    return file


@pytest.mark.usefixtures("temporary", "strace")
@pytest.mark.parametrize("state", ["new", "replace"])
def test_kill_an_import_at_each_call(
    victims: Victims, tmp_path: Path, state: str, times: int, tried: Callable[[int], None]
) -> None:
    source = exported(tmp_path / "new", [1.0, 2.5, 3.25])
    exported(tmp_path / "old", [7.0, 8.5])
    versions = ["new", "old"] if state == "replace" else ["new"]
    known = [{name: contents(tmp_path / one / "runs" / name) for name in RUNS} for one in versions]
    out = tmp_path / "out"

    def fresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        if state == "replace":
            shutil.copytree(tmp_path / "old" / "runs", out)

    def check_whole() -> None:
        """Who has a manifest.json is one version whole; readers see no other run."""
        complete = {path.parent.name for path in out.glob("*/manifest.json")}
        for name in complete:
            hidden = {one for one in names(out / name) if ".flowtime-export" in one}
            found = contents(out / name)
            assert {n: h for n, h in found.items() if n not in hidden} in [
                one[name] for one in known
            ]
            manifest = json.loads((out / name / "manifest.json").read_text())
            hashes = {one.removeprefix("sha256:") for one in manifest["seriesHashes"].values()}
            assert hashes <= set(found.values())
        if out.exists():
            storage, path = connect(str(out))
            runs = discover(storage, path).runs
            assert {run.name for run in runs} == complete
            if runs:
                scan(storage, series_files(runs), ScanOptions(verify=True)).collect()

    fresh()
    victim = victims.start_import(source, out)
    assert victim.run_traced(tmp_path / "log") in ("written", "replaced")
    trace = Trace.read(tmp_path / "log", victim.pid, out)
    ends: Counter[str] = Counter()
    wanted = KILLS * times
    for instant in tries(trace.instants, wanted, 1):
        if ends["killed"] == wanted:
            break
        fresh()
        rule = instant.rule("signal=KILL")
        victim = victims.start_import(source, out)
        ends[victim.run_traced(tmp_path / "log", rule, like=trace)] += 1
        check_whole()
        import_export([str(source)], str(out), ImportOptions(if_exists="replace"))
        storage, path = connect(str(out))
        storage.remove_leftovers(path)
        assert {name: contents(out / name) for name in RUNS} == known[0]
        assert leftovers(storage, path) == []
    assert ends["killed"] >= 0.8 * wanted, ends
    tried(ends["killed"])
