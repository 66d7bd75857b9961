"""Tables of both formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lake_tables.lakes import LAKES, Lake


@pytest.fixture(params=LAKES)
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return LAKES[request.param](tmp_path / "gold")
