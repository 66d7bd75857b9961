"""A run that is written from its rows is the run that they came from."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from connectors.errors import FlowtimeExportError, NotFoundError, RunError, StorageError
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Grid, Run
from connectors.flowtime.model.series import FileDigest, SeriesSpec
from connectors.flowtime.model.series_table import SeriesTable
from connectors.flowtime.restore.layout import SeriesLayout, candidates
from connectors.flowtime.restore.restoring import IfExists, RestoredRun, RunWriter
from connectors.flowtime.scan.scanner import ScanOptions, scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import StagedFile, Storage, connect, join
from tests.connectors.flowtime.test_float_text import DOUBLES
from tests.examples import in_parts
from tests.exporting import names
from tests.run_builder import AWKWARD, DIALECTS, RunSpec, write_run
from tests.servers import S3Server

PLACE = {"url", "path", "name", "fingerprint", "listing", "notes"}
"""Fields of a run that say where it lies, or what its describing files look like."""

Values = Mapping[str, np.ndarray[Any, Any]]


@pytest.fixture(params=("local", "rclone"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str, Path]:
    """A storage, a folder in it, and where that folder is on this disk."""
    if request.param == "local":
        return *connect(str(tmp_path / "out" / "runs")), tmp_path / "out" / "runs"
    server: S3Server = request.getfixturevalue("rclone_s3")
    key = uuid.uuid4().hex
    root = request.getfixturevalue("rclone_root")
    return *connect(f"s3://{server.bucket}/{key}", server.options()), root / server.bucket / key


def unmatched(done: RestoredRun) -> list[str]:
    """Series whose file is not the one that the run promises."""
    return [one.id for one in done.series if one.matched is False]


def read(storage: Storage, path: str) -> tuple[Run, Values]:
    """The one run below a path, and the values of its series."""
    found = discover(storage, path)
    assert [refusal.reason for refusal in found.refusals] == []
    (run,) = found.runs
    frame = scan(storage, series_files([run]), ScanOptions(verify=True)).collect()
    parts = frame.partition_by("series_row", as_dict=True, maintain_order=True)
    return run, {one.id: parts[(row,)]["value"].to_numpy() for row, one in enumerate(run.series)}


def source(tmp_path: Path, spec: RunSpec) -> tuple[Run, Values]:
    """A run as discovered, and its values as scanned."""
    return read(*connect(str(write_run(tmp_path / "src", spec))))


def restore(
    storage: Storage,
    folder: str,
    run: Run,
    values: Values,
    layout: SeriesLayout | None = None,
    **options: Any,
) -> RestoredRun:
    """Write all of a run."""
    with RunWriter(storage, folder, run, **options) as writer:
        for one in run.series:
            writer.add(one, values[one.id], layout)
        return writer.publish()


def facts(run: Run) -> dict[str, object]:
    """Every field of a run that must come back; an extra NaN is equal to itself as text."""
    known = {
        field.name: getattr(run, field.name) for field in fields(run) if field.name not in PLACE
    }
    return known | {"extra": json.dumps(dict(run.extra), sort_keys=True)}


def series_bytes(run: Run, storage: Storage) -> dict[str, bytes]:
    return {one.id: storage.read(join(run.path, one.path)) for one in run.series}


# --------------------------------------------------------------------------- every dialect


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_comes_back(
    tmp_path: Path, place: tuple[Storage, str, Path], dialect: str
) -> None:
    storage, folder, _ = place
    run, values = source(tmp_path, DIALECTS[dialect]("run_1"))
    layout = SeriesLayout("t", True, "lf", "dotnet") if dialect == "placeholder-hashes" else None
    done = restore(storage, folder, run, values, layout)
    again, back = read(storage, folder)
    assert facts(again) == facts(run) | ({"series": again.series} if layout else {})
    assert all(np.array_equal(back[key], values[key], equal_nan=True) for key in values)
    assert (done.status, done.run_id, done.path) == ("written", run.run_id, again.path)
    assert unmatched(done) == []
    local, _ = connect(run.path)
    promised = any(run.series.are_vouched())
    assert [one.matched for one in done.series] == [True if promised else None] * len(run.series)
    if promised:
        assert series_bytes(again, storage) == series_bytes(run, local)
    else:
        assert {one.layout for one in done.series} == {layout}
        assert not any(again.series.are_vouched())
    for one, data in zip(done.series, series_bytes(again, storage).values(), strict=True):
        assert (one.bytes, one.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_an_assumed_origin_is_assumed_again(tmp_path: Path) -> None:
    run, values = source(tmp_path, DIALECTS["no-origin"]("run_1"))
    storage, folder = connect(str(tmp_path / "out"))
    restore(storage, folder, run, values)
    assert not (tmp_path / "out/run_1/spec.yaml").exists()
    assert read(storage, folder)[0].origin_source == "createdUtc"
    configured = datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    (moved,) = discover(*connect(run.path), time_origin=configured).runs
    restore(storage, folder, replace(moved, name="moved"), values)
    again, _ = read(storage, join(folder, "moved"))
    assert (again.time_origin, again.origin_source) == (configured, "spec.yaml grid.start")


# --------------------------------------------------------------------------- any run

NAMES = st.text("ABZabz019._-@", min_size=1, max_size=12)
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)
LABELS = st.none() | TEXTS.filter(lambda text: text.isprintable())
HASHES = st.none() | st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)
INSTANTS = st.integers(0, 2**52).map(
    lambda micros: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def ids(draw: st.DrawFn) -> tuple[str, str | None, str]:
    """A series id, and a component and a class that the index may name beside it."""
    parts = [draw(NAMES.filter(lambda name: "@" not in name)) for _ in range(3)]
    depth = draw(st.integers(1, 3))
    component = parts[1] if depth > 1 else draw(st.none() | NAMES)
    class_name = parts[2] if depth > 2 else draw(st.just("DEFAULT") | NAMES)
    return "@".join(parts[:depth]), component, class_name


@st.composite
def runs(draw: st.DrawFn) -> tuple[Run, dict[str, np.ndarray[Any, Any]], dict[str, bytes]]:
    """A run with true hashes or none, the values of its series, and their files."""
    bins = draw(st.integers(1, 6))
    series, digests, values, files = [], [], {}, {}
    layout = draw(st.sampled_from(tuple(candidates())))
    for name, component, class_name in draw(
        st.lists(ids(), max_size=4, unique_by=lambda one: one[0])
    ):
        values[name] = np.array(draw(st.lists(DOUBLES, min_size=bins, max_size=bins)))
        files[name] = layout.encode(values[name])
        is_promised = draw(st.booleans())
        folder = draw(st.sampled_from(("series/", "series/deep/")))
        series.append(
            SeriesSpec(
                id=name,
                measure=name.split("@")[0],
                component=component,
                class_name=class_name,
                kind=draw(LABELS),
                unit=draw(LABELS),
                class_kind=draw(LABELS),
                path=f"{folder}{name}.csv",
                points=bins,
            )
        )
        sha256 = hashlib.sha256(files[name]).hexdigest() if is_promised else None
        digests.append(FileDigest(sha256, len(files[name])))
        if not is_promised:
            del files[name]
    created = draw(st.none() | INSTANTS)
    origin, origin_source = draw(INSTANTS), "spec.yaml window.start"
    if created is not None and draw(st.booleans()):
        origin = created.replace(hour=0, minute=0, second=0, microsecond=0)
        origin_source = "createdUtc"
    run = Run(
        url="",
        path="",
        name=draw(NAMES.filter(lambda name: name.strip("."))),
        run_id=draw(TEXTS.filter(lambda text: text.isprintable() and not set("/\\.") & set(text))),
        grid=Grid(bins, draw(st.integers(1, 600_000))),
        series=SeriesTable.of(series, digests),
        created=created,
        time_origin=origin,
        origin_source=origin_source,
        fingerprint="",
        listing="",
        notes=(),
        warnings=tuple(draw(st.lists(TEXTS.filter(str.isprintable), max_size=3))),
        source=draw(st.none() | TEXTS),
        engine_version=draw(st.none() | TEXTS),
        scenario_hash=draw(HASHES),
        model_hash=draw(HASHES),
        schema_version=draw(st.none() | st.integers(0, 9)),
        template_id=draw(st.none() | TEXTS),
        template_title=draw(st.none() | TEXTS),
        model_title=draw(st.none() | TEXTS),
        mode=draw(st.none() | TEXTS),
        seed=draw(st.none() | st.integers(-(2**63), 2**63 - 1)),
        extra=draw(st.dictionaries(TEXTS.map("x-".__add__), JSON, max_size=3)),
    )
    return run, values, files


@in_parts(250, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(drawn=runs())
def test_any_run_comes_back(
    drawn: tuple[Run, dict[str, np.ndarray[Any, Any]], dict[str, bytes]],
) -> None:
    run, values, files = drawn
    with TemporaryDirectory() as folder:
        storage, path = connect(folder)
        done = restore(storage, path, run, values)
        again, back = read(storage, join(path, run.name))
        assert unmatched(done) == []
        expected = replace(
            run, series=run.series.listed({one.path: one.bytes for one in done.series})
        )
        assert facts(again) == facts(expected)
        assert again.name == run.name
        for key, data in files.items():
            assert series_bytes(again, storage)[key] == data
        for key in values:
            assert np.array_equal(back[key], values[key], equal_nan=True)
            numbers = ~np.isnan(values[key])
            assert np.array_equal(np.signbit(back[key][numbers]), np.signbit(values[key][numbers]))


# --------------------------------------------------------------------------- matching


def small(tmp_path: Path, **changes: Any) -> tuple[Run, Values]:
    series = {"a@A@DEFAULT": list(AWKWARD), "b@B@DEFAULT": [1.0] * len(AWKWARD)}
    return source(tmp_path, RunSpec("run_1", series, **changes))


def test_what_does_not_match_is_said(tmp_path: Path) -> None:
    run, values = small(tmp_path, bom=True)
    changed = {**values, "b@B@DEFAULT": values["b@B@DEFAULT"] + 1}
    storage, folder = connect(str(tmp_path / "out"))
    done = restore(storage, folder, run, changed)
    assert [one.matched for one in done.series] == [True, False]
    assert unmatched(done) == ["b@B@DEFAULT"]
    again, back = read(storage, folder)
    written = done.series[1].sha256
    assert again.series.digest(1).sha256 == written != run.series.digest(1).sha256
    assert np.array_equal(back["b@B@DEFAULT"], changed["b@B@DEFAULT"])


def test_the_layout_found_last_is_tried_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    from connectors.flowtime.restore import restoring

    real = restoring.find_layout
    monkeypatch.setattr(
        restoring, "find_layout", lambda *args: (searched.append(args), real(*args))[1]
    )
    series = {f"m@C{number}@DEFAULT": list(AWKWARD) for number in range(5)}
    spec = RunSpec("run_1", series, header="t,value", newline="\r\n", floats="dotnet")
    run, values = source(tmp_path, spec)
    storage, folder = connect(str(tmp_path / "out"))
    done = restore(storage, folder, run, values)
    assert {one.layout.code for one in done.series} == {"t crlf dotnet15"}
    assert len(searched) == 1


def test_a_layout_is_kept_where_nothing_is_promised(tmp_path: Path) -> None:
    run, values = small(tmp_path, hashes="none", index_hashes=False)
    storage, folder = connect(str(tmp_path / "out"))
    layout = SeriesLayout("t", True, "crlf", "dotnet")
    with RunWriter(storage, folder, run, vouch=True) as writer:
        first = writer.add(run.series[0], values[run.series[0].id], layout)
        second = writer.add(run.series[1], values[run.series[1].id])
        done = writer.publish()
    assert (first.layout, second.layout, first.matched) == (layout, layout, None)
    again, _ = read(storage, folder)
    digests = [FileDigest(one.sha256, one.bytes) for one in done.series]
    assert list(again.series.digests()) == digests
    assert done.bytes == sum(again.series.sizes())


@pytest.mark.parametrize(
    "values",
    [np.zeros(3), np.zeros((20, 1)), np.zeros(20, dtype=np.float32), np.zeros(21)],
    ids=("few", "folded", "narrow", "many"),
)
def test_values_that_do_not_fit_are_refused(tmp_path: Path, values: Any) -> None:
    run, _ = small(tmp_path)
    with (
        RunWriter(*connect(str(tmp_path / "out")), run) as writer,
        pytest.raises(RunError, match="should be 20 of float64"),
    ):
        writer.add(run.series[0], values)
    assert not (tmp_path / "out").exists()


def test_each_series_is_added_once(tmp_path: Path) -> None:
    run, values = small(tmp_path)
    first, second = run.series
    with RunWriter(*connect(str(tmp_path / "out")), run) as writer:
        writer.add(first, values[first.id])
        with pytest.raises(RunError, match="was added already"):
            writer.add(first, values[first.id])
        with pytest.raises(RunError, match="is not a series of the run"):
            writer.add(replace(second, path="series/x.csv"), values[second.id])
        with pytest.raises(RunError, match="1 series are missing, such as b@B@DEFAULT"):
            writer.publish()
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------- hostile runs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../x"}, "name"),
        ({"name": ".."}, "plain relative path"),
        ({"name": ""}, "plain relative path"),
        ({"run_id": "a/b"}, "runId"),
        ({"run_id": ""}, "run_id"),
        ({"grid": Grid(10**9, 1)}, "bins"),
        ({"seed": 2**70}, "seed"),
        ({"extra": {"runId": "x"}}, "extra"),
        ({"extra": {"x": "\ud800"}}, "JSON"),
        ({"extra": {"x": {1, 2}}}, "JSON"),
        ({"warnings": ("a\nb",)}, "warnings"),
        ({"time_origin": datetime.max.replace(tzinfo=UTC)}, "9999"),
        ({"source": ""}, "source"),
    ],
    ids=str,
)
def test_runs_that_could_not_be_read_again_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    run, _ = small(tmp_path)
    with pytest.raises(FlowtimeExportError, match=message):
        RunWriter(*connect(str(tmp_path / "out")), replace(run, **changes))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../x.csv"},
        {"path": "/etc/x.csv"},
        {"path": "series/../../x.csv"},
        {"path": "series/index.json"},
        {"path": "run.json"},
        {"path": "gold/x.csv"},
        {"path": "model/x.csv"},
        {"path": "series/b@B@DEFAULT.csv"},
        {"id": "../a"},
        {"id": "@a"},
        {"component": "a/b"},
        {"class_name": ""},
        {"unit": "x" * 999},
        {"points": 3},
    ],
    ids=str,
)
def test_series_that_could_not_be_read_again_are_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    run, _ = small(tmp_path)
    specs = (replace(run.series[0], **changes), *run.series[1:])
    series = SeriesTable.of(specs, run.series.digests())
    with pytest.raises(RunError):
        RunWriter(*connect(str(tmp_path / "out")), replace(run, series=series))
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------- what exists there


def test_files_that_exist_are_refused_unless_allowed(
    tmp_path: Path, place: tuple[Storage, str, Path]
) -> None:
    storage, folder, _ = place
    run, values = small(tmp_path)
    restore(storage, folder, run, values)
    with pytest.raises(RunError, match="files exist there already"):
        RunWriter(storage, folder, run)
    assert restore(storage, folder, run, values, if_exists="skip").status == "skipped"
    other = {**values, "b@B@DEFAULT": values["b@B@DEFAULT"] * 2}
    with pytest.raises(RunError, match="another run exists there, with another series"):
        restore(storage, folder, run, other, if_exists="skip")
    with pytest.raises(RunError, match="with another mode"):
        restore(storage, folder, replace(run, mode="x"), values, if_exists="skip")
    again, back = read(storage, folder)
    assert facts(again) == facts(run)
    assert np.array_equal(back["b@B@DEFAULT"], values["b@B@DEFAULT"])


def test_the_original_is_the_same_run(tmp_path: Path) -> None:
    run, values = small(tmp_path)
    before = names(tmp_path)
    storage, folder = connect(str(tmp_path / "src"))
    assert restore(storage, folder, run, values, if_exists="skip").status == "skipped"
    assert names(tmp_path) == before
    damaged = tmp_path / "src/run_1" / run.series[1].path
    damaged.write_bytes(damaged.read_bytes().replace(b"0,1", b"0,2"))
    with pytest.raises(RunError, match="the existing file is another"):
        restore(storage, folder, run, values, if_exists="skip")
    (tmp_path / "src/run_1/manifest.json").unlink()
    with pytest.raises(RunError, match="is no complete run"):
        restore(storage, folder, run, values, if_exists="skip")


def test_a_replaced_run_leaves_nothing_but_exports(
    tmp_path: Path, place: tuple[Storage, str, Path]
) -> None:
    storage, folder, disk = place
    old, old_values = source(tmp_path / "old", DIALECTS["classes"]("run_1"))
    restore(storage, folder, old, old_values)
    target = disk / "run_1"
    for name in ("gold/export.csv", "notes.txt", "model/model.yaml"):
        staged = storage.stage(join(folder, "run_1", name))
        staged.local.write_bytes(b"old")
        storage.commit(staged)
    run, values = small(tmp_path)
    assert restore(storage, folder, run, values, if_exists="replace").status == "replaced"
    again, _ = read(storage, folder)
    assert facts(again) == facts(run)
    described = {"run.json", "manifest.json", "series/index.json", "spec.yaml"}
    described |= {"model/metadata.json"}
    series = {one.path for one in run.series}
    assert set(names(target)) == described | series | {"gold/export.csv", "notes.txt"}


def test_exports_alone_are_no_run(tmp_path: Path) -> None:
    run, values = small(tmp_path)
    gold = tmp_path / "out/run_1/gold"
    gold.mkdir(parents=True)
    (gold / "export.csv").write_bytes(b"kept")
    assert restore(*connect(str(tmp_path / "out")), run, values).status == "written"
    assert (gold / "export.csv").read_bytes() == b"kept"


def test_links_are_not_written_through(tmp_path: Path) -> None:
    run, _ = small(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/run_1").mkdir(parents=True)
    (tmp_path / "out/run_1/series").symlink_to(tmp_path / "elsewhere")
    for if_exists in ("error", "skip", "replace"):
        with pytest.raises(RunError, match="is a link"):
            RunWriter(*connect(str(tmp_path / "out")), run, if_exists=if_exists)
    assert names(tmp_path / "elsewhere") == []


# --------------------------------------------------------------------------- failures


@contextmanager
def full_after(storage: Storage, count: int) -> Iterator[None]:
    """A store that takes so many files and no more; what is done meanwhile must fail."""
    done: list[StagedFile] = []
    real = type(storage).commit

    def commit(staged: StagedFile) -> None:
        done.append(staged)
        if len(done) > count:
            raise StorageError("the store is full")
        real(storage, staged)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "commit", commit)
        with pytest.raises(StorageError, match="the store is full"):
            yield


def all_paths(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("count", range(7))
def test_a_failed_publish_leaves_nothing(
    tmp_path: Path, place: tuple[Storage, str, Path], count: int
) -> None:
    storage, folder, disk = place
    run, values = small(tmp_path)
    before = all_paths(disk.parent) if disk.parent.exists() else None
    with full_after(storage, count):
        restore(storage, folder, run, values)
    assert (all_paths(disk.parent) if disk.parent.exists() else None) == before
    restore(storage, folder, run, values)
    assert facts(read(storage, folder)[0]) == facts(run)


@pytest.mark.parametrize("count", range(7))
def test_a_failed_replacement_is_no_complete_run(
    tmp_path: Path, place: tuple[Storage, str, Path], count: int
) -> None:
    storage, folder, _ = place
    run, values = small(tmp_path)
    restore(storage, folder, run, values)
    other = {key: np.negative(value) for key, value in values.items()}
    with full_after(storage, count):
        restore(storage, folder, run, other, if_exists="replace")
    with suppress(NotFoundError):
        found = discover(storage, folder)
        assert found.runs == ()
        assert all(refusal.incomplete for refusal in found.refusals)
    restore(storage, folder, run, values, if_exists="replace")
    assert facts(read(storage, folder)[0]) == facts(run)


@pytest.mark.parametrize("if_exists", ["error", "replace"])
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_what_is_discarded_leaves_nothing(tmp_path: Path, if_exists: IfExists, steps: int) -> None:
    run, values = small(tmp_path)
    (tmp_path / "out").mkdir()
    writer = RunWriter(*connect(str(tmp_path / "out/a/b")), run, if_exists=if_exists)
    for one in run.series[:steps]:
        writer.add(one, values[one.id])
    if steps == 3:
        writer.finish()
    writer.discard()
    writer.discard()
    assert all_paths(tmp_path / "out") == set()


def test_a_published_run_is_not_discarded(tmp_path: Path) -> None:
    run, values = small(tmp_path)
    storage, folder = connect(str(tmp_path / "out"))
    writer = RunWriter(storage, folder, run)
    for one in run.series:
        writer.add(one, values[one.id])
    writer.publish()
    before = all_paths(tmp_path / "out")
    writer.discard()
    assert all_paths(tmp_path / "out") == before


def test_the_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, values = small(tmp_path)
    storage, folder = connect(str(tmp_path / "out"))
    shown: list[str] = []
    real = type(storage).commit
    monkeypatch.setattr(
        storage, "commit", lambda one: (real(storage, one), shown.append(one.target))[0]
    )
    restore(storage, folder, run, values)
    order = [name.removeprefix(f"{folder}/run_1/") for name in shown]
    assert sorted(order[:2]) == [one.path for one in run.series]
    assert order[2:] == [
        "series/index.json",
        "run.json",
        "spec.yaml",
        "model/metadata.json",
        "manifest.json",
    ]


def test_a_disk_that_is_full_is_named(tmp_path: Path) -> None:
    run, values = small(tmp_path)
    storage, folder = connect(str(tmp_path / "out"))
    with RunWriter(storage, folder, run) as writer:
        with writer._folder.staging(run.series[0].path) as staged:
            staged.unlink()
            staged.symlink_to("/dev/full")
        with pytest.raises(StorageError, match=r"staging .*No space left on device"):
            writer.add(run.series[0], values[run.series[0].id])
    assert not (tmp_path / "out").exists()
