"""Azure and Google failing as S3 does in `test_store_faults`: the same promises hold.

Meant to fail with the SDK's own tries left on (the count of requests), and without the outer
deadline (`silence` hangs).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.storage import connect
from connectors.storage.azure import client as azure_client
from connectors.storage.google import upload as google_upload
from tests.reliability.failing_store import FAULTS, Faults, Request, before
from tests.reliability.fault_cells import (
    ACTS,
    COUNTS,
    LARGE,
    marked,
    run_cell,
    shorten_times,
)
from tests.servers import AzureServer, GoogleServer, serve_google_uploads
from tests.stores import put

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
    shorten_times(monkeypatch)
    for module in (azure_client, google_upload):
        monkeypatch.setattr(module, "PART_BYTES", 4 * 1024 * 1024)


@pytest.mark.parametrize(("store", "fault", "act", "count"), marked(CELLS, IN_CI))
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
    cell = (fault, act, count)
    folder = f"{server.options().protocol}://{server.bucket}/{CELLS.index((store, *cell))}"
    requests = run_cell(folder, server, far, faults, cell, monkeypatch)
    assert requests, "the fault met no request"


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
    put(storage, f"{root}/new", LARGE)
    faults.clear()
    assert storage.read(f"{root}/new") == LARGE
    assert next(parts) > 2
