"""Wheel and sdist hold what the project consists of, and work where nothing else of it is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("connectors", "flowtime_export", "pipeline")
NOTEBOOK = """
import flowtime_export as fx
import polars as pl
runs, out = {runs!r}, {out!r}
totals = fx.scan(runs).group_by("run_id", "measure").agg(pl.col("value").sum()).collect()
assert totals.height > 10
report = fx.export(runs, out + "/rows.parquet")
assert report.runs == 6
assert fx.verify(out + "/rows.parquet", against=runs).ok
assert fx.__file__.startswith({site!r}), fx.__file__
"""
TYPED = """
import flowtime_export as fx

reveal_type(fx.scan("runs"))
reveal_type(fx.find_runs("runs").to_frame())
reveal_type(fx.export("runs", "out.parquet"))
reveal_type(fx.verify("out.parquet").ok)
reveal_type(fx.compare("a", "b").metrics)
reveal_type(fx.open_registry("sqlite:///r.db"))
fx.scan(url=1)
"""


def run(command: list[str], **options: object) -> str:
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, **options,  # type: ignore[call-overload]
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return str(ended.stdout)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist that is beside it."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)])
    return folder


def sources() -> set[str]:
    found = (path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_is_whole(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (entry_points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        scripts = archive.read(entry_points).decode()
    assert names == sources()
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert "flowtime-export = flowtime_export.__main__:main" in scripts


def test_the_sdist_is_whole(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() <= names
    assert {"LICENSE", "README.md", "pyproject.toml", "tests/test_packaging.py"} <= names


def test_the_installed_wheel_works(dist: Path, tmp_path: Path) -> None:
    """Beside the dependencies of this environment, but without its copy of the project."""
    (wheel,) = dist.glob("*.whl")
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run([*pip, "--target", str(site), str(wheel)])
    runs, out = str(ROOT / "samples" / "runs"), str(tmp_path)
    code = NOTEBOOK.format(runs=runs, out=out, site=str(site))
    environ = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
    run([sys.executable, "-c", code], cwd=tmp_path, env=environ)
    shown = run([sys.executable, "-m", "flowtime_export", "--version"], cwd=tmp_path, env=environ)
    assert shown.startswith("flowtime-export, version ")
    shown = run([str(site / "bin" / "flowtime-export"), "runs", runs], cwd=tmp_path, env=environ)
    assert "run_checkout_hourly" in shown


@pytest.mark.slow
def test_an_empty_environment(dist: Path, tmp_path: Path) -> None:
    """What a user gets from `pip install`: the pinned dependencies, the types, the command."""
    (wheel,) = dist.glob("*.whl")
    venv = tmp_path / "venv"
    run([sys.executable, "-m", "venv", str(venv)])
    lock = ["--constraint", str(ROOT / "requirements.lock")]
    run([str(venv / "bin" / "pip"), "install", "--quiet", *lock, str(wheel), "mypy"])
    runs = str(ROOT / "samples" / "runs")
    code = NOTEBOOK.format(runs=runs, out=str(tmp_path), site=str(venv))
    run([str(venv / "bin" / "python"), "-c", code], cwd=tmp_path)
    assert "run_checkout_hourly" in run([str(venv / "bin" / "flowtime-export"), "runs", runs])
    (tmp_path / "notebook.py").write_text(TYPED)
    checked = subprocess.run(
        [str(venv / "bin" / "mypy"), "--strict", "notebook.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    ).stdout  # fmt: skip
    for revealed in ("LazyFrame", "DataFrame", "Report", "bool", "Registry"):
        assert revealed in checked, checked
    assert 'Argument "url" to "scan" has incompatible type "int"' in checked
    assert "Found 1 error" in checked, checked
