"""The client of Google Cloud Storage: its JSON API, signed in by gcsfs."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import weakref
from asyncio import AbstractEventLoop, run_coroutine_threadsafe
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from connectors.errors import StorageError
from connectors.storage.calls.event_loop import wait_for
from connectors.storage.calls.retry import Contact, retrying
from connectors.storage.contract import FileInfo
from connectors.storage.google import upload
from connectors.storage.google.failures import GOOGLE_FAILURES, GoogleAnswerError
from connectors.storage.google.upload import GoogleAnswer, ResumableUpload
from connectors.storage.objects.client import (
    ABSENT,
    ListingPage,
    ObjectClient,
    StoredObject,
    split_key,
)

_ENDPOINT = "https://storage.googleapis.com"
_SILENCE_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_CONNECTIONS = 64
_FIRST_ERROR = 400
_GONE = frozenset({404, 410})
_FIELDS = "items(name,size,generation,updated),prefixes,nextPageToken"


class GoogleClient(ObjectClient):
    """Requests to the JSON API; versions of objects are their generations.

    Args:
        filesystem: The `gcsfs.GCSFileSystem` whose credentials and event loop are used.
        options: Its options, in clear.
    """

    failures = GOOGLE_FAILURES
    most_copied_bytes = 5 * 2**40

    def __init__(self, filesystem: Any, options: dict[str, Any]) -> None:
        self._credentials = filesystem.credentials
        self._loop: AbstractEventLoop = filesystem.loop
        self._endpoint = str(options.get("endpoint_url") or _ENDPOINT).rstrip("/")
        payer = options.get("requester_pays")
        self._payer = filesystem.project if payer is True else payer
        self._session: aiohttp.ClientSession | None = None
        self._contact = Contact()
        self.store = f"gs:{'' if self._endpoint == _ENDPOINT else self._endpoint}".lower()

    def listing(
        self, bucket: str, prefix: str, *, delimiter: bool, most: int | None = None
    ) -> Iterator[ListingPage]:
        """Yield the pages of a listing."""
        wanted: dict[str, Any] = {
            "prefix": prefix,
            "fields": _FIELDS,
            "delimiter": "/" if delimiter else None,
        }
        token = None
        while True:
            page = self._call(
                "GET", self._url(bucket), maxResults=most, pageToken=token, **wanted
            ).resource
            yield ListingPage(
                tuple(map(_stored, page.get("items", ()))), tuple(page.get("prefixes", ()))
            )
            token = page.get("nextPageToken")
            if not token:
                return

    def head(self, path: str) -> FileInfo:
        """Return what is stored at a path."""
        found = self._resource(path)
        return FileInfo(path, int(found["size"]), str(found["generation"]))

    def get(
        self, path: str, start: int, end: int | None, *, version: str | None = None
    ) -> tuple[bytes, str]:
        """Return bytes of an object with its generation, on the condition that it is `version`."""
        # As they are stored: an object with Content-Encoding gzip would be unpacked on the way.
        headers = {"Accept-Encoding": "gzip, identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        answer = self._call(
            "GET",
            self._url(*split_key(path)),
            headers=headers,
            transfer_bytes=0 if end is None else end - start,
            alt="media",
            ifGenerationMatch=version or None,
        )
        return answer.body, answer.headers.get("X-Goog-Generation", "")

    def put(self, path: str, body: bytes, *, expected: str | None = None) -> None:
        """Store an object whole, with an MD5 digest; an expected version is a generation."""
        bucket, key = split_key(path)
        boundary = token_hex(16)
        about = json.dumps({"name": key, "md5Hash": _md5(io.BytesIO(body))}).encode()
        parts = (
            (b"application/json; charset=UTF-8", about),
            (b"application/octet-stream", body),
        )
        mark = boundary.encode()
        data = b"".join(
            b"--%b\r\nContent-Type: %b\r\n\r\n%b\r\n" % (mark, kind, part) for kind, part in parts
        )
        self._call(
            "POST",
            self._upload_url(bucket),
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
            data=data + b"--%b--" % mark,
            transfer_bytes=len(body),
            uploadType="multipart",
            ifGenerationMatch=_generation(expected),
        )

    def send(self, path: str, file: Path, size: int) -> None:
        """Store a file by a resumable upload, whose MD5 digest the store and this client compare.

        The store forgets an upload that was not completed after a week.
        """
        with file.open("rb") as opened:
            digest = _md5(opened)
        bucket, key = split_key(path)
        begun = self._call(
            "POST",
            self._upload_url(bucket),
            resource={"name": key, "md5Hash": digest},
            uploadType="resumable",
            name=key,
        )
        address = begun.headers["Location"]

        def put(body: bytes, part: str) -> Coroutine[Any, Any, GoogleAnswer]:
            # Without credentials: the address alone gives the right, wherever it leads.
            return self._send("PUT", address, headers={"Content-Range": part}, data=body)

        try:
            stored = ResumableUpload(put, self._loop, file, size).send()
        except GoogleAnswerError as failure:
            # The answer to the last part was lost: the upload is gone because it is complete.
            stored = self._resource(path) if failure.status in _GONE else {}
            if stored.get("md5Hash") != digest:
                raise
        if stored.get("md5Hash", digest) != digest:
            self.delete(path)
            raise StorageError(
                f"writing gs://{path}: the digest of what was stored differs from that of what was "
                "sent: it was removed; write it again",
                url=f"gs://{path}",
            )

    def needs_parts(self, size: int) -> bool:
        """Above 16 MiB."""
        return size > upload.PART_BYTES

    def copy(self, file: FileInfo, path: str) -> None:
        """Copy an object by as many requests as the store takes for it, of which it says no other.

        Within one location and storage class it takes one.
        """
        target = quote(split_key(path)[1], safe="")
        bucket = quote(split_key(path)[0], safe="")
        url = f"{self._url(*split_key(file.path))}/rewriteTo/b/{bucket}/o/{target}"
        token = None
        while True:
            answer = self._call(
                "POST",
                url,
                transfer_bytes=file.size,
                ifSourceGenerationMatch=file.version or None,
                rewriteToken=token,
            ).resource
            token = answer.get("rewriteToken")
            if answer.get("done") or not token:
                return

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is an error."""
        self._call("DELETE", self._url(*split_key(path)))

    def _resource(self, path: str) -> dict[str, Any]:
        return self._call("GET", self._url(*split_key(path))).resource

    def _url(self, bucket: str, key: str | None = None) -> str:
        below = "" if key is None else f"/{quote(key, safe='')}"
        return f"{self._endpoint}/storage/v1/b/{quote(bucket, safe='')}/o{below}"

    def _upload_url(self, bucket: str) -> str:
        return f"{self._endpoint}/upload/storage/v1/b/{quote(bucket, safe='')}/o"

    def _call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        resource: Mapping[str, Any] | None = None,
        transfer_bytes: int = 0,
        **query: Any,
    ) -> GoogleAnswer:
        def attempt(seconds: float) -> GoogleAnswer:
            signed = dict(headers or {})
            self._credentials.apply(signed)  # May renew a token, which blocks.
            given = {name: str(value) for name, value in query.items() if value is not None}
            if self._payer:
                given["userProject"] = str(self._payer)
            work = self._send(method, url, params=given, headers=signed, data=data, json=resource)
            return wait_for(self._loop, work, seconds)

        return retrying(
            attempt, GOOGLE_FAILURES, contact=self._contact, transfer_bytes=transfer_bytes
        )

    async def _send(self, method: str, url: str, **wanted: Any) -> GoogleAnswer:
        if self._session is None:
            self._session = _session()
            weakref.finalize(self, _close, self._loop, self._session)
        async with self._session.request(
            method, URL(url, encoded=True), allow_redirects=False, **wanted
        ) as answer:
            body = await answer.read()
        if answer.status >= _FIRST_ERROR:
            raise GoogleAnswerError(answer.status, _reason(body), is_of_bucket=url.endswith("/o"))
        is_media = wanted.get("params", {}).get("alt") == "media"
        resource = {} if is_media or not body else _object_of(body)
        return GoogleAnswer(answer.status, answer.headers, body, resource)


def _session() -> aiohttp.ClientSession:
    limits = aiohttp.ClientTimeout(
        total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS
    )
    return aiohttp.ClientSession(
        timeout=limits,
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=True,
    )


def _close(loop: AbstractEventLoop, session: aiohttp.ClientSession) -> None:
    if loop.is_running():
        with suppress(TimeoutError):
            run_coroutine_threadsafe(session.close(), loop).result(1)


def _object_of(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as failure:
        raise ConnectionError("the answer was cut off") from failure
    return found if isinstance(found, dict) else {}


def _reason(body: bytes) -> str:
    """Return the store's own name of an error."""
    try:
        found = json.loads(body)["error"]
        return str(found["errors"][0]["reason"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""


def _stored(item: dict[str, Any]) -> StoredObject:
    modified = datetime.fromisoformat(item["updated"]).timestamp()
    return StoredObject(item["name"], int(item["size"]), str(item["generation"]), modified)


def _generation(expected: str | None) -> str | None:
    return "0" if expected == ABSENT else expected


def _md5(content: io.BufferedIOBase) -> str:
    """Return the digest of what is read, as the store writes it."""
    found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(found.digest()).decode()
