"""A service over small runs, shared by the tests that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.exporting import spec, write_runs
from tests.service.serving import Server, serving

AWKWARD_ID = 'a "b" €; c'


def write_some_runs(folder: Path) -> Path:
    write_runs(
        folder,
        spec("run_a", created="2025-01-02T03:04:05Z", warnings=["queue full"]),
        spec("run_b", created="2025-01-03T03:04:05Z", title="Second model"),
        spec("run_c", created="2025-01-01T03:04:05Z", values=(float("nan"), 1.0, float("inf"))),
        spec("twin_1", run_id="twin", created="2024-12-01T00:00:00Z"),
        spec("twin_2", run_id="twin", created="2024-12-02T00:00:00Z"),
        spec("odd", run_id=AWKWARD_ID, created="2024-11-01T00:00:00Z"),
        spec("run_broken"),
        spec("run_young"),
        spec("run_liar"),
    )
    (folder / "run_broken/series/index.json").write_text("{")
    (folder / "run_young/manifest.json").unlink()
    series = next((folder / "run_liar/series").glob("*.csv"))
    series.write_text(series.read_text().replace(".5", ".6"))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_some_runs(tmp_path_factory.mktemp("served") / "runs")


@pytest.fixture(scope="module")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ["--rate", "10000", "--burst", "10000"]
    with serving(runs, tmp_path_factory.mktemp("state"), *options) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip fuzzing for minutes unless it is selected by -m slow."""
    for item in items:
        if "slow" in config.option.markexpr or not item.get_closest_marker("slow"):
            continue
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="takes minutes: run with -m slow"))
