"""Exports with options: listed, labelled, deleted, limited; and exports of completed runs."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from pipeline.service.jobs.export_retention import excess
from pipeline.service.jobs.job_store import CustomExport
from pipeline.service.settings import ServiceSettings
from tests.exporting import names, spec, write_runs
from tests.service.serving import Server, found, serving

NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "own", spec("run_a"), spec("run_b"))


def test_exports_are_listed_with_their_options_and_deleted(own: Path, tmp_path: Path) -> None:
    with serving(own, tmp_path / "state") as server, server.client() as client:
        client.post("/v1/runs/run_a/export").raise_for_status()
        options = {"formats": ["csv"], "columns": ["value", "measure"], "filter": "value > 2"}
        options |= {"escapeFormulas": True}
        variant = client.post("/v1/runs/run_a/export", json=options).json()["variant"]
        plain, custom = client.get("/v1/runs/run_a/exports").json()["items"]
        assert (plain["variant"], plain["options"]) == (None, None)
        assert {file["format"] for file in plain["files"]} == {"csv", "ndjson", "parquet"}
        assert custom["variant"] == variant
        assert custom["options"] == {
            "columns": ["value", "measure"],
            "filter": "value > 2",
            "escapeFormulas": True,
        }
        assert custom["bytes"] == custom["files"][0]["bytes"]
        assert client.get(custom["files"][0]["url"]).status_code == 200

        path = f"/v1/runs/run_a/exports/{variant}"
        assert client.delete(path).status_code == 204
        gone = client.delete(path)
        assert (gone.status_code, gone.json()["code"]) == (404, "export-not-found")
        assert client.get(custom["files"][0]["url"]).status_code == 404
        assert not (own / "run_a/gold" / variant).exists()
        assert client.delete("/v1/runs/run_a/exports/plain").status_code == 204
        assert client.get("/v1/runs/run_a/exports").json()["items"] == []
        assert client.get("/v1/runs/run_a").json()["state"] == "complete"
        assert names(own / "run_a/gold") == []
        for name in ("..", "custom-XYZ", "custom-0123456789ab", "%2e%2e"):
            assert client.delete(f"/v1/runs/run_a/exports/{name}").status_code in (404, 405)


def test_an_export_that_is_written_is_not_deleted(own: Path, tmp_path: Path) -> None:
    options = ["--workers", "1"]
    with serving(own, tmp_path / "state", *options) as server, server.client() as client:
        client.post("/v1/runs/run_b/export").raise_for_status()
        with server.halted_worker():
            later = {"Prefer": "respond-async"}
            job = client.post("/v1/runs/run_a/export", headers=later).json()["jobId"]
            end = time.monotonic() + 20
            while client.get(f"/v1/jobs/{job}").json()["state"] != "running":
                assert time.monotonic() < end
                time.sleep(0.05)
            answer = client.delete("/v1/runs/run_a/exports/plain")
            assert (answer.status_code, answer.json()["code"]) == (409, "export-in-use")


def test_nothing_is_deleted_through_a_link(own: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    with serving(own, tmp_path / "state") as server, server.client() as client:
        client.post("/v1/runs/run_a/export").raise_for_status()
        shutil.move(own / "run_a/gold", outside)
        (own / "run_a/gold").symlink_to(outside)
        kept = names(outside)
        assert client.delete("/v1/runs/run_a/exports/plain").status_code == 404
        assert names(outside) == kept


def test_the_oldest_exports_with_options_make_room(own: Path, tmp_path: Path) -> None:
    options = ["--set", "custom_exports_per_run=3"]
    with serving(own, tmp_path / "state", *options) as server, server.client() as client:
        made = [
            client.post(
                "/v1/runs/run_a/export", json={"formats": ["csv"], "filter": f"value > {n}"}
            ).json()["variant"]
            for n in range(5)
        ]
        end = time.monotonic() + 20
        gold = own / "run_a/gold"
        while {*variants(client)} != {*made[-3:]} or len([*gold.glob("custom-*")]) > 3:
            assert time.monotonic() < end, variants(client)
            time.sleep(0.1)
        assert {one.name for one in gold.glob("custom-*")} == {*made[-3:]}
        assert registered(client, 3)
        assert client.delete(f"/v1/runs/run_a/exports/{made[-1]}").status_code == 204
        assert registered(client, 2)


def registered(client: httpx.Client, number: int) -> bool:
    """Whether the registry soon has so many exports; nothing else looks at the folders here."""
    end = time.monotonic() + 20
    while client.get("/v1/artifacts?type=export").json()["total"] != number:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def variants(client: httpx.Client) -> list[str]:
    items = client.get("/v1/runs/run_a/exports").json()["items"]
    return [one["variant"] for one in items if one["variant"]]


def custom(name: str, days: float, size: int = 10, path: str = "run_a") -> CustomExport:
    return CustomExport(path, name, f"/{path}/{name}", size, NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, []),
        ({"custom_export_days": 5}, ["a", "b"]),
        ({"custom_export_bytes": 25}, ["a", "b"]),
        ({"custom_export_bytes": 1}, ["a", "b", "c"]),
        ({"custom_exports_per_run": 1}, ["a"]),
        ({"custom_export_days": 0.001}, ["a", "b", "c"]),
    ],
)
def test_limits_take_the_oldest_and_leave_the_latest(
    limits: dict[str, float], expected: list[str]
) -> None:
    exports = [
        custom("a", 20),
        custom("b", 10, path="run_b"),
        custom("c", 2),
        custom("d", 1, path="run_c"),
    ]
    settings = ServiceSettings.model_validate({"runs": "x", **limits})
    assert [one.variant for one in excess(exports, settings, NOW)] == expected


def exported(run: Path) -> set[str]:
    return {path.suffix for path in (run / "gold").glob("export.*")} - {".json"}


def until_exported(run: Path, formats: set[str]) -> None:
    end = time.monotonic() + 30
    while exported(run) != formats:
        assert time.monotonic() < end, exported(run)
        time.sleep(0.1)


def test_runs_are_exported_when_they_complete(own: Path, tmp_path: Path) -> None:
    options = ["--refresh", "0.3"]
    state = tmp_path / "state"
    automatic = ["--auto-export", "csv,parquet"]
    with serving(own, state, *options, *automatic) as server, server.client() as client:
        assert client.get("/v1/auto-export").json() == {"formats": ["csv", "parquet"]}
        write_runs(own, spec("run_later"))
        found(client, "run_later")
        until_exported(own / "run_later", {".csv", ".parquet"})
        jobs = client.get("/v1/jobs?runId=run_later").json()["items"]
        assert [job["request"]["automatic"] for job in jobs] == [True]
    # A run that is completed while the service is down is not missed.
    write_runs(own, spec("run_meanwhile"))
    with serving(own, state, *options) as server, server.client() as client:
        assert client.get("/v1/auto-export").json() == {"formats": ["csv", "parquet"]}
        until_exported(own / "run_meanwhile", {".csv", ".parquet"})
        # What was complete before is left alone, and nothing is exported twice.
        assert exported(own / "run_a") == set()
        assert client.get("/v1/jobs").json()["totalCount"] == 2
        switched_off = client.put("/v1/auto-export", json={"formats": []})
        assert switched_off.json() == {"formats": []}
        write_runs(own, spec("run_unwanted"))
        found(client, "run_unwanted")
        time.sleep(1.5)
        assert exported(own / "run_unwanted") == set()
        wrong = client.put("/v1/auto-export", json={"formats": ["exe"]})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "unsupported-format")


def test_a_full_queue_delays_automatic_exports(own: Path, tmp_path: Path) -> None:
    options = ["--refresh", "0.3", "--queue", "2", "--workers", "1", "--auto-export", "csv"]
    with serving(own, tmp_path / "state", *options) as server, server.client() as client:
        write_runs(own, *(spec(f"run_{n}") for n in range(9)))
        found(client, "run_0")
        for n in range(9):
            until_exported(own / f"run_{n}", {".csv"})


def test_exports_elsewhere_are_deleted_too(own: Path, tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    options = ["--exports", str(exports), "--set", "custom_exports_per_run=1"]
    with serving(own, tmp_path / "state", *options) as server, server.client() as client:
        for n in range(3):
            wish = {"formats": ["csv"], "filter": f"value > {n}"}
            client.post("/v1/runs/run_a/export", json=wish).raise_for_status()
        end = time.monotonic() + 20
        while len(list(exports.glob("*/custom-*"))) > 1:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert _deleted(server, client)


def _deleted(server: Server, client: httpx.Client) -> bool:
    (variant,) = variants(client)
    return client.delete(f"/v1/runs/run_a/exports/{variant}").status_code == 204
