"""Respond with stored files and lists: conditions, ranges, compression."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from pipeline.service.catalog.export_store import DownloadableFile
from pipeline.service.errors import BeyondTheEndError
from pipeline.service.web.transfers import Transfers

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
_WORTH_COMPRESSING = 1024
_LEVEL = 5
_FAST_LEVEL = 1
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def download(
    request: Request,
    file: DownloadableFile,
    *,
    name: str,
    transfers: Transfers,
    after: Callable[[], None] | None = None,
) -> Response:
    """Return a response with a file, or 304 if the client has it.

    Args:
        request: The request.
        file: The file.
        name: Name that the file is saved under.
        transfers: Reads the file.
        after: Called when the response has ended.

    Raises:
        BeyondTheEndError: The file ends before the range; `after` is not called.
    """
    answer = _answer(request, file, _headers(file, name), transfers)
    if after is None:
        return answer
    if isinstance(answer, StreamingResponse):
        return _Closing(answer, after)
    after()
    return answer


def _answer(
    request: Request,
    file: DownloadableFile,
    headers: dict[str, str],
    transfers: Transfers,
) -> Response:
    if _is_known(request, file):
        return Response(status_code=304, headers=headers)
    size = file.entry.size
    span = _span(request, file)
    if span is not None:
        return _part(file, headers, span, transfers)
    if _wants_gzip(request, file):
        headers["Content-Encoding"] = "gzip"
        headers["ETag"] = f'{file.etag[:-1]}-gzip"'
        headers.pop("Repr-Digest", None)
        blocks = _compressed(file.blocks(0, size))
    else:
        headers["Content-Length"] = str(size)
        blocks = file.blocks(0, size)
    if request.method == "HEAD":
        return Response(headers=headers, media_type=file.media_type)
    return StreamingResponse(transfers.blocks(blocks), headers=headers, media_type=file.media_type)


def list_response(
    request: Request, body: bytes, links: Mapping[str, str] | None = None
) -> Response:
    """Return a response with JSON: compressed if accepted, 304 if the client has it.

    Args:
        request: The request.
        body: The JSON.
        links: Targets of the `Link` header by their relation (RFC 8288).
    """
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    if links:
        headers["Link"] = ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items())
    known = request.headers.get("if-none-match", "")
    if etag in {tag.strip() for tag in known.split(",")}:
        return Response(status_code=304, headers=headers)
    if len(body) >= _WORTH_COMPRESSING and _accepts_gzip(request):
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, _FAST_LEVEL)
    return Response(body, headers=headers, media_type="application/json")


class _Closing(Response):
    """A response after which something is removed, however the response ends."""

    def __init__(self, answer: Response, after: Callable[[], None]) -> None:
        super().__init__(status_code=answer.status_code)
        self._answer = answer
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        finally:
            self._after()


def attachment(name: str) -> str:
    """Return a Content-Disposition (RFC 6266) that no name can break out of.

    >>> print(attachment('a"b€.csv'))
    attachment; filename="a_b_.csv"; filename*=UTF-8''a%22b%E2%82%AC.csv
    """
    plain = _UNSAFE.sub("_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _headers(file: DownloadableFile, name: str) -> dict[str, str]:
    headers = {
        "ETag": file.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": attachment(name),
        "Vary": "Accept-Encoding",
    }
    if file.modified is not None:
        headers["Last-Modified"] = format_datetime(file.modified.astimezone(UTC), usegmt=True)
    if file.digest is not None:
        headers["Repr-Digest"] = file.digest
    return headers


def _is_known(request: Request, file: DownloadableFile) -> bool:
    """Return whether the client has the file (RFC 9110, 13.2.2)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        names = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return bool(names & {"*", file.etag, f'{file.etag[:-1]}-gzip"'})
    since = _instant(request.headers.get("if-modified-since"))
    if since is None or file.modified is None:
        return False
    return file.modified.replace(microsecond=0) <= since


def _span(request: Request, file: DownloadableFile) -> tuple[int, int] | None:
    """Return the requested range as start and end; the start is the size if the range is empty.

    For several ranges, and for units other than bytes, the response is the whole file, as RFC
    9110 allows.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or request.method != "GET" or not _is_still(request, file):
        return None
    size = file.entry.size
    first, last, tail = match.groups()
    if tail is not None:
        return (max(0, size - int(tail)), size) if int(tail) else (size, size)
    start, end = int(first), int(last) + 1 if last else size
    if last and int(last) < start:
        return None
    return (min(start, size), min(end, size))


def _is_still(request: Request, file: DownloadableFile) -> bool:
    condition = request.headers.get("if-range")
    if condition is None or condition == file.etag:
        return True
    asked = _instant(condition)
    return asked is not None and file.modified is not None and asked == file.modified


def _part(
    file: DownloadableFile,
    headers: dict[str, str],
    span: tuple[int, int],
    transfers: Transfers,
) -> Response:
    start, end = span
    if start >= end:
        headers = {**headers, "Content-Range": f"bytes */{file.entry.size}"}
        headers.pop("Content-Disposition")
        raise BeyondTheEndError("the file ends before this range", "request less", headers=headers)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.entry.size}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(
        transfers.blocks(file.blocks(start, end)),
        status_code=206,
        headers=headers,
        media_type=file.media_type,
    )


def _wants_gzip(request: Request, file: DownloadableFile) -> bool:
    if file.media_type.endswith("parquet") or file.entry.size < _WORTH_COMPRESSING:
        return False
    return _accepts_gzip(request)


def _accepts_gzip(request: Request) -> bool:
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = part.strip().partition(";")
        if coding.strip() == "gzip":
            return not re.fullmatch(r"q=0(\.0*)?", weight.replace(" ", ""))
    return False


def _compressed(blocks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    for block in blocks:
        packed = packer.compress(block)
        if packed:
            yield packed
    yield packer.flush()


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
