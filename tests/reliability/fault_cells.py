"""Run one operation of a store while it fails: right bytes, or a typed error in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from connectors.errors import StorageError
from connectors.storage import Storage, connect
from connectors.storage.calls import retry
from tests.reliability.failing_store import Faults
from tests.servers import AzureServer, GoogleServer, S3Server
from tests.stores import put

FOR_EVER = 1_000_000
CALL_SECONDS = 2.0
BOUND_SECONDS = 9.0
"""Of a call that is made of up to three requests, when each may take `CALL_SECONDS`."""
CONTENT = bytes(range(256)) * 400
LARGE = b"0123456789abcdef" * 340_000  # above 5 MiB, the least that S3 takes for a part


def read_many(storage: Storage, root: str) -> None:
    for found in storage.read_many([f"{root}/old", f"{root}/old"]):
        if isinstance(found, StorageError):
            raise found
        assert found == CONTENT


def hand_over(storage: Storage, root: str) -> None:
    """Have the store copy a file that it was sent under another name."""
    staged = storage.stage(f"{root}/new")
    staged.local.write_bytes(CONTENT)
    storage.commit(storage.hand_over(staged, root))


def check(condition: bool) -> None:
    assert condition


Act = Callable[[Storage, str], None]
ACTS: dict[str, tuple[str, Act]] = {
    "list": ("list", lambda s, root: check([f.path for f in s.walk(root)] == [root])),
    "head": ("head", lambda s, root: check(s.info(f"{root}/old") is not None)),
    "get": ("get", lambda s, root: check(s.read(f"{root}/old") == CONTENT)),
    "bulk get": ("get", read_many),
    "get range": (
        "get range",
        lambda s, root: check(b"".join(s.blocks(f"{root}/old", 50_000)) == CONTENT),
    ),
    "put": ("put", lambda s, root: put(s, f"{root}/new", CONTENT)),
    "copy": ("copy", hand_over),
    "create upload": ("create upload", lambda s, root: put(s, f"{root}/new", LARGE)),
    "upload part": ("upload part", lambda s, root: put(s, f"{root}/new", LARGE)),
    "complete upload": ("complete upload", lambda s, root: put(s, f"{root}/new", LARGE)),
    "list uploads": ("list uploads", lambda s, root: check(not s.abort_uploads([root], 0.0))),
    "delete": ("delete", lambda s, root: s.delete(f"{root}/old")),
}
COUNTS = {"once": 1, "twice": 2, "for ever": FOR_EVER}
PASSING = frozenset({"500", "503 SlowDown", "503", "429", "reset", "closed", "lost answer"})


def shorten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times of the policy by the same factor."""
    monkeypatch.setattr(retry, "CALL_SECONDS", CALL_SECONDS)
    monkeypatch.setattr(retry, "RETRY_SECONDS", CALL_SECONDS)
    monkeypatch.setattr(retry, "SLOWEST_BYTES_PER_SECOND", 100 * 1024 * 1024)
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.005)


def marked(cells: Sequence[tuple[str, ...]], in_ci: Collection[tuple[str, ...]]) -> list[Any]:
    """Return cells as parameters of a test; those that the CI leaves out are marked slow."""
    return [
        pytest.param(*cell, id="-".join(cell), marks=() if cell in in_ci else pytest.mark.slow)
        for cell in cells
    ]


AnyServer = S3Server | AzureServer | GoogleServer


def run_cell(
    url: str,
    server: AnyServer,
    far: AnyServer,
    faults: Faults,
    cell: tuple[str, str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """Check one operation under one fault; return how many requests it met.

    Args:
        url: A folder that no other test uses.
        server: The store without faults.
        far: The store behind the proxy.
        faults: What the proxy does.
        cell: Fault, operation, and how often the fault occurs.
        monkeypatch: Sets the times of the policy.
    """
    fault, act, count = cell
    faults.clear()
    passes = fault in PASSING and count != "for ever"
    if passes:
        # The next try will do, however busy this machine is.
        monkeypatch.setattr(retry, "CALL_SECONDS", BOUND_SECONDS)
        monkeypatch.setattr(retry, "RETRY_SECONDS", BOUND_SECONDS)
    direct, root = connect(url, server.options())
    put(direct, f"{root}/old", CONTENT)
    storage, _ = connect(url, far.options())
    operation, work = ACTS[act]
    faults.plan(operation, fault, COUNTS[count])
    began = time.monotonic()
    failure = None
    try:
        work(storage, root)
    except StorageError as error:
        failure = error
    assert time.monotonic() - began < BOUND_SECONDS
    if passes:
        assert failure is None
    if count == "for ever" and fault in PASSING - {"lost answer"}:
        assert failure is not None, "an operation that always fails cannot have worked"
    requests = faults.requests[operation]
    calls = {"upload part": 2, "get range": 3, "bulk get": 2}.get(act, 1)
    # aiohttp sends what may be sent twice again, once, where a connection ends without an answer.
    twice = 2 if fault in {"reset", "closed", "lost answer", "truncated"} else 1
    assert requests <= retry.TRIES * calls * twice, "tries multiply"
    if failure is not None:
        assert storage.url(root) in str(failure)
        assert far.secret not in str(failure)
    faults.clear()
    check_stored(direct, root, act, done=failure is None)
    return requests


def check_stored(direct: Storage, root: str, act: str, *, done: bool) -> None:
    """What is stored is whole, as old or as new."""
    new = direct.info(f"{root}/new")
    if new is not None:
        assert direct.read(f"{root}/new") in (CONTENT, LARGE)
    if act in ("put", "copy", "create upload", "upload part", "complete upload"):
        assert not done or new is not None
    if act == "delete":
        assert not done or direct.info(f"{root}/old") is None
    else:
        assert direct.read(f"{root}/old") == CONTENT
