"""Azure and Google failing as S3 does in `test_store_faults`: the same promises hold.

Meant to fail with the SDK's own tries left on (the count of requests), and without the outer
deadline (`silence` hangs).
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.errors import StorageError
from connectors.storage import connect
from connectors.storage.azure import client as azure_client
from connectors.storage.calls import retry
from connectors.storage.google import upload as google_upload
from tests.reliability.failing_store import FAULTS, Faults, Request, before
from tests.reliability.test_store_faults import (
    ACTS,
    BOUND_SECONDS,
    CALL_SECONDS,
    CONTENT,
    COUNTS,
    LARGE,
    PASSING,
    check_stored,
    commit,
)
from tests.servers import AzureServer, GoogleServer, serve_google_uploads

# What the one or the other has no request for, and faults that have no body to harm.
_NOT_OF = {
    "azure": {"create upload", "list uploads"},
    "google": {"complete upload", "list uploads"},
}
_SENSELESS = {"bit flip", "error in 200"}
CELLS = [
    (store, *cell)
    for store, missing in _NOT_OF.items()
    for cell in itertools.product(FAULTS, ACTS, COUNTS)
    if cell[0] not in _SENSELESS
    and cell[1] not in missing
    and (cell[0], cell[1]) not in {("truncated", "head"), ("truncated", "delete")}
    # fake-gcs-server completes an upload when asked how much of it it has; see below.
    and (store, cell[1]) != ("google", "upload part")
]
IN_CI = set(random.Random(7).sample(CELLS, 40))


Proxied = tuple[Any, Any, Faults]
"""A server, the same behind a proxy, and what the proxy does."""


@pytest.fixture(scope="module")
def azure(azure_server: AzureServer) -> Iterator[Proxied]:
    with before(azure_server) as (far, faults):
        yield azure_server, far, faults


@pytest.fixture(scope="module")
def google(google_server: GoogleServer) -> Iterator[Proxied]:
    with before(google_server) as (far, faults):
        yield google_server, far, faults


@pytest.fixture(scope="module")
def resumable() -> Iterator[Proxied]:
    """Another emulator, which minds the offsets of resumable uploads, and no conditions."""
    with serve_google_uploads() as server, before(server) as (far, faults):
        yield server, far, faults


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The times of the policy, shortened by the same factor."""
    monkeypatch.setattr(retry, "CALL_SECONDS", CALL_SECONDS)
    monkeypatch.setattr(retry, "RETRY_SECONDS", CALL_SECONDS)
    monkeypatch.setattr(retry, "SLOWEST_BYTES_PER_SECOND", 100 * 1024 * 1024)
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.005)
    for module in (azure_client, google_upload):
        monkeypatch.setattr(module, "PART_BYTES", 4 * 1024 * 1024)


def cells() -> list[Any]:
    return [
        pytest.param(*cell, id="-".join(cell), marks=() if cell in IN_CI else pytest.mark.slow)
        for cell in CELLS
    ]


@pytest.mark.parametrize(("store", "fault", "act", "count"), cells())
@pytest.mark.usefixtures("quick")
def test_right_bytes_or_a_typed_error(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    store: str,
    fault: str,
    act: str,
    count: str,
) -> None:
    server, far, faults = request.getfixturevalue(store)
    faults.clear()
    passes = fault in PASSING and count != "for ever"
    if passes:
        # The next try will do, however busy this machine is.
        monkeypatch.setattr(retry, "CALL_SECONDS", BOUND_SECONDS)
        monkeypatch.setattr(retry, "RETRY_SECONDS", BOUND_SECONDS)
    options = server.options()
    folder = f"{options.protocol}://{server.bucket}/{CELLS.index((store, fault, act, count))}"
    direct, root = connect(folder, options)
    commit(direct, f"{root}/old", CONTENT)
    storage, _ = connect(folder, far.options())
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
    assert requests, "the fault met no request"
    calls = {"upload part": 2, "get range": 3, "bulk get": 2}.get(act, 1)
    # aiohttp sends what may be sent twice again, once, where a connection ends without an answer.
    twice = 2 if fault in {"reset", "closed", "lost answer", "truncated"} else 1
    assert requests <= retry.TRIES * calls * twice, "tries multiply"
    if failure is not None:
        assert storage.url(root) in str(failure)
        assert server.secret not in str(failure)
    faults.clear()
    check_stored(direct, root, act, done=failure is None)


# The first part is left alone: the emulator refuses what it has already, which aiohttp may send
# again and the true store ignores, and it names a byte of an upload that it has nothing of.
@pytest.mark.parametrize("fault", ["500", "503", "reset", "lost answer"])
@pytest.mark.usefixtures("quick")
def test_a_resumable_upload_goes_on_where_the_store_is(resumable: Proxied, fault: str) -> None:
    """Meant to fail where a part is sent again without a question: the store has it already."""
    server, far, faults = resumable
    storage, root = connect(f"gs://{server.bucket}/{fault}", far.options())
    faults.clear()
    parts = itertools.count()

    def plan(request: Request) -> None:
        if request.operation == "upload part" and next(parts) == 1:
            faults.plan("upload part", fault, 1)

    faults.hook = plan
    commit(storage, f"{root}/new", LARGE)
    faults.clear()
    assert storage.read(f"{root}/new") == LARGE
    assert next(parts) > 2
