"""Repeat calls to distant stores, and bound them in time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from connectors.storage.calls.deadline import check_deadline, seconds_left
from connectors.storage.calls.failures import SYSTEM, StoreFailures

TRIES = 5
RETRY_SECONDS = 20.0
"""No further try is begun after this time."""
UNREACHABLE_SECONDS = 2.0
"""No further try is begun after this time where nothing has ever accepted a connection: a wrong
address is likelier than a server that starts again."""
CALL_SECONDS = 55.0
"""A call is given up after this time, so that its error is reported within a minute."""
SLOWEST_BYTES_PER_SECOND = 512 * 1024
"""A transfer of known size is given so much more time."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

_T = TypeVar("_T")


@dataclass
class Contact:
    """What a client knows of its store.

    Attributes:
        is_made: Whether the store has answered.
    """

    is_made: bool = False


def retrying(
    attempt: Callable[[float], _T],
    failures: StoreFailures = SYSTEM,
    *,
    contact: Contact | None = None,
    transfer_bytes: int = 0,
    seconds: float | None = None,
) -> _T:
    """Return what `attempt` returns, tried again while the failure may pass.

    Args:
        attempt: Is given the seconds it may take.
        failures: Knows which failures may pass.
        contact: Whether the store has answered before, which is noted in it; None where it has.
        transfer_bytes: How much is moved, where it is known to be much.
        seconds: What the call may take beside that; `CALL_SECONDS` if None.

    Raises:
        DeadlinePassed: The caller's deadline has passed.
        Exception: The last failure.
    """
    check_deadline()
    begun = time.monotonic()
    contact = contact or Contact(is_made=True)
    allowed = CALL_SECONDS if seconds is None else seconds
    until = begun + seconds_left(allowed + transfer_bytes / SLOWEST_BYTES_PER_SECOND)
    number = 1
    while True:
        try:
            result = attempt(until - time.monotonic())
        except Exception as failure:
            check_deadline()
            contact.is_made |= failures.status(failure) is not None
            is_likely = contact.is_made or not failures.is_unreachable(failure)
            patience = RETRY_SECONDS if is_likely else min(RETRY_SECONDS, UNREACHABLE_SECONDS)
            pause = random.uniform(0.5, 1.0) * min(  # noqa: S311 spreads load, hides nothing
                _LONGEST_PAUSE, _FIRST_PAUSE * 3 ** (number - 1)
            )
            too_late = time.monotonic() + pause > min(begun + patience, until)
            if number >= TRIES or too_late or not failures.is_transient(failure):
                raise
        else:
            contact.is_made = True
            return result
        time.sleep(pause)
        number += 1
