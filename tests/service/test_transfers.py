"""Blocks of large bodies: few at a time, and in between other requests have their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from threading import Lock

import pytest

from pipeline.service.web.transfers import Transfers

BLOCKS = 20


class Reading:
    """Counts how many threads read at a time."""

    def __init__(self, seconds: float = 0.001) -> None:
        self.seconds = seconds
        self.now = self.most = self.read = 0
        self._mutex = Lock()

    def blocks(self) -> Iterator[bytes]:
        for number in range(BLOCKS):
            with self._mutex:
                self.now += 1
                self.most = max(self.most, self.now)
            time.sleep(self.seconds)
            with self._mutex:
                self.now -= 1
                self.read += 1
            yield bytes([number])


async def received(transfers: Transfers, reading: Reading) -> bytes:
    return b"".join([block async for block in transfers.blocks(reading.blocks())])


def test_few_blocks_are_read_at_a_time() -> None:
    """However many bodies are sent, each is whole and in order."""
    reading = Reading()

    async def many() -> list[bytes]:
        transfers = Transfers(2)
        return await asyncio.gather(*(received(transfers, reading) for _ in range(10)))

    assert asyncio.run(many()) == [bytes(range(BLOCKS))] * 10
    assert reading.most == 2


def test_a_client_that_does_not_read_delays_no_other() -> None:
    async def one_waits() -> bytes:
        transfers = Transfers(1)
        slow = transfers.blocks(Reading().blocks())
        await anext(slow)  # and no more: its client does not take the block
        return await asyncio.wait_for(received(transfers, Reading()), 30)

    assert asyncio.run(one_waits()) == bytes(range(BLOCKS))


def test_reading_pauses_while_the_loop_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each block, for as long as other work has kept the loop."""
    sleep = asyncio.sleep
    pauses: list[float] = []

    async def busy(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        else:
            time.sleep(0.005)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", busy)
    assert asyncio.run(received(Transfers(1), Reading(0))) == bytes(range(BLOCKS))
    assert len(pauses) == BLOCKS + 1  # and after the end
    assert all(0.005 <= one <= 0.02 for one in pauses)
