"""Reading ahead, and its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pipeline.comparison.sides.read_ahead import ReadAhead


def test_its_own_thread_can_close_it() -> None:
    begun, ended = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def items() -> Iterator[int]:
        begun.wait(10)
        try:
            ahead.close()  # as the garbage collector does, at any line
        except BaseException as error:
            failures.append(error)
        ended.set()
        yield 1

    ahead = ReadAhead(items())
    begun.set()
    assert ended.wait(10)
    assert failures == []
    ahead.close()
