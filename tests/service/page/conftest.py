"""A service over a few runs, and a browser that shows its page."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.exporting import spec, write_runs
from tests.service.page.browsing import CHROMIUM, opened
from tests.service.serving import Server, serving

LONG = [float(n % 97) for n in range(2000)]
MINUTES_OF_A_YEAR = 525_600


def year_of_minutes() -> list[float]:
    """Return values of a year by the minute, with a peak, a drop and a gap."""
    random = Random(7)
    values = [
        round(200 + 150 * math.sin(n / 1440 * math.tau) + random.uniform(-40, 40), 2)
        for n in range(MINUTES_OF_A_YEAR)
    ]
    values[200_000], values[200_777], values[201_000] = 950.5, -77.25, math.nan
    return values


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_runs(
        tmp_path_factory.mktemp("page") / "runs",
        spec("run_a", created="2025-01-02T03:04:05Z", warnings=["queue full"], title="Checkout"),
        spec("run_b", created="2025-01-03T03:04:05Z", title="<img src=x onerror=alert(1)>"),
        spec("run_long", "arrivals@A@DEFAULT", values=LONG, created="2025-01-01T03:04:05Z"),
        spec("run_turned", title="A \u202e title", created="2024-12-01T00:00:00Z"),
        spec(
            "run_units",
            "arrivals@A@DEFAULT",
            "utilization@A@DEFAULT",
            "queue_depth@A@DEFAULT",
            "latency_minutes@B@DEFAULT",
            created="2024-12-02T00:00:00Z",
        ),
        spec("run_broken"),
        spec("run_young"),
        *(
            spec(f"many_{n:02}", created=f"2024-06-{n + 1:02}T00:00:00Z", title=f"Case {n}")
            for n in range(28)
        ),
    )
    index = folder / "run_units/series/index.json"
    described = json.loads(index.read_text())
    for one, unit in zip(described["series"], ("jobs", "share", "jobs", "min"), strict=True):
        one["unit"] = unit
    index.write_text(json.dumps(described))
    (folder / "run_broken/series/index.json").write_text("{")
    (folder / "run_young/manifest.json").rename(folder / "run_young.manifest")
    return folder


@pytest.fixture(scope="session")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ["--rate", "10000", "--burst", "10000", "--refresh", "1"]
    options += ["--set", "streams_per_client=200"]
    with serving(runs, tmp_path_factory.mktemp("state"), *options) as found:
        yield found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=shutil.which(CHROMIUM), args=["--no-sandbox"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    yield from opened(browser, server)
