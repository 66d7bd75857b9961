"""An exporter, or one of its workers, that dies at a chosen instant of its commit.

Afterwards the old export or the new one is whole, as DuckDB reads the folder, pyarrow the files and
frictionless the descriptor's own list; the next export finishes the work; nothing of the dead is
left.

Meant to fail without staging (a sink that writes its target: torn files), with the descriptor
before the data files (it names files that are not there), without the unique names of a data
set's files (an old descriptor over new files) and without `bury` (claims and uploads are left).
"""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.storage import connect
from connectors.storage.contract import Storage
from tests.reliability.failing_store import Faults, before
from tests.reliability.killing import (
    Trace,
    Victims,
    children_of,
    is_killed,
    threads_in,
    tries,
    wait_until_gone,
)
from tests.reliability.stage import STAGES, Stage, converges
from tests.servers import S3Server, serve_moto

KILLS_AT_CALLS = {"local": 9, "processes": 2}
KILLS_AT_REQUESTS = {"local": 5, "processes": 1}
"""In one part, by format and state, and before and after requests; 114 in all by one process."""


def traced(victims: Victims, stage: Stage, out: Path) -> Trace:
    """An undisturbed export."""
    victim = victims.start(stage.settings(str(stage.fresh(out))))
    log = out.with_name("log")
    assert victim.run_traced(log) == "exported,exported"
    return Trace.read(log, victim.pid, out)


@pytest.mark.usefixtures("strace")
def test_kill_at_each_call(
    victims: Victims,
    stage: Stage,
    tmp_path: Path,
    times: int,
    part: int,
    tried: Callable[[int], None],
) -> None:
    storage, _ = connect(str(tmp_path))
    out = tmp_path / "out"
    made = stage.settings(str(out))
    trace = traced(victims, stage, out)
    assert {one.call for one in trace.instants} >= {"openat", "write", "fsync", "rename"}
    ends: Counter[str] = Counter()
    wanted = KILLS_AT_CALLS[stage.engine] * times
    for instant in tries(trace.instants, wanted, stage.offset + part):
        if killed(ends) == wanted:
            break
        stage.fresh(out)
        rule = instant.rule("signal=KILL")
        ends[victims.start(made).run_traced(tmp_path / "log", rule, like=trace)] += 1
        wait_until_gone(threads_in(tmp_path / "log"))
        converges(storage, str(out), stage)
    check_ends(ends, wanted)
    tried(killed(ends))


def killed(ends: Counter[str]) -> int:
    """How often an exporter has died, or has reported that a worker has."""
    return sum(count for result, count in ends.items() if is_killed(result))


def check_ends(ends: Counter[str], wanted: int) -> None:
    assert all(is_killed(one) or one == "exported,exported" for one in ends), ends
    assert killed(ends) >= 0.8 * wanted, ends


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("stage", STAGES, indirect=True)
def test_bytes_are_on_the_disk_before_their_name(
    victims: Victims, stage: Stage, tmp_path: Path
) -> None:
    """Each file before its rename, its folder after it; meant to fail without either fsync."""
    victim = victims.start(stage.settings(str(tmp_path / "out")))
    assert victim.run_traced(tmp_path / "log") == "exported,exported"
    lines = (tmp_path / "log").read_text().splitlines()
    renames = 0
    for place, line in enumerate(lines):
        if not (found := re.search(r'rename\w*\(.*?"([^"]+)".*?"([^"]+)"', line)):
            continue
        renames += 1
        synced = f"<{found[1]}>)"
        assert any("fsync(" in one and synced in one for one in lines[:place]), line
        folder = f"<{found[2].rpartition('/')[0]}>)"
        assert any("fsync(" in one and folder in one for one in lines[place:]), line
    assert renames >= 5


# --------------------------------------------------------------------------- S3


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    """A moto that takes small parts, so that small files are sent in parts as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_UPLOAD_PART_MIN_SIZE", "1")
        with serve_moto() as server:
            yield server


@pytest.fixture(scope="module")
def proxied(store: S3Server) -> Iterator[tuple[S3Server, Faults]]:
    with before(store) as made:
        yield made


@pytest.fixture(scope="module")
def client(store: S3Server) -> Any:
    return store.client()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_at_each_request(
    victims: Victims,
    proxied: tuple[S3Server, Faults],
    client: Any,
    stage: Stage,
    tmp_path: Path,
    times: int,
    part: int,
    moment: str,
    tried: Callable[[int], None],
) -> None:
    """Killed before the store hears of the nth request, or after it has answered it.

    With worker processes, which send their files themselves, one of these and the exporter in turn.
    """
    server, faults = proxied
    lake = {"protocol": "s3", **server.options().options}
    # Two parts for each of the larger files, one put for descriptors.
    part_bytes = max(stage.largest() // 2 + 1, 9_000)

    def run(root: str, kill_at: int) -> str:
        faults.clear()
        victim = victims.start(
            stage.settings(root, lake), part_bytes=part_bytes, handed_over_bytes=1
        )
        counts = itertools.count(1)
        workers: list[int] = []

        def kill(_: Any) -> None:
            if next(counts) == kill_at:
                workers.extend(children_of(victim.pid))
                os.kill(workers[0] if workers and kill_at % 2 else victim.pid, signal.SIGKILL)
                raise ConnectionError("its exporter is dead")

        faults.hook = kill if kill_at and moment == "before" else None
        faults.answered = kill if kill_at and moment == "after" else None
        result = victim.run()
        wait_until_gone(workers)
        faults.wait_until_idle()
        return result

    ends: Counter[str] = Counter()
    numbers = itertools.count()

    def place() -> tuple[Storage, str, str]:
        root = f"s3://{server.bucket}/{tmp_path.name}/{next(numbers)}"
        storage, path = connect(root, server.options())
        stage.fill(storage, path)
        return storage, path, root

    _, _, root = place()
    assert run(root, 0) == "exported,exported"
    assert faults.requests["complete upload"] >= 1 or stage.engine == "processes"
    assert faults.requests["copy"] >= 1 or stage.engine == "local"
    last = faults.requests.total()
    wanted = KILLS_AT_REQUESTS[stage.engine] * times
    for number in tries(range(1, last + 1), wanted, stage.offset + part):
        if killed(ends) == wanted:
            break
        storage, path, root = place()
        ends[run(root, number)] += 1
        faults.clear()
        converges(storage, path, stage, lake)
        assert unfinished_uploads(client, server, path.partition("/")[2]) == []
    # It happens that a run needs a request less than the one that was counted.
    check_ends(ends, wanted)
    tried(killed(ends))


def unfinished_uploads(client: Any, server: S3Server, prefix: str) -> list[str]:
    found = client.list_multipart_uploads(Bucket=server.bucket, Prefix=prefix)
    return [item["Key"] for item in found.get("Uploads", ())]
