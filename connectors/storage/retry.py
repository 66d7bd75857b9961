"""Repeat calls to distant stores, bound them in time, and translate their errors."""

from __future__ import annotations

import errno
import random
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from connectors.errors import ChangedError, DeniedError, NotFoundError, StorageError
from connectors.storage.deadline import check_deadline, seconds_left

TRIES = 5
RETRY_SECONDS = 20.0
"""No further try is begun after this time."""
CALL_SECONDS = 55.0
"""A call is given up after this time, so that its error is reported within a minute."""
SLOWEST_BYTES_PER_SECOND = 512 * 1024
"""A transfer of known size is given so much more time."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

_T = TypeVar("_T")

_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_CODES = frozenset(
    {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "InternalError"}
    | {"ServiceUnavailable", "RequestLimitExceeded", "TooManyRequests", "BadDigest"}
)
# Classes are known by name, so that storages that need none of these libraries load none.
_CONNECTION_CLASSES = frozenset({"EndpointConnectionError", "ClientConnectorError"})
_TRANSIENT_CLASSES = frozenset(
    {"HTTPClientError", "ClientPayloadError", "ClientConnectionError", "IncompleteReadError"}
    | {"ConnectionError", "TimeoutError", "ResponseParserError", "ServerDisconnectedError"}
)
_SILENCES = frozenset({"TimeoutError", "ReadTimeoutError", "ConnectTimeoutError"})


def retrying(
    attempt: Callable[[float], _T], *, transfer_bytes: int = 0, seconds: float | None = None
) -> _T:
    """Return what `attempt` returns, tried again while the failure may pass.

    Args:
        attempt: Is given the seconds it may take.
        transfer_bytes: How much is moved, where it is known to be much.
        seconds: What the call may take beside that; `CALL_SECONDS` if None.

    Raises:
        DeadlinePassed: The caller's deadline has passed.
        Exception: The last failure.
    """
    check_deadline()
    begun = time.monotonic()
    allowed = CALL_SECONDS if seconds is None else seconds
    until = begun + seconds_left(allowed + transfer_bytes / SLOWEST_BYTES_PER_SECOND)
    number = 1
    while True:
        try:
            return attempt(until - time.monotonic())
        except Exception as failure:
            check_deadline()
            pause = random.uniform(0.5, 1.0) * min(  # noqa: S311 spreads load, hides nothing
                _LONGEST_PAUSE, _FIRST_PAUSE * 3 ** (number - 1)
            )
            too_late = time.monotonic() + pause > min(begun + RETRY_SECONDS, until)
            if number >= TRIES or too_late or not is_transient(failure):
                raise
        time.sleep(pause)
        number += 1


def is_transient(failure: BaseException) -> bool:
    """Return whether the same call may succeed a little later."""
    for one in _chain(failure):
        status, code = _answer(one)
        if status is not None:
            return status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES
        if _is_a(one, _TRANSIENT_CLASSES):
            return True
    return False


def is_silence(failure: BaseException) -> bool:
    """Return whether no answer came in time."""
    return any(_is_a(one, _SILENCES) for one in _chain(failure))


def translated(
    failure: Exception, url: str, doing: str, secrets: Iterable[str] = ()
) -> StorageError:
    """Return the failure of a client library as an error of ours, to be raised `from` it.

    Args:
        failure: What the library raised.
        url: The URL concerned, free of credentials.
        doing: What was tried, as `reading`.
        secrets: Texts that must not be shown.
    """
    if isinstance(failure, StorageError):
        return failure
    for one in _chain(failure):
        known = _explained(one)
        if known is not None:
            kind, reason = known
            return kind(f"{doing} {url}: {reason}", url=url)
    text = (str(failure).strip().splitlines() or [""])[0][:300]
    for secret in secrets:
        text = text.replace(secret, "***")
    return StorageError(f"{doing} {url} failed: {type(failure).__name__}: {text}", url=url)


_Reason = tuple[type[StorageError], str]
_NO_ANSWER = "the store did not answer in time: check the network, or try later"


def _explained(failure: BaseException) -> _Reason | None:
    status, code = _answer(failure)
    if status is not None or code:
        return _explained_answer(status or 0, code)
    if _is_a(failure, {"NoCredentialsError", "PartialCredentialsError"}):
        return StorageError, "no credentials: give `key` and `secret`, or `anon: true`"
    if _is_a(failure, _CONNECTION_CLASSES | {"ConnectionRefusedError"}):
        return StorageError, "no connection: check `endpoint_url` and that the server runs"
    if isinstance(failure, socket.gaierror):
        return StorageError, "the host is not known: check the URL"
    if _is_a(failure, _SILENCES):
        return StorageError, _NO_ANSWER
    if _is_a(failure, {"UnauthenticatedError", "PermissionDeniedError"}):
        return _explained_answer(403, "")
    if _is_a(failure, {"PreconditionError"}):
        return _explained_answer(412, "")
    if _is_a(failure, {"GenericError"}) or isinstance(failure, FileNotFoundError):
        reason = _explained_text(str(failure))
        if reason is not None:
            return reason
    if isinstance(failure, FileNotFoundError):
        return NotFoundError, "nothing is stored there: check the name"
    if isinstance(failure, OSError):
        return _explained_os(failure)
    return None


def _explained_text(text: str) -> _Reason | None:
    """Return what obstore says in its texts alone."""
    if "NoSuchBucket" in text:
        return _explained_answer(404, "NoSuchBucket")
    if found := re.search(r"status code: (\d{3})", text):
        return _explained_answer(int(found[1]), "")
    if "kind: Timeout" in text:
        return StorageError, _NO_ANSWER
    if "error sending request" in text:
        return StorageError, "no connection: check `endpoint_url` and that the server runs"
    return None


def _explained_answer(status: int, code: str) -> _Reason:
    said = f" ({code})" if code and not code.isdigit() else ""
    if code == "NoSuchBucket":
        return NotFoundError, "the bucket does not exist: create it, or correct the URL"
    if status == 404:
        return NotFoundError, "nothing is stored there: check the URL, its bucket included"
    if code == "RequestTimeTooSkewed":
        return StorageError, "this machine's clock differs from the store's: set it right"
    if status in (401, 403):
        return DeniedError, f"refused{said}: check key, secret and what they are allowed to do"
    if status in (301, 307):
        return StorageError, f"the bucket is elsewhere{said}: give its `region`"
    if status == 412:
        return ChangedError, "it changed while it was being read: try again when it is at rest"
    if status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES:
        return StorageError, f"the store kept failing, status {status}{said}: try again later"
    return StorageError, f"the store answered with status {status}{said}"


_OS_REASONS = {
    errno.ENOSPC: "no space is left: free some, or choose another place",
    errno.EDQUOT: "the quota is used up: free some space, or choose another place",
    errno.EACCES: "permission denied: check who may read and write there",
    errno.EPERM: "permission denied: check who may read and write there",
    errno.EROFS: "the file system can only be read: choose another place",
    errno.ELOOP: "it is a symbolic link, which is not followed: name the file itself",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENAMETOOLONG: "the name is too long for the file system: choose a shorter one",
    errno.EIO: "the device failed: check the disk or the mount",
}


def _explained_os(failure: OSError) -> _Reason | None:
    if isinstance(failure, NotADirectoryError):
        return NotFoundError, _OS_REASONS[errno.ENOTDIR]
    if failure.errno in (errno.EACCES, errno.EPERM) or isinstance(failure, PermissionError):
        return DeniedError, _OS_REASONS[errno.EACCES]
    reason = _OS_REASONS.get(failure.errno or 0)
    return None if reason is None else (StorageError, reason)


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """Return the failure, its causes first: libraries wrap the specific error in vaguer ones."""
    chain = [failure]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return reversed(chain)


def _answer(failure: BaseException) -> tuple[int | None, str]:
    """HTTP status and error code of a store's answer, as botocore or aiohttp hold them."""
    response = getattr(failure, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return (int(code) if code.isdigit() else 400) if status is None else int(status), code
    status = getattr(failure, "status", None)
    return (status if isinstance(status, int) else None), ""


def _is_a(failure: BaseException, names: Iterable[str]) -> bool:
    return any(kind.__name__ in names for kind in type(failure).__mro__)
