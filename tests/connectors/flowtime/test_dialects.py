"""Every dialect parses; everything that is not a run is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import IntegrityError, RunError
from connectors.flowtime.model.instant import parse_instant
from connectors.flowtime.model.run import Grid, Run
from connectors.flowtime.parse import schema, spec_scalars
from connectors.flowtime.parse.dialects import RunFiles, created_of, parse_run
from connectors.flowtime.parse.spec import read_spec
from tests.run_builder import BOM, DIALECTS, float_text, sample_specs, write_run, written_id

Json = dict[str, Any]
HEX = "ab" * 32


def files_of(run: Path) -> RunFiles:
    """The files of a run on disk."""

    def optional(name: str) -> bytes | None:
        return (run / name).read_bytes() if (run / name).exists() else None

    return RunFiles(
        url=f"/runs/{run.name}",
        path=f"runs/{run.name}",
        name=run.name,
        run_json=(run / "run.json").read_bytes(),
        manifest_json=(run / "manifest.json").read_bytes(),
        index_json=(run / "series/index.json").read_bytes(),
        spec_yaml=optional("spec.yaml"),
        metadata_json=optional("model/metadata.json"),
        sizes={f"series/{p.name}": p.stat().st_size for p in run.glob("series/*.csv")},
        listing="listing",
    )


WHOLE = "grid:\n  bins: 4\nnodes: []\n"
"""A spec that names no start, and has what every model has."""


def small(
    *,
    run: Json | None = None,
    manifest: Json | None = None,
    index: Json | None = None,
    entry: Json | None = None,
    spec_yaml: str | bytes | None = "grid:\n  start: 2025-01-01T00:00:00Z\n",
    **more: Any,
) -> RunFiles:
    """A run of one series; arguments lay over its parts, None as a value removes a key."""

    def over(base: Json, changes: Json | None) -> bytes:
        merged = {**base, **(changes or {})}
        return json.dumps({k: v for k, v in merged.items() if v is not None}).encode()

    first = {"id": "served@A@DEFAULT", "path": "series/served@A@DEFAULT.csv", "points": 4}
    first = {k: v for k, v in {**first, **(entry or {})}.items() if v is not None}
    grid = {"bins": 4, "binMinutes": 60}
    created = {"createdUtc": "2025-01-02T03:04:05Z"}
    return RunFiles(
        **{
            "url": "/runs/small",
            "path": "runs/small",
            "name": "small",
            "run_json": over({"runId": "small", **created}, run),
            "manifest_json": over(created, manifest),
            "index_json": over({"grid": grid, "series": [first]}, index),
            "spec_yaml": spec_yaml.encode() if isinstance(spec_yaml, str) else spec_yaml,
            "sizes": {"series/served@A@DEFAULT.csv": 10},
            **more,
        }
    )


def instead(files: RunFiles, file: str, data: bytes) -> RunFiles:
    """The same files with the bytes of one replaced."""
    changes: dict[str, Any] = {file: data}
    return replace(files, **changes)


def refused(files: RunFiles, *words: str) -> RunError:
    """The refusal of these files, which must hold the words."""
    with pytest.raises(RunError) as caught:
        parse_run(files)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.run_url == files.url
    return caught.value


# --- dialects -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_series(name: str, tmp_path: Path) -> None:
    built = DIALECTS[name](f"run_{name}")
    run = parse_run(files_of(write_run(tmp_path, built)))
    assert [one.id for one in run.series] == [written_id(built, one) for one in built.series]
    digests = run.series.digests()
    for one, digest, full_id in zip(run.series, digests, built.series, strict=True):
        measure, component, class_name = full_id.split("@")
        assert one.measure == measure
        assert one.component == (None if built.id_style == "measure" else component)
        assert one.class_name == class_name
        assert one.path == f"series/{one.id}.csv"
        assert digest.size == (tmp_path / built.name / one.path).stat().st_size
        assert one.points == run.grid.bins == built.bins
        assert (digest.sha256 is None) == (name == "placeholder-hashes")
        assert (one.kind is None) == (not built.kinds)
        assert one.unit == ("entities/bin" if built.units else None)


@pytest.mark.parametrize(
    ("name", "minutes", "origin", "source"),
    [
        ("rust-newer", 60, "2025-01-01T00:00:00+00:00", "spec.yaml grid.start"),
        ("dotnet-older", 5, "2025-03-01T00:00:00+00:00", "spec.yaml grid.startTimeUtc"),
        ("dotnet-newer", 15, "2025-03-01T00:00:00+00:00", "spec.yaml grid.startTimeUtc"),
        ("daily", 1440, "2025-01-01T00:00:00+00:00", "spec.yaml window.start"),
        ("weekly", 20160, "2024-12-30T00:00:00+00:00", "spec.yaml window.startTimeUtc"),
        ("flow-style-spec", 60, "2025-01-01T00:00:00+00:00", "spec.yaml grid.start"),
        ("no-origin", 60, "2025-05-07T00:00:00+00:00", "createdUtc"),
        ("json-only", 60, "2025-01-02T00:00:00+00:00", "createdUtc"),
    ],
)
def test_grid_and_origin(name: str, minutes: int, origin: str, source: str, tmp_path: Path) -> None:
    run = parse_run(files_of(write_run(tmp_path, DIALECTS[name]("run"))))
    assert run.grid.bin_minutes == minutes
    assert (run.time_origin.isoformat(), run.origin_source) == (origin, source)
    assert any("time origin assumed" in note for note in run.notes) == (source == "createdUtc")


def test_what_the_files_say_of_the_run(tmp_path: Path) -> None:
    run = parse_run(files_of(write_run(tmp_path, DIALECTS["unknown-fields"]("run_a"))))
    assert (run.run_id, run.source, run.engine_version) == ("run_a", "engine", "0.1.0")
    assert (run.schema_version, run.seed, run.mode) == (1, 42, "simulation")
    assert (run.template_id, run.template_title) == ("adhoc-model", "Ad Hoc Model")
    assert run.model_title == "A model"
    assert run.scenario_hash == run.model_hash
    assert run.extra["größe"] == "ü"
    assert run.extra["x-team"] == {"deep": [1, 2.5, None, True]}
    assert run.extra["classesCoverage"] == "full"
    assert run.warnings == (
        "warning queue_depth_mismatch HubQueue: computed queue depth diverges "
        "(edges a-b) (bins 1, 2)",
    )
    assert run.notes == ()


def test_older_keys(tmp_path: Path) -> None:
    run = parse_run(files_of(write_run(tmp_path, DIALECTS["dotnet-older"]("run_a"))))
    assert run.warnings == ("queue depth diverges", "another")
    assert run.extra["classesCoverage"] == "full"
    assert run.created == datetime(2025, 3, 2, 4, 5, 6, 123456, tzinfo=UTC)


def test_run_id_may_differ_or_be_missing(tmp_path: Path) -> None:
    renamed = parse_run(files_of(write_run(tmp_path, DIALECTS["renamed-directory"]("run_b"))))
    assert (renamed.run_id, renamed.name) == ("run_as_it_was_named_first", "run_b")
    unnamed = parse_run(files_of(write_run(tmp_path, DIALECTS["no-run-id"]("run_c"))))
    assert unnamed.run_id == "run_c"
    assert "names no runId" in unnamed.notes[0]


def test_sample_runs_parse(tmp_path: Path) -> None:
    runs = [parse_run(files_of(write_run(tmp_path, one))) for one in sample_specs()]
    assert len(runs) == 6
    assert {run.grid.bin_minutes for run in runs} == {5, 60, 1440, 10080}


def test_class_of_the_id_counts_where_the_index_names_none() -> None:
    run = parse_run(small(entry={"id": "served@A@Order", "path": None}, sizes={}))
    assert run.series[0].class_name == "Order"
    run = parse_run(small(entry={"componentId": "B", "class": "Refund"}))
    assert (run.series[0].component, run.series[0].class_name) == ("B", "Refund")


def test_hashes_in_any_spelling() -> None:
    def sha(manifest: Any, index: str | None = None) -> str | None:
        hashes = {"seriesHashes": {"served@A@DEFAULT": manifest}}
        return parse_run(small(manifest=hashes, entry={"hash": index})).series.digest(0).sha256

    assert sha(f"sha256:{HEX}") == sha(HEX) == sha(f"SHA256:{HEX.upper()}") == HEX
    assert sha("sha256:todo") is None
    assert sha(None, f"sha256:{HEX}") == HEX
    assert sha(f"sha256:{HEX}", "sha256:placeholder") == HEX


def test_notes_name_what_would_go_unsaid() -> None:
    sizes = {"series/served@A@DEFAULT.csv": 1, "series/left@B.csv": 2}
    run = parse_run(small(run={"series": [{"id": "other"}, "third"]}, sizes=sizes))
    assert any("lists series that series/index.json does not: other, third" in n for n in run.notes)
    assert any("series/left@B.csv" in note for note in run.notes)
    assert any("1 series have no sha256" in note for note in run.notes)
    twin = {"id": "served@A", "path": "series/b.csv"}
    first = {"id": "served@A@DEFAULT", "path": "series/a.csv"}
    run = parse_run(small(index={"series": [first, twin]}))
    assert "series served@A@DEFAULT and served@A share measure, component and class" in run.notes
    assert any("lists no series" in n for n in parse_run(small(index={"series": []})).notes)


def test_broken_metadata_is_noted_not_refused() -> None:
    run = parse_run(small(metadata_json=b"{"))
    assert any("model/metadata.json was passed over" in note for note in run.notes)


def test_metadata_title_wins_over_the_specs() -> None:
    run = parse_run(small(metadata_json=b'{"modelTitle": "M"}', spec_yaml="title: S\n" + WHOLE))
    assert run.model_title == "M"


def test_fingerprint_covers_every_file() -> None:
    base = small(metadata_json=b"{}")
    changed: list[Callable[[RunFiles], RunFiles]] = [
        lambda f: replace(f, run_json=f.run_json + b" "),
        lambda f: replace(f, manifest_json=f.manifest_json + b" "),
        lambda f: replace(f, index_json=f.index_json + b" "),
        lambda f: replace(f, spec_yaml=(f.spec_yaml or b"") + b" "),
        lambda f: replace(f, metadata_json=b"{} "),
        lambda f: replace(f, metadata_json=None),
    ]
    prints = {parse_run(f).fingerprint for f in (base, *(change(base) for change in changed))}
    assert len(prints) == 7
    assert parse_run(base).fingerprint == parse_run(replace(base, url="/else")).fingerprint


# --- paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../x.csv", "series/../../x.csv", "/etc/passwd", "s3://b/x.csv", "file:///etc/passwd",
        "a\x00b.csv", "series\\x.csv", "series//x.csv", "./x.csv", "x\n.csv", "series/x?.csv",
        "series/[x].csv", "~/x.csv", "%2e%2e/x.csv", "C:x.csv", "x/", "a" * 2000,
        "gold/export.csv", "aggregates/x.csv", "\u202ex.csv", "\uff0e\uff0e/x.csv",
    ],
)  # fmt: skip
def test_hostile_paths_are_refused(path: str) -> None:
    error = refused(small(entry={"path": path}), "path: found")
    assert (error.file, error.series) == ("series/index.json", "served@A@DEFAULT")
    assert str(error).isascii()
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("path", "sizes", "expected"),
    [
        ("series/x.csv", {"series/x.csv": 1}, "series/x.csv"),
        ("x.csv", {"series/x.csv": 1}, "series/x.csv"),
        ("x.csv", {"x.csv": 2, "series/x.csv": 1}, "x.csv"),
        ("series/x.csv", {"series/series/x.csv": 1}, "series/series/x.csv"),
        ("sub/x.csv", {"series/sub/x.csv": 1}, "series/sub/x.csv"),
        ("x.csv", {}, "series/x.csv"),
        ("series/x.csv", {}, "series/x.csv"),
        (None, {}, "series/served@A@DEFAULT.csv"),
    ],
)
def test_paths_are_found_where_they_are(
    path: str | None, sizes: dict[str, int], expected: str
) -> None:
    series = parse_run(small(entry={"path": path}, sizes=sizes)).series
    assert (series[0].path, series.digest(0).size) == (expected, sizes.get(expected))


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"grid": None}, "grid: is missing"),
        ({"grid": []}, "grid: found [], should be a JSON object"),
        ({"grid": {"bins": 4}}, "neither binMinutes nor binSize"),
        ({"grid": {"binMinutes": 5}}, "grid.bins: is missing"),
        ({"grid": {"bins": 0, "binMinutes": 5}}, "grid.bins: found 0"),
        ({"grid": {"bins": 100_000_001, "binMinutes": 5}}, "grid.bins: found 100000001"),
        ({"grid": {"bins": 10**12, "binMinutes": 5}}, "grid.bins: found 1000000000000"),
        ({"grid": {"bins": 10**40, "binMinutes": 5}}, "grid.bins: found 1000000000"),
        ({"grid": {"bins": 4.0, "binMinutes": 5}}, "grid.bins: found 4.0"),
        ({"grid": {"bins": True, "binMinutes": 5}}, "grid.bins: found true"),
        ({"grid": {"bins": "4", "binMinutes": 5}}, "grid.bins: found '4'"),
        ({"grid": {"bins": 4, "binMinutes": 0}}, "grid.binMinutes: found 0"),
        ({"grid": {"bins": 4, "binMinutes": -5}}, "grid.binMinutes: found -5"),
        ({"grid": {"bins": 4, "binMinutes": 2.5}}, "grid.binMinutes: found 2.5"),
        ({"grid": {"bins": 4, "binSize": 1}}, "grid.binUnit: found null"),
        ({"grid": {"bins": 4, "binSize": 1, "binUnit": "months"}}, "grid.binUnit: found 'months'"),
        ({"grid": {"bins": 4, "binMinutes": 5, "binSize": 1, "binUnit": "hours"}}, "make 60"),
        ({"grid": {"bins": 10**8, "binMinutes": 1440}}, "end after the year 9999"),
        ({"series": None}, "series: is missing"),
        ({"series": {}}, "series: found {}"),
        ({"series": [1]}, "series[0]: found 1, should be a JSON object"),
        ({"series": [{}]}, "series[0].id: is missing"),
    ],
)
def test_wrong_index(index: Json, words: str) -> None:
    assert refused(small(index=index), words).file == "series/index.json"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"id": "a/b"}, "id: found 'a/b'"),
        ({"id": ""}, "id: found ''"),
        ({"id": "a b"}, "id: found 'a b'"),
        ({"id": "a\nb"}, r"id: found 'a\nb'"),
        ({"id": "ä"}, r"id: found '\xe4'"),
        ({"id": "a" * 513}, "id: found 'aaa"),
        ({"id": "@A"}, "names no measure"),
        ({"componentId": "a b"}, "componentId: found 'a b'"),
        ({"class": "a,b"}, "class: found 'a,b'"),
        ({"class": "\x1b[2J"}, r"class: found '\x1b[2J'"),
        ({"kind": "a\x00"}, "kind: found"),
        ({"unit": "x" * 513}, "unit: found"),
        ({"classKind": "a\u2028b"}, "classKind: found"),
        ({"points": 5}, "points: found 5, should be the grid's 4 bins"),
        ({"points": 4.0}, "series[0].points: found 4.0"),
        ({"unit": ["x"]}, "series[0].unit: found ['x']"),
    ],
)
def test_wrong_series(entry: Json, words: str) -> None:
    error = refused(small(entry=entry), words)
    assert error.file == "series/index.json"
    assert str(error).isprintable()


def test_ids_and_paths_are_there_once() -> None:
    one = {"id": "a", "path": "series/a.csv"}
    refused(small(index={"series": [one, {**one, "path": "series/b.csv"}]}), "is listed twice")
    refused(
        small(index={"series": [one, {"id": "b", "path": "a.csv"}]}), "belongs to series a already"
    )


def test_manifest_and_index_name_the_same_series() -> None:
    more = {"seriesHashes": {"served@A@DEFAULT": "x", "gone@B": "x"}}
    refused(small(manifest=more), "seriesHashes", "does not list: gone@B")
    refused(small(manifest={"seriesHashes": {"gone@B": "x"}}), "gone@B")
    two = {"series": [{"id": "served@A@DEFAULT"}, {"id": "new@C"}]}
    less = {"seriesHashes": {"served@A@DEFAULT": "x"}}
    refused(small(manifest=less, index=two), "lacks series", "new@C")


def test_hashes_that_disagree() -> None:
    hashes = {"seriesHashes": {"served@A@DEFAULT": f"sha256:{HEX}"}}
    error = refused(small(manifest=hashes, entry={"hash": "cd" * 32}), "manifest.json promises")
    assert isinstance(error, IntegrityError)
    refused(small(manifest={"seriesHashes": {"served@A@DEFAULT": 5}}), "seriesHashes: found 5")


def test_grids_must_agree() -> None:
    same = {"bins": 4, "binSize": 1, "binUnit": "HOUR"}
    assert parse_run(small(run={"grid": same})).grid == Grid(4, 60)
    refused(small(run={"grid": {"bins": 5, "binMinutes": 60}}), "both must agree")
    run = parse_run(small(run={"grid": same}, index={"grid": None}))
    assert run.grid == Grid(4, 60)


@pytest.mark.parametrize("file", ["run_json", "manifest_json", "index_json"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"{", "is cut off at column 1"),
        (b"[]", "the file: found [], should be a JSON object"),
        (b"null", "should be a JSON object"),
        (b"\xff\xfe{\x00", "is UTF-16"),
        (b'{"a": "\xff"}', "is not JSON"),
        (b'{"a": "\\ud800"}', "is not JSON"),
        (b'{"x": ' + b"[" * 100_000, "nested more deeply"),
        (b'{"x": ' + b"9" * 5000 + b"}", ""),
        (b'{"x": [' + b"1," * 4_000_001 + b"1]}", "more than 4000000 values"),
    ],
)
def test_what_is_not_json(file: str, data: bytes, words: str) -> None:
    if words:
        refused(instead(small(), file, data), words)
    else:
        with pytest.raises(RunError):
            parse_run(replace(small(run={"grid": None}), index_json=data))


def test_oversized_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MAX_JSON_BYTES", 10)
    refused(small(), "at most 10 are read")


def test_a_key_that_is_there_twice_is_refused() -> None:
    """Some readers take the first, some the last: a run must be the same to all."""
    twice = b'{"runId": "a", "x": {"y": 1, "y": 2}, "createdUtc": "2025-01-01"}'
    error = refused(replace(small(), run_json=twice), "the key 'y' is there twice")
    assert error.file == "run.json"
    entry = b'{"series": [{"id": "a@A", "points": 4, "points": 4}], "grid": {"bins": 4}}'
    refused(replace(small(), index_json=entry), "the key 'points' is there twice beside id 'a@A'")


def test_nan_in_json_does_not_crash() -> None:
    text = b'{"runId": "b", "x": NaN, "y": -Infinity, "createdUtc": "2025-01-01"}'
    assert parse_run(replace(small(), run_json=text)).run_id == "b"
    refused(
        replace(small(), index_json=b'{"grid": {"bins": NaN, "binMinutes": 1}, "series": []}'),
        "grid.bins: found nan",
    )


def test_many_faults_are_listed_briefly() -> None:
    error = refused(
        small(run={"runId": [], "source": {}, "mode": [], "createdUtc": [], "modelHash": []}),
        "and 2 more",
    )
    assert len(str(error)) < 500


@pytest.mark.parametrize("run_id", ["a/b", "..", ".", "a\\b", "a\nb", "\x00", "x" * 201])
def test_run_ids_that_cannot_name_a_file(run_id: str) -> None:
    assert refused(small(run={"runId": run_id}), "runId: found").file == "run.json"


def test_run_id_may_be_any_printable_text() -> None:
    assert parse_run(small(run={"runId": "Lauf 1, größer"})).run_id == "Lauf 1, größer"


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_seed_beyond_64_bits_is_noted(seed: int) -> None:
    run = parse_run(small(manifest={"rng": {"seed": seed}}))
    assert run.seed is None
    assert any("rng.seed" in note for note in run.notes)


def test_warnings_of_any_shape_become_text() -> None:
    warnings = ["a\x1b[0m", {"message": "m"}, {"code": "c"}, {"bins": list(range(20))}, 5, {}]
    shown = parse_run(small(run={"warnings": warnings})).warnings
    assert shown[:3] == ("a [0m", "m", "c")
    assert "20 in all" in shown[3]
    assert shown[4:] == ("5", "{}")
    assert parse_run(small(run={"warnings": "alone"})).warnings == ("alone",)


# --- time -----------------------------------------------------------------------------------


def origin(text: str | bytes) -> Run:
    return parse_run(small(spec_yaml=text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00+00:00"),
        ("2025-01-01", "2025-01-01T00:00:00+00:00"),
        ("2025-01-01 06:30:00", "2025-01-01T06:30:00+00:00"),
        ("2025-01-01 06:30:00 +01:30", "2025-01-01T05:00:00+00:00"),
        ("2025-01-01T06:30-0800", "2025-01-01T14:30:00+00:00"),
        ("2025-01-01t06:30:00.1234567z", "2025-01-01T06:30:00.123456+00:00"),
        ("2025-1-2 3:04:05.5", "2025-01-02T03:04:05.500000+00:00"),
        ("0000-01-01", None), ("2025-02-30", None), ("12:30:00", None), ("soon", None),
        ("20250101", None), ("0001-01-01T00:00:00+05:00", None),
        ("2025-01-01T00:00:00+25:00", None),
        ("2025-01-01T24:00:00Z", None), ("2025-01-01T00:00:00Z x", None), ("٢٠٢٥-01-01", None),
        ("2025-01-01T00:00:00+01:99", None), ("", None),
    ],
)  # fmt: skip
def test_instants(text: str, expected: str | None) -> None:
    instant = parse_instant(text)
    assert (instant and instant.isoformat()) == expected


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("grid:\n  start: 2025-06-01\n", "grid.start"),
        ("grid:\r\n  bins: 4\r\n  start: 2025-06-01\r\nnodes: []\r\n", "grid.start"),
        ("\ufeffgrid:\n  start: '2025-06-01'\n", "grid.start"),
        ('"grid" : {bins: 4, start: "2025-06-01"}\n', "grid.start"),
        ("# c\n%YAML 1.1\n---\ngrid:\n\n# start: 1\n  start: 2025-06-01 # why\n", "grid.start"),
        ("window:\n  start: 2025-06-01 00:00:00+00:00\ngrid:\n  bins: 4\n", "window.start"),
        ("grid:\n  start: null\nwindow:\n  startTimeUtc: 2025-06-01\n", "window.startTimeUtc"),
        ("  grid:\n    start: 2025-06-01\n", "grid.start"),
        ("--- {grid: {start: 2025-06-01}}\n", "grid.start"),
        ("{window: {start: !!timestamp 2025-06-01}}", "window.start"),
        ("grid:\n  calendar: {start: 1999-01-01}\n  start: 2025-06-01\n", "grid.start"),
        ("nodes:\n- grid:\n    start: 1\nother: !!python/object:os.system {}\n"
         "grid:\n  start: 2025-06-01\n", "grid.start"),
    ],
)  # fmt: skip
def test_starts_in_specs(text: str, source: str) -> None:
    run = origin(text)
    assert run.time_origin == datetime(2025, 6, 1, tzinfo=UTC)
    assert run.origin_source == f"spec.yaml {source}"


@pytest.mark.parametrize(
    "text",
    [
        "grid:\n  bins: 4\nnodes:\n  - id: start\n", WHOLE, WHOLE + "# start\n",
        WHOLE + "start: 2025-06-01\n", "grid:\n  start:\nnodes: 1\n",
        WHOLE + "bins: [start]\ngrids:\n  start: 2025-06-01\n", "{grid: {bins: 4}, 'nodes': []}",
        '\n{"grid": {"bins": 4},\n "nodes": []}\n', WHOLE.strip(),
        '"nodes": 1\n\'grid\' : {bins: 2}\n',
        "grid:\n  bins: 4\nnodes:\n- id: a\n- id: b\n", "grid:\n  bins: 4\nnodes: [1,\n2]\n",
    ],
)  # fmt: skip
def test_specs_without_a_start(text: str) -> None:
    assert origin(text).origin_source == "createdUtc"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grid:\n  start: soon\n", "grid.start: found 'soon'"),
        ("grid:\n  start: 12:30:00\n", "grid.start: found '12:30:00'"),
        ("grid:\n  start: !!python/name:os 2025-01-01\n", "grid.start: found"),
        ("grid:\n  start: ''\n", "grid.start: found ''"),
        ("grid:\n  start: 2025-01-01\n  start: 2025-01-02\n", "grid.start is there twice"),
        ("grid:\n  start: 2025-01-01\ngrid:\n  start: 2025-01-02\n", "grid.start is there twice"),
        ("grid:\n  ends: [start\n", "line 3: is not YAML"),
        ("\n\ngrid:\n  start: a: b\n", "line 4: is not YAML"),
        ("grid: {bins: 4,\nstart: 2025-01-01}\n", "is not YAML"),
        ("grid:\n  start: [2025-01-01]\n", "found a list or a mapping"),
        ("a: &s 2025-01-01\ngrid:\n  start: *s\n", "is an alias"),
        ("base: &b {start: 2025-01-01}\ngrid:\n  <<: *b\n", "merges another block"),
        ("grid:\n  starts: " + "[" * 5000, "nested deeper than 64"),
        ("{a: start, b: " + "[" * 100_000, "nested deeper than 64"),
        (
            "grid:\n  start: 2025-01-01\n  x: " + "y" * spec_scalars.MAX_BLOCK_BYTES,
            "longer than 65536",
        ),
        ("{a: start, b: '" + "y" * spec_scalars.MAX_WHOLE_BYTES + "'}", "not in block style"),
        (b"grid:\n  start: 2025-01-01 # \xff\n", "is not UTF-8"),
        ("grid:\n  start: 2025-01-01\n".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_starts_that_cannot_be_read(text: str | bytes, words: str) -> None:
    files = small(spec_yaml=text)
    assert refused(files, words).file == "spec.yaml"
    # A configured origin needs no start in spec.yaml.
    configured = datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    run = parse_run(replace(files, time_origin=configured))
    assert run.time_origin == datetime(2023, 12, 31, 22, tzinfo=UTC)
    assert run.origin_source == "config"


def test_alias_bomb_is_cheap() -> None:
    bomb = "a: &a [x]\n" + "".join(f"{c}: &{c} [*a, *a, *a]\n" for c in "bcdefgh") + "grid: *a\n"
    assert origin("{x: start, grid: 1, nodes: 2}\n").origin_source == "createdUtc"
    refused(small(spec_yaml="# start\n" + bomb), "is an alias")


def test_disagreeing_starts_and_time_zones_are_noted() -> None:
    run = origin("grid:\n  start: 2025-06-01\nwindow:\n  start: 2025-06-02\n")
    assert any("window.start (2025-06-02" in note for note in run.notes)
    zoned = "window:\n  start: 2025-06-01T00:00:00Z\n  timezone: Europe/Berlin\n"
    assert any("Europe/Berlin" in note for note in origin(zoned).notes)
    assert origin("window:\n  start: 2025-06-01\n  timezone: UTC\n").notes == small_notes()


def small_notes() -> tuple[str, ...]:
    return parse_run(small()).notes


def test_large_specs_are_not_loaded() -> None:
    nodes = "nodes:\n" + "  - {id: a, values: [1, 2, 3]}\n" * 100_000
    run = origin(f"title: T\n{nodes}grid:\n  start: 2025-06-01\n{nodes}")
    assert run.time_origin.month == 6
    assert run.model_title == "T"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("title: A model\n", "A model"),
        ("metadata:\n  id: x\n  title: Hub: and spoke\n", None),
        ("metadata:\n  id: x\n  title: 'Hub: and spoke'\n", "Hub: and spoke"),
        ("metadata:\n  title: Of\ntitle: Above\n", "Above"),
        ("title:\n", None),
        ("title: null\nmetadata:\n  title: M\n", "M"),
        ('title: "null"\n', "null"),
        ("title: [a]\n", None),
        ("title: [a\n", None),
        ("outputs: 1\n", None),
    ],
)
def test_titles(text: str, title: str | None) -> None:
    assert read_spec((text + WHOLE).encode()).title == title


def test_unreadable_spec_without_a_start_is_noted() -> None:
    assert "is not UTF-8" in read_spec(WHOLE.encode() + b"title: \xff").notes[0]


def test_created() -> None:
    assert created_of(small()) == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parse_run(small(run={"createdUtc": None})).created is not None
    refused(small(run={"createdUtc": "yesterday"}), "createdUtc: found 'yesterday'")
    bare = small(run={"createdUtc": None}, manifest={"createdUtc": None})
    assert parse_run(bare).created is None
    refused(replace(bare, spec_yaml=None), "set source.time_origin")


@pytest.mark.parametrize(("bins", "fits"), [(24, True), (25, False)])
def test_the_grid_ends_within_year_9999(bins: int, fits: bool) -> None:
    files = small(
        index={"grid": {"bins": bins, "binMinutes": 60}},
        entry={"points": None},
        time_origin=datetime(9999, 12, 31, tzinfo=UTC),
    )
    files = replace(
        files, index_json=files.index_json.replace(b'"points": 4', f'"points": {bins}'.encode())
    )
    if fits:
        assert parse_run(files).grid.bins == 24
    else:
        refused(files, "end after the year 9999")


# --- the builder itself ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dotnet", "rust"),
    [
        (93.0, "93", "93"),
        (-0.0, "-0", "-0"),
        (1e-5, "1E-05", "0.00001"),
        (0.0001, "0.0001", "0.0001"),
        (1e14, "100000000000000", "100000000000000"),
        (1e15, "1E+15", "1000000000000000"),
        (1e16, "1E+16", "10000000000000000"),
        (123456789012345680.0, "1.2345678901234568E+17", "123456789012345680"),
        (5e-324, "5E-324", "0." + "0" * 323 + "5"),
        (1.7976931348623157e308, "1.7976931348623157E+308", "17976931348623157" + "0" * 292),
        (float("inf"), "Infinity", "inf"),
        (float("-inf"), "-Infinity", "-inf"),
        (0.18017999999999998, "0.18017999999999998", "0.18017999999999998"),
    ],
)
def test_floats_are_spelled_as_the_writers_do(value: float, dotnet: str, rust: str) -> None:
    assert float_text(value, "dotnet") == dotnet
    assert float_text(value, "rust") == rust
    assert float(dotnet) == float(rust) == value


def test_bom_and_newlines_are_written(tmp_path: Path) -> None:
    run = write_run(tmp_path, DIALECTS["dotnet-crlf"]("run"))
    files = [file.read_bytes() for file in run.glob("series/*.csv")]
    assert any(data.startswith(BOM + b"t,value\r\n0,93\r\n") for data in files)
    for data in files:
        assert data.startswith(BOM + b"t,value\r\n0,")
        assert data.endswith(b"\r\n")


def test_an_equal_block_elsewhere_is_blamed_on_its_own_line() -> None:
    for above in (1, 3):
        with pytest.raises(RunError, match=f"line {above + 2}: is not YAML"):
            parse_run(small(spec_yaml="\n" * above + "grid:\n  start: a: b\n"))


def test_equal_entries_of_other_runs_find_their_own_files() -> None:
    entry = {"path": "served@A@DEFAULT.csv"}
    below, beside = "series/served@A@DEFAULT.csv", "served@A@DEFAULT.csv"
    for sizes, path in (({below: 9}, below), ({beside: 8}, beside), ({}, below)):
        series = parse_run(replace(small(entry=entry), sizes=sizes)).series
        assert (series[0].path, series.digest(0).size) == (path, sizes.get(path))
