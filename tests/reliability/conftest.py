"""How much of each bar is tried: a little in CI, all of it by a flag; and how much it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.reliability.stage")


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """What `--times` says: how often a test repeats what CI does once."""
    return int(request.config.getoption("--times"))


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Tells the summary how many tries a test made."""
    return lambda number: record_property("tries", number)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tries by test, for docs/reliability.md."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == "tries":
                counts[report.nodeid.partition("[")[0].rpartition("::")[2]] += value
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"{count:6d} tries  {name}")
