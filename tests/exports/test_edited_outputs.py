"""Exported files that were edited are written again, whatever their size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.exports.run import export
from tests.exporting import config, spec, write_runs


@pytest.mark.parametrize(
    "sink", [{"path": "e.csv"}, {"path": "{run_id}.parquet"}, {"path": "set", "format": "ndjson"}]
)
def test_an_edit_of_equal_size_is_written_over(tmp_path: Path, sink: dict[str, Any]) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    settings = config(runs, {**sink, "path": f"{tmp_path}/out/{sink['path']}"})
    export(settings)
    (file,) = (
        path
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and "datapackage" not in path.name
    )
    data = file.read_bytes()
    assert statuses(settings) == ["unchanged"]
    os.utime(file)  # newer than its descriptor, and the same
    assert statuses(settings) == ["unchanged"]
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert statuses(settings) == ["exported"]
    assert file.read_bytes() == data
    assert statuses(settings) == ["unchanged"]


def statuses(settings: Any) -> list[str]:
    return [target.status for target in export(settings).targets]
