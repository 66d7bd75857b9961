"""A config from standard input, in place of a file."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import run_cli
from tests.exporting import spec, write_runs

Streams = pytest.CaptureFixture[str]


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def text_of(tmp_path: Path) -> bytes:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    return (
        f"version: 1\nsource: {{url: {runs}}}\nsinks: [{{format: csv, path: {tmp_path}/e.csv}}]\n"
    ).encode()


@pytest.mark.parametrize("verb", ["validate", "plan", "preview", "doctor", "run"])
def test_every_verb_takes_it(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Streams
) -> None:
    pipe(monkeypatch, text_of(tmp_path))
    assert run_cli([verb, "-"]) == 0
    assert (tmp_path / "e.csv").exists() == (verb == "run")
    assert capsys.readouterr().err == ""


def test_overrides_are_laid_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Streams
) -> None:
    pipe(monkeypatch, text_of(tmp_path))
    assert run_cli(["run", "-", "--set", "name=piped", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "piped"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"version: 2\nsource: {url: runs}\nsinks: []\n", "<stdin>:1:10: version: expected 1"),
        (b"", "<stdin>:1:1: the config is empty"),
        (b"a: \xff\n", "<stdin>:1: not UTF-8"),
        (b"a" * 1_100_000, "<stdin>: larger than 1048576 bytes"),
    ],
)
def test_what_is_wrong_with_it(
    data: bytes, complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: Streams
) -> None:
    pipe(monkeypatch, data)
    assert run_cli(["validate", "-"]) == 2
    assert complaint in capsys.readouterr().err


def test_standard_input_may_be_closed(monkeypatch: pytest.MonkeyPatch, capsys: Streams) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run_cli(["validate", "-"]) == 2
    assert "<stdin>: cannot be read" in capsys.readouterr().err
