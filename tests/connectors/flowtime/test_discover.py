"""Runs are found wherever they lie; whatever looks like one and is none is named."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from connectors.errors import NotFoundError, StorageError
from connectors.flowtime.discover import discovery as finding
from connectors.flowtime.discover import run_reading
from connectors.flowtime.discover.discovery import Discovery, discover
from connectors.flowtime.discover.selection import Selection, select_series
from connectors.storage import FileInfo, Folder, Storage, connect
from connectors.storage.contract import Denied, Enter, entered
from tests.exporting import spec, write_runs
from tests.run_builder import DIALECTS, RunSpec, write_run

NEWEST = DIALECTS["rust-newer"]


class MemoryStore:
    """Files in a dict, listed in the order of whole keys as object stores do, or by names."""

    is_local = False

    def __init__(self, files: dict[str, bytes], *, by_names: bool = False) -> None:
        self.files = files
        self.links: dict[str, tuple[str, ...]] = {}
        self.broken: dict[str, StorageError] = {}
        self.by_names = by_names
        self.version = "v1"
        self.reads: list[list[str]] = []

    def url(self, path: str) -> str:
        return f"mem://{path}"

    def walk(
        self, path: str, *, enter: Enter | None = None, denied: Denied | None = None
    ) -> Iterator[Folder]:
        return entered(self._walk(path), path, enter)

    def _walk(self, path: str) -> Iterator[Folder]:
        folders: dict[str, list[FileInfo]] = defaultdict(list)
        for name, data in self.files.items():
            if name.startswith(f"{path}/"):
                folders[name.rpartition("/")[0]].append(FileInfo(name, len(data), self.version))
        for name in self.links:
            folders.setdefault(name, [])
        order = sorted(folders, key=(lambda p: p.split("/")) if self.by_names else None)
        for name in order:
            files = sorted(folders[name], key=lambda entry: entry.path)
            yield Folder(name, tuple(files), self.links.get(name, ()))

    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        self.reads.append(list(paths))
        return [self.broken.get(path, self.files.get(path, b"")) for path in paths]


def store(tmp_path: Path, *specs: tuple[str, RunSpec], by_names: bool = False) -> MemoryStore:
    """A store with runs below the folders named."""
    for folder, of_run in specs:
        write_run(tmp_path / "src" / folder, of_run)
    files = {
        p.relative_to(tmp_path).as_posix(): p.read_bytes()
        for p in (tmp_path / "src").rglob("*")
        if p.is_file()
    }
    return MemoryStore(files, by_names=by_names)


def found(
    memory: MemoryStore,
    path: str = "src",
    selection: Selection | None = None,
    time_origin: datetime | None = None,
) -> Discovery:
    """What is discovered in the store."""
    return discover(cast(Storage, memory), path, selection or Selection(), time_origin=time_origin)


def names(discovery: Discovery) -> list[str]:
    """Names of the runs' directories."""
    return [run.name for run in discovery.runs]


@pytest.mark.parametrize("by_names", [False, True])
def test_runs_at_any_depth(tmp_path: Path, by_names: bool) -> None:
    specs = [("", "run"), ("", "run-1"), ("", "run.2"), ("a/b/c", "run"), ("a-b", "x"), ("a", "y")]
    memory = store(tmp_path, *((at, NEWEST(name)) for at, name in specs), by_names=by_names)
    discovery = found(memory)
    assert sorted(run.path for run in discovery.runs) == sorted(
        f"src/{at}/{name}".replace("//", "/") for at, name in specs
    )
    assert discovery.refusals == ()
    assert all(size for run in discovery.runs for size in run.series.sizes())
    assert all(run.url == f"mem://{run.path}" for run in discovery.runs)
    assert names(discovery) == ["run", "run", "run-1", "run.2", "x", "y"]


def test_the_root_may_be_the_run(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", NEWEST("one")))
    assert names(found(memory, "src/one")) == ["one"]


def test_every_dialect_is_discovered(tmp_path: Path) -> None:
    memory = store(tmp_path, *(("", factory(name)) for name, factory in DIALECTS.items()))
    discovery = found(memory)
    assert sorted(names(discovery)) == sorted(DIALECTS)
    assert discovery.refusals == ()


def test_two_directories_with_one_run_id_are_both_kept(tmp_path: Path) -> None:
    renamed = DIALECTS["renamed-directory"]
    discovery = found(store(tmp_path, ("b", renamed("x")), ("a", renamed("x"))))
    assert [run.url for run in discovery.runs] == ["mem://src/a/x", "mem://src/b/x"]
    assert len({run.run_id for run in discovery.runs}) == 1


@pytest.mark.parametrize("folder", ["gold", "aggregates", "backup", "model", "series"])
def test_what_lies_inside_a_run_is_no_run(tmp_path: Path, folder: str) -> None:
    memory = store(tmp_path, ("", NEWEST("run")))
    before = found(memory).runs[0]
    inside = store(tmp_path, (f"run/{folder}", NEWEST("inner")))
    discovery = found(inside)
    assert names(discovery) == ["run"]
    assert discovery.refusals == ()
    assert (discovery.runs[0].listing == before.listing) == (folder != "series")


def test_listing_digest_sees_every_file(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", NEWEST("run")))
    before = found(memory).runs[0]
    path = f"src/run/{before.series[0].path}"
    memory.files[path] += b"x"
    after = found(memory).runs[0]
    assert after.listing != before.listing
    assert after.fingerprint == before.fingerprint
    memory.version = "v2"
    assert found(memory).runs[0].listing != after.listing
    memory.version = "v1"
    memory.files["src/run/run.json"] += b"\n"
    assert found(memory).runs[0].listing != after.listing
    del memory.files[path]
    gone = found(memory).runs[0]
    assert gone.series.digest(0).size is None
    assert gone.listing not in (before.listing, after.listing)


def test_known_runs_are_listed_but_not_read(tmp_path: Path) -> None:
    memory = store(tmp_path, *(("", NEWEST(name)) for name in ("a", "b", "c")))
    before = found(memory).runs
    known = {(run.url, run.listing): replace(run, path="elsewhere") for run in before}

    def again() -> Discovery:
        memory.reads.clear()
        return discover(cast(Storage, memory), "src", known=lambda url, at: known.get((url, at)))

    assert again().runs == before
    assert memory.reads == []
    for path in ("src/b/spec.yaml", f"src/c/{before[2].series[0].path}"):
        memory.files[path] += b"\n"
    changed = again().runs
    assert {path.split("/")[1] for path in memory.reads[0]} == {"b", "c"}
    assert changed[0] == before[0]
    assert changed[1].fingerprint != before[1].fingerprint
    assert changed[2].series.digest(0).size == len(
        memory.files[f"src/c/{before[2].series[0].path}"]
    )


def test_a_store_without_versions_knows_no_runs(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", NEWEST("a")))
    memory.version = ""
    before = found(memory).runs[0]
    memory.reads.clear()
    discovery = discover(cast(Storage, memory), "src", known=lambda *_: before)
    assert discovery.runs == (before,)
    assert len(memory.reads) == 1


# --- refusals -------------------------------------------------------------------------------


def without(memory: MemoryStore, *paths: str) -> MemoryStore:
    """The store without these files."""
    memory.files = {k: v for k, v in memory.files.items() if k not in paths}
    return memory


@pytest.mark.parametrize("also", [(), ("run.json",), ("series/index.json",)])
def test_a_run_that_is_being_written(tmp_path: Path, also: tuple[str, ...]) -> None:
    memory = store(tmp_path, ("", NEWEST("run")), ("", NEWEST("whole")))
    gone = [f"src/run/{name}" for name in ("manifest.json", *also)]
    discovery = found(without(memory, *gone))
    assert names(discovery) == ["whole"]
    (refusal,) = discovery.refusals
    assert (refusal.name, refusal.url, refusal.incomplete) == ("run", "mem://src/run", True)
    assert "manifest.json is missing" in refusal.reason
    assert refusal.error.run_url == refusal.url


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (["run.json"], "run.json is missing"),
        (["series/index.json"], "series/index.json is missing"),
        (["run.json", "series/index.json"], "this is no run directory"),
    ],
)
def test_a_run_that_has_lost_a_file(tmp_path: Path, gone: list[str], words: str) -> None:
    memory = store(tmp_path, ("", NEWEST("run")))
    (refusal,) = found(without(memory, *(f"src/run/{name}" for name in gone))).refusals
    assert words in refusal.reason
    assert not refusal.incomplete


def test_a_manifest_that_is_of_something_else_hides_no_runs(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", NEWEST("run")), ("deeper", NEWEST("run")))
    memory.files["src/manifest.json"] = b'{"name": "web app"}'
    discovery = found(memory)
    assert names(discovery) == ["run", "run"]
    assert "no run directory" in discovery.refusals[0].reason


def test_a_telemetry_bundle_is_a_run(tmp_path: Path) -> None:
    file = {"nodeId": "A", "metric": "QueueDepth", "path": "A_queueDepth.csv"}
    manifest = {"files": [file], "grid": {"bins": 1, "binSize": 1, "binUnit": "hours"}}
    memory = MemoryStore(
        {
            "src/bundle/manifest.json": b"\xef\xbb\xbf" + json.dumps(manifest).encode(),
            "src/bundle/A_queueDepth.csv": b"t,value\n0,1\n",
        }
    )
    (refusal,) = found(memory).refusals
    assert "start in time is unknown" in refusal.reason
    manifest["window"] = {"startTimeUtc": "2025-01-01"}
    memory.files["src/bundle/manifest.json"] = json.dumps(manifest).encode()
    (run,) = found(memory).runs
    assert [(one.id, one.path) for one in run.series] == [
        ("queueDepth@A@DEFAULT", "A_queueDepth.csv")
    ]
    assert (run.run_id, run.is_bundle) == ("bundle", True)


def test_links_are_not_followed_but_named(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", NEWEST("run")), ("", NEWEST("half")))
    memory.links = {"src": ("linked", "other"), "src/half": ("series",), "src/run": ("gold",)}
    memory.files = {k: v for k, v in memory.files.items() if not k.startswith("src/half/series/")}
    discovery = found(memory, selection=Selection(exclude=("other",)))
    assert names(discovery) == ["run"]
    assert [refusal.name for refusal in discovery.refusals] == ["half", "linked"]
    assert "series is a link" in discovery.refusals[0].reason
    assert "link not followed" in discovery.refusals[1].reason
    linked = without(store(tmp_path / "b", ("", NEWEST("run"))), "src/run/manifest.json")
    linked.links = {"src/run": ("manifest.json",)}
    assert "manifest.json is a link" in found(linked).refusals[0].reason


def test_a_pipe_among_runs_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "folder" / "pipe")
    (tmp_path / "link").symlink_to("folder")
    storage, path = connect(str(tmp_path))
    assert [one.name for one in discover(storage, path).refusals] == ["link"]


def test_a_broken_run_does_not_stop_the_others(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", NEWEST("bad")), ("", NEWEST("run")))
    memory.files["src/bad/series/index.json"] = b"{"
    discovery = found(memory)
    assert names(discovery) == ["run"]
    (refusal,) = discovery.refusals
    assert "is cut off" in refusal.reason
    assert refusal.error.file == "series/index.json"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", NEWEST("denied")), ("", NEWEST("gone")), ("", NEWEST("run")))
    memory.broken = {
        "src/denied/run.json": StorageError("permission denied"),
        "src/gone/manifest.json": NotFoundError("nothing there"),
    }
    discovery = found(memory)
    assert names(discovery) == ["run"]
    denied, gone = discovery.refusals
    assert "could not be read: permission denied" in denied.reason
    assert (denied.incomplete, gone.incomplete) == (False, True)


def test_oversized_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MAX_JSON_BYTES", 100)
    memory = store(tmp_path, ("", NEWEST("run")))
    assert "at most 100 are read" in found(memory).refusals[0].reason
    assert memory.reads == []


# --- selection ------------------------------------------------------------------------------


def test_names_are_selected_before_anything_is_read(tmp_path: Path) -> None:
    memory = store(tmp_path, *(("", NEWEST(name)) for name in ("run_1", "run_2", "Run_3", "x")))
    memory.files["src/x/run.json"] = b"{"
    discovery = found(memory, selection=Selection(include=("run_*",), exclude=("*_2",)))
    assert names(discovery) == ["run_1"]
    assert discovery.refusals == ()
    assert discovery.skipped == 3
    assert all(path.startswith("src/run_1/") for path in memory.reads[0])


def test_creation_time_is_half_open(tmp_path: Path) -> None:
    days = ("2025-01-01T00:00:00Z", "2025-01-31T23:59:59.9999999Z", "2025-02-01T00:00:00Z")
    specs = [RunSpec(f"run_{n}", NEWEST("").series, created=day) for n, day in enumerate(days)]
    memory = store(tmp_path, *(("", one) for one in specs))
    window = Selection(
        created_from=datetime(2025, 1, 1),  # noqa: DTZ001 - naive means UTC
        created_to=datetime(2025, 2, 1, tzinfo=UTC),
    )
    discovery = found(memory, selection=window)
    assert names(discovery) == ["run_0", "run_1"]
    assert discovery.skipped == 1


def test_creation_time_that_is_unknown_is_refused_only_when_asked_for(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", RunSpec("run", NEWEST("").series, created=None)))
    assert names(found(memory)) == ["run"]
    window = Selection(created_from=datetime(2025, 1, 1, tzinfo=UTC))
    assert "createdUtc is missing" in found(memory, selection=window).refusals[0].reason


def test_a_broken_run_outside_the_window_is_none_of_our_business(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", NEWEST("run")))
    memory.files["src/run/series/index.json"] = b"{"
    late = Selection(created_from=datetime(2030, 1, 1, tzinfo=UTC))
    assert (found(memory, selection=late).skipped, found(memory, selection=late).refusals) == (
        1,
        (),
    )
    early = Selection(created_to=datetime(2030, 1, 1, tzinfo=UTC))
    assert len(found(memory, selection=early).refusals) == 1
    memory.files["src/run/run.json"] = b"{"
    assert len(found(memory, selection=late).refusals) == 1


def test_folders_that_are_excluded_are_left_out_with_all_below_them(tmp_path: Path) -> None:
    memory = store(tmp_path, ("old/deep", NEWEST("run_a")), ("new", NEWEST("run_b")))
    discovery = found(memory, selection=Selection(exclude=("old",)))
    assert (names(discovery), discovery.skipped) == (["run_b"], 1)
    # The source itself is what its owner has chosen, whatever it is called.
    assert names(found(memory, selection=Selection(exclude=("src",)))) == ["run_a", "run_b"]
    # A run's own folders are part of it.
    everything = found(memory, selection=Selection(exclude=("series", "model")))
    assert names(everything) == ["run_a", "run_b"]


def test_series_are_selected_in_order(tmp_path: Path) -> None:
    run = found(store(tmp_path, ("", DIALECTS["classes"]("run")))).runs[0]
    assert select_series(run, Selection()) is run
    wanted = select_series(run, Selection(measures=("arr*", "served"), classes=("Order",)))
    assert [one.id for one in wanted.series] == [
        "arrivals@COMP_0000@Order",
        "served@COMP_0000@Order",
    ]
    assert list(select_series(run, Selection(components=("comp_*",))).series) == []
    bare = found(store(tmp_path / "b", ("", DIALECTS["bare-measure-ids"]("run")))).runs[0]
    assert len(select_series(bare, Selection(measures=("*",), classes=("D*",))).series) == 4
    assert list(select_series(bare, Selection(components=("?*",))).series) == []


def test_time_origin_is_handed_on(tmp_path: Path) -> None:
    memory = store(tmp_path, ("", DIALECTS["no-origin"]("run")))
    run = found(memory, time_origin=datetime(2020, 5, 5, tzinfo=UTC)).runs[0]
    assert (run.time_origin.year, run.origin_source) == (2020, "config")


def test_reads_are_grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_reading, "GROUP_RUNS", 2)
    memory = store(tmp_path, *(("", NEWEST(f"run_{number}")) for number in range(5)))
    assert len(found(memory).runs) == 5
    assert [len(read) for read in memory.reads] == [10, 10, 5]
    monkeypatch.setattr(run_reading, "GROUP_BYTES", 1)
    memory.reads.clear()
    assert len(found(memory).runs) == 5
    assert [len(read) for read in memory.reads] == [5] * 5


def test_nothing_there(tmp_path: Path) -> None:
    assert found(MemoryStore({})) == Discovery((), (), 0)


@pytest.mark.parametrize("name", ["run\nx", "run\x1b[31mx", "run\x85x", "run\u2028x", b"run\xffx"])
def test_a_name_that_no_descriptor_can_hold_is_refused_in_printable_text(
    tmp_path: Path, name: str | bytes
) -> None:
    """Written raw, it could change a terminal, or begin a line of a log."""
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    odd = runs / os.fsdecode(name)
    (runs / "run_b").rename(odd)
    found = discover(*connect(str(runs)))
    assert [run.run_id for run in found.runs] == ["run_a"]
    (refusal,) = found.refusals
    assert "rename it" in refusal.reason
    assert (refusal.name + refusal.url).isprintable()
    with pytest.raises(StorageError, match="rename the folder"):
        connect(str(odd))
