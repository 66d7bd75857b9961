"""Limits of each client, proxies, and what clients may rely on in answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from pipeline.service.errors import CODES
from tests.exporting import spec, write_runs
from tests.service.serving import PROBLEM, Server, serving

TOKENS = ("the-first-token-of-all", "the-second-token-of-all", "the-third-token-of-all")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    write_runs(folder / "runs", spec("run_a"))
    (folder / "tokens").write_text("\n".join(TOKENS))
    options = ["--token-file", str(folder / "tokens"), "--forwarded-allow-ips", "127.0.0.1"]
    options += ["--rate", "20", "--burst", "40", "--set", "streams_per_client=3"]
    options += ["--allowed-host", "flow.example"]
    with serving(folder / "runs", folder / "state", *options) as server:
        yield server


def bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[number]}"}


def test_a_flood_at_an_address_does_not_reach_the_holder_of_a_token(guarded: Server) -> None:
    with guarded.client() as flood, guarded.client(headers=bearer(0)) as client:
        statuses = {flood.get("/v1/runs").status_code for _ in range(120)}
        assert statuses == {401, 429}
        assert client.get("/v1/runs").status_code == 200


def test_a_token_that_is_used_too_often_does_not_slow_another(guarded: Server) -> None:
    with guarded.client(headers=bearer(0)) as busy, guarded.client(headers=bearer(1)) as other:
        assert {busy.get("/v1/runs").status_code for _ in range(120)} == {200, 429}
        assert other.get("/v1/runs").status_code == 200


def test_event_streams_are_limited_for_each_client(guarded: Server) -> None:
    with ExitStack() as opened:
        client = opened.enter_context(guarded.client(headers=bearer(1)))
        for _ in range(3):
            stream = opened.enter_context(client.stream("GET", "/v1/events"))
            assert stream.status_code == 200
        refused = client.get("/v1/events")
        assert refused.status_code == 503
        assert refused.json()["code"] == "busy"
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        with client.stream("GET", "/v1/events", headers=elsewhere) as stream:
            assert stream.status_code == 200


def test_a_trusted_proxy_names_the_client_and_tls(guarded: Server) -> None:
    with guarded.client() as client:
        secure = client.post(
            "/v1/session",
            headers={**bearer(2), "X-Forwarded-Proto": "https", "Host": "flow.example"},
        )
        assert "secure" in secure.headers["set-cookie"].lower()
        plain = client.post("/v1/session", headers=bearer(2))
        assert "secure" not in plain.headers["set-cookie"].lower()
    with guarded.client() as client:
        wrong = {"Authorization": "Bearer guess"}
        for _ in range(15):
            client.get("/v1/runs", headers={**wrong, "X-Forwarded-For": "198.51.100.7"})
        limited = client.get("/v1/runs", headers={**wrong, "X-Forwarded-For": "198.51.100.7"})
        other = client.get("/v1/runs", headers={**wrong, "X-Forwarded-For": "198.51.100.8"})
        assert (limited.status_code, other.status_code) == (429, 401)


def test_forwarded_headers_are_not_trusted_without_a_setting(
    client: httpx.Client, server: Server
) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.1"}
    assert "secure" not in client.post("/v1/session", headers=headers).headers.get("set-cookie", "")


def test_a_named_host_is_allowed_beside_those_of_loopback(guarded: Server) -> None:
    with guarded.client() as client:
        for host, status in (("flow.example", 200), ("localhost", 200), ("evil.example", 403)):
            assert client.get("/healthz", headers={"Host": host}).status_code == status


def test_lists_have_links_a_validator_and_are_compressed(client: httpx.Client) -> None:
    answer = client.get("/v1/runs?pageSize=2&page=2&search=run")
    links = answer.links
    assert set(links) == {"first", "prev", "next", "last"}
    assert "search=run" in links["next"]["url"]
    second = client.get(links["next"]["url"])
    assert second.json()["page"] == 3
    assert client.get(links["first"]["url"]).json()["page"] == 1
    etag = answer.headers["etag"]
    same = client.get("/v1/runs?pageSize=2&page=2&search=run", headers={"If-None-Match": etag})
    assert (same.status_code, same.content) == (304, b"")
    other = client.get("/v1/runs?pageSize=2&page=1&search=run", headers={"If-None-Match": etag})
    assert other.status_code == 200
    request = client.build_request("GET", "/v1/runs", headers={"Accept-Encoding": "gzip"})
    packed = client.send(request, stream=True)
    raw = b"".join(packed.iter_raw())
    assert packed.headers["content-encoding"] == "gzip"
    assert (
        json.loads(gzip.decompress(raw))["totalCount"]
        == client.get("/v1/runs").json()["totalCount"]
    )
    jobs = client.get("/v1/jobs?pageSize=1")
    assert jobs.headers["etag"]


def test_a_json_body_of_another_type_gets_a_hint(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/runs/run_a/export",
        content=b'{"formats": ["csv"]}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 415
    assert answer.json()["hint"] == "send the header Content-Type: application/json"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/runs/nowhere", None, 404, "run-not-found"),
        ("GET", "/v1/runs/run_a/series/none", None, 404, "series-not-found"),
        ("GET", "/v1/jobs/none", None, 404, "job-not-found"),
        ("GET", "/v1/runs/run_a/export/exe", None, 400, "unsupported-format"),
        ("POST", "/v1/runs/run_a/export", {"formats": ["exe"]}, 400, "unsupported-format"),
        ("POST", "/v1/runs/run_a/export", {"filter": "value >"}, 400, "invalid-options"),
        ("POST", "/v1/runs/run_a/export", {"webhook": "http://x/"}, 400, "webhook-not-allowed"),
        ("POST", "/v1/runs/run_young/export", {}, 422, "run-not-complete"),
        ("POST", "/v1/runs/twin/export", {}, 409, "ambiguous-run"),
        ("GET", "/v1/runs?page=0", None, 422, "invalid-value"),
        ("GET", "/v1/runs?createdFrom=soon", None, 422, "invalid-value"),
        ("PUT", "/v1/runs", {}, 405, "method-not-allowed"),
        ("GET", "/v1/nothing", None, 404, "not-found"),
    ],
)
def test_errors_are_problem_documents_with_stable_codes(
    client: httpx.Client, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == PROBLEM
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:flowtime-export:problem:{code}"
    assert problem["title"] == CODES[code]
    assert problem["detail"] == problem["error"]
    assert problem["hint"]
    for word in ("Input should", "value_error", "pydantic", "Value error"):
        assert word not in answer.text


def test_every_code_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/service.md").read_text()
    assert [code for code in CODES if f"`{code}`" not in text] == []


def test_a_window_of_a_series_is_exact_once_it_fits(client: httpx.Client) -> None:
    path = "/v1/runs/run_a/series/arrivals?points=2"
    whole = client.get(path).json()
    assert (whole["fromBin"], whole["toBin"], whole["binsPerPoint"]) == (0, 4, 4)
    assert whole["band"] == {"bins": [0], "lows": [-0.0], "highs": [4.0]}
    part = client.get(f"{path}&from=2025-01-01T01:00:00Z&to=2025-01-01T03:00:00Z").json()
    assert (part["fromBin"], part["toBin"], part["binsPerPoint"]) == (1, 3, 1)
    assert (part["bins"], part["values"], part["band"]) == ([1, 2], [2.5, -0.0], None)
    # A window that begins within a bin has that bin.
    within = client.get(f"{path}&from=2025-01-01T01:30:00Z&to=2025-01-01T02:30:00Z").json()
    assert (within["fromBin"], within["toBin"]) == (1, 3)
    for window in ("from=2030-01-01", "to=1999-01-01", "from=2025-01-02&to=2025-01-01"):
        empty = client.get(f"{path}&{window}").json()
        assert empty["bins"] == []
        assert empty["fromBin"] == empty["toBin"]


def test_operations_have_names_and_schemas_examples(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names)
    assert {"listRuns", "getRun", "exportRun", "getExport", "importFiles", "listJobs"} <= set(names)
    schemas = document["components"]["schemas"]
    bodies = {name for name in schemas if not schemas[name].get("enum")}
    without = {name for name in bodies if "example" not in schemas[name]}
    assert without == set()
