"""Comparisons over HTTP: both bodies, sessions, charts, downloads, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipeline.comparison import compare
from pipeline.service.catalog.comparison_store import (
    DIGEST_FILE,
    PARTIAL_SUFFIX,
    RESULT_FILE,
    ComparisonStore,
)
from tests.exporting import write_runs
from tests.run_builder import RunSpec
from tests.service.serving import Server, serving

BINS = 400
SERVED = "served@A@DEFAULT"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = {name: [float(n % 7) for n in range(BINS)] for name in (SERVED, "errors@A@DEFAULT")}
    other = {name: list(values) for name, values in base.items()}
    other[SERVED][10] += 5
    other["errors@A@DEFAULT"][3] = math.nan
    big = {f"served@C{n}@DEFAULT": [float(n)] * 60_000 for n in range(2)}
    return write_runs(
        tmp_path_factory.mktemp("compared") / "runs",
        RunSpec("base", base),
        RunSpec("other", other),
        RunSpec("apart", {"queue@Z@DEFAULT": [1.0] * BINS}),
        RunSpec("big", big),
    )


@pytest.fixture(scope="module")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = tmp_path_factory.mktemp("state")
    with serving(runs, state, "--rate", "10000", "--burst", "10000") as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


def body(baseline: str, comparison: str, **options: object) -> dict[str, object]:
    return {"baselineId": baseline, "comparisonId": comparison, "options": options}


def test_both_bodies_and_the_result(client: httpx.Client, runs: Path) -> None:
    artifacts = {
        "baseline": {"artifactId": "base", "type": "run"},
        "comparison": {"artifactId": "other", "type": "run"},
        "configuration": {
            "alignment": "start_time",
            "metrics": ["mae", "smape", "correlation"],
            "exportResults": True,
        },
    }
    first = client.post("/v1/compare", json=artifacts)
    assert first.status_code == 200, first.text
    options = artifacts["configuration"]
    second = client.post(
        "/v1/compare", json={"baselineId": "base", "comparisonId": "other", "options": options}
    )
    found = first.json()
    assert second.json()["sessionId"] == found["sessionId"]
    assert found["status"] == "Completed"
    assert (found["baseline"]["artifactId"], found["comparison"]["artifactId"]) == ("base", "other")
    expected = compare(str(runs / "base"), str(runs / "other")).as_json()
    assert found["result"]["series"] == expected["series"]
    assert found["result"]["summary"] == {"equal": 0, "within": 0, "different": 2}
    metrics = found["metrics"]["seriesMetrics"][SERVED]
    assert metrics["MAE"] == pytest.approx(5 / BINS)
    assert set(metrics) == {"MAE", "SMAPE", "Correlation", "PercentChange"}
    values = found["series"][SERVED]
    assert values["seriesId"] == SERVED
    assert values["differenceValues"][10] == 5.0
    assert values["baselineValues"][10] == 3.0
    assert values["percentChangeValues"][10] == pytest.approx(500 / 3)
    assert found["series"]["errors@A@DEFAULT"]["comparisonValues"][3] is None
    assert str(runs) not in first.text
    assert client.get(f"/v1/compare/{found['sessionId']}").json() == found


def test_a_session_that_is_not_waited_for(client: httpx.Client) -> None:
    begun = client.post(
        "/v1/compare",
        json=body("other", "base"),
        headers={"Prefer": "respond-async"},
    )
    assert begun.status_code == 202
    session = begun.json()["sessionId"]
    assert begun.headers["Location"] == f"/v1/jobs/{session}"
    assert begun.json()["status"] in ("Configured", "Computing")
    again = client.post("/v1/compare", json=body("other", "base"))
    assert (again.status_code, again.json()["sessionId"]) == (200, session)
    jobs = client.get("/v1/jobs", params={"kind": "comparison"}).json()["items"]
    job = next(one for one in jobs if one["id"] == session)
    assert (job["request"]["run"], job["request"]["other"]) == ("other", "base")
    assert job["compared"]["counts"] == {"equal": 0, "within": 0, "different": 2}


def test_downloads(client: httpx.Client, runs: Path) -> None:
    session = client.post("/v1/compare", json=body("base", "other")).json()["sessionId"]
    path = f"/v1/compare/{session}/export"
    rows = client.get(f"{path}/parquet")
    frame = pl.read_parquet(io.BytesIO(rows.content))
    assert frame.height == 2 * BINS
    assert frame["difference"].fill_nan(None).drop_nulls().sum() == 5.0
    text = client.get(f"{path}/csv").text
    assert str(runs) not in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(list(csv.DictReader(lines))) == 2 * BINS
    assert len(client.get(f"{path}/ndjson").text.splitlines()) == 2 * BINS
    report = client.get(f"{path}/html")
    assert report.headers["content-type"].startswith("text/html")
    assert report.headers["content-disposition"].startswith("attachment")
    assert "<svg" in report.text
    assert str(runs) not in report.text
    assert client.get(f"{path}/json").json()["summary"]["different"] == 2
    assert client.get(f"{path}/gold").headers["content-type"].startswith("text/csv")
    wrong = client.get(f"{path}/xlsx")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "unsupported-format")


def test_a_chart_of_a_window_has_every_value(client: httpx.Client) -> None:
    session = client.post("/v1/compare", json=body("base", "other")).json()["sessionId"]
    path = f"/v1/compare/{session}/series/{SERVED}"
    whole = client.get(path, params={"points": 50}).json()
    assert (whole["fromBin"], whole["toBin"], whole["bins"]) == (0, BINS, BINS)
    assert (whole["binsPerPoint"], len(whole["baseline"]["highs"])) == (8, 50)
    origin, width = datetime.fromisoformat(whole["timeOrigin"]), whole["binMinutes"]

    def window(first: float, after: float, **more: object) -> dict[str, Any]:
        times = {
            name: (origin + timedelta(minutes=at * width)).isoformat()
            for name, at in (("from", first), ("to", after))
        }
        found: dict[str, Any] = client.get(path, params={**times, **more}).json()
        return found

    near = window(8, 30, points=50)
    assert (near["fromBin"], near["toBin"], near["binsPerPoint"]) == (8, 30, 1)
    assert near["baseline"]["lows"] == near["baseline"]["highs"] == [n % 7 for n in range(8, 30)]
    assert near["difference"]["highs"] == [5.0 if n == 10 else 0.0 for n in range(8, 30)]
    assert window(8.5, 29.5, points=50) == near  # bins that a window touches
    for first, after, shown in ((-50, 3, (0, 3)), (399, 900, (399, 400)), (900, 950, (399, 400))):
        found = window(first, after)
        assert (found["fromBin"], found["toBin"]) == shown
    assert client.get(path, params={"from": "soon"}).status_code == 422


def test_without_exports_only_what_the_page_needs_is_kept(client: httpx.Client) -> None:
    found = client.post("/v1/compare", json=body("base", "base", exportResults=False)).json()
    assert found["result"]["summary"]["equal"] == 2
    session = found["sessionId"]
    assert set(found["exports"]) == {"parquet", "json"}
    assert client.get(f"/v1/compare/{session}/export/csv").status_code == 404
    assert client.get(f"/v1/compare/{session}/series/{SERVED}").status_code == 200


def test_charts(client: httpx.Client) -> None:
    tolerance = {"tolerance": {"absolute": 0.5}}
    session = client.post("/v1/compare", json=body("base", "other", **tolerance)).json()
    path = f"/v1/compare/{session['sessionId']}/series"
    whole = client.get(f"{path}/{SERVED}", params={"points": 1000}).json()
    assert whole["binsPerPoint"] == 1
    assert whole["difference"]["highs"][10] == 5.0
    assert whole["band"]["lows"][10] == 2.5
    assert whole["bound"] == [0.5] * BINS
    thin = client.get(f"{path}/{SERVED}", params={"points": 20}).json()
    assert (thin["binsPerPoint"], len(thin["difference"]["highs"])) == (20, 20)
    assert thin["difference"]["highs"][0] == 5.0
    errors = client.get(f"{path}/errors@A@DEFAULT").json()
    assert errors["gaps"] == [3]
    assert errors["comparison"]["highs"][3] is None
    assert client.get(f"{path}/nothing").json()["code"] == "series-not-found"


def test_many_values_are_not_listed(client: httpx.Client) -> None:
    found = client.post("/v1/compare", json=body("big", "big")).json()
    assert found["valuesOmitted"] is True
    assert found["series"] == {}
    assert found["result"]["summary"]["equal"] == 2


def test_tolerances_and_options(client: httpx.Client) -> None:
    options = {
        "tolerance": {"absolute": 0.1},
        "measureTolerances": {"served": {"absolute": 5}},
        "renamed": {"A": "A"},
        "alignment": "bin",
    }
    found = client.post("/v1/compare", json=body("base", "other", **options)).json()
    statuses = {one["seriesId"]: one["status"] for one in found["result"]["series"]}
    assert statuses == {SERVED: "within", "errors@A@DEFAULT": "different"}
    assert found["result"]["alignment"]["method"] == "bin"


@pytest.mark.parametrize(
    ("sent", "status", "code", "word"),
    [
        (body("nothing", "base"), 404, "run-not-found", "Run not found"),
        (body("base", "apart"), 422, "not-comparable", "no series"),
        (body("base", "big", alignment="timestamp"), 422, "not-comparable", "no series"),
        (body("base", "other", renamed={"Q": "A"}), 400, "invalid-options", "no component or se"),
        (body("base", "other", alignment="sideways"), 422, "invalid-value", "alignment"),
        (body("base", "other", tolerance={"absolute": -1}), 422, "invalid-value", "absolute"),
        ({"baselineId": "base"}, 422, "invalid-value", "comparisonId"),
        ({"baseline": {"artifactId": "base"}, "comparisonId": "other"}, 422, "invalid-value", ""),
    ],
)
def test_what_is_wrong(
    client: httpx.Client, runs: Path, sent: dict[str, object], status: int, code: str, word: str
) -> None:
    found = client.post("/v1/compare", json=sent)
    assert (found.status_code, found.json()["code"]) == (status, code), found.text
    assert word in found.json()["error"]
    assert str(runs) not in found.text


@pytest.mark.parametrize("session", ["0123456789abcdef", "..", "%2e%2e%2fjobs.sqlite", "x" * 90])
def test_sessions_that_are_not_there(client: httpx.Client, session: str) -> None:
    for path in ("", "/export/csv", f"/series/{SERVED}"):
        assert client.get(f"/v1/compare/{session}{path}").status_code == 404


def test_a_job_of_another_kind_is_no_comparison(client: httpx.Client) -> None:
    job = client.post("/v1/runs/base/export", json={"formats": ["csv"]}).json()["jobId"]
    assert client.get(f"/v1/compare/{job}").status_code == 404


def test_results_outlive_the_service_and_the_oldest_go(runs: Path, tmp_path: Path) -> None:
    arguments = ["--set", "keep_comparisons=2", "--rate", "10000", "--burst", "10000"]
    sessions = []
    with serving(runs, tmp_path / "state", *arguments) as server, server.client() as client:
        for n in range(3):
            sent = body("base", "other", tolerance={"absolute": float(n)})
            sessions.append(client.post("/v1/compare", json=sent).json()["sessionId"])
    kept = sorted(path.name for path in (tmp_path / "state/comparisons").iterdir())
    assert kept == sorted(sessions[1:])
    with serving(runs, tmp_path / "state", *arguments) as server, server.client() as client:
        again = client.post("/v1/compare", json=body("base", "other", tolerance={"absolute": 2.0}))
        assert again.json()["sessionId"] == sessions[2]
        gone = client.get(f"/v1/compare/{sessions[0]}").json()
        assert (gone["status"], gone["result"]) == ("Completed", None)
        fresh = client.post("/v1/compare", json=body("base", "other", tolerance={"absolute": 0.0}))
        assert fresh.json()["sessionId"] not in sessions


def test_a_result_that_cannot_be_kept_stops_no_other(runs: Path, tmp_path: Path) -> None:
    """The only worker goes on after it, as after a history that cannot be written."""
    state = tmp_path / "state"
    with serving(runs, state, "--workers", "1") as server, server.client(timeout=30) as client:
        (state / "comparisons").mkdir(exist_ok=True)
        (state / "comparisons" / "gone").symlink_to("nowhere")  # what is pruned is looked at
        for n in range(2):
            sent = body("base", "other", tolerance={"absolute": float(n)})
            assert client.post("/v1/compare", json=sent).json()["status"] == "Completed"


def test_a_run_that_changed_is_compared_anew(tmp_path: Path) -> None:
    folder = write_runs(
        tmp_path / "runs", RunSpec("a", {SERVED: [1.0]}), RunSpec("b", {SERVED: [1.0]})
    )
    with serving(folder, tmp_path / "state", "--refresh", "1") as server, server.client() as client:
        first = client.post("/v1/compare", json=body("a", "b")).json()
        write_runs(folder, RunSpec("b", {SERVED: [2.0]}))
        client.get("/v1/runs", params={"refresh": "true"})
        for _ in range(100):
            second = client.post("/v1/compare", json=body("a", "b")).json()
            if second["sessionId"] != first["sessionId"]:
                break
            client.get("/v1/runs", params={"refresh": "true"})
        assert json.dumps(second["result"]["summary"]) == json.dumps(
            {"equal": 0, "within": 0, "different": 1}
        )


def test_the_page_needs_no_token_and_the_api_does(runs: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-some-length\n")
    with (
        serving(runs, tmp_path / "state", "--token-file", str(token)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert client.get("/compare/base/other").status_code == 200
        assert client.post("/v1/compare", json=body("base", "other")).status_code == 401


def registered(client: httpx.Client, session: str) -> dict[str, Any]:
    """The artifact of a comparison, once it is in the registry."""
    end = time.monotonic() + 30
    while True:
        listed = client.get("/v1/artifacts", params={"type": "comparison"}).json()["artifacts"]
        found = [one for one in listed if session in one["location"]]
        if found:
            artifact: dict[str, Any] = found[0]
            return artifact
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "sent",
    [
        {"comparisonId": "other", "options": {"tolerance": {"absolute": 1}}},
        {
            "comparison": {"artifactId": "other", "type": "run"},
            "configuration": {"tolerance": {"absolute": 1}},
        },
    ],
    ids=["ids", "artifacts"],
)
def test_an_artifact_is_compared_and_the_result_is_an_artifact(
    client: httpx.Client, sent: dict[str, Any]
) -> None:
    found = client.post("/v1/artifacts/base/compare", json=sent)
    assert (found.status_code, found.json()["status"]) == (200, "Completed")
    session = found.json()["sessionId"]
    artifact = registered(client, session)
    assert artifact["title"] == "other compared with base"
    related = client.get(f"/v1/artifacts/{artifact['id']}/relationships").json()
    edges = {(one["relationshipType"], one["id"]) for one in related["derivedFrom"]}
    assert edges == {("baseline", "base"), ("comparison", "other")}
    files = client.get(f"/v1/artifacts/{artifact['id']}/files").json()["files"]
    assert {one["name"] for one in files} >= {"differences.csv", "differences.parquet"}
    table = client.get(f"/v1/artifacts/{artifact['id']}/files/differences.csv")
    assert table.status_code == 200
    assert str(Path(artifact["location"]).parent) not in table.text


def test_an_export_is_compared_with_a_run(client: httpx.Client) -> None:
    client.post("/v1/runs/other/export", json={"formats": ["parquet"]}).raise_for_status()
    end = time.monotonic() + 30
    exports: list[str] = []
    while not exports:  # other tests export other runs
        assert time.monotonic() < end
        time.sleep(0.05)
        listed = client.get("/v1/artifacts?type=export").json()["artifacts"]
        exports = [one["id"] for one in listed if "/other/" in one["location"]]
    (export,) = exports
    found = client.post(f"/v1/artifacts/{export}/compare", json={"comparisonId": "base"})
    assert (found.status_code, found.json()["status"]) == (200, "Completed"), found.text
    direct = client.post("/v1/compare", json=body("other", "base")).json()
    assert found.json()["result"]["series"] == direct["result"]["series"]
    artifact = registered(client, found.json()["sessionId"])
    related = client.get(f"/v1/artifacts/{artifact['id']}/relationships").json()["derivedFrom"]
    assert ("baseline", export) in {(one["relationshipType"], one["id"]) for one in related}


def test_what_is_neither_run_nor_export_is_not_compared(client: httpx.Client) -> None:
    model = client.get("/v1/artifacts", params={"type": "model"}).json()["artifacts"][0]["id"]
    for name in (model, "nothing"):
        for path, sent in (
            (f"/v1/artifacts/{name}/compare", {"comparisonId": "base"}),
            ("/v1/artifacts/base/compare", {"comparisonId": name}),
        ):
            answer = client.post(path, json=sent)
            assert (answer.status_code, answer.json()["code"]) == (404, "run-not-found")


@pytest.mark.parametrize(
    ("registry", "status", "code"),
    [
        ("postgresql+psycopg://me@127.0.0.1:1/db", 503, "busy"),
        ("sqlite:///{folder}/registry.db", 502, "registry-failed"),
    ],
)
def test_a_registry_that_fails_does_not_deny_that_there_is_an_export(
    runs: Path, tmp_path: Path, registry: str, status: int, code: str
) -> None:
    options = ["--registry", registry.format(folder=tmp_path)]
    with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
        client.post("/v1/artifacts/rescan")
        if registry.startswith("sqlite"):
            with closing(sqlite3.connect(tmp_path / "registry.db")) as database:
                database.execute("ALTER TABLE artifact RENAME TO gone")
        for path, sent in (
            ("/v1/compare", body("base", "nightly-0123456789ab")),
            ("/v1/artifacts/nightly-0123456789ab/compare", {"comparisonId": "base"}),
        ):
            answer = client.post(path, json=sent)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
            listed = client.get("/v1/artifacts").json()
            assert listed["code"] == code


def test_comparisons_that_are_not_kept_are_forgotten(runs: Path, tmp_path: Path) -> None:
    with (
        serving(runs, tmp_path / "state", "--set", "keep_comparisons=1") as server,
        server.client() as client,
    ):
        first = client.post("/v1/compare", json=body("base", "other")).json()["sessionId"]
        registered(client, first)
        second = client.post("/v1/compare", json=body("other", "base")).json()["sessionId"]
        registered(client, second)
        # A pass over all artifacts may enter the second before the first is removed.
        end = time.monotonic() + 30
        while client.get("/v1/artifacts?type=comparison").json()["total"] > 1:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert first not in client.get("/v1/artifacts?type=comparison").text


def test_what_is_just_being_written_is_neither_counted_nor_removed(tmp_path: Path) -> None:
    store = ComparisonStore(tmp_path, keep=1)
    for age, name in enumerate(["cccccccc", "bbbbbbbb", "aaaaaaaa"]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / RESULT_FILE).write_text("{}")
        (folder / DIGEST_FILE).write_text(f"digest-{name}")
        store.add(name, f"digest-{name}")
        os.utime(folder, (1_000 - age, 1_000 - age))
    (tmp_path / f"dddddddd{PARTIAL_SUFFIX}").mkdir()
    store.remove_oldest()
    assert {one.name for one in tmp_path.iterdir()} == {"cccccccc", f"dddddddd{PARTIAL_SUFFIX}"}
    assert (store.find("digest-cccccccc"), store.find("digest-bbbbbbbb")) == ("cccccccc", None)
    (tmp_path / "eeeeeeee").mkdir()
    again = ComparisonStore(tmp_path, keep=1)
    assert again.find("digest-cccccccc") == "cccccccc"
    assert [one.name for one in tmp_path.iterdir()] == ["cccccccc"]
