"""Folders of data sets: what goes when a config changes its formats, and what never goes.

Meant to fail where files are removed by their names (others lose theirs), where resources of a
format that no sink writes stay in the descriptor (readers get old rows), and where a damaged
descriptor stops every sink.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.storage import Storage, StorageOptions, claimed, connect
from connectors.storage.staging.names import host_mark
from pipeline.cli.main import run_cli
from pipeline.errors import (
    DamagedDescriptorError,
    FlowtimeExportError,
    IntegrityError,
    PublishConflictError,
)
from pipeline.exports.report import Report
from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.verification import verify
from pipeline.writing.publish import Publisher
from tests.exporting import config, dead_process, spec, write_runs
from tests.run_builder import write_run
from tests.servers import S3Server

FORMATS = ("csv", "ndjson", "parquet")
OTHERS = ("part-00000-0123456789ab", "measure=arrivals/part-00007-0123456789ab", "mine")
NAME = "_datapackage.json"
_READERS = {
    "csv": "read_csv('{}', comment='#', header=true, delim=',', quote='\"')",
    "ndjson": "read_ndjson('{}')",
    "parquet": "read_parquet('{}')",
}


class Place:
    """A folder of a disk or of a store, and exports into it."""

    def __init__(self, runs: Path, url: str, options: StorageOptions | None) -> None:
        self.runs, self.url, self.options = runs, url, options
        self.storage: Storage
        self.storage, self.path = connect(url, options)

    def export(self, *forms: str, full_refresh: bool = False, **more: Any) -> Report:
        """Export data sets of some formats into the folder, and `beside.csv` into another."""
        blocks: dict[str, Any] = {}
        extra = {}
        if self.options is not None:
            blocks["storage"] = {"lake": {"protocol": "s3", **self.options.options}}
            extra = {"storage": "lake"}
        sinks = [
            {"format": f, "path": self.url, "partition_by": ["measure"], **extra} for f in forms
        ]
        sinks += [{"format": "csv", "path": f"{self.url}-beside/e.csv", **extra}]
        blocks |= {key: more.pop(key) for key in ("metadata", "transform") if key in more}
        made = config(self.runs, *({**sink, **more} for sink in sinks), **blocks)
        return export(made, full_refresh=full_refresh)

    def names(self) -> set[str]:
        """Every file in the folder."""
        try:
            folders = list(self.storage.walk(self.path))
        except FlowtimeExportError:
            return set()
        return {e.path.removeprefix(f"{self.path}/") for one in folders for e in one.files}

    def put(self, name: str, data: bytes) -> None:
        self.storage.mark(f"{self.path}/{name}", data)

    def read(self, name: str) -> bytes:
        return self.storage.read(f"{self.path}/{name}")

    def listed(self) -> set[str]:
        """What the descriptor names."""
        return {one["path"] for one in json.loads(self.read(NAME))["resources"]}

    def lose_descriptor(self) -> None:
        self.storage.delete(f"{self.path}/{NAME}")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"))


@pytest.fixture(params=["disk", "moto", "rclone"])
def place(request: pytest.FixtureRequest, tmp_path: Path, runs: Path) -> Iterator[Place]:
    if request.param == "disk":
        yield Place(runs, str(tmp_path / "gold"), None)
    else:
        server: S3Server = request.getfixturevalue(f"{request.param}_s3")
        yield Place(runs, f"s3://{server.bucket}/{tmp_path.name}", server.options())


@pytest.fixture
def disk(tmp_path: Path, runs: Path) -> Place:
    return Place(runs, str(tmp_path / "gold"), None)


def others(form: str) -> dict[str, bytes]:
    return {f"{name}.{form}": name.encode() for name in OTHERS}


# --------------------------------------------------------------------------- files of others


@pytest.mark.parametrize("form", FORMATS)
def test_files_of_others_stay(place: Place, form: str) -> None:
    """Under names that exports give, before the first export, and after each of the next."""
    for name, data in others(form).items():
        place.put(name, data)
    first = place.export(form)
    (note,) = first.notes
    assert "part-00000-0123456789ab" in note
    assert "no descriptor names" in note
    write_run(place.runs, spec("run_b"))
    assert "exported" in {target.status for target in place.export(form).targets}
    assert place.export(form).targets[0].status == "unchanged"
    place.export(form, full_refresh=True)
    assert place.names() == {NAME, *place.listed(), *others(form)}
    assert len(place.listed()) == 2
    assert {name: place.read(name) for name in others(form)} == others(form)
    assert any("does not name" in note for note in verify(place.url, options=place.options).notes)


@pytest.mark.parametrize("form", FORMATS)
def test_a_folder_that_has_lost_its_descriptor(place: Place, form: str) -> None:
    place.export(form)
    before = {name: place.read(name) for name in place.listed()}
    place.lose_descriptor()
    write_run(place.runs, spec("run_b"))
    with pytest.raises(
        PublishConflictError, match=r"no descriptor names .*part-0.* if_exists is error"
    ):
        place.export(form, if_exists="error")
    assert place.export(form, if_exists="skip").targets[0].status == "kept"
    assert place.names() == set(before)
    report = place.export(form)
    assert any("no descriptor names" in note for note in report.notes)
    assert place.names() == {NAME, *place.listed(), *before}
    assert {name: place.read(name) for name in before} == before


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_export_over_a_lost_descriptor(place: Place, form: str) -> None:
    """Its files have the names and the bytes of those that are there."""
    place.export(form)
    named = place.listed()
    place.lose_descriptor()
    assert place.export(form).targets[0].status == "exported"
    assert place.names() == {NAME, *named}
    assert place.export(form).targets[0].status == "unchanged"


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_of_others_is_not_overwritten(place: Place, form: str) -> None:
    place.export(form)
    (name, *_) = sorted(place.listed())
    place.lose_descriptor()
    place.put(name, b"somebody else's")
    with pytest.raises(PublishConflictError, match="not named by any descriptor"):
        place.export(form)
    assert place.read(name) == b"somebody else's"
    assert NAME not in place.names()


@pytest.mark.parametrize("wish", ["error", "skip"])
def test_an_empty_folder_is_nothing_that_exists(place: Place, wish: str) -> None:
    place.put("notes.txt", b"no data")
    place.put("_hidden.csv", b"passed over by readers")
    assert place.export("csv", if_exists=wish).targets[0].status == "exported"
    assert {"notes.txt", "_hidden.csv"} <= place.names()


def test_a_descriptor_that_names_files_of_others(disk: Place, tmp_path: Path) -> None:
    """Somebody may have forged it: no file outside the folder, and none of another name goes."""
    disk.export("csv")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "part-00000-0123456789ab.csv").write_text("theirs")
    (Path(disk.path) / "measure=x").symlink_to(tmp_path / "elsewhere")
    disk.put("notes.csv", b"mine")
    package = json.loads(disk.read(NAME))
    for path in ("notes.csv", "../elsewhere/part-00000-0123456789ab.csv"):
        package["resources"].append({**package["resources"][0], "path": path, "name": path})
    disk.put(NAME, json.dumps(package).encode())
    write_run(disk.runs, spec("run_b"))
    disk.export("csv")
    assert disk.read("notes.csv") == b"mine"
    assert (tmp_path / "elsewhere" / "part-00000-0123456789ab.csv").read_text() == "theirs"


# --------------------------------------------------------------------------- interrupted exports


class Died(BaseException):
    """Simulates a kill: nothing of an export runs after it."""


def dies(
    monkeypatch: pytest.MonkeyPatch, place: Place, *forms: str, when: str, **more: Any
) -> None:
    """Export as far as the descriptor, or beyond it; the claim is then one of a dead process."""

    def die(*_: Any) -> None:
        raise Died

    left: list[tuple[str, bytes]] = []
    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "_undo", lambda _, claim, __: claim.abandon())
        if when == "before the descriptor":
            patch.setattr("pipeline.writing.descriptor_file.write_whole", die)
        else:
            patch.setattr("pipeline.writing.publish._remove", die)
        with pytest.raises(Died):
            place.export(*forms, **more)
    for mark in place.storage.marks(place.path, ".flowtime-export-claim"):
        left.append((mark.path, place.storage.read(mark.path)))
        place.storage.delete(mark.path)
    ((path, record),) = left
    dead = path.replace(f"{host_mark()}-{os.getpid()}-", f"{host_mark()}-{dead_process()}-")
    place.storage.mark(dead, record)


@pytest.mark.parametrize("when", ["before the descriptor", "after the descriptor"])
@pytest.mark.parametrize("repair", ["clean", "run"])
def test_what_a_killed_export_left(
    place: Place, monkeypatch: pytest.MonkeyPatch, when: str, repair: str
) -> None:
    place.export("csv")
    old = place.listed()
    place.put("part-00000-0123456789ab.csv", b"theirs")
    write_run(place.runs, spec("run_b"))
    dies(monkeypatch, place, "csv", when=when)
    assert len(place.names()) == 6
    if repair == "clean":
        given = (
            []
            if place.options is None
            else [f"--storage-option={key}={value}" for key, value in place.options.options.items()]
        )
        assert run_cli(["clean", place.url, *given]) == 0
        assert (place.listed() == old) is (when == "before the descriptor")
    else:
        place.export("csv")
        assert place.listed() != old
    assert place.names() == {NAME, *place.listed(), "part-00000-0123456789ab.csv"}
    assert place.storage.marks(place.path, ".flowtime-export") == []
    assert place.export("csv").exit_code == 0
    assert verify(place.url, str(place.runs), place.options).ok


@pytest.mark.parametrize("wish", ["error", "skip", "replace"])
def test_a_first_export_that_was_killed_is_nothing_that_exists(
    place: Place, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    dies(monkeypatch, place, "parquet", when="before the descriptor", if_exists=wish)
    assert len(place.names()) == 2
    assert place.export("parquet", if_exists=wish).targets[0].status == "exported"
    assert place.names() == {NAME, *place.listed()}
    assert place.storage.marks(place.path, ".flowtime-export") == []


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_that_fails_takes_its_files_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    place.export(form)
    old = place.names()
    write_run(place.runs, spec("run_b"))

    def fail(*_: Any) -> None:
        raise PublishConflictError("no")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.writing.descriptor_file.write_whole", fail)
        with pytest.raises(PublishConflictError):
            place.export(form)
    assert place.names() == old
    assert place.storage.marks(place.path, ".flowtime-export") == []
    assert place.export(form).targets[0].status == "exported"


@pytest.mark.parametrize(
    "path",
    ["notes.csv", "../part-00000-0123456789ab.csv", "/tmp/part-00000-0123456789ab.csv", 7,
     "archive/part-00000-0123456789ab.csv", "link=x/part-00000-0123456789ab.csv"],
)  # fmt: skip
def test_a_forged_claim_removes_nothing_else(disk: Place, tmp_path: Path, path: Any) -> None:
    disk.export("csv")
    (tmp_path / "outside").mkdir()
    (Path(disk.path) / "link=x").symlink_to(tmp_path / "outside")
    (tmp_path / "part-00000-0123456789ab.csv").write_text("theirs")
    (tmp_path / "outside" / "part-00000-0123456789ab.csv").write_text("theirs")
    disk.put("notes.csv", b"mine")
    disk.put("archive/part-00000-0123456789ab.csv", b"mine")
    before = sorted(tmp_path.rglob("*.csv"))
    dead = f".flowtime-export-claim-.{host_mark()}-{dead_process()}-01234567.flowtime-export.part"
    disk.put(dead, json.dumps({"files": [path], "uploads": [], "since": "x"}).encode())
    run_cli(["clean", disk.url])
    assert sorted(tmp_path.rglob("*.csv")) == before


def test_a_claim_that_this_process_gave_up_stops_no_other(disk: Place) -> None:
    with claimed(disk.storage, disk.path, files=["part-00000-0123456789ab.csv"]) as claim:
        claim.abandon()
    disk.put("part-00000-0123456789ab.csv", b"ours, as the claim records")
    assert disk.export("csv").targets[0].status == "exported"
    assert disk.names() == {NAME, *disk.listed()}


# --------------------------------------------------------------------------- other formats


@pytest.mark.parametrize(("first", "second"), [("csv", "parquet"), ("parquet", "ndjson")])
def test_a_change_of_format(place: Place, first: str, second: str) -> None:
    """What the config wrote and writes no more goes, files and resources."""
    place.export(first)
    write_run(place.runs, spec("run_b"))
    report = place.export(second)
    assert any(f"2 files of format {first} are removed" in note for note in report.notes)
    assert place.names() == {NAME, *place.listed()}
    assert {name.rpartition(".")[2] for name in place.listed()} == {second}
    assert verify(place.url, str(place.runs), place.options).ok
    again = place.export(second)
    assert (again.targets[0].status, again.notes) == ("unchanged", ())


def test_what_readers_and_import_find_after_a_change_of_format(disk: Place, tmp_path: Path) -> None:
    disk.export("csv", "ndjson")
    write_run(disk.runs, spec("run_b"))
    disk.export("parquet")
    reader = _READERS["parquet"].format(f"{disk.path}/**/*.parquet")
    assert duckdb.execute(f"SELECT count(*) FROM {reader}").fetchall() == [(24,)]
    restored = import_export([disk.url], str(tmp_path / "restored"))
    assert sorted(run.run_id for run in restored.runs) == ["run_a", "run_b"]


def test_a_sink_that_is_gone_while_the_other_is_up_to_date(place: Place) -> None:
    place.export("csv", "parquet")
    report = place.export("parquet")
    assert report.targets[0].status == "unchanged"
    assert any("files of format csv are removed" in note for note in report.notes)
    assert {name.rpartition(".")[2] for name in place.listed()} == {"parquet"}
    assert place.names() == {NAME, *place.listed()}
    assert verify(place.url, str(place.runs), place.options).ok
    assert place.export("parquet").notes == ()


def test_two_formats_live_together(place: Place) -> None:
    place.export("csv", "parquet")
    write_run(place.runs, spec("run_b"))
    for expected in ("exported", "unchanged"):
        report = place.export("csv", "parquet")
        assert [target.status for target in report.targets] == [expected] * 3
        assert report.notes == ()
    assert {name.rpartition(".")[2] for name in place.listed()} == {"csv", "parquet"}


@pytest.mark.parametrize("wish", ["error", "skip"])
def test_another_format_exists(disk: Place, wish: str) -> None:
    """What would go counts as something that exists."""
    disk.export("csv")
    before = disk.names()
    if wish == "error":
        with pytest.raises(PublishConflictError, match="exists already"):
            disk.export("parquet", if_exists=wish)
    else:
        assert "kept" in {one.status for one in disk.export("parquet", if_exists=wish).targets}
    assert disk.names() == before


def test_formats_of_another_config_stay(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "gold"
    mine, theirs = (
        config(runs, {"format": form, "path": out}).model_copy(update={"name": name})
        for form, name in (("csv", "mine"), ("parquet", "theirs"))
    )
    export(mine)
    export(theirs)
    write_run(runs, spec("run_b"))
    export(theirs)
    export(mine)
    found = json.loads((out / NAME).read_bytes())["resources"]
    assert {(one["format"], one["flowtime"]["config"]) for one in found} == {
        ("csv", "mine"), ("parquet", "theirs"),
    }  # fmt: skip
    assert verify(str(out), str(runs)).ok


def test_single_files_of_one_stem_stay(runs: Path, tmp_path: Path) -> None:
    """Each has a name of its own, and may be written alone."""
    for form in FORMATS:
        export(config(runs, {"path": tmp_path / "out" / f"e.{form}"}))
    assert len(json.loads((tmp_path / "out" / "e.datapackage.json").read_bytes())["resources"]) == 3


# --------------------------------------------------------------------------- damaged descriptors


DAMAGES = {
    "cut": b"{",
    "empty": b"",
    "text": b"not json",
    "half": b'{"name": "x", "resources": [{"path": "e.csv"',
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_descriptor_of_a_data_set(place: Place, damage: str) -> None:
    place.export("csv")
    data = place.listed()
    place.put(NAME, DAMAGES[damage])
    write_run(place.runs, spec("run_b"))
    with pytest.raises(DamagedDescriptorError, match=r"--full-refresh, which replaces it.*1 other"):
        place.export("csv")
    assert place.read(NAME) == DAMAGES[damage]
    # The other sink was written all the same.
    beside, path = connect(f"{place.url}-beside/e.datapackage.json", place.options)
    assert json.loads(beside.read(path))["resources"][0]["rowCount"] == 24
    with pytest.raises(DamagedDescriptorError, match="--full-refresh"):
        verify(place.url, options=place.options)
    report = place.export("csv", full_refresh=True)
    assert report.targets[0].status == "exported"
    # What it named is unknown now: it stays, and the report says so.
    assert place.names() == {NAME, *place.listed(), *data}
    assert any("no descriptor names" in note for note in report.notes)
    assert place.export("csv").targets[0].status == "unchanged"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_descriptor_of_a_file(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, damage: str
) -> None:
    """By the command line, without and with --full-refresh."""
    out = tmp_path / "out"
    plain = {
        "version": 1,
        "source": {"url": str(runs)},
        "sinks": [{"format": form, "path": f"{out}/{name}.{form}"} for name in ("a", "b")],
    }
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(plain))
    assert run_cli(["run", str(file)]) == 0
    (out / "a.datapackage.json").write_bytes(DAMAGES[damage])
    write_run(runs, spec("run_b"))
    capsys.readouterr()
    assert run_cli(["run", str(file), "--json"]) == 1
    shown = capsys.readouterr()
    failure = json.loads(shown.out)
    assert failure["error"]["type"] == "DamagedDescriptorError"
    assert "--full-refresh" in failure["error"]["message"]
    assert json.loads((out / "b.datapackage.json").read_bytes())["resources"][0]["rowCount"] == 24
    assert run_cli(["plan", str(file), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [sink["status"] for sink in plan["sinks"]] == ["blocked", "unchanged"]
    assert "--full-refresh" in plan["notes"][0]
    assert run_cli(["verify", str(out / "a.datapackage.json")]) == 1
    assert run_cli(["import", str(out / "a.datapackage.json"), "--out", str(tmp_path / "r")]) == 1
    assert capsys.readouterr().err.count("--full-refresh") >= 1
    assert run_cli(["clean", str(out)]) == 0
    assert run_cli(["run", str(file), "--full-refresh"]) == 0
    assert verify(str(out / "a.datapackage.json"), str(runs)).ok
    assert run_cli(["run", str(file)]) == 0


def test_a_resource_that_was_changed(disk: Place) -> None:
    disk.export("csv")
    package = json.loads(disk.read(NAME))
    package["resources"][0]["bytes"] = "many"
    disk.put(NAME, json.dumps(package).encode())
    with pytest.raises(DamagedDescriptorError, match=r"resources\[0\].bytes.*--full-refresh"):
        disk.export("csv")
    disk.export("csv", full_refresh=True)
    assert verify(disk.url, str(disk.runs)).ok


@pytest.mark.parametrize("content", [b'{"name": "mine", "resources": []}', b"[]", b"null"])
@pytest.mark.parametrize("full_refresh", [False, True])
def test_a_descriptor_of_others_is_never_replaced(
    disk: Place, content: bytes, full_refresh: bool
) -> None:
    disk.put(NAME, content)
    with pytest.raises(IntegrityError, match="descriptor of something else"):
        disk.export("csv", full_refresh=full_refresh)
    assert disk.names() == {NAME}
    assert disk.read(NAME) == content
    assert (Path(f"{disk.path}-beside") / "e.csv").exists()


@pytest.mark.parametrize(("wish", "code"), [("error", 1), ("skip", 0)])
def test_a_damaged_descriptor_is_something_that_exists(disk: Place, wish: str, code: int) -> None:
    disk.put(NAME, b"{")
    if code:
        with pytest.raises(PublishConflictError, match="exists already"):
            disk.export("csv", if_exists=wish, full_refresh=True)
    else:
        report = disk.export("csv", if_exists=wish, full_refresh=True)
        assert {target.status for target in report.targets} == {"exported", "kept"}
    assert disk.read(NAME) == b"{"
