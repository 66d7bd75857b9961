"""Calls are tried again while the store may come back, and a wrong address is soon an error."""

from __future__ import annotations

import socket

import pytest

from connectors.errors import StorageError
from connectors.storage import StorageOptions, connect
from connectors.storage.calls import retry
from connectors.storage.calls.retry import Contact, retrying


@pytest.mark.parametrize(
    ("failure", "has_answered", "tries"),
    [
        (ConnectionRefusedError(), False, 4),
        (ConnectionRefusedError(), True, 5),
        (ConnectionResetError(), False, 5),
    ],
)
def test_a_store_that_never_answered_is_given_up_sooner(
    monkeypatch: pytest.MonkeyPatch, failure: OSError, has_answered: bool, tries: int
) -> None:
    now = [0.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    monkeypatch.setattr(retry.random, "uniform", lambda _, most: most)
    contact = Contact()
    if has_answered:
        assert retrying(lambda _: "answer", contact=contact) == "answer"
    made: list[float] = []

    def fail(seconds: float) -> None:
        made.append(seconds)
        raise failure

    with pytest.raises(type(failure)):
        retrying(fail, contact=contact)
    assert len(made) == tries
    assert contact.is_made == has_answered


@pytest.mark.parametrize("protocol", ["s3", "abfs", "gs", "http"])
def test_a_wrong_address_is_soon_an_error(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meant to fail where a client does not note whether its store has answered."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # nothing listens there
        address = f"http://127.0.0.1:{port}"
        options = {
            "s3": {"endpoint_url": address, "key": "a", "secret": "b"},
            "abfs": {
                "connection_string": f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;"
                f"BlobEndpoint={address}/a;"
            },
            "gs": {"endpoint_url": address, "token": "anon"},
            "http": {},
        }[protocol]
        url = f"127.0.0.1:{port}/runs" if protocol == "http" else "runs/below"
        storage, path = connect(
            f"{protocol}://{url}", StorageOptions(protocol=protocol, options=options)
        )
        # Without a second try, but for stores that have answered.
        monkeypatch.setattr(retry, "UNREACHABLE_SECONDS", 0.0)
        monkeypatch.setattr(retry.time, "sleep", lambda _: pytest.fail("it was tried again"))
        with pytest.raises(StorageError, match="no connection"):
            storage.read(path)
