"""An exporter that dies, or whose disk fails, at a chosen instant of its commit.

Afterwards the old export or the new one is whole, as DuckDB, pyarrow and frictionless read it by
the descriptor's own list; the next export finishes the work; nothing of the dead is left.

Meant to fail without staging (a sink that writes its target: torn files), with the descriptor
before the data files (it names files that are not there), without the unique names of a data
set's files (an old descriptor over new files) and without `bury` (claims are left).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import frictionless
import pyarrow.parquet as pq
import pytest

from connectors.storage import connect
from connectors.storage.contract import Storage
from pipeline.config import ExportConfig
from pipeline.export import export
from tests.exporting import names, spec, write_runs
from tests.reliability.faulty_store import Faults, before
from tests.reliability.killing import CALLS, Victims, counted, injection, need_strace
from tests.servers import S3Server

FORMATS = ("csv", "ndjson", "parquet")
SPARSE = 16
"""In CI every sixteenth instant is tried; `--times 16` tries all."""


@pytest.fixture(scope="module")
def victims() -> Victims:
    need_strace()
    return Victims()


def settings(runs: Path, root: str, form: str, lake: dict[str, Any] | None = None) -> Any:
    """One file and one data set."""
    sinks: list[dict[str, Any]] = [
        {"format": form, "path": f"{root}/e.{form}"},
        {"format": form, "path": f"{root}/gold", "partition_by": ["measure"]},
    ]
    made: dict[str, Any] = {"version": 1, "source": {"url": str(runs)}, "sinks": sinks}
    if lake is not None:
        made["storage"] = {"lake": lake}
        made["sinks"] = [{**sink, "storage": "lake"} for sink in sinks]
    return made


class Stage:
    """A source, what an export of it looks like, and what stood there before."""

    def __init__(self, folder: Path, form: str, *, stands: bool) -> None:
        self.form, self.stands = form, stands
        self.old_runs = write_runs(folder / "old-runs", spec("run_a"))
        self.runs = write_runs(folder / "runs", spec("run_a"), spec("run_b"))
        self.old = self._exported(self.old_runs, folder / "old")
        self.new = self._exported(self.runs, folder / "new")

    def _exported(self, runs: Path, out: Path) -> dict[str, str]:
        export(ExportConfig.model_validate(settings(runs, str(out), self.form)))
        return {
            name: hashlib.sha256((out / name).read_bytes()).hexdigest()
            for name in names(out)
            if not name.endswith("datapackage.json")
        }

    def check_whole(self, storage: Storage, root: str) -> None:
        """Each target is as it was, as it will be, or not yet there."""
        seen = Counter[str]()
        visible = _visible(storage, root)
        for name, data in visible.items():
            if name.endswith("datapackage.json"):
                json.loads(data)
            elif name.startswith("e."):
                whole = {self.new[name], *([self.old[name]] if self.stands else [])}
                assert hashlib.sha256(data).hexdigest() in whole, f"{name} is torn"
                seen["file"] += 1
        if self.stands:
            assert seen["file"] == 1, "the old version is lost"
            assert "gold/_datapackage.json" in visible, "the old version is lost"
        if "gold/_datapackage.json" in visible:
            self._check_set(visible)

    def _check_set(self, visible: dict[str, bytes]) -> None:
        package = json.loads(visible["gold/_datapackage.json"])
        listed = {f"gold/{one['path']}": one for one in package["resources"]}
        for name, resource in listed.items():
            digest = hashlib.sha256(visible[name]).hexdigest()
            assert resource["hash"] == f"sha256:{digest}"
            assert _rows(self.form, visible[name]) == resource["rowCount"]
        assert {n: h for n, h in self.new.items() if n in listed} or self.stands

    def check_done(self, storage: Storage, root: str) -> None:
        """The new export stands, with nothing beside it."""
        visible = _visible(storage, root)
        found = {n: hashlib.sha256(data).hexdigest() for n, data in visible.items()}
        data_files = {n: h for n, h in found.items() if not n.endswith("datapackage.json")}
        assert data_files == self.new
        for name in ("e.datapackage.json", "gold/_datapackage.json"):
            package = json.loads(visible[name])
            folder = name.rpartition("/")[0]
            for resource in package["resources"]:
                path = f"{folder}/{resource['path']}".lstrip("/")
                assert resource["hash"] == f"sha256:{found[path]}"


def _visible(storage: Storage, root: str) -> dict[str, bytes]:
    try:
        folders = list(storage.walk(root))
    except Exception:
        return {}
    return {
        entry.path.removeprefix(f"{root}/"): storage.read(entry.path)
        for folder in folders
        for entry in folder.files
    }


def _rows(form: str, data: bytes) -> int:
    """By another reader than ours."""
    if form == "parquet":
        return int(pq.read_table(io.BytesIO(data)).num_rows)
    scratch = Path(os.environ["PYTEST_SCRATCH"]) / f"read.{form}"
    scratch.write_bytes(data)
    reader = f"read_csv('{scratch}', comment='#')" if form == "csv" else f"read_json('{scratch}')"
    with duckdb.connect() as database:
        ((count,),) = database.execute(f"SELECT count(*) FROM {reader}").fetchall()
    return int(count)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_SCRATCH", str(tmp_path))


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["new", "overwrite"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, form: str) -> Stage:
    return Stage(tmp_path, form, stands=request.param)


def instants(victims: Victims, stage: Stage, folder: Path) -> list[tuple[str, int]]:
    """Every call that an undisturbed export makes, as kind and number, in CI a few of them."""
    out = fresh(stage, folder / "counted")
    victim = victims.start(settings(stage.runs, str(out), stage.form))
    assert victim.run_traced(folder / "log") == "exported,exported"
    counts = counted(folder / "log")
    assert {"write", "fsync", "rename"} <= set(counts) <= set(CALLS)
    return [(call, n) for call in counts for n in range(1, counts[call] + 1)]


def fresh(stage: Stage, out: Path) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    if stage.stands:
        old = settings(stage.old_runs, str(out), stage.form)
        export(ExportConfig.model_validate(old))
    return out


def sparse(points: list[Any], times: int, stage: Stage) -> list[Any]:
    """Each format and state tries others, so that together they try all."""
    step = max(1, SPARSE // times)
    start = (FORMATS.index(stage.form) * 2 + stage.stands) * 2 % step
    return points[start::step]


def test_kill_at_each_call(
    victims: Victims, stage: Stage, tmp_path: Path, times: int, tried: Callable[[int], None]
) -> None:
    storage, _ = connect(str(tmp_path))
    ends: Counter[str] = Counter()
    for call, number in sparse(instants(victims, stage, tmp_path), times, stage):
        out = fresh(stage, tmp_path / "out")
        made = settings(stage.runs, str(out), stage.form)
        rule = injection(call, number, "signal=KILL")
        ends[victims.start(made).run_traced(tmp_path / "log", rule)] += 1
        converges(storage, str(out), stage, made)
    assert ends["killed"] >= 0.8 * ends.total(), ends
    assert set(ends) <= {"killed", "exported,exported"}
    tried(ends.total())


def test_bytes_are_on_the_disk_before_their_name(
    victims: Victims, stage: Stage, tmp_path: Path
) -> None:
    """Each file before its rename, its folder after it; meant to fail without either fsync."""
    victim = victims.start(settings(stage.runs, str(tmp_path / "out"), stage.form))
    assert victim.run_traced(tmp_path / "log") == "exported,exported"
    lines = (tmp_path / "log").read_text().splitlines()
    renames = 0
    for place, line in enumerate(lines):
        if not (found := re.search(r'rename\w*\(.*?"([^"]+)".*?"([^"]+)"', line)):
            continue
        renames += 1
        synced = f"fsync({{}}<{found[1]}>)".partition("{}")[2]
        assert any("fsync(" in one and synced in one for one in lines[:place]), line
        folder = f"<{found[2].rpartition('/')[0]}>)"
        assert any("fsync(" in one and folder in one for one in lines[place:]), line
    assert renames >= 5


def converges(storage: Storage, root: str, stage: Stage, made: dict[str, Any]) -> None:
    stage.check_whole(storage, root)
    export(ExportConfig.model_validate(made))
    storage.remove_leftovers(root)
    stage.check_done(storage, root)
    assert storage.leftovers(root) == []
    if storage.is_local:
        assert not [name for name in names(Path(root)) if ".flowtime-export" in name]
    else:
        assert storage.marks(root, ".") == storage.marks(f"{root}/gold", ".") == []


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_at_each_call(
    victims: Victims,
    stage: Stage,
    tmp_path: Path,
    times: int,
    error: str,
    tried: Callable[[int], None],
) -> None:
    """fsync, rename and mkdir; writes are below, as threads wake each other by writes, too."""
    storage, _ = connect(str(tmp_path))
    points = [
        (call, number)
        for call, number in instants(victims, stage, tmp_path)
        if call in ("fsync", "rename", "mkdir")
    ]
    for call, number in sparse(points, times, stage):
        out = fresh(stage, tmp_path / "out")
        made = settings(stage.runs, str(out), stage.form)
        rule = injection(call, number, f"error={error}")
        told = victims.start(made).run_traced(tmp_path / "log", rule)
        check_told(told, tmp_path, str((call, number)))
        converges(storage, str(out), stage, made)
        tried(1)


def check_told(told: str, folder: Path, where: str) -> None:
    assert told.startswith(("exported,exported", "SinkError", "StorageError")), (where, told)
    if not told.startswith("exported"):
        assert str(folder) in told, "the message says where"


def test_a_disk_that_is_full_at_some_byte(
    victims: Victims, stage: Stage, tmp_path: Path, times: int, tried: Callable[[int], None]
) -> None:
    """Meant to fail where errors of the thread that writes are dropped (a torn file)."""
    storage, _ = connect(str(tmp_path))
    largest = max(path.stat().st_size for path in (tmp_path / "new").rglob("*") if path.is_file())
    told = ""
    for most in range(0, largest, max(1, largest // (2 + times))):
        out = fresh(stage, tmp_path / "out")
        made = settings(stage.runs, str(out), stage.form)
        told = victims.start(made, most).run()
        check_told(told, tmp_path, f"{most} bytes")
        assert not told.startswith("exported")
        converges(storage, str(out), stage, made)
        tried(1)
    assert told


def test_what_converged_is_a_valid_data_package(stage: Stage, tmp_path: Path) -> None:
    out = fresh(stage, tmp_path / "out")
    export(ExportConfig.model_validate(settings(stage.runs, str(out), stage.form)))
    if stage.form == "csv":
        for descriptor in ("e.datapackage.json", "gold/_datapackage.json"):
            report = frictionless.validate(str(out / descriptor))
            assert report.valid, report.flatten(["type", "note"])


# --------------------------------------------------------------------------- S3


@pytest.fixture(scope="module")
def proxied(moto_s3: S3Server) -> Iterator[tuple[S3Server, Faults]]:
    with before(moto_s3) as made:
        yield made


@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_at_each_request(
    proxied: tuple[S3Server, Faults],
    moto_s3: S3Server,
    stage: Stage,
    tmp_path: Path,
    times: int,
    moment: str,
    tried: Callable[[int], None],
) -> None:
    """Killed before the store hears of the nth request, or after it has answered it."""
    server, faults = proxied
    victims = Victims()
    lake = {"protocol": "s3", **server.options().options}
    root = f"s3://{server.bucket}/{tmp_path.name}"
    direct, path = connect(root, moto_s3.options())

    def run(kill_at: int) -> str:
        for folder in list(direct.walk(path)) if direct.marks(path, "") else ():
            for entry in folder.files:
                direct.delete(entry.path)
        faults.clear()
        if stage.stands:
            export(ExportConfig.model_validate(settings(stage.old_runs, root, stage.form, lake)))
        faults.clear()
        victim = victims.start(settings(stage.runs, root, stage.form, lake))
        counts = iter(range(1, 10_000))

        def hook(_: Any) -> None:
            if kill_at and next(counts) == kill_at + (moment == "after"):
                os.kill(victim.pid, 9)

        faults.hook = hook
        told = victim.run()
        faults.hook = None
        return told

    assert run(0) == "exported,exported"
    last = faults.requests.total()
    assert last > 10
    for number in sparse(list(range(1, last)), times, stage):
        if run(number) != "killed":
            # It happens that a run needs one request less than the one that was counted.
            assert faults.requests.total() < number + (moment == "after")
            continue
        made = settings(stage.runs, root, stage.form, lake)
        converges(direct, path, stage, made)
        tried(1)
