"""Exports enter themselves and their runs; a registry that fails never fails them."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from connectors.flowtime.discover import discovery, run_reading
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.report import Report
from pipeline.exports.run import export
from pipeline.registry.registry import Registry, open_registry
from pipeline.verification import verify
from tests.exporting import config, spec, write_runs
from tests.registry.postgres import PostgresServer, postgres_server
from tests.registry.test_registry import everything


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"), spec("run_b", "queue@B@DEFAULT"))


def _export(url: str, runs: Path, *sinks: Path | str, **blocks: Any) -> Report:
    made = [{"path": path} for path in sinks]
    return export(
        config(runs, *made, registry={"url": url, **blocks.pop("registry", {})}, **blocks)
    )


@pytest.mark.parametrize(
    "source",
    [{}, {"time_origin": "2020-01-01T00:00:00Z"}, {"series": {"measures": ["served", "queue"]}}],
    ids=["plain", "own origin", "some series"],
)
def test_an_export_enters_what_a_rebuild_finds(
    registry_url: str, runs: Path, tmp_path: Path, source: dict[str, Any]
) -> None:
    sinks = (tmp_path / "lake" / "gold.parquet", "{run_url}/gold/export.csv")
    report = _export(registry_url, runs, *sinks, source=source)
    assert report.export_notes == ()
    with open_registry(registry_url) as registry, open_registry(tmp_path / "other.db") as other:
        other.rebuild(str(runs), str(tmp_path / "lake"))
        assert everything(registry) == everything(other)
        assert registry.list(type="export").total == 3
        assert set(registry.roots()) == {str(runs), str(tmp_path / "lake")}
        assert registry.rebuild().added == 0


def test_single_runs_are_below_the_same_root(registry_url: str, runs: Path, tmp_path: Path) -> None:
    _export(registry_url, runs / "run_a", tmp_path / "gold.csv")
    with open_registry(registry_url) as registry:
        assert str(runs) in registry.roots()
        assert registry.get("run_a").location == str(runs / "run_a")


def test_known_runs_are_not_read_again(
    registry_url: str, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _export(registry_url, runs, tmp_path / "one.csv")
    fresh = discovery.discover(*_connected(runs))
    read: list[str] = []
    parse = run_reading.parse_run
    monkeypatch.setattr(
        run_reading, "parse_run", lambda files: (read.append(files.name), parse(files))[1]
    )
    write_runs(runs, spec("run_c"))
    # Another config, whose descriptor says nothing of them yet.
    report = _export(registry_url, runs, tmp_path / "two.ndjson")
    assert (report.runs, read) == (3, ["run_c"])
    read.clear()
    changed = runs / "run_a" / "run.json"
    changed.write_text(changed.read_text() + " ")
    assert _export(registry_url, runs, tmp_path / "two.ndjson").runs == 3
    assert read == ["run_a"]
    with open_registry(registry_url) as registry:
        from pipeline.registry.known_runs import KnownRuns

        known = KnownRuns(registry.database, str(runs))
        again = discovery.discover(*_connected(runs), known=known)
    by_id = {run.run_id: run for run in again.runs}
    assert by_id["run_b"] == {run.run_id: run for run in fresh.runs}["run_b"]
    assert len(by_id) == 3


def test_a_window_of_creation_holds_for_known_runs(registry_url: str, tmp_path: Path) -> None:
    runs = write_runs(
        tmp_path / "runs",
        spec("run_a", created="2025-01-01T00:00:00Z"),
        spec("run_b", created="2025-02-01T00:00:00Z"),
    )
    _export(registry_url, runs, tmp_path / "one.csv")
    window = {"created": {"from": "2025-01-15"}}
    assert _export(registry_url, runs, tmp_path / "two.csv", source=window).runs == 1


def _connected(runs: Path) -> tuple[Any, str]:
    from connectors.storage import connect

    return connect(str(runs))


@pytest.mark.parametrize(
    "url",
    ["sqlite:////proc/none/registry.db", "postgresql+psycopg://me:hunter22@127.0.0.1:1/db"],
)
def test_a_registry_that_cannot_be_opened_is_a_note(url: str, runs: Path, tmp_path: Path) -> None:
    report = _export(url, runs, tmp_path / "gold.csv")
    assert (tmp_path / "gold.csv").exists()
    assert report.exit_code == 0
    (note,) = report.export_notes
    assert "hunter22" not in note
    assert note in report.as_json()["notes"]
    assert "note: the registry is not up to date" in report.as_text()


def test_a_registry_that_does_not_answer_takes_bounded_time(runs: Path, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql+psycopg://me@127.0.0.1:{silent.getsockname()[1]}/db"
        began = time.monotonic()
        report = _export(url, runs, tmp_path / "gold.csv", registry={"timeout": "500ms"[:0] or 0.5})
        assert time.monotonic() - began < 5
    assert "did not answer within 0.5 s" in str(report.export_notes)


def test_a_file_that_is_no_database_is_a_note(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"not a database" * 1000)
    report = _export(f"sqlite:///{tmp_path / 'registry.db'}", runs, tmp_path / "gold.csv")
    assert "not a database" in str(report.export_notes)


def test_a_writer_that_does_not_end_is_a_note_and_repaired_later(
    runs: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with Registry(url) as registry, registry.database.writing():
        report = _export(url, runs, tmp_path / "gold.csv", registry={"timeout": 0.3})
    assert report.export_notes != ()
    report = _export(url, runs, tmp_path / "gold.csv")
    assert report.export_notes == ()
    with open_registry(url) as registry:
        assert registry.list(type="run").total == 2
        assert registry.list(type="export").total == 1


class _Killing(ProgressCallback):
    """Kills the server of the registry once rows are read."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.is_done = False

    def read(self, files: int, rows: int, size: int) -> None:
        if not self.is_done:
            self.is_done = True
            self._server.kill()


def test_a_server_that_is_killed_during_an_export_is_a_note(runs: Path, tmp_path: Path) -> None:
    with postgres_server() as server:
        url = server.new_database()
        assert _export(url, runs, tmp_path / "before.csv").export_notes == ()
        killing = _Killing(server)
        settings = config(runs, {"path": tmp_path / "gold.parquet"}, registry={"url": url})
        report = export(settings, progress=killing)
    assert killing.is_done
    assert (report.exit_code, report.rows_read) == (0, 16)
    (note,) = report.export_notes
    assert "the registry is not up to date" in note
    assert "secret" not in note
    assert verify(str(tmp_path / "gold.parquet")).ok
    # What was missed is entered by the next rebuild, of any registry.
    with open_registry(tmp_path / "other.db") as registry:
        registry.rebuild(str(tmp_path))
        assert registry.list(type="export").total == 2


def test_without_a_registry_sqlalchemy_is_not_loaded(runs: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from pipeline.cli.main import run_cli\n"
        f"run_cli(['export', {str(runs / 'run_a')!r}, '--format', 'csv'])\n"
        "assert not {'sqlalchemy', 'alembic'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_url_that_is_too_long_is_reported_wherever_it_is_entered(
    registry_url: str, tmp_path: Path
) -> None:
    # Few characters and many bytes: an index of PostgreSQL holds no more of these.
    deep = tmp_path.joinpath(*(10 * [70 * "\N{CJK UNIFIED IDEOGRAPH-4E00}"]))
    write_runs(tmp_path / "runs", spec("run_a"))
    write_runs(deep, spec("run_b"))
    report = export(
        config(tmp_path / "runs", {"path": deep / "gold.csv"}, registry={"url": registry_url})
    )
    assert [("gold" in note, "bytes, at most 2,000" in note) for note in report.notes] == [
        (False, True)
    ]
    report = export(config(deep, {"path": tmp_path / "gold.csv"}, registry={"url": registry_url}))
    assert "bytes, at most 2,000" in report.notes[-1]
    with open_registry(registry_url) as registry:
        assert [one.type for one in registry.list(sort_by="id").artifacts].count("run") == 1
        rebuilt = registry.rebuild(str(tmp_path))
        assert sum("bytes, at most 2,000" in one for one in rebuilt.problems) == 2
        assert registry.list(type="export").total == 1
