"""What a killed exporter leaves is recognised and removed; nothing else is.

Meant to fail without `bury` (uploads stay), with an `abort_uploads` that goes by the prefix alone
(another's upload goes), and without `abandoned_folders` (staging folders stay).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.errors import StorageError
from connectors.storage import claimed, connect, scratch_folder
from connectors.storage.staging import folders as staging
from connectors.storage.staging.names import host_mark
from pipeline.cli.main import run_cli
from pipeline.exports.run import export
from tests.exporting import config, dead_process, descriptor, names, spec, write_runs
from tests.servers import S3Server

DIES_WHILE_UPLOADING = """
import os, sys
from connectors.storage import StorageOptions, claimed, connect
options = StorageOptions(options=dict(zip(("endpoint_url", "key", "secret"), sys.argv[2:])))
storage, folder = connect(sys.argv[1], options)
target = storage.stage(f"{folder}/big.bin").target
with claimed(storage, folder, uploads=["big.bin"]):
    upload = storage._client.of(target, "create_multipart_upload")["UploadId"]
    storage._client.of(target, "upload_part", UploadId=upload, PartNumber=1, Body=b"x")
    os.kill(os.getpid(), 9)
"""


def uploads(server: S3Server) -> list[str]:
    return [
        item["Key"]
        for item in server.client().list_multipart_uploads(Bucket=server.bucket).get("Uploads", ())
    ]


@pytest.fixture
def killed(rclone_s3: S3Server, tmp_path: Path, temporary: Path) -> str:
    """A folder in which an exporter was killed in the midst of an upload."""
    folder = f"s3://{rclone_s3.bucket}/{tmp_path.name}"
    access = [rclone_s3.endpoint_url, rclone_s3.key, rclone_s3.secret]
    subprocess.run([sys.executable, "-c", DIES_WHILE_UPLOADING, folder, *access], check=False)
    assert uploads(rclone_s3).count(f"{tmp_path.name}/big.bin") == 1
    assert len(list(temporary.glob("flowtime-export-*"))) == 1
    for foreign in ("big.bin2", "else.bin"):
        key = f"{tmp_path.name}/{foreign}"
        rclone_s3.client().create_multipart_upload(Bucket=rclone_s3.bucket, Key=key)
    return folder


def check_clean(server: S3Server, folder: str, temporary: Path) -> None:
    own = [key for key in uploads(server) if key.startswith(f"{temporary.parent.name}/")]
    assert own == [f"{temporary.parent.name}/{name}" for name in ("big.bin2", "else.bin")]
    assert not list(temporary.glob("flowtime-export-*"))
    storage, path = connect(folder, server.options())
    assert storage.marks(path, ".flowtime") == []


def test_clean_gives_up_the_uploads_of_the_dead(
    rclone_s3: S3Server, killed: str, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "endpoint_url": rclone_s3.endpoint_url,
        "key": rclone_s3.key,
        "secret": rclone_s3.secret,
    }
    given = [f"--storage-option={key}={value}" for key, value in options.items()]
    assert run_cli(["clean", killed, *given]) == 0
    assert f"{killed}/big.bin" in capsys.readouterr().out
    check_clean(rclone_s3, killed, temporary)


@pytest.mark.parametrize("store", ["rclone_s3", "moto_s3"])
def test_uploads_of_others_are_reported_and_aborted_when_asked(
    store: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server: S3Server = request.getfixturevalue(store)
    for key in ("gold/a.bin", "gold/b/c.bin", "gold2/d.bin", "gold.bin"):
        name = f"{tmp_path.name}/{key}"
        server.client().create_multipart_upload(Bucket=server.bucket, Key=name)
    folder = f"s3://{server.bucket}/{tmp_path.name}"
    options = server.options().options
    given = [f"--storage-option={key}={value}" for key, value in options.items()]

    def report(*arguments: str) -> list[list[str]]:
        assert run_cli(["clean", f"{folder}/gold", "--json", *arguments, *given]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["removed"] == []
        return [
            [one["url"] for one in found[f"{kind}Uploads"]] for kind in ("aborted", "unfinished")
        ]

    below = [f"{folder}/gold/a.bin", f"{folder}/gold/b/c.bin"]
    assert report() == [[], below]
    assert run_cli(["clean", f"{folder}/gold", *given]) == 0
    assert "2 unfinished uploads, the oldest begun 20" in capsys.readouterr().err
    assert run_cli(["clean", folder, "--abort-uploads", "soon", *given]) == 2
    capsys.readouterr()
    time.sleep(1.1)  # rclone gives whole seconds
    assert report("--abort-uploads", "1s") == [below, []]
    left = [key for key in uploads(server) if key.startswith(f"{tmp_path.name}/")]
    assert sorted(left) == [f"{tmp_path.name}/gold.bin", f"{tmp_path.name}/gold2/d.bin"]
    storage, path = connect(folder, server.options())
    for upload in storage.unfinished_uploads(path):
        storage.abort_upload(upload)
        storage.abort_upload(upload)
    assert storage.unfinished_uploads(path) == []


def test_the_next_exporter_gives_up_the_uploads_of_the_dead(
    rclone_s3: S3Server, killed: str, temporary: Path
) -> None:
    storage, path = connect(killed, rclone_s3.options())
    with claimed(storage, path):
        pass
    storage._swept = False  # type: ignore[attr-defined]
    storage.sweep(path)
    check_clean(rclone_s3, killed, temporary)


def test_an_upload_begun_before_the_claim_is_somebody_elses(
    rclone_s3: S3Server, tmp_path: Path
) -> None:
    storage, path = connect(f"s3://{rclone_s3.bucket}/{tmp_path.name}/x", rclone_s3.options())
    key = f"{tmp_path.name}/x"
    rclone_s3.client().create_multipart_upload(Bucket=rclone_s3.bucket, Key=key)
    assert storage.abort_uploads([path], time.time() + 60) == []
    assert uploads(rclone_s3).count(key) == 1
    assert storage.abort_uploads([path], time.time() - 60) == [f"s3://{path}"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"uploads": ["../x", 3]}', b"\xff", b'{"a":'])
def test_a_claim_that_says_nothing_is_removed(
    rclone_s3: S3Server, tmp_path: Path, content: bytes
) -> None:
    storage, path = connect(f"s3://{rclone_s3.bucket}/{tmp_path.name}", rclone_s3.options())
    dead = f"{path}/.flowtime-export-claim-.{host_mark()}-{dead_process()}-01234567"
    storage.mark(f"{dead}.flowtime-export.part", content)
    storage.mark(f"{path}/.flowtime-export-claim-notes", b"not ours by its name")
    removed = storage.remove_leftovers(path)
    assert len([one for one in removed if tmp_path.name in one]) == 1
    assert [mark.path.rpartition("-")[2] for mark in storage.marks(path, ".")] == ["notes"]


def test_only_staging_folders_of_the_dead_are_removed(
    rclone_s3: S3Server, tmp_path: Path, temporary: Path
) -> None:
    here = host_mark()
    kept = [
        f"flowtime-export-{here}-{os.getpid()}-abcdefgh",
        f"flowtime-export-deadbeef-{dead_process()}-abcdefgh",
        "flowtime-export-notes",
        f"flowtime-export-{here}-{dead_process()}-abcdefgh.d",
    ]
    gone = f"flowtime-export-{here}-{dead_process()}-abcdefgh"
    for name in (*kept, gone):
        (temporary / name).mkdir()
        (temporary / name / "staged").write_bytes(b"x")
    link = temporary / f"flowtime-export-{here}-{dead_process()}-ijklmnop"
    link.symlink_to(tmp_path)
    storage, path = connect(f"s3://{rclone_s3.bucket}/{tmp_path.name}", rclone_s3.options())
    storage._swept = False  # type: ignore[attr-defined]
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    lake = {"protocol": "s3", **rclone_s3.options().options}
    export(config(runs, {"path": f"s3://{path}/e.csv", "storage": "lake"}, storage={"lake": lake}))
    assert sorted(one.name for one in temporary.iterdir()) == sorted([*kept, link.name])


DIES_WHILE_IMPORTING = """
import os, sys
from pipeline.imports.telemetry.table import Reading
from pipeline.cli.main import main
Reading.names = lambda self: os.kill(os.getpid(), 9)
main(["import", sys.argv[1], "--out", sys.argv[2]])
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [f"2025-01-01T00:{minute:02d}:00Z,A,arrivals,{minute}" for minute in range(0, 60, 5)]
    file = tmp_path / "table.csv"
    file.write_text("\n".join(("time_bin,component_id,measure,value", *rows, "")))
    return file


@pytest.mark.parametrize("remedy", ["clean", "import"])
def test_what_a_killed_import_leaves_in_the_temporary_directory(
    tmp_path: Path, temporary: Path, table: Path, remedy: str
) -> None:
    out = tmp_path / "runs"
    command = [sys.executable, "-c", DIES_WHILE_IMPORTING, str(table), str(out)]
    assert subprocess.run(command, check=False).returncode == -9
    assert len(list(temporary.iterdir())) == 1
    if remedy == "clean":
        out.mkdir()
        assert run_cli(["clean", str(out)]) == 0
    else:
        assert run_cli(["import", str(table), "--out", str(out)]) == 0
    assert list(temporary.iterdir()) == []


def test_an_interrupted_import_leaves_nothing(tmp_path: Path, temporary: Path, table: Path) -> None:
    """A second signal ends the process at once: what it works on is removed all the same."""
    code = (
        "import os, signal, sys, time\n"
        "from pipeline.imports.telemetry.table import Reading\n"
        "from pipeline.cli.main import main\n"
        "def names(self):\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "    finally: os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "Reading.names = names\n"
        "main(['import', sys.argv[1], '--out', sys.argv[2]])\n"
    )
    command = [sys.executable, "-c", code, str(table), str(tmp_path / "runs")]
    assert subprocess.run(command, timeout=60, check=False).returncode == 143
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("inner", ["gold/late", "gold/late/measure=x", "gold/measure=served/lot=x"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_data_set_below_another_is_left_alone(tmp_path: Path, inner: str, form: str) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    outer = {"format": form, "path": tmp_path / "gold", "partition_by": ["measure"]}
    below = {"format": form, "path": tmp_path / inner}
    first, second = ({"metadata": {"constants": {"lot": lot}}} for lot in ("one", "two"))
    export(config(runs, below, **first))
    for sinks, more in (
        ([outer], first), ([outer], second), ([below], second), ([outer, below], first),
        ([below, outer], second), ([outer], second),
    ):  # fmt: skip
        # What each replaces is removed, and no more.
        export(config(runs, *sinks, **more), full_refresh=True)
        parts = [name for name in names(tmp_path / "gold") if name.endswith(f".{form}")]
        assert len(parts) == 2 + 1
        descriptor(tmp_path / "gold" / "_datapackage.json")
        descriptor(tmp_path / inner / "_datapackage.json")


def test_a_data_set_below_another_is_left_alone_before_its_descriptor_is_written(
    tmp_path: Path,
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "gold-csv" / "late"}))
    (tmp_path / "gold-csv" / "late" / "_datapackage.json").unlink()
    (part,) = names(tmp_path / "gold-csv" / "late")
    export(config(runs, {"path": tmp_path / "gold-csv", "partition_by": ["measure"]}))
    assert names(tmp_path / "gold-csv" / "late") == [part]


def test_a_trial_of_a_store_over_a_full_temporary_directory(
    rclone_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, path = connect(f"s3://{rclone_s3.bucket}/{tmp_path.name}", rclone_s3.options())
    monkeypatch.setattr(storage._staging, "make", lambda: Path("/dev/full"))  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match="no space is left"):
        storage.check_write(path)


@pytest.mark.parametrize("verb", ["sweep", "leftovers", "scratch"])
def test_without_a_temporary_directory(
    rclone_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    storage, path = connect(f"s3://{rclone_s3.bucket}/{tmp_path.name}", rclone_s3.options())
    storage._swept = False  # type: ignore[attr-defined]
    staging._sweep.cache_clear()
    acts: dict[str, Callable[[], object]] = {
        "sweep": lambda: storage.sweep(path),
        "leftovers": lambda: storage.remove_leftovers(path),
        "scratch": lambda: scratch_folder().__enter__(),
    }
    with pytest.raises(StorageError, match="TMPDIR"):
        acts[verb]()


def test_a_signal_inside_stage_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meant to fail with a file that is noted after it was made."""
    from connectors import storage as storages

    place, path = connect(str(tmp_path / "e.csv"))
    real = os.close

    def interrupted(file: int) -> None:
        real(file)
        raise KeyboardInterrupt

    monkeypatch.setattr("connectors.storage.disk.local.os.close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place.stage(path)
    monkeypatch.undo()
    assert len(names(tmp_path)) == 1
    storages.discard_all()
    assert names(tmp_path) == []
