"""Untrusted exports and descriptors: each is refused with its message, or does no harm.

Meant to fail without the checks of descriptors, and where a file is removed because a descriptor
names it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import run_cli
from pipeline.errors import IntegrityError
from pipeline.exports.run import export
from pipeline.imports import ImportOptions, import_export
from pipeline.verification import verify
from tests.exporting import config, names, snapshot, spec, write_runs
from tests.reliability.hostile_exports import DAMAGED, FORGED, Change

FORMATS = ("csv", "ndjson", "parquet")
NAME = "e.datapackage.json"


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small export in each format."""
    folder = tmp_path_factory.mktemp("exports")
    runs = write_runs(folder / "runs", spec("run_a"))
    for form in FORMATS:
        export(config(runs, {"path": folder / form / f"e.{form}"}))
    return {form: folder / form for form in FORMATS}


def forged(exports: dict[str, Path], tmp_path: Path, form: str, change: Change) -> Path:
    """A copy of an export whose descriptor says something else."""
    folder = tmp_path / form
    shutil.copytree(exports[form], folder)
    found = json.loads((folder / NAME).read_text())
    change(found)
    (folder / NAME).write_text(json.dumps(found))
    return folder


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("change", "says"), FORGED, ids=[str(one) for one, _ in FORGED])
def test_a_forged_descriptor_is_refused(
    exports: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Change,
    says: str,
    form: str,
) -> None:
    folder = forged(exports, tmp_path, form, change)
    expected = f"ERROR {folder}/{NAME}: {says.replace('{form}', form)}\n"
    for command in (["verify", str(folder)], ["import", str(folder), "--out", f"{tmp_path}/back"]):
        assert run_cli(command) == 1
        assert capsys.readouterr().err == expected
    assert not (tmp_path / "back").exists()
    assert names(tmp_path) == sorted([f"{form}/{NAME}", f"{form}/e.{form}"])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("path", ["mine.txt", "e.txt", ".hidden", "sub/mine.txt"])
def test_a_forged_descriptor_has_no_file_of_others_removed(
    tmp_path: Path, path: str, form: str
) -> None:
    """An export removes what it replaces, but of the names that it gives itself."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    out = tmp_path / "out"
    for target in (out / f"e.{form}", out / f"set_{form}"):
        export(config(runs, {"path": target}))
        folder = target if target.is_dir() else out
        (place,) = folder.glob("*datapackage.json")
        mine = folder / path
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("of somebody else")
        found = json.loads(place.read_text())
        forgery = {**found["resources"][0], "path": path, "name": "x"}
        found["resources"].append(forgery)
        place.write_text(json.dumps(found))
        write_runs(tmp_path / "runs", spec("run_a", values=(7.0, 8.0, 9.0, 10.0)))
        export(config(runs, {"path": target}, source={"on_error": "fail"}), full_refresh=True)
        assert mine.read_text() == "of somebody else"
        shutil.rmtree(out)
        write_runs(tmp_path / "runs", spec("run_a"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("change", "says"), DAMAGED.values(), ids=DAMAGED)
def test_an_export_over_a_damaged_descriptor_writes_nothing(
    exports: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Change,
    says: str,
    form: str,
) -> None:
    """Fails where it is found out only after the data files have been replaced."""
    folder = forged(exports, tmp_path, form, change)
    before = snapshot(folder)
    runs = write_runs(tmp_path / "runs", spec("run_b"))
    made = {"version": 1, "source": {"url": str(runs)}}
    made["sinks"] = [{"format": form, "path": f"{folder}/e.{form}"}]
    (tmp_path / "config.json").write_text(json.dumps(made))
    assert run_cli(["run", str(tmp_path / "config.json")]) == 1
    assert capsys.readouterr().err == (
        f"ERROR {folder}/{NAME}: {says}: the descriptor was changed after it was written: "
        "restore it, or export again with --full-refresh, which replaces it\n"
    )
    assert snapshot(folder) == before


@pytest.mark.parametrize("micros", [-(2**63) + 1, -70_000_000_000_000_000, 2**62, 2**63 - 1])
@pytest.mark.parametrize("foreign", [False, True])
def test_times_beyond_the_calendar_are_reported(
    exports: dict[str, Path], tmp_path: Path, micros: int, foreign: bool
) -> None:
    """Polars ends with a panic where such a time is made one of Python's."""
    table = pq.read_table(exports["parquet"] / "e.parquet")
    column = pa.array([micros] * table.num_rows, pa.timestamp("us", "UTC"))
    forgery = table.set_column(0, table.schema.field(0), pa.chunked_array([column]))
    path = tmp_path / "e.parquet"
    pq.write_table(forgery, path)
    if not foreign:
        metadata = pq.read_metadata(exports["parquet"] / "e.parquet").metadata
        pq.write_table(forgery.replace_schema_metadata(metadata), path)
    options = ImportOptions(as_telemetry=foreign, dry_run=True)
    with pytest.raises(IntegrityError, match=r"time_bin.*[0-9]+ s (before|after) 1970"):
        import_export([str(path)], str(tmp_path / "back"), options)
    if not foreign:
        assert "1970" in str(verify(str(path)))
