"""Staged files whose writers fail leave nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectors.storage import connect
from pipeline.writing.hashing_stream import HashingStream
from pipeline.writing.staged_stream import StagedStream


def test_a_file_that_cannot_be_begun_is_discarded(tmp_path: Path) -> None:
    def fails(stream: HashingStream) -> None:
        stream.write(b"# header\n")
        raise ValueError("no such column")

    storage, path = connect(str(tmp_path / "rows.csv"))
    with ThreadPoolExecutor(1) as worker:
        output = StagedStream.open(storage, path, "rows.csv", worker)
        assert list(tmp_path.iterdir())
        with pytest.raises(ValueError, match="no such column"):
            output.begin(fails)
    assert list(tmp_path.iterdir()) == []
