"""A sink behind the reading: order, bounded lead, and failures that surface."""

from __future__ import annotations

import threading
from typing import Any, cast

import polars as pl
import pytest

from pipeline.errors import SinkError
from pipeline.writing.router import SinkOutput
from pipeline.writing.sink_thread import SinkThread

BATCHES = [pl.DataFrame({"place": [place]}) for place in range(8)]


class Output:
    """A sink's output that records its calls and their thread."""

    def __init__(self, failing: int | None = None) -> None:
        self.calls: list[object] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self._failing = failing

    def write(self, batch: pl.DataFrame) -> None:
        self.gate.wait(10)
        self.threads.add(threading.get_ident())
        place = batch["place"][0]
        if place == self._failing:
            raise SinkError("the disk is full")
        self.calls.append(place)

    def finish(self) -> None:
        self.calls.append("finish")

    def discard(self) -> None:
        self.calls.append("discard")


def sink_thread(output: Output) -> SinkThread:
    return SinkThread(cast(SinkOutput, cast(Any, output)))


def test_batches_are_written_in_order_on_one_other_thread() -> None:
    output = Output()
    output.gate.set()
    behind = sink_thread(output)
    for batch in BATCHES:
        behind.write(batch)
    behind.end()
    behind.wait()
    assert output.calls == [*range(8), "finish"]
    assert len(output.threads) == 1
    assert threading.get_ident() not in output.threads


def test_a_slow_sink_holds_the_reading_back() -> None:
    output = Output()
    behind = sink_thread(output)
    given: list[int] = []

    def read() -> None:
        for place, batch in enumerate(BATCHES):
            behind.write(batch)
            given.append(place)

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.3)
    held_back = len(given)
    output.gate.set()
    reader.join(10)
    behind.end()
    behind.wait()
    assert held_back == 2
    assert len(given) == len(BATCHES)


@pytest.mark.parametrize("failing", [0, 5, 7])
def test_a_failure_surfaces_and_nothing_is_written_after_it(failing: int) -> None:
    output = Output(failing)
    output.gate.set()
    behind = sink_thread(output)

    def all_of_it() -> None:
        for batch in BATCHES:
            behind.write(batch)
        behind.end()
        behind.wait()

    with pytest.raises(SinkError, match="disk is full"):
        all_of_it()
    behind.discard()
    assert output.calls == [*range(failing), "discard"]


def test_what_waits_is_dropped_on_discard() -> None:
    output = Output()
    behind = sink_thread(output)
    behind.write(BATCHES[0])
    behind.write(BATCHES[1])
    output.gate.set()
    behind.discard()
    assert output.calls[-1] == "discard"
    assert "finish" not in output.calls
