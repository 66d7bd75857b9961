"""How much of each bar is tried: a little in CI, all of it by a flag; and how much it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.storage.staging import folders as staging
from pipeline.planning import plan as planning
from tests.reliability.killing import SEGMENT_ROWS, Victims
from tests.reliability.stage import IN_CI, STAGES, Stage


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """What `--times` says: how often a test repeats what CI does once."""
    return int(request.config.getoption("--times"))


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Adds to the summary how many tries a test made."""
    return lambda number: record_property("tries", number)


@pytest.fixture(scope="session")
def victims() -> Victims:
    """Processes that may be killed."""
    return Victims()


@pytest.fixture(scope="session")
def strace() -> None:
    """For tests that need it."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("strace may not trace here")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    staging._sweep.cache_clear()  # What has been done once was done elsewhere.
    return folder


_BY_WORKERS = [
    pytest.param(f"{stage}-processes", marks=() if stage == IN_CI else pytest.mark.slow)
    for stage in STAGES
]


@pytest.fixture(params=[*STAGES, *_BY_WORKERS])
def stage(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """Where an export begins, or replaces another, in each format, on both engines."""
    state, form, engine = f"{request.param}-local".split("-")[:3]
    if engine == "processes":
        monkeypatch.setattr(planning, "SEGMENT_ROWS", SEGMENT_ROWS)
    return Stage(tmp_path, form, published=state == "overwrite", engine=engine)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tries by test, for docs/reliability.md."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == "tries":
                counts[report.nodeid.partition("[")[0].rpartition("::")[2]] += value
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"{count:6d} tries  {name}")
