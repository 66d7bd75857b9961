"""Files that a worker has sent, which the store itself copies to their names."""

from __future__ import annotations

import http.server
import json
import re
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.errors import StorageError
from connectors.storage import StagedFile, Storage, StorageOptions, connect, join
from connectors.storage.contract import FileInfo
from connectors.storage.objects.client import ObjectClient
from connectors.storage.remote import RemoteStorage
from tests.reliability.failing_store import Request, before
from tests.servers import AzureServer, serve_requests
from tests.stores import SERVERS, put

CONTENT = bytes(range(256)) * 40


@pytest.fixture(params=SERVERS.values())
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def place(server: Any) -> tuple[Storage, str]:
    """A storage, and a path in it that no other test uses."""
    options = server.options()
    return connect(f"{options.protocol}://{server.bucket}/{uuid.uuid4().hex}", options)


def handed_over(storage: Storage, root: str) -> tuple[str, StagedFile, FileInfo]:
    path = join(root, "a b/p%q#.parquet")
    staged = storage.stage(path)
    staged.local.write_bytes(CONTENT)
    handed = storage.hand_over(staged, root)
    assert handed.handed_over is not None
    return path, handed, handed.handed_over


def test_the_store_copies_over_what_was_there(
    place: tuple[Storage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, root = place
    path, staged, hidden = handed_over(storage, root)
    put(storage, path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(RemoteStorage, "blocks", None)  # The bytes would come through here by these.
        patch.setattr(type(storage), "_publish", None)
        storage.commit(staged)
    assert storage.read(path) == CONTENT
    assert storage.info(hidden.path) is None


def test_a_file_that_is_gone_is_no_content(place: tuple[Storage, str]) -> None:
    storage, root = place
    path, staged, hidden = handed_over(storage, root)
    put(storage, path, b"old")
    storage.delete(hidden.path)
    with pytest.raises(StorageError, match=r"removed or replaced there: run the export again"):
        storage.commit(staged)
    assert storage.read(path) == b"old"


def test_the_version_to_copy_is_a_condition(server: Any) -> None:
    asked: list[str] = []

    def look(request: Request) -> None:
        if request.operation == "copy":
            condition = re.search("ifSourceGenerationMatch=([^&]+)", request.path)
            names = ("x-amz-copy-source-if-match", "x-ms-source-if-match")
            given = [request.headers[name] for name in names if name in request.headers]
            asked.append(condition[1] if condition else given[0].strip('"'))

    with before(server) as (far, faults):
        faults.hook = look
        options = far.options()
        storage, root = connect(f"{options.protocol}://{far.bucket}/{uuid.uuid4().hex}", options)
        _, staged, hidden = handed_over(storage, root)
        storage.commit(staged)
    assert asked == [hidden.version]


@pytest.mark.parametrize("server", ["azure_server"], indirect=True)
def test_a_file_that_was_replaced_is_not_copied(place: tuple[Storage, str]) -> None:
    """By a condition of the store, which the servers of the others ignore."""
    storage, root = place
    path, staged, hidden = handed_over(storage, root)
    put(storage, path, b"old")
    put(storage, hidden.path, bytes(len(CONTENT)))
    with pytest.raises(StorageError, match=r"writing .*removed or replaced there"):
        storage.commit(staged)
    assert storage.read(path) == b"old"


@pytest.mark.parametrize("why", ["refused", "too large"])
def test_what_the_store_does_not_copy_comes_through_here(
    place: tuple[Storage, str], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    storage, root = place
    path, staged, hidden = handed_over(storage, root)
    client: ObjectClient = storage._client  # type: ignore[attr-defined]
    copies: list[str] = []

    def refused(file: FileInfo, path: str) -> None:
        copies.append(path)
        raise PermissionError

    monkeypatch.setattr(client, "copy", refused)
    if why == "too large":
        monkeypatch.setattr(type(client), "most_copied_bytes", len(CONTENT) - 1)
    storage.commit(staged)
    assert copies == ([path] if why == "refused" else [])
    assert storage.read(path) == CONTENT
    assert storage.info(hidden.path) is None


def test_a_failure_of_no_known_kind_is_not_passed_over(
    place: tuple[Storage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, root = place
    path, staged, _ = handed_over(storage, root)

    def broken(file: FileInfo, path: str) -> None:
        raise TypeError("an argument too many")

    monkeypatch.setattr(storage._client, "copy", broken)  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match=r"writing .* failed: TypeError: an argument too many"):
        storage.commit(staged)
    assert storage.info(path) is None


# --------------------------------------------------------------------------- Azure


@pytest.mark.parametrize("given", ["key", "SAS token"])
def test_azure_is_given_a_url_that_it_may_read(azure_server: AzureServer, given: str) -> None:
    """Azurite does not look whether it may, so that the URL is tried here; Azure does."""
    sources: list[str] = []

    def look(request: Request) -> None:
        if request.operation == "copy":
            sources.append(request.headers["x-ms-copy-source"])

    with before(azure_server) as (far, faults):
        faults.hook = look
        options = far.options() if given == "key" else with_signature(far)
        storage, root = connect(f"abfs://{far.bucket}/{uuid.uuid4().hex}", options)
        path, staged, hidden = handed_over(storage, root)
        storage.commit(staged)
        assert storage.read(path) == CONTENT
        put(storage, hidden.path, b"read by its URL")
        (source,) = sources
        assert urllib.request.urlopen(source, timeout=10).read() == b"read by its URL"
    if given == "key":
        assert parse_qs(urlsplit(source).query)["sp"] == ["r"], "it gives the right to read alone"


def with_signature(server: AzureServer) -> StorageOptions:
    """The options of an account of which the key is not known."""
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    signature = generate_account_sas(
        server.key,
        server.secret,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    endpoint = f"BlobEndpoint={server.endpoint_url}/{server.key}"
    return StorageOptions(
        "test", "abfs", {"connection_string": f"{endpoint};SharedAccessSignature={signature}"}
    )


def test_azure_is_shown_the_token_of_an_identity(
    azure_server: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azurite knows identities over TLS only: the request is looked at before it is sent."""
    storage, root = connect(f"abfs://{azure_server.bucket}/x", azure_server.options())
    sent: dict[str, Any] = {}

    class Identity:
        async def get_token(self, *scopes: str) -> Any:
            return SimpleNamespace(token=f"token for {scopes[0]}")

    class Blob:
        credential = Identity()
        url = "https://acme.blob.core.windows.net/lake/hidden"

        async def start_copy_from_url(self, url: str, **wanted: Any) -> None:
            sent.update(wanted, url=url)

    client: Any = storage._client  # type: ignore[attr-defined]
    monkeypatch.setattr(type(client), "_blob", lambda *_: Blob())
    client.copy(FileInfo(f"{root}/hidden", 1, "0x1"), f"{root}/a")
    assert sent["url"] == Blob.url
    assert sent["source_authorization"] == "Bearer token for https://storage.azure.com/.default"
    assert sent["source_etag"] == '"0x1"'


# --------------------------------------------------------------------------- Google


def test_google_is_asked_until_it_has_copied_all() -> None:
    """Between locations, the store answers before it is done, and is asked again."""
    asked: list[dict[str, list[str]]] = []

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query))
            done = len(asked) == 3
            answer = {"done": done, **({} if done else {"rewriteToken": f"t{len(asked)}"})}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    with serve_requests(Slow) as url:
        storage, root = connect(
            "gs://lake/x", StorageOptions("test", "gs", {"endpoint_url": url, "token": "anon"})
        )
        client: ObjectClient = storage._client  # type: ignore[attr-defined]
        client.copy(FileInfo(f"{root}/a", 10, "7"), f"{root}/b")
    assert [one.get("rewriteToken") for one in asked] == [None, ["t1"], ["t2"]]
    assert all(one["ifSourceGenerationMatch"] == ["7"] for one in asked)
