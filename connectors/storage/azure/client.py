"""The client of Azure Blob Storage: requests by the SDK that adlfs has signed in."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.storage.blob import (
    BlobBlock,
    BlobProperties,
    BlobSasPermissions,
    generate_blob_sas,
)

from connectors.storage.azure.failures import AZURE_FAILURES
from connectors.storage.calls.event_loop import wait_for
from connectors.storage.calls.retry import Contact, retrying
from connectors.storage.contract import FileInfo
from connectors.storage.objects.client import (
    ABSENT,
    ListingPage,
    ObjectClient,
    StoredObject,
    split_key,
)

PART_BYTES = 16 * 1024 * 1024
"""Larger files are sent in blocks of at least this size."""
STORAGE_SCOPE = "https://storage.azure.com/.default"
"""What a token is asked for."""
_MOST_PARTS = 50_000
_READABLE = timedelta(hours=1)
"""How long a signature lets a blob be read that is to be copied."""
_FOLDER_MARK = "hdi_isfolder"
"""Metadata of the blobs that represent folders in accounts with hierarchical namespaces."""
_REQUEST: dict[str, Any] = {
    "retry_total": 0,  # The tries are counted in one place, by `retrying`.
    "connection_timeout": 10,
    "read_timeout": 30,
}

_T = TypeVar("_T")


class AzureClient(ObjectClient):
    """Requests by the service client of an adlfs filesystem; what fails is the SDK's own error.

    Blobs are named to the SDK, as the paths of adlfs take `?versionid=` for more than text.

    Args:
        filesystem: The `adlfs.AzureBlobFileSystem` whose service client and loop are used.
    """

    failures = AZURE_FAILURES
    most_copied_bytes = 256 * 2**20

    def __init__(self, filesystem: Any) -> None:
        self._loop = filesystem.loop
        self._service = filesystem.service_client
        self._contact = Contact()
        self.store = f"az:{self._service.primary_hostname}".lower()

    def listing(
        self, bucket: str, prefix: str, *, delimiter: bool, most: int | None = None
    ) -> Iterator[ListingPage]:
        """Yield the pages of a listing, without the blobs that represent folders."""
        container = self._service.get_container_client(bucket)
        kind = container.walk_blobs if delimiter else container.list_blobs
        wanted = {"name_starts_with": prefix or None, "include": ["metadata"], **_REQUEST}
        token: str | None = None

        async def page() -> tuple[list[Any], str | None]:
            pages = kind(results_per_page=most, **wanted).by_page(continuation_token=token)
            found = [one async for one in await anext(pages)]
            return found, pages.continuation_token

        while True:
            found, token = self._call(page)
            yield ListingPage(
                tuple(_stored(one) for one in found if _is_blob(one) and not _is_folder(one)),
                tuple(one.name for one in found if not _is_blob(one)),
            )
            if not token:
                return

    def head(self, path: str) -> FileInfo:
        """Return what is stored at a path."""
        found = self._call(lambda: self._blob(path).get_blob_properties(**_REQUEST))
        if _is_folder(found):
            raise FileNotFoundError(path)
        return FileInfo(path, int(found.size), _version(found))

    def get(
        self, path: str, start: int, end: int | None, *, version: str | None = None
    ) -> tuple[bytes, str]:
        """Return bytes of a blob with its ETag, on the condition that it is `version`."""
        wanted = dict(_REQUEST)
        if start or end is not None:
            wanted |= {"offset": start, "length": None if end is None else end - start}
        if version:
            wanted |= _condition(version)

        async def attempt() -> tuple[bytes, str]:
            stream = await self._blob(path).download_blob(**wanted)
            data = await stream.readall()
            if len(data) != stream.size:
                raise ConnectionError("the answer was cut off")
            return data, _version(stream.properties)

        return self._call(attempt, transfer_bytes=0 if end is None else end - start)

    def put(self, path: str, body: bytes, *, expected: str | None = None) -> None:
        """Store a blob whole, with an MD5 digest; an expected version is an ETag."""
        wanted = {**_REQUEST, "length": len(body), "validate_content": True}
        wanted["overwrite"] = expected != ABSENT
        if expected:
            wanted |= _condition(expected)
        self._call(lambda: self._blob(path).upload_blob(body, **wanted), transfer_bytes=len(body))

    def send(self, path: str, file: Path, size: int) -> None:
        """Store a file in blocks, each with an MD5 digest, and commit their list.

        Azure removes blocks that were never committed after a week.
        """
        step = max(PART_BYTES, -(-size // _MOST_PARTS))
        blocks = [self._send_block(path, file, start, step) for start in range(0, size, step)]
        self._call(lambda: self._blob(path).commit_block_list(blocks, **_REQUEST))

    def _send_block(self, path: str, file: Path, start: int, step: int) -> BlobBlock:
        with file.open("rb") as opened:
            opened.seek(start)
            body = opened.read(step)
        name = base64.b64encode(f"{start:020}".encode()).decode()
        self._call(
            lambda: self._blob(path).stage_block(
                name, body, length=len(body), validate_content=True, **_REQUEST
            ),
            transfer_bytes=len(body),
        )
        return BlobBlock(block_id=name)

    def needs_parts(self, size: int) -> bool:
        """Above 16 MiB."""
        return size > PART_BYTES

    def copy(self, file: FileInfo, path: str) -> None:
        """Copy a blob by a request that is answered once it is done.

        The other request for copies shows the blob while it is being filled.
        """

        async def attempt() -> None:
            url, access = await self._readable(file.path)
            await self._blob(path).start_copy_from_url(
                url,
                requires_sync=True,
                source_etag=f'"{file.version}"',
                source_match_condition=MatchConditions.IfNotModified,
                **access,
                **_REQUEST,
            )

        self._call(attempt, transfer_bytes=file.size)

    async def _readable(self, path: str) -> tuple[str, dict[str, str]]:
        """Return a URL by which the store itself may read a blob, and what it shows for that.

        The credentials of a request are those for what it writes alone.
        """
        blob = self._blob(path)
        credential = blob.credential
        if hasattr(credential, "get_token"):
            token = await credential.get_token(STORAGE_SCOPE)
            return blob.url, {"source_authorization": f"Bearer {token.token}"}
        if not hasattr(credential, "account_key"):
            return blob.url, {}  # With the signature of a SAS token in it, or public.
        signature = generate_blob_sas(
            credential.account_name,
            blob.container_name,
            blob.blob_name,
            account_key=credential.account_key,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(UTC) + _READABLE,
        )
        return f"{blob.url}?{signature}", {}

    def delete(self, path: str) -> None:
        """Remove a blob; one that is not there is an error."""
        self._call(lambda: self._blob(path).delete_blob(**_REQUEST))

    def _blob(self, path: str) -> Any:
        return self._service.get_blob_client(*split_key(path))

    def _call(self, work: Callable[[], Awaitable[_T]], *, transfer_bytes: int = 0) -> _T:
        async def attempt() -> _T:
            return await work()

        return retrying(
            lambda seconds: wait_for(self._loop, attempt(), seconds),
            AZURE_FAILURES,
            contact=self._contact,
            transfer_bytes=transfer_bytes,
        )


def _condition(version: str) -> dict[str, Any]:
    return {"etag": f'"{version}"', "match_condition": MatchConditions.IfNotModified}


def _version(found: BlobProperties) -> str:
    return str(found.etag or "").strip('"')


def _stored(found: BlobProperties) -> StoredObject:
    modified = found.last_modified.timestamp()
    return StoredObject(found.name, int(found.size), _version(found), modified)


def _is_blob(found: Any) -> bool:
    return isinstance(found, BlobProperties)  # else the name of a folder


def _is_folder(found: BlobProperties) -> bool:
    marks = {name.lower(): value for name, value in (found.metadata or {}).items()}
    return marks.get(_FOLDER_MARK) == "true"
