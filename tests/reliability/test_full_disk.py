"""An exporter whose disk is full, or fails, at a chosen call: as if it had not begun, or done.

Meant to fail where errors of the threads that write are dropped (a torn file), and without staging.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.storage import connect
from tests.exporting import names
from tests.reliability.killing import Victims, tries
from tests.reliability.stage import Stage, converges
from tests.reliability.test_kills import traced

FAULTS = {"local": 4, "processes": 1}
"""In CI, for each format, state and error."""


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_at_each_call(
    victims: Victims,
    stage: Stage,
    tmp_path: Path,
    times: int,
    error: str,
    tried: Callable[[int], None],
) -> None:
    """Once, as a disk that stumbles, and from then on, as one that is full."""
    storage, _ = connect(str(tmp_path))
    out = tmp_path / "out"
    made = stage.settings(str(out))
    trace = traced(victims, stage, out)
    points = [
        (one, more)
        for one in trace.instants
        if one.call in ("write", "fsync", "rename", "mkdir")
        for more in ("", "+")
    ]
    assert {one.call for one, _ in points} >= {"write", "fsync", "rename"}
    ends: Counter[bool] = Counter()
    wanted = FAULTS[stage.engine] * times
    for instant, more in tries(points, wanted, stage.offset + 7 * (error == "EIO")):
        if ends[False] == wanted:
            break
        stage.fresh(out)
        rule = f"{instant.rule(f'error={error}')}{more}"
        result = victims.start(made).run_traced(tmp_path / "log", rule, like=trace)
        check_result(result, tmp_path, rule)
        ends[result.startswith("exported")] += 1
        converges(storage, str(out), stage)
    assert ends[False] >= 0.8 * wanted, ends
    tried(ends[False])


def check_result(result: str, folder: Path, where: str) -> None:
    assert result.startswith(("exported,exported", "SinkError", "StorageError")), (where, result)
    if not result.startswith("exported"):
        assert str(folder) in result, "the message says where"
        left = [name for name in names(folder / "out") if ".flowtime-export" in name]
        assert left == [], (where, result)


def test_a_disk_that_is_full_at_some_byte(
    victims: Victims, stage: Stage, tmp_path: Path, times: int, tried: Callable[[int], None]
) -> None:
    storage, _ = connect(str(tmp_path))
    out = tmp_path / "out"
    made = stage.settings(str(out))
    step = max(1, stage.largest() // (1 + times))
    # Where nothing at all can be written, worker processes do not even start.
    for most in range(0 if stage.engine == "local" else step, stage.largest(), step):
        stage.fresh(out)
        result = victims.start(made, most).run()
        check_result(result, tmp_path, f"{most} bytes")
        assert not result.startswith("exported")
        converges(storage, str(out), stage)
        tried(1)
