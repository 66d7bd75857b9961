"""The API as a whole: its document, a fuzzer, metrics, methods and origins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.exporting import spec, write_runs
from tests.service.serving import PROBLEM, Server, serving

TOKEN = "0123456789abcdef0123"
UNFIT = "positive_data_acceptance"
"""Which columns, conditions and files are valid depends on the run, not on a schema."""

SETTINGS = """
# A body beyond the limit of all bodies is rejected as such, whatever else is wrong with it.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 422, 428, 429, "5xx"]

# Deleted artifacts are archived, as in FlowTime.
[[operations]]
include-path-regex = "^/v1/artifacts/"
checks.use_after_free.enabled = false
"""


def test_every_operation_documents_its_answers_and_errors(client: httpx.Client) -> None:
    document = client.get("/openapi.json").raise_for_status().json()
    assert document["info"]["title"] == "flowtime-export"
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) >= 18
    for method, path, operation in operations:
        assert operation["summary"], path
        assert operation.get("description"), path
        assert operation["tags"], path
        if path in ("/healthz", "/readyz"):
            continue
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                schema = answer["content"]["application/problem+json"]["schema"]
                # Imports report further problems, in fields beside the same ones.
                name = (
                    "ErrorBody" if (path, status) != ("/v1/import", "422") else "ImportProblemsBody"
                )
                assert schema == {"$ref": f"#/components/schemas/{name}"}, (method, path, status)
    assert "HTTPValidationError" not in json.dumps(document)


def test_the_documentation_needs_no_internet(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert "http" not in page.text.replace("https://", "http").partition("<body>")[0]
    for path in ("/docs/start.js", "/docs/static/swagger-ui.css"):
        assert client.get(path).status_code == 200
    assert len(client.get("/docs/static/swagger-ui-bundle.js").content) > 100_000
    assert client.get("/", follow_redirects=True).status_code == 200


def test_metrics_for_prometheus(client: httpx.Client) -> None:
    client.post("/v1/runs/run_a/export").raise_for_status()
    client.get("/v1/runs/run_b")
    client.get("/v1/nothing-that-is-there")
    text = client.get("/metrics").raise_for_status().text
    assert 'flowtime_jobs_total{state="done"}' in text
    assert 'route="/v1/runs/{runId}",status="200"' in text
    assert "nothing-that-is-there" not in text
    assert "flowtime_runs " in text


def fuzz(runs: Path, folder: Path, examples: int) -> str:
    """Return the fuzzer's output: all checks but one; event streams never end, and are left out."""
    folder.mkdir()
    (folder / "tokens").write_text(TOKEN)
    (folder / "schemathesis.toml").write_text(SETTINGS)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    limits = ["--rate", "100000", "--burst", "100000", "--set", "failed_tokens=1000000"]
    options = ["--token-file", str(folder / "tokens"), *limits]
    with serving(runs, folder / "state", *options, headers=bearer) as server:
        command = [
            str(Path(sys.executable).with_name("st")),
            *("run", f"{server.url}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"),
            *("--exclude-path-regex", "^/v1/events$", "--exclude-checks", UNFIT),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(examples)),
            *("--no-color", "--generation-database", "none"),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=1800, check=False, cwd=folder
        )
        with server.client() as client:
            assert client.get("/healthz").status_code == 200
        assert "Traceback" not in server.log.read_text()
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        pytest.fail("\n".join(line[:400] for line in lines))
    return done.stdout


@pytest.fixture
def fuzzed(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))


def test_a_fuzzer_finds_nothing(fuzzed: Path, tmp_path: Path) -> None:
    output = fuzz(fuzzed, tmp_path / "fuzzing", 4)
    assert re.search(r"Selected: 41/42\s+Tested: 41\b", output), output
    assert "Stateful (in" in output


@pytest.mark.slow
def test_a_fuzzer_finds_nothing_in_many_tries(fuzzed: Path, tmp_path: Path) -> None:
    assert "Stateful (in" in fuzz(fuzzed, tmp_path / "fuzzing", 150)


def test_wrong_methods_get_the_right_ones(client: httpx.Client) -> None:
    for path, allowed in (
        ("/", "GET"),
        ("/docs/static/swagger-ui.css", "GET, HEAD"),
        ("/v1/jobs/x", "DELETE, GET"),
        ("/v1/session", "DELETE, POST"),
        ("/v1/import", "POST"),
        ("/v1/artifacts", "GET"),
        ("/v1/runs/run_a/export/csv", "GET, HEAD"),
    ):
        answer = client.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert set(answer.json()) == PROBLEM


def test_a_fixed_path_has_its_own_methods(client: httpx.Client) -> None:
    for path, allowed in (
        ("/v1/artifacts/stats", "GET"),
        ("/v1/artifacts/rescan", "POST"),
        ("/v1/artifacts/run_a", "DELETE, GET, PUT"),
    ):
        answer = client.options(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "damage",
    ['["\\ud800"]', '{"title": "\\udfff"}', '{"a": 1, "a": 1}', "NaN", "[" * 300],
    ids=ascii,
)
def test_no_route_takes_a_body_that_readers_read_differently(
    client: httpx.Client, damage: str
) -> None:
    document = client.get("/openapi.json").json()
    taken = [
        (method, path.replace("{runId}", "run_a").replace("{artifactId}", "run_a"))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
    assert len(taken) >= 6
    for method, path in taken:
        answer = client.request(
            method, path, content=damage, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, set(answer.json())) == (400, PROBLEM), (method, path)
        assert "not valid JSON" in answer.json()["error"]


@pytest.mark.parametrize("value", [0, 1, "true"])
def test_flags_in_bodies_are_true_or_false(client: httpx.Client, value: object) -> None:
    change = client.put("/v1/artifacts/run_a", json={"pinned": value})
    export = client.post("/v1/runs/run_a/export", json={"escapeFormulas": value})
    assert [change.status_code, export.status_code] == [422, 422]


def test_other_origins_are_allowed_only_when_named(server: Server, tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    origin = "https://flow.example"
    with (
        serving(runs, tmp_path / "state", "--cors-origin", origin) as other,
        other.client() as client,
    ):
        for name, allowed in ((origin, origin), ("https://evil.example", None)):
            found = client.get("/v1/runs", headers={"Origin": name}).headers
            assert found.get("access-control-allow-origin") == allowed
        url = "/v1/runs/run_a/export"
        assert client.post(url, headers={"Origin": origin}).status_code == 200
        assert client.post(url, headers={"Origin": "https://evil.example"}).status_code == 403
