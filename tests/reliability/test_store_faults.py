"""A store that fails: right bytes or a typed error in time, and no more tries than promised.

Meant to fail without `retrying` (passing faults become errors), with s3fs' own tries left on (the
count of requests), without the outer deadline (`silence` hangs), and with an upload whose error
in a 200 is taken for success.
"""

from __future__ import annotations

import itertools
import random
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import StorageError
from connectors.storage import connect
from connectors.storage.calls import retry
from connectors.storage.s3 import options as s3_options
from connectors.storage.s3 import storage as s3_storage
from connectors.storage.s3 import upload as s3_upload
from pipeline.errors import FlowtimeExportError
from pipeline.execution import processes
from pipeline.exports.run import export
from tests.exporting import config, spec, write_runs
from tests.reliability.failing_store import FAULTS, Faults, before
from tests.reliability.fault_cells import (
    ACTS,
    CALL_SECONDS,
    CONTENT,
    COUNTS,
    FOR_EVER,
    LARGE,
    Act,
    marked,
    run_cell,
    shorten_times,
)
from tests.servers import S3Server
from tests.stores import put


@pytest.fixture(scope="module")
def proxied(moto_s3: S3Server) -> Iterator[tuple[S3Server, Faults]]:
    with before(moto_s3) as made:
        yield made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times of the policy, shortened by the same factor."""
    shorten_times(monkeypatch)
    monkeypatch.setattr(s3_upload, "PART_BYTES", 5 * 1024 * 1024)
    monkeypatch.setattr(s3_upload, "GIVING_UP_SECONDS", CALL_SECONDS / 10)


# They are answered by 200 before they are done, and may fail afterwards.
ANSWERED_EARLY = ("complete upload", "copy", "list", "list uploads")
# What has no body to be harmed, and GETs whose bytes nothing but a hash could judge (below).
SENSELESS = {
    *(("bit flip", act) for act in ("head", "get", "bulk get", "get range", "delete")),
    *(("bit flip", act) for act in ("list", "list uploads", "create upload")),
    *(("error in 200", act) for act in ACTS if act not in ANSWERED_EARLY),
    *(("truncated", act) for act in ("head", "delete")),
}
CELLS = [
    cell for cell in itertools.product(FAULTS, ACTS, COUNTS) if (cell[0], cell[1]) not in SENSELESS
]
IN_CI = set(random.Random(5).sample(CELLS, 60))


@pytest.mark.parametrize(("fault", "act", "count"), marked(CELLS, IN_CI))
@pytest.mark.usefixtures("quick")
def test_right_bytes_or_a_typed_error(
    proxied: tuple[S3Server, Faults],
    moto_s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    act: str,
    count: str,
) -> None:
    server, faults = proxied
    url = f"s3://{server.bucket}/{tmp_path.name}"
    storage, _ = connect(url, server.options())
    if act == "bulk get":
        storage._bulk._stores.clear()  # type: ignore[attr-defined]
    run_cell(url, moto_s3, server, faults, (fault, act, count), monkeypatch)


@pytest.mark.usefixtures("quick")
def test_a_store_that_joins_parts_slowly_is_waited_for(
    proxied: tuple[S3Server, Faults], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meant to fail where a silence ends the wait for a store that is still at it."""
    server, faults = proxied
    faults.clear()
    monkeypatch.setattr(s3_upload, "JOINED_BYTES_PER_SECOND", 1024 * 1024)
    monkeypatch.setattr(s3_options, "SILENCE_SECONDS", 1.0)
    made = s3_storage.open_storage("s3", dict(server.options().options), [])
    root = f"{server.bucket}/{tmp_path.name}"

    def slow(request: Any) -> None:
        if request.operation == "complete upload":
            time.sleep(2 * CALL_SECONDS)

    faults.hook = slow
    put(made, f"{root}/new", LARGE)
    assert made.read(f"{root}/new") == LARGE


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["upload part", "complete upload", "all others"])
def test_a_silent_store_is_an_error_within_a_minute(
    proxied: tuple[S3Server, Faults], moto_s3: S3Server, tmp_path: Path, operation: str
) -> None:
    """With the times as they are set for users; all calls wait at once."""
    from concurrent.futures import ThreadPoolExecutor

    server, faults = proxied
    faults.clear()
    direct, root = connect(f"s3://{server.bucket}/{tmp_path.name}", moto_s3.options())
    put(direct, f"{root}/old", CONTENT)
    storage, _ = connect(f"s3://{root}", server.options())
    storage.info(f"{root}/old")  # so that it is connected
    acts = {act: work for act, (kind, work) in ACTS.items() if kind == operation}
    for act, (kind, work) in ACTS.items():
        if operation == "all others" and kind not in ("upload part", "complete upload"):
            faults.plan(kind, "silence", FOR_EVER)
            acts[act] = work

    def seconds_of(work: Act) -> float:
        began = time.monotonic()
        with pytest.raises(StorageError, match="in time"):
            work(storage, root)
        return time.monotonic() - began

    if operation != "all others":
        faults.plan(operation, "silence", FOR_EVER)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(acts)) as pool:
        patch.setattr(s3_upload, "PART_BYTES", 5 * 1024 * 1024)
        taken = dict(zip(acts, pool.map(seconds_of, acts.values()), strict=True))
    # A transfer is given the time that its bytes take at the slowest.
    slowest = 4 * len(LARGE) / retry.SLOWEST_BYTES_PER_SECOND
    assert all(t < 60 + slowest * (act == "upload part") for act, t in taken.items()), taken


# --------------------------------------------------------------------------- whole exports


@pytest.fixture
def settings(proxied: tuple[S3Server, Faults], tmp_path: Path) -> Any:
    server, faults = proxied
    faults.clear()
    lake = {"protocol": "s3", **server.options().options}
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    root = f"s3://{server.bucket}/{tmp_path.name}"
    return config(
        runs,
        {"path": f"{root}/e.csv", "storage": "lake"},
        {"path": f"{root}/gold-parquet", "storage": "lake", "partition_by": ["measure"]},
        storage={"lake": lake},
    )


@pytest.mark.usefixtures("quick")
def test_a_flipped_bit_of_a_series_is_found(
    proxied: tuple[S3Server, Faults], moto_s3: S3Server, tmp_path: Path
) -> None:
    """By its sha256; once is read again, for ever is an error."""
    server, faults = proxied
    faults.clear()
    direct, root = connect(f"s3://{server.bucket}/{tmp_path.name}/runs", moto_s3.options())
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    for file in (path for path in runs.rglob("*") if path.is_file()):
        put(direct, f"{root}/{file.relative_to(runs).as_posix()}", file.read_bytes())
    lake = {"protocol": "s3", **server.options().options}
    made = config(
        f"s3://{root}",
        {"path": tmp_path / "e.csv"},
        storage={"lake": lake},
        source={"storage": "lake"},
    )
    from connectors.flowtime.scan import scanner as scanning

    real = scanning._checked_size
    flips = [1]

    def flip(file: Any) -> int:
        faults.plan("get", "bit flip", flips[0])
        return real(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_checked_size", flip)
        flips[0] = FOR_EVER
        with pytest.raises(FlowtimeExportError):
            export(made)
        assert not (tmp_path / "e.csv").exists()
    faults.clear()
    patched: list[bool] = []

    def flip_once(file: Any) -> int:
        if not patched:
            patched.append(True)
            faults.plan("get", "bit flip", 1)
        return real(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_checked_size", flip_once)
        assert export(made).rows_read == 12


@pytest.mark.usefixtures("quick")
def test_a_winner_whose_answer_was_lost_knows_that_it_won(
    proxied: tuple[S3Server, Faults], settings: Any
) -> None:
    """Meant to fail without `_holds`: the second try is refused by the first one's object."""
    _, faults = proxied
    lost = {"left": 0}

    def lose(request: Any) -> None:
        if request.operation == "put" and request.path.endswith("datapackage.json"):
            lost["left"] += 1
            if lost["left"] % 2:
                faults.plan("put", "lost answer", 1)

    faults.hook = lose
    report = export(settings)
    assert [target.status for target in report.targets] == ["exported", "exported"]
    assert lost["left"] == 4
    assert [target.status for target in export(settings).targets] == ["unchanged", "unchanged"]


def random_faults(seed: int, rate: float) -> Callable[[], str | None]:
    chance = random.Random(seed)
    kinds = ("500", "503 SlowDown", "429", "reset", "closed", "lost answer")

    def draw() -> str | None:
        return chance.choice(kinds) if chance.random() < rate else None

    return draw


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times that users have, as twenty writers may keep this machine busy; short pauses."""
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.005)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("engine", "writers", "count", "form", "path"),
    [("local", 20, 200, "csv", "{}/e.csv"), ("processes", 2, 4, "parquet", "{}/set/")],
)
def test_runs_over_a_store_that_fails_one_time_in_ten(
    proxied: tuple[S3Server, Faults],
    moto_s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    engine: str,
    writers: int,
    count: int,
    form: str,
    path: str,
    tried: Callable[[int], None],
) -> None:
    """Twenty writers, 200 runs: each is committed once, whole, or reported failed.

    With worker processes, which send their files through the same failures, there are fewer.
    """
    from concurrent.futures import ThreadPoolExecutor

    from tests.reliability.test_exporters import check_whole

    server, faults = proxied
    monkeypatch.setattr(processes, "FEWEST_BYTES", 1)
    runs = write_runs(tmp_path / "runs", *(spec(f"run_{n:03d}") for n in range(count)))
    lake = {"protocol": "s3", **server.options().options}
    for repeat in range(times):
        faults.clear()
        faults.chance = random_faults(zlib.crc32(f"{repeat}".encode()), 0.1)
        root = f"s3://{server.bucket}/{tmp_path.name}/{repeat}"

        def one(number: int, root: str = root) -> str:
            name = f"run_{number:03d}"
            sink = {"path": f"{root}/{path.format(name)}", "format": form, "storage": "lake"}
            try:
                export(
                    config(
                        runs / name,
                        sink,
                        name=name,
                        storage={"lake": lake},
                        metadata={"constants": {"writer": name}},
                        execution={"engine": engine, "workers": 2},
                    )
                )
            except FlowtimeExportError as failure:
                return str(failure)
            return ""

        with ThreadPoolExecutor(writers) as pool:
            errors = list(pool.map(one, range(count)))
        assert faults.requests["copy"] > 0 or engine == "local"
        faults.clear()
        direct, base = connect(root, moto_s3.options())
        assert len([error for error in errors if error]) <= count // 20, sorted(set(errors))
        for number, error in enumerate(errors):
            if not error:
                name = f"run_{number:03d}"
                folder = path.format(name).rpartition("/")[0]
                check_whole(direct, f"{base}/{folder}", name)
        tried(count)
