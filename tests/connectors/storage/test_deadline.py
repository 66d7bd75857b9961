"""Deadlines bound the calls of their own context, in all of its threads, and no others."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.storage import connect
from connectors.storage.calls.deadline import (
    ContextPool,
    Deadline,
    DeadlinePassed,
    check_deadline,
    current_deadline,
    each_within,
    seconds_left,
    within,
)
from connectors.storage.calls.retry import retrying

PASSED = Deadline(-1)


def test_a_deadline_holds_in_its_context_alone() -> None:
    seen: list[object] = []
    with within(PASSED):
        thread = threading.Thread(target=lambda: seen.append(current_deadline()))
        thread.start()
        thread.join()
        with pytest.raises(DeadlinePassed):
            check_deadline()
        with within(None):
            check_deadline()
        with ContextPool(1) as pool, pytest.raises(DeadlinePassed):
            pool.submit(check_deadline).result()
    assert seen == [None]
    assert current_deadline() is None
    with ContextPool(1) as pool:
        assert list(pool.map(lambda x: x + 1, [1, 2])) == [2, 3]


def test_seconds_left() -> None:
    assert (seconds_left(), seconds_left(5)) == (math.inf, 5)
    with within(PASSED):
        assert (seconds_left(), seconds_left(5)) == (0.0, 0.0)
    with within(Deadline(3)):
        assert 2 < seconds_left() <= 3
        assert seconds_left(1) == 1


def test_items_are_made_under_the_deadline_of_their_caller() -> None:
    def numbers() -> Iterator[int]:
        for number in range(3):
            check_deadline()
            yield number

    deadline = Deadline(60)
    items = each_within(deadline, numbers())
    assert next(items) == 0
    assert current_deadline() is None
    deadline._until = 0
    with pytest.raises(DeadlinePassed):
        next(items)


def test_no_try_is_begun_or_waited_for_after_the_deadline() -> None:
    given: list[float] = []

    def silent(seconds: float) -> None:
        given.append(seconds)
        time.sleep(seconds)
        raise TimeoutError

    began = time.monotonic()
    with within(Deadline(0.3)), pytest.raises(DeadlinePassed):
        retrying(silent)
    assert time.monotonic() - began < 5
    assert len(given) == 1
    assert given[0] <= 0.3
    with within(PASSED), pytest.raises(DeadlinePassed):
        retrying(silent)
    assert len(given) == 1


def test_every_call_to_the_disk_looks_at_the_deadline(tmp_path: Path) -> None:
    storage, root = connect(str(tmp_path))
    (tmp_path / "file").write_bytes(b"0123")
    path = f"{root}/file"
    calls = {
        "walk": lambda: list(storage.walk(root)),
        "read": lambda: storage.read(path),
        "read_many": lambda: storage.read_many([path]),
        "blocks": lambda: list(storage.blocks(path, 2)),
        "info": lambda: storage.info(path),
        "stage": lambda: storage.stage(f"{root}/new"),
    }
    for name, call in calls.items():
        assert call(), name
        with within(PASSED), pytest.raises(DeadlinePassed):
            call()
    storage.discard_all()
    with within(PASSED):
        storage.delete(path)
    assert list(tmp_path.iterdir()) == []
