"""Large local files reach the disk while they grow, and leave most of the page cache alone."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.storage import connect
from connectors.storage.disk import steady_file
from connectors.storage.disk.steady_file import SteadyFile
from pipeline.errors import SinkError
from pipeline.exports.run import export
from tests.exporting import config, names, spec, write_runs

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux is asked to write early"
)

MEGABYTE = 1_000_000


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady_file, "_WINDOW_BYTES", 2 * MEGABYTE)
    monkeypatch.setattr(steady_file, "_CACHED_BYTES", 8 * MEGABYTE)


def cached_bytes(path: Path) -> int:
    """What `fincore` of util-linux finds of a file in the page cache."""
    shown = subprocess.run(
        ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(shown.stdout)


@pytest.mark.usefixtures("small_windows")
def test_every_byte_is_there_and_most_of_the_cache_is_free(tmp_path: Path) -> None:
    path = tmp_path / "file"
    expected = hashlib.sha256()
    file = SteadyFile(path)
    chance = random.Random(1)
    for _ in range(40):
        piece = chance.randbytes(MEGABYTE)
        expected.update(piece)
        assert file.write(memoryview(piece)) == len(piece)
    file.close()
    held = cached_bytes(path)
    assert hashlib.sha256(path.read_bytes()).digest() == expected.digest()
    # The last window may have been written after the last look; tmpfs cannot do without.
    assert held <= 12 * MEGABYTE or path_is_in_memory(path)


def path_is_in_memory(path: Path) -> bool:
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(path)], capture_output=True, text=True
    )
    return kind.stdout.strip() == "tmpfs"


def test_a_small_file_is_neither_flushed_early_nor_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("flushed")

    monkeypatch.setattr(os, "fdatasync", refuse)
    monkeypatch.setattr(os, "posix_fadvise", refuse)
    file = SteadyFile(tmp_path / "file")
    file.write(b"bytes")
    file.flush()
    assert (tmp_path / "file").read_bytes() == b"bytes"
    file.close()


@pytest.mark.usefixtures("small_windows")
def test_what_the_disk_refuses_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)
    file = SteadyFile(tmp_path / "file")
    file.write(bytes(3 * MEGABYTE))
    with pytest.raises(OSError, match="Input/output"):
        file.write(bytes(3 * MEGABYTE))
    file.close()
    last = SteadyFile(tmp_path / "last")
    last.write(bytes(3 * MEGABYTE))
    with pytest.raises(OSError, match="Input/output"):
        last.close()


def test_staged_files_are_written_through_it(tmp_path: Path) -> None:
    storage, path = connect(str(tmp_path / "out.csv"))
    staged = storage.stage(path)
    with_file = storage.open(staged)
    assert isinstance(with_file, SteadyFile)
    with_file.write(b"a,b\n")
    with_file.close()
    storage.commit(staged)
    assert Path(path).read_bytes() == b"a,b\n"


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_an_export_that_the_disk_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(steady_file, "_WINDOW_BYTES", 100)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    runs = write_runs(tmp_path / "runs", spec("run_1"))
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(SinkError, match="could not be written: Input/output error"):
        export(config(runs, {"path": tmp_path / f"out/all.{suffix}"}))
    assert names(tmp_path / "out") == []
    monkeypatch.undo()
    export(config(runs, {"path": tmp_path / f"out/all.{suffix}"}))
    assert f"all.{suffix}" in names(tmp_path / "out")
