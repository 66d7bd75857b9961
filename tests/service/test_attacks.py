"""Attacks on the service, and what stops them."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli.main import run_cli
from pipeline.service.web.downloads import attachment
from tests.exporting import spec, write_runs
from tests.service.serving import PROBLEM, Server, found, serving

TOKEN = "0123456789abcdef0123"
BAD_NAMES = [
    "..",
    "../run_a",
    "%2e%2e",
    "%252e%252e%252fetc%252fpasswd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "run_a%2f..%2frun_b",
    "run_a%2fgold",
    "run_a%00",
    "%00",
    "a%00b",
    "%ff%fe",
    "%c0%ae%c0%ae%c0%af",
    "\uff0e\uff0e",
    "%ef%bc%8e%ef%bc%8e%ef%bc%8f",
    "..%5c..%5cetc",
    "file:%2f%2f%2fetc%2fpasswd",
    "s3:%2f%2fbucket%2fkey",
    "run_a%3fversionId=1",
    "*",
    "run_%5ba%5d",
    "%0d%0aX-Injected:%201",
    "${HOME}",
    "{run_url}",
    "x" * 5000,
    "x" * 60_000,
    "%25252e%25252e%25252f",
    "%u002e%u002e/",
    "%e2%88%95etc",
    "run_a;x",
    "%F0%9F%92%A9",
    "~",
    ".",
]
PLACES = [
    ("GET", "/v1/runs/{}"),
    ("GET", "/v1/runs/{}/index"),
    ("GET", "/v1/runs/{}/preview"),
    ("GET", "/v1/runs/{}/series/served"),
    ("GET", "/v1/runs/run_a/series/{}"),
    ("GET", "/v1/runs/{}/export/csv"),
    ("GET", "/v1/runs/run_a/export/{}"),
    ("GET", "/v1/runs/run_a/export/csv?variant={}"),
    ("POST", "/v1/runs/{}/export"),
    ("POST", "/export?runId={}"),
    ("GET", "/export/{}"),
    ("GET", "/export/csv?runId={}"),
    ("GET", "/v1/jobs/{}"),
    ("DELETE", "/v1/jobs/{}"),
    ("GET", "/docs/static/{}"),
    ("GET", "/page/{}"),
]

WEBHOOKS = [
    "http://127.0.0.1:{port}/v1/runs",
    "http://[::1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://10.0.0.1/",
    "https://hooks.example@127.0.0.1/",
    "https://hooks.example.evil.test/",
    "https://hooks.example/x/../admin",
    "https://HOOKS.example/x",
    "https://hooks.example/x#",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
]


def raw(server: Server, request: bytes, seconds: float = 10.0) -> bytes:
    """An answer to bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_what_the_documentation_names_is_there() -> None:
    """Each row of the table of attacks has tests, and there are tests of these names."""
    here = Path(__file__).parent
    known = {name for file in here.rglob("test_*.py") for name in NAMES.findall(file.read_text())}
    text = (here.parents[1] / "docs/service.md").read_text().partition("## Security")[2]
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(table) >= 25
    for cells in table:
        named = re.findall(r"`(test_\w+)`", cells[-1])
        assert named, cells
        assert set(named) <= known, cells


NAMES = re.compile(r"^def (test_\w+)", re.MULTILINE)


@pytest.mark.parametrize(("method", "place"), PLACES)
def test_no_name_leads_out(server: Server, runs: Path, method: str, place: str) -> None:
    for name in BAD_NAMES:
        path = place.format(name).replace(" ", "%20")
        host = f"127.0.0.1:{server.port}"
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        answer = raw(server, head.encode())
        status = int(answer.split(b" ", 2)[1])
        # What a path normalises to may be another route; nothing may fail or lead out.
        assert status < 500, (path, answer[:300])
        assert b"root:" not in answer
        assert b"X-Injected" not in answer.partition(b"\r\n\r\n")[0]
        assert str(runs).encode() not in answer, path
        if name not in ("~",) and "{}/" in place:
            assert status >= 400, (path, answer[:200])


def test_errors_have_one_shape_and_name_no_location(client: httpx.Client, runs: Path) -> None:
    answers = [
        client.get("/nothing"),
        client.put("/v1/runs"),
        client.get("/v1/runs?page=0"),
        client.get("/v1/runs/nowhere"),
        client.post("/v1/runs/run_a/export", content=b"{", headers=JSON),
        client.post("/v1/runs/run_a/export", content=b"\xff", headers=JSON),
        client.get("/v1/runs/run_liar/preview?rows=200"),
        client.post("/v1/runs/run_liar/export"),
    ]
    for answer in answers:
        assert answer.status_code >= 400
        assert set(answer.json()) == PROBLEM, answer.text
        assert str(runs) not in answer.text
        assert "/tmp/" not in answer.text


JSON = {"Content-Type": "application/json"}


def test_every_answer_has_the_security_headers(client: httpx.Client) -> None:
    for path in ("/v1/runs", "/nothing", "/docs", "/healthz"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_bodies_are_bounded(client: httpx.Client, server: Server) -> None:
    large = b"{" + b" " * 70_000 + b"}"
    assert client.post("/v1/runs/run_a/export", content=large, headers=JSON).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 8192

    answer = client.post("/v1/runs/run_a/export", content=chunks(), headers=JSON)
    assert answer.status_code == 413
    # A client that is still sending gets the response, too, and is not cut off.
    head = "POST /export HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n"
    response = raw(server, head.encode() + b" " * 50_000_000)
    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in response
    assert client.get("/healthz").status_code == 200


def test_other_hosts_and_origins_are_refused(client: httpx.Client) -> None:
    """A foreign host name that points to this machine, and a page of another site."""
    assert client.get("/v1/runs", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/v1/runs", headers={"Host": "localhost"}).status_code == 200
    assert client.get("/v1/runs", headers={"Host": "[::1]:80"}).status_code == 200
    url = "/v1/runs/run_a/export"
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert client.post(url, headers=headers).status_code == 403
    own = str(client.base_url).rstrip("/")
    assert client.post(url, headers={"Origin": own}).status_code == 200


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    write_runs(folder / "runs", spec("run_a"))
    (folder / "tokens").write_text(f"# readers\n{TOKEN}\nanother-token-of-20-chars\n")
    options = ["--token-file", str(folder / "tokens"), "--set", "failed_tokens=5"]
    options += ["--rate", "20", "--burst", "60", "--set", "client_timeout=1.5"]
    with serving(folder / "runs", folder / "state", *options) as server:
        yield server


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80) | st.sampled_from(['a"; x="b', "a\r\nX-Injected: 1", "\x00", "\u2028"]))
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    shown = attachment(name.encode("utf-8", "replace").decode())
    assert shown.isprintable()
    assert shown.isascii()
    assert re.fullmatch(
        r"attachment; filename=\"[A-Za-z0-9._-]*\"; filename\*=UTF-8''[A-Za-z0-9._~%-]*", shown
    )


def test_run_ids_do_not_write_headers(client: httpx.Client, runs: Path) -> None:
    """Ids of runs are untrusted; they are returned in Content-Disposition and Location."""
    ids = ['x"; filename="evil.exe', "x%0d%0aX-Injected: 1"]
    write_runs(runs, *(spec(f"header_{n}", run_id=one) for n, one in enumerate(ids)))
    for number, run_id in enumerate(ids):
        run = found(client, f"header_{number}")
        assert (run["state"], run["runId"]) == ("complete", run_id)
        path = f"/v1/runs/{quote(run['id'], safe='')}/export"
        for answer in (client.post(path), client.get(f"{path}/csv")):
            assert answer.status_code == 200, answer.text
            assert "x-injected" not in answer.headers
        shown = answer.headers["content-disposition"]
        assert shown.count('"') == 2
        assert "/" not in shown


@pytest.mark.parametrize("url", WEBHOOKS)
def test_webhooks_go_nowhere_but_where_they_may(hooked: Server, url: str) -> None:
    """A URL is allowed word by word, so that no address is ever looked at."""
    with hooked.client() as client:
        answer = client.post(
            "/v1/runs/run_a/export", json={"webhook": url.replace("{port}", str(hooked.port))}
        )
        assert answer.status_code == 400
        assert client.get("/v1/jobs").json()["totalCount"] == 0


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hooked")
    write_runs(folder / "runs", spec("run_a"))
    (folder / "secret").write_text("a secret of the webhooks")
    options = ["--webhook-allow", "https://hooks.example/x"]
    options += ["--webhook-secret-file", str(folder / "secret")]
    with serving(folder / "runs", folder / "state", *options) as server:
        yield server


def test_tokens(guarded: Server) -> None:
    with guarded.client() as client:
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        for path in ("/v1/runs", "/metrics", "/v1/jobs", "/v1/events", "/export/csv"):
            answer = client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for token in (TOKEN, "another-token-of-20-chars"):
            assert client.get("/v1/runs", headers=bearer(token)).status_code == 200
        assert client.get("/v1/runs", headers={"Authorization": "Basic eDp5"}).status_code == 401
        # A client that sends a body gets the response, though the body is not read.
        answer = client.post("/v1/import", files={"files": ("t.csv", b"x" * 3_000_000)})
        assert answer.status_code == 401


def test_the_document_says_what_requires_a_token(client: httpx.Client, guarded: Server) -> None:
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]
    with guarded.client() as anonymous:
        document = anonymous.get("/openapi.json").json()
        assert set(document["components"]["securitySchemes"]) == {"token", "session"}
        for path, operations in document["paths"].items():
            if "get" in operations and "{" not in path:
                is_required = anonymous.get(path).status_code == 401
                assert bool(operations["get"].get("security")) == is_required, path


def test_sessions_of_browsers(guarded: Server) -> None:
    with guarded.client() as client:
        assert client.post("/v1/session").status_code == 401
        answer = client.post("/v1/session", headers=bearer(TOKEN))
        assert answer.json() == {"required": True, "seconds": 12 * 3600}
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/v1/runs").status_code == 200
        assert client.delete("/v1/session").status_code == 204
        client.cookies.set("flowtime_session", "made-up")
        assert client.get("/v1/runs").status_code == 401


def test_slow_clients_are_disconnected(guarded: Server) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as silent:
        assert silent.recv(100) == b""
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as dripping:
        dripping.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        for _ in range(4):
            time.sleep(0.3)
            dripping.sendall(b"x")
        assert dripping.recv(100) == b""
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as body:
        body.sendall(
            b"POST /v1/runs/run_a/export HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Length: 100\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        while body.recv(4096):
            pass
    assert time.monotonic() - began < 15


def test_a_body_that_drips_is_refused(guarded: Server) -> None:
    """A byte now and then comes in time, but not at a speed that gets anywhere."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as dripping:
        dripping.sendall(
            b"POST /v1/runs/run_a/export HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Length: 1000\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        answer = b""
        dripping.settimeout(0.3)
        while not answer and time.monotonic() - began < 15:
            try:
                dripping.sendall(b" ")
                answer = dripping.recv(4096)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "part", [b"a" * 1000, b"X: " + b"y" * 1000 + b"\r\n", b"X" * 1000], ids=["path", "many", "one"]
)
def test_headers_are_bounded(server: Server, part: bytes) -> None:
    """Headers without end do not fill the memory, whether in one line or in many."""
    began = b"GET /" if part[:1] == b"a" else b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as endless:
        endless.sendall(began)
        sent = 0
        try:
            while sent < 50_000_000:
                sent += endless.send(part * 16)
        except ConnectionError:
            pass
    assert sent < 20_000_000
    lone = raw(server, began + part * 70)
    assert lone.startswith(b"HTTP/1.1 400 ")
    assert b'"error": "' in lone


def test_a_client_that_does_not_read_is_disconnected(guarded: Server) -> None:
    size = 64 * 2**20
    commit(Path(guarded.arguments[2]) / "run_a/gold", b"x" * size)
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=30) as lazy:
        lazy.sendall(
            b"GET /v1/runs/run_a/export/csv HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
        )
        time.sleep(4)
        got = lazy.recv(1 << 20)
        assert got.startswith(b"HTTP/1.1 200 ")
        sizes = [len(got)]
        try:
            while part := lazy.recv(1 << 20):
                sizes.append(len(part))
        except ConnectionError:
            pass
    assert sum(sizes) < size


def commit(folder: Path, data: bytes) -> None:
    """A committed export of any bytes."""
    folder.mkdir(exist_ok=True)
    (folder / "export.csv").write_bytes(data)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    item = {"name": "export", "path": "export.csv", "format": "csv"}
    item |= {"bytes": len(data), "hash": digest}
    package = {"resources": [item], "flowtime": {"created": "2025-01-01T00:00:00Z"}}
    (folder / "export.datapackage.json").write_text(json.dumps(package))


def test_guessing_tokens_is_stopped(guarded: Server) -> None:
    """A client that guesses gets 429; the holders of tokens and sessions do not notice."""
    with guarded.client() as client, guarded.client() as browser:
        browser.post("/v1/session", headers=bearer(TOKEN)).raise_for_status()
        answers = [
            client.get("/v1/runs", headers=bearer(f"guess-number-{n:08}")) for n in range(12)
        ]
        assert answers[0].status_code == 401
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0
        assert client.get("/v1/runs").status_code == 429
        assert client.get("/v1/runs", headers=bearer(TOKEN)).status_code == 200
        assert browser.get("/v1/runs").status_code == 200
        assert browser.get("/v1/runs", headers=bearer("wrong")).status_code == 200
        assert TOKEN not in guarded.log.read_text()


def test_requests_are_limited(guarded: Server) -> None:
    with guarded.client() as client:
        statuses = {client.get("/healthz").status_code for _ in range(150)}
        assert statuses == {200, 429}
        time.sleep(1)
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--port", "99999"], "--port"),
        (["--webhook", "ftp://x/"], "http"),
        (["--webhook", "http://x/"], "--webhook-secret-file"),
        (["--token-file", "/nowhere"], "cannot be read"),
        (["--set", "tokens=abc"], "secrets come from files"),
        (["--set", "colour=red"], "colour"),
        (["--exports", "{runs}/out"], "below the runs"),
    ],
)
def test_unsafe_settings_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    given = [option.replace("{runs}", str(tmp_path)) for option in options]
    state = ["--state", str(tmp_path / "state")]
    assert run_cli(["serve", "--runs", str(tmp_path), *state, *given]) == 2
    assert message in capsys.readouterr().err
