"""What `serve` says at its start, and why it does not start."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import run_cli
from tests.exporting import spec, write_runs
from tests.service.serving import ServiceEndedError, finished, found, serving

MAIN = "from pipeline.cli.main import main; main()"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"))


def refused(capsys: pytest.CaptureFixture[str], runs: Path, *options: str) -> str:
    """Return the one line that says why the service does not start."""
    assert run_cli(["serve", "--runs", str(runs), *options]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1, lines
    return lines[0]


def test_polls_end_with_the_service_and_show_its_log(runs: Path, tmp_path: Path) -> None:
    """What the tests of this folder rely on: a service that dies is no poll of a minute."""
    with serving(runs, tmp_path / "state") as server, server.client() as client:
        server.process.kill()
        for poll in (found, finished):
            with pytest.raises(ServiceEndedError, match=r"code -9\n(.*\n)*INFO serving"):
                poll(client, "nothing")


def test_a_used_state_is_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    with serving(runs, state):
        line = refused(capsys, runs, "--state", str(state), "--port", "0")
    assert "another service uses" in line
    assert "--state" in line


@pytest.mark.parametrize(
    "content", [b"not a database at all", b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_history_is_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "jobs.sqlite").write_bytes(content)
    line = refused(capsys, runs, "--state", str(state), "--port", "0")
    assert "jobs.sqlite cannot be used" in line
    assert "move it away" in line


def test_a_damaged_page_of_the_history_is_found(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    with serving(runs, state) as server, server.client() as client:
        for _ in range(30):
            client.post("/v1/runs/run_a/export").raise_for_status()
    path = state / "jobs.sqlite"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    line = refused(capsys, runs, "--state", str(state), "--port", "0")
    assert "jobs.sqlite cannot be used" in line


def test_a_used_port_is_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refused(capsys, runs, "--state", str(tmp_path / "state"), "--port", port)
    assert f"port {port}" in line
    assert "choose another --port" in line


def test_an_unusable_host_is_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-some-length")
    options = ["--token-file", str(tokens), "--state", str(tmp_path / "state"), "--port", "0"]
    line = refused(capsys, runs, *options, "--host", "192.0.2.1")
    assert "192.0.2.1" in line


def test_the_terminal_names_the_page(runs: Path, tmp_path: Path) -> None:
    for form in ("text", "json"):
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", MAIN, "--log-format", form, "--log-level", "info"),
                *("serve", "--runs", str(runs), "--state", str(tmp_path / form), "--port", "0"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            lines = [process.stderr.readline() for _ in range(3)]
        finally:
            process.terminate()
            process.wait(30)
        page = next(line for line in lines if "Ctrl-C" in line)
        assert "http://127.0.0.1:" in page
        if form == "json":
            assert all(json.loads(line) for line in lines)
        assert process.returncode in (0, 143, -15)
