"""Untrusted run directories: each is refused by name, and nothing is published.

Meant to fail without the allow-list of paths (`connectors.storage.join`), without O_NOFOLLOW, and
without the bounds on points, sizes and nesting.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from pipeline.cli.main import run_cli
from pipeline.errors import FlowtimeExportError, RunError, StorageError
from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.verification import verify
from tests.exporting import config, names, spec, write_runs
from tests.exports.test_faults import FILE
from tests.reliability.hostile_runs import CASES, Case

FORMATS = ("csv", "ndjson", "parquet")
BEYOND = "outside/secret.csv"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)

# What means no harm after all is exported as if it were not there; each is looked at below.
HARMLESS_SPECS = {
    "alias bomb": BOMB.encode(),
    "python tag": b"!!python/object/apply:os.system ['touch pwned']\n",
    "deep": b"[" * 100_000,
    "deep maps": b"".join(b" " * n + b"a:\n" for n in range(3_000)),
    "merge": b"a: &a {b: 1}\n<<: *a\n",
    "not utf-8": b"\xff\xfe\x00\x01",
    "duplicate keys": b"a: 1\na: 2\n",
    "anchor of itself": b"a: &a [*a]\n",
    "many documents": b"---\n" * 10_000,
    "binary tag": b"a: !!binary aGk=\n",
}


def parameters() -> list[Any]:
    return [pytest.param(CASES[name], id=f"{n:03d}") for n, name in enumerate(CASES)]


def test_there_are_enough() -> None:
    assert len(CASES) >= 120


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", parameters())
def test_refused_with_this_message_and_nothing_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: Case, form: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / BEYOND).write_bytes(b"bin_index,value\n0,1\n1,1\n2,1\n3,1\n")
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    served = hashlib.sha256((runs / "run_a" / FILE).read_bytes()).hexdigest()
    case.harm(runs / "run_a")
    out = tmp_path / "out"
    made = {"version": 1, "source": {"url": str(runs)}}
    made["sinks"] = [{"format": form, "path": f"{out}/{form}"}]
    (tmp_path / "config.json").write_text(json.dumps(made))
    code = run_cli(["run", str(tmp_path / "config.json"), "--json"])
    stdout, stderr = capsys.readouterr()
    says = case.says.replace("{served}", served)
    if case.left_out:  # it waits for the run to be whole; see docs/operations.md
        report = json.loads(stdout)
        assert (code, report["runs"]) == (0, 0)
        assert [one["reason"] for one in report["left_out"]] == [says]
    else:
        assert (code, stderr) == (1, f"ERROR run {runs}/run_a: {says}\n")
        assert json.loads(stdout)["status"] == "failed"
        assert stderr.removesuffix("\n").isprintable()
    assert not out.exists() or names(out) == []


@pytest.mark.parametrize(
    "series", ["CON@A@DEFAULT", "nul@A@B", "-rf@A@B", ".hidden@A@B", "..a@A@B", "LPT1@COM1@AUX"]
)
def test_odd_ids_do_no_harm(tmp_path: Path, series: str) -> None:
    """Names that mean something to some system are names like others to this one."""
    runs = write_runs(tmp_path / "runs", spec("run_a", series))
    for form in FORMATS:
        path = tmp_path / f"e.{form}"
        export(config(runs, {"path": path}))
        assert verify(str(path), str(runs)).ok
        import_export([str(path)], str(tmp_path / form))
        back = tmp_path / form / "run_a" / "series" / f"{series}.csv"
        assert back.read_bytes() == (runs / "run_a" / "series" / f"{series}.csv").read_bytes()


@pytest.mark.parametrize(
    "run_id", ["-rf", ".hidden", "CON", "a b", "é\U0001f600", "a'b\"c", "$HOME", "{x}", "*"]
)
def test_odd_run_ids_stay_below_the_target(tmp_path: Path, run_id: str) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a", run_id=run_id))
    out = tmp_path / "out"
    export(config(runs, {"path": f"{out}/{{run_id}}.csv"}))
    assert names(out) == sorted([f"{run_id}.csv", f"{run_id}.datapackage.json"])
    assert verify(f"{out}/{run_id}.csv", str(runs)).ok


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", HARMLESS_SPECS.values(), ids=HARMLESS_SPECS)
def test_a_spec_that_is_no_spec_harms_nothing(tmp_path: Path, text: bytes, form: str) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    (runs / "run_a" / "spec.yaml").write_bytes(text)
    out = tmp_path / f"e.{form}"
    try:
        report = export(config(runs, {"path": out}))
    except FlowtimeExportError as error:
        assert f"{runs}/run_a" in str(error)
        assert not out.exists()
    else:
        assert report.rows_read == 12
        assert any("spec.yaml" in note or "origin" in note for note in report.notes)
    assert not Path("pwned").exists()


EVIL = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "a\nb: forged", "a\r\n# forged: 1", "# x", "\u2028# x",
    'x", "forged": "1', "x\x00y", "<img src=x onerror=alert(1)>", "\u202e", "${HOME}", "{run_id}",
]  # fmt: skip


@pytest.mark.parametrize("title", EVIL)
def test_metadata_forges_no_line(tmp_path: Path, title: str) -> None:
    """Titles, sources and warnings come back as they are, or the run is refused."""
    made = spec("run_a", title=title, warnings=[title], extra={"source": title})
    runs = write_runs(tmp_path / "runs", made)
    out = tmp_path / "out"
    metadata = {"columns": ["run_id", "template_title", "model_title", "source"]}
    sinks = [
        {"path": out / f"e.{form}", **({"escape_formulas": True} if form == "csv" else {})}
        for form in FORMATS
    ]
    try:
        export(config(runs, *sinks, metadata=metadata))
    except RunError:
        assert not out.exists()
        return
    text = (out / "e.csv").read_bytes().decode()
    head = list(itertools.takewhile(lambda line: line.startswith("#"), text.split("\n")))
    keys = list(yaml.safe_load("\n".join(line.removeprefix("# ") for line in head)))
    assert "forged" not in keys
    frames = [
        pl.read_parquet(out / "e.parquet"),
        pl.read_ndjson(out / "e.ndjson"),
    ]
    assert frames[0]["source"].to_list() == frames[1]["source"].to_list()
    assert frames[0].height == frames[1].height == 12
    cells = pl.read_csv(out / "e.csv", comment_prefix="#", infer_schema=False)
    assert cells.height == 12
    for cell in cells["source"].drop_nulls().to_list():
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell
    json.loads((out / "e.datapackage.json").read_text())


def test_names_that_are_no_text_are_named(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    os.rename(runs / "run_a", os.fsencode(runs) + b"/run_\xff")
    report = export(config(runs, {"path": tmp_path / "e.csv"}))
    assert report.runs == 0
    assert len(report.left_out) <= 1


def test_deep_folders_end_nothing(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    folders = [os.open(runs, os.O_RDONLY)]
    for _ in range(800):
        os.mkdir("d", dir_fd=folders[-1])
        folders.append(os.open("d", os.O_RDONLY, dir_fd=folders[-1]))
    out = tmp_path / "out" / "e.csv"
    try:
        assert export(config(runs, {"path": out})).runs == 1
    except FlowtimeExportError as error:
        assert str(runs) in str(error)[:500]
        assert not out.exists()
    finally:
        # What removes temporary folders goes down by recursion, and would not come back.
        for folder in reversed(folders):
            if folder != folders[-1]:
                os.rmdir("d", dir_fd=folder)
            os.close(folder)


@pytest.mark.parametrize("linked", ["gold", "gold/export.csv", "gold/export.datapackage.json"])
def test_an_export_into_a_run_does_not_follow_its_links(tmp_path: Path, linked: str) -> None:
    """Fails without `Storage.refuse_links`: the file appears where the link points to."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = runs / "run_a" / linked
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(elsewhere if linked == "gold" else elsewhere / "file")
    settings = config(runs, {"path": "{run_url}/gold/export.csv"})
    with pytest.raises(StorageError, match="is a link"):
        export(settings)
    assert names(elsewhere) == []
