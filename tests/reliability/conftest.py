"""How much of each bar is tried: a little in CI, all of it by a flag."""

from __future__ import annotations

import pytest


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """What `--times` says: how often a test repeats what CI does once."""
    return int(request.config.getoption("--times"))
