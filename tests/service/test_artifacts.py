"""Artifacts over HTTP: every row of FlowTime's table, and what its clients send."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.registry.records.artifact import ROUTE_NAMES
from tests.exporting import spec, write_runs
from tests.service.serving import Server, serving

HASHES = {"modelHash": "sha256:" + 64 * "a", "scenarioHash": "sha256:" + 64 * "b"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts") / "runs"
    write_runs(
        folder,
        spec("run_a", created="2025-01-01T00:00:00Z", title="First of all", extra=HASHES),
        spec("run_b", created="2025-01-02T00:00:00Z", title="Second", extra=HASHES),
        spec("run_c", created="2025-01-03T00:00:00Z", run_id='a "b" €; c'),
        spec("stats", created="2024-11-01T00:00:00Z"),
        spec("twin_1", run_id="twin", created="2024-12-01T00:00:00Z"),
        spec("twin_2", run_id="twin", created="2024-12-02T00:00:00Z"),
        spec("run_broken"),
    )
    (folder / "run_broken/series/index.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ["--rate", "10000", "--burst", "10000"]
    with serving(runs, tmp_path_factory.mktemp("state"), *options) as found:
        with found.client() as client:
            client.post("/v1/artifacts/rescan").raise_for_status()
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


def _ids(client: httpx.Client, **query: Any) -> list[str]:
    answer = client.get("/v1/artifacts", params={"type": "run", **query}).raise_for_status()
    return [one["id"] for one in answer.json()["artifacts"]]


@pytest.mark.parametrize(
    ("asked", "view"),
    [
        ("/artifacts?type=export", "artifacts?type=export"),
        ("/artifacts/browse?tags=gold", "artifacts?tags=gold"),
        ("/artifacts/manage", "artifacts"),
        ("/artifacts/import", "import"),
        ("/artifacts/run_a", "artifacts/run_a"),
        ("/runs/a%20%23b/compare", "artifacts/a%20%23b"),
    ],
)
def test_addresses_of_pages_lead_to_their_views(
    client: httpx.Client, asked: str, view: str
) -> None:
    answer = client.get(asked)
    assert (answer.status_code, answer.headers["location"]) == (307, f"/page/#/{view}")


def test_what_flowtimes_clients_ask(client: httpx.Client) -> None:
    """Its Svelte client's query, its Blazor list and its command line."""
    answer = client.get("/v1/artifacts?limit=100&sortBy=created&sortOrder=desc").json()
    assert {"artifacts", "total", "count"} <= set(answer)
    assert answer["total"] == answer["count"] == len(answer["artifacts"])
    created = [one["created"] for one in answer["artifacts"]]
    assert created == sorted(created, reverse=True)
    one = next(one for one in answer["artifacts"] if one["id"] == "run_a")
    assert {
        "id": "run_a",
        "type": "run",
        "title": "First of all",
        "created": "2025-01-01T00:00:00Z",
    }.items() <= one.items()
    fields = {"tags", "metadata", "files", "totalSize", "lastModified", "source", "capabilities"}
    assert fields <= set(one)
    assert client.get("/v1/artifacts").json()["count"] <= 50
    skipped = client.get("/v1/artifacts?skip=1&limit=2&type=RUN").json()
    assert (skipped["count"], skipped["total"]) == (2, 6)
    assert _ids(client, skip=1, limit=2) == _ids(client)[1:3]


def test_queries(client: httpx.Client) -> None:
    assert _ids(client, search="FIRST") == ["run_a"]
    assert _ids(client, fullTextSearch="run_b") == _ids(client, fullText="run_b")
    assert _ids(client, minFileSize=10**9) == []
    assert len(_ids(client, limit="many", createdAfter="soon", minSize="-1", sortBy="x")) == 6
    assert _ids(client, createdAfter="2025-01-02", createdBefore="2025-01-02T00:00:00Z") == [
        "run_b"
    ]
    assert _ids(client, relatedTo="run_a") == ["run_b"]
    assert _ids(client, state="broken") == ["run_broken"]
    facets = client.get("/v1/artifacts?facets=true&limit=1").json()
    assert facets["facets"]["type"]["run"] == 6
    second = client.get("/v1/artifacts", params={"cursor": facets["nextCursor"]}).json()
    assert second["artifacts"][0]["id"] != facets["artifacts"][0]["id"]
    bad = client.get("/v1/artifacts?cursor=x")
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid-options")


def test_ids_are_those_of_the_runs(client: httpx.Client) -> None:
    shown = client.get("/v1/runs?pageSize=100").json()["items"]
    listed = client.get("/v1/artifacts?type=run&limit=100").json()["artifacts"]
    complete = {one["id"] for one in shown if one["state"] == "complete"}
    assert complete == {one["id"] for one in listed}
    assert sum(one.startswith("twin~") for one in complete) == 2
    for name in complete:
        path = httpx.URL(client.base_url).copy_with(path=f"/v1/artifacts/{name}")
        assert client.get(path).raise_for_status().json()["id"] == name


def test_a_run_named_like_a_route_is_reached_by_its_mark(client: httpx.Client) -> None:
    (name,) = [one for one in _ids(client, limit=100) if one.startswith("stats~")]
    assert client.get(f"/v1/artifacts/{name}").json()["metadata"]["runId"] == "stats"
    assert client.get(f"/v1/artifacts/{name}/relationships").json()["artifactId"] == name
    assert client.get(f"/v1/runs/{name}").raise_for_status().json()["runId"] == "stats"
    assert "types" in client.get("/v1/artifacts/stats").json()
    routes = client.get("/openapi.json").json()["paths"]
    places = {one.removeprefix("/v1/artifacts/") for one in routes if "/v1/artifacts/" in one}
    assert {one for one in places if not one.startswith("{")} == ROUTE_NAMES


def test_unknown_artifacts(client: httpx.Client) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "/relationships"),
        ("GET", "/download"),
        ("GET", "/files"),
        ("GET", "/files/run.json"),
        ("PUT", ""),
        ("DELETE", ""),
    ):
        body = {} if method == "PUT" else None
        answer = client.request(method, f"/v1/artifacts/nothing{path}", json=body)
        assert answer.status_code == 404, (method, path)
        assert answer.json()["error"].startswith("Artifact 'nothing' not found")
    shared = client.get("/v1/artifacts/twin")
    assert (shared.status_code, "twin~" in shared.json()["error"]) == (404, True)


def test_relationships_of_an_export(client: httpx.Client, runs: Path) -> None:
    client.post("/v1/runs/run_a/export").raise_for_status()
    export: list[str] = []
    until = time.monotonic() + 20
    while not export and time.monotonic() < until:
        export = _ids(client, type="export")
        time.sleep(0.05)
    related = client.get("/v1/artifacts/run_a/relationships").raise_for_status().json()
    assert related["artifactId"] == "run_a"
    assert [one["id"] for one in related["derivatives"]] == export
    assert related["derivedFrom"][0]["type"] == "model"
    assert [one["id"] for one in related["related"]] == ["run_b"]
    detail = client.get("/v1/artifacts/run_a").json()
    assert detail["relationships"]["generates"] == export
    files = client.get(f"/v1/artifacts/{export[0]}/files").json()["files"]
    assert {"export.csv", "export.datapackage.json"} <= {one["name"] for one in files}
    model = related["derivedFrom"][0]["id"]
    assert client.get(f"/v1/artifacts/{model}/download").status_code == 200


def test_files_and_downloads(client: httpx.Client, runs: Path) -> None:
    listed = client.get("/v1/artifacts/run_b/files").raise_for_status().json()
    names = [one["name"] for one in listed["files"]]
    own = [p for p in (runs / "run_b").rglob("*") if p.is_file() and "gold" not in p.parts]
    assert sorted(names) == sorted(p.relative_to(runs / "run_b").as_posix() for p in own)
    answer = client.get("/v1/artifacts/run_b/download")
    assert 'filename="Second.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        for path in own:
            name = path.relative_to(runs / "run_b").as_posix()
            assert archive.read(name) == path.read_bytes()
    one = client.get("/v1/artifacts/run_b/files/run.json")
    assert one.content == (runs / "run_b" / "run.json").read_bytes()
    part = client.get("/v1/artifacts/run_b/files/run.json", headers={"Range": "bytes=0-0"})
    assert (part.status_code, part.text) == (206, "{")
    nested = client.get("/v1/artifacts/run_b/files/series/index.json")
    assert nested.content == (runs / "run_b" / "series" / "index.json").read_bytes()
    assert 'filename="index.json"' in nested.headers["content-disposition"]
    for hostile in (
        "..%2f..%2frun_a%2frun.json",
        "series%2f..%2frun.json",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "%2e%2e",
        "..%5crun.json",
        "nothing",
        "series",
    ):
        answer = client.get(f"/v1/artifacts/run_b/files/{hostile}")
        assert answer.status_code == 404, hostile
    for hostile in ("..%2frun_b", "%2e%2e", "..", "run_b%00"):
        assert client.get(f"/v1/artifacts/{hostile}/download").status_code in (404, 422, 405)


def test_a_file_that_vanishes_while_it_is_sent_ends_its_download(
    server: Server, client: httpx.Client, runs: Path
) -> None:
    large = runs / "run_b" / "large.bin"
    large.touch()
    os.truncate(large, 256 * 1024 * 1024)
    with pytest.raises(httpx.RemoteProtocolError):
        _download_and_remove(client, large)
    client.get("/v1/artifacts/run_b").raise_for_status()
    log = server.log.read_text()
    assert "large.bin ended before its end: " in log
    assert "Traceback" not in log


def _download_and_remove(client: httpx.Client, file: Path) -> None:
    with client.stream("GET", f"/v1/artifacts/{file.parent.name}/files/{file.name}") as answer:
        for _ in answer.iter_raw():
            file.unlink(missing_ok=True)


def test_links_are_not_followed(server: Server, client: httpx.Client, runs: Path) -> None:
    write_runs(runs, spec("run_linked"))
    client.post("/v1/artifacts/rescan").raise_for_status()
    moved = runs.parent / "elsewhere"
    (runs / "run_linked").rename(moved)
    (runs / "run_linked").symlink_to(moved)
    for path in ("download", "files", "files/run.json"):
        assert client.get(f"/v1/artifacts/run_linked/{path}").status_code in (404, 502)
    (runs / "run_linked").unlink()
    series = runs / "run_b" / "series"
    series.rename(runs.parent / "away")
    series.symlink_to(runs.parent / "away")
    assert client.get("/v1/artifacts/run_b/files/series/index.json").status_code == 404
    series.unlink()
    (runs.parent / "away").rename(series)
    assert client.post("/v1/artifacts/rescan").json()["removed"] == 1


def test_changes(client: httpx.Client) -> None:
    change = {"title": "Mine", "tags": ["x", "run"], "note": "n", "owner": "me", "pinned": True}
    shown = client.put("/v1/artifacts/run_b", json=change).raise_for_status().json()
    assert change.items() <= {**shown, "tags": ["x", "run"]}.items()
    assert shown["tags"] == ["run", "x"]
    assert client.put("/v1/artifacts/run_b", json={"tags": ["a,b"]}).status_code == 422
    assert client.put("/v1/artifacts/run_b", json={"pinned": 3}).status_code == 422
    assert client.put("/v1/artifacts/run_b", json={"title": ""}).json()["title"] == "Second"
    answer = client.post("/v1/artifacts/archive", json=["run_b", "nothing"]).json()
    assert answer == {
        "success": False,
        "processed": 2,
        "archived": 1,
        "results": [
            {"id": "run_b", "success": True},
            {"id": "nothing", "success": False, "error": "Artifact 'nothing' not found"},
        ],
    }
    assert "run_b" not in _ids(client)
    assert "run_b" in _ids(client, includeArchived="true")
    assert "archived" in client.get("/v1/artifacts/run_b").json()["tags"]
    client.put("/v1/artifacts/run_b", json={"archived": False}).raise_for_status()
    assert "run_b" in _ids(client)


def test_changes_that_wait_do_not_hold_up_lists(server: Server, client: httpx.Client) -> None:
    (state,) = (Path(one) for one in server.arguments if (Path(one) / "registry.db").is_file())
    before = client.get("/v1/artifacts/run_a").json()["title"]
    with (
        closing(sqlite3.connect(state / "registry.db", isolation_level=None)) as other,
        ThreadPoolExecutor(50) as threads,
    ):
        other.execute("BEGIN IMMEDIATE")
        body = {"title": before}
        waiting = [
            threads.submit(httpx.put, f"{server.url}/v1/artifacts/run_a", json=body, timeout=60)
            for _ in range(50)
        ]
        time.sleep(0.5)
        assert client.get("/v1/artifacts", timeout=5).status_code == 200
        assert not any(one.done() for one in waiting)
        other.execute("ROLLBACK")
        assert {one.result().status_code for one in waiting} == {200}
    client.put("/v1/artifacts/run_a", json={"title": ""}).raise_for_status()


def test_deleting_keeps_the_files(client: httpx.Client, runs: Path) -> None:
    before = sorted(path for path in runs.rglob("*"))
    assert client.delete("/v1/artifacts/run_c%22").status_code == 404
    assert client.delete("/v1/artifacts/run_b").json()["archived"] is True
    answer = client.post("/v1/artifacts/bulk-delete", json=["run_a"]).json()
    assert (answer["success"], answer["deleted"]) == (True, 1)
    assert not {"run_a", "run_b"} & set(_ids(client))
    assert sorted(path for path in runs.rglob("*")) == before
    for name in ("run_a", "run_b"):
        client.put(f"/v1/artifacts/{name}", json={"archived": False})
    assert client.post("/v1/artifacts/bulk-delete", json={"ids": []}).status_code == 422


def test_the_whole_index(client: httpx.Client) -> None:
    index = client.post("/v1/artifacts/index").raise_for_status().json()
    assert index["schemaVersion"] == 1
    assert index["artifactCount"] == len(index["artifacts"])
    assert {"run_a", "run_b"} <= {one["id"] for one in index["artifacts"]}
    stats = client.get("/v1/artifacts/stats").json()
    assert stats["total"] == index["artifactCount"]
    assert stats["types"]["run"]["count"] == 6


def test_a_restart_reads_nothing_again_and_keeps_tags(runs: Path, tmp_path: Path) -> None:
    with serving(runs, tmp_path / "state") as server, server.client() as client:
        client.post("/v1/artifacts/rescan").raise_for_status()
        client.put("/v1/artifacts/run_a", json={"tags": ["kept"]}).raise_for_status()
    with serving(runs, tmp_path / "state") as server, server.client() as client:
        assert client.post("/v1/artifacts/rescan").json()["added"] == 0
        assert client.get("/v1/artifacts/run_a").json()["tags"] == ["kept"]
        assert client.get("/v1/runs/run_a").json()["bytes"] > 0


def test_a_registry_that_fails_fails_its_own_routes_alone(runs: Path, tmp_path: Path) -> None:
    url = "postgresql+psycopg://me:hunter22@127.0.0.1:1/db"
    with serving(runs, tmp_path / "state", "--registry", url) as server, server.client() as client:
        answer = client.get("/v1/artifacts")
        assert answer.status_code == 503
        assert "hunter22" not in answer.text
        assert client.get("/v1/runs").json()["totalCount"] == 7
    assert "hunter22" not in server.log.read_text()


def test_artifacts_of_other_folders_keep_their_files(runs: Path, tmp_path: Path) -> None:
    from pipeline.registry.registry import open_registry

    write_runs(tmp_path / "other", spec("run_other"))
    with open_registry(tmp_path / "registry.db") as registry:
        registry.rebuild(str(tmp_path / "other"))
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with serving(runs, tmp_path / "state", "--registry", url) as server, server.client() as client:
        client.post("/v1/artifacts/rescan").raise_for_status()
        assert client.get("/v1/artifacts/run_other").status_code == 200
        answer = client.get("/v1/artifacts/run_other/download")
        assert answer.status_code == 404
        assert "not below the folders" in json.dumps(answer.json())
        assert client.get("/v1/artifacts/run_a").status_code == 200
