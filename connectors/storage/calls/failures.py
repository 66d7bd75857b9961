"""Read what a store's client library raised, and report it as an error of ours."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from connectors.errors import ChangedError, DeniedError, NotFoundError, StorageError

_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_TRANSIENT_CODES = frozenset(
    {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "InternalError"}
    | {"ServiceUnavailable", "RequestLimitExceeded", "TooManyRequests", "BadDigest"}
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a failure means.

    Attributes:
        reason: What happened and what to do, for the end of a message; empty where the text of
            the failure says more.
        error: The error it is reported as.
        is_transient: Whether the same call may succeed a little later.
        is_silence: Whether no answer came in time.
        is_unreachable: Whether nothing accepted the connection.
        status: The HTTP status of the store's answer, if it answered.
    """

    reason: str
    error: type[StorageError] = StorageError
    is_transient: bool = False
    is_silence: bool = False
    is_unreachable: bool = False
    status: int | None = None


SILENCE = Diagnosis(
    "the store did not answer in time: check the network, or try later",
    is_transient=True,
    is_silence=True,
)
CUT_OFF = Diagnosis("", is_transient=True)
"""The connection ended before the answer did; how, the library says best."""
_UNKNOWN_HOST = Diagnosis(
    "the host is not known: check the URL", is_transient=True, is_unreachable=True
)
_NOTHING = Diagnosis("nothing is stored there: check the name", NotFoundError)
_OS_REASONS = {
    errno.ENOSPC: "no space is left: free some, or choose another place",
    errno.EDQUOT: "the quota is used up: free some space, or choose another place",
    errno.EACCES: "permission denied: check who may read and write there",
    errno.EPERM: "permission denied: check who may read and write there",
    errno.EROFS: "the file system can only be read: choose another place",
    errno.ELOOP: "it is a symbolic link, which is not followed: name the file itself",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a file is where a folder has to be: choose another path, or remove it",
    errno.ENAMETOOLONG: "the name is too long for the file system: choose a shorter one",
    errno.EIO: "the device failed: check the disk or the mount",
}


class StoreFailures:
    """Failures of the operating system; a subclass adds those of a client library.

    Attributes:
        container: What the store calls the first part of a path.
        credentials: What to check where access is refused.
        supply: How credentials are given.
        address: What to check where nothing listens.
    """

    container: ClassVar[str] = "bucket"
    credentials: ClassVar[str] = "the credentials"
    supply: ClassVar[str] = "give them in the options of the storage"
    address: ClassVar[str] = "the address of the store"

    def diagnose(self, failure: BaseException) -> Diagnosis | None:
        """Return what a failure means, or None where that is not known."""
        for one in _chain(failure):
            found = self.recognise(one) or self._of_system(one)
            if found is not None:
                return found
        return None

    def is_transient(self, failure: BaseException) -> bool:
        """Return whether the same call may succeed a little later."""
        found = self.diagnose(failure)
        return found is not None and found.is_transient

    def is_silence(self, failure: BaseException) -> bool:
        """Return whether no answer came in time."""
        found = self.diagnose(failure)
        return found is not None and found.is_silence

    def is_unreachable(self, failure: BaseException) -> bool:
        """Return whether nothing accepted the connection."""
        found = self.diagnose(failure)
        return found is not None and found.is_unreachable

    def status(self, failure: BaseException) -> int | None:
        """Return the HTTP status behind a failure, if there is one."""
        found = self.diagnose(failure)
        return None if found is None else found.status

    def translate(
        self, failure: Exception, url: str, doing: str, secrets: Iterable[str] = ()
    ) -> StorageError:
        """Return a failure as an error of ours, to be raised `from` it.

        Args:
            failure: What the library raised.
            url: The URL concerned, free of credentials.
            doing: What was tried, as `reading`.
            secrets: Texts that must not be shown.
        """
        if isinstance(failure, StorageError):
            return failure
        known = self.diagnose(failure)
        if known is not None and known.reason:
            return known.error(f"{doing} {url}: {known.reason}", url=url)
        text = (str(failure).strip().splitlines() or [""])[0][:300]
        for secret in secrets:
            text = text.replace(secret, "***")
        return StorageError(f"{doing} {url} failed: {type(failure).__name__}: {text}", url=url)

    def recognise(self, failure: BaseException) -> Diagnosis | None:
        """Return what an exception of the client library means; the base class knows of none."""
        return None

    def answered(self, status: int, code: str = "") -> Diagnosis:
        """Return what an answer of the store means.

        Args:
            status: Its HTTP status.
            code: The store's own name of the error, if it gives one.
        """
        said = f" ({code})" if code else ""
        if status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES:
            reason = f"the store kept failing, status {status}{said}: try again later"
            return Diagnosis(reason, is_transient=True, status=status)
        error, reason = self._explained(status, said)
        return Diagnosis(reason, error, status=status)

    def no_container(self, code: str = "") -> Diagnosis:
        """Return what the answer means that the bucket or container is missing."""
        said = f" ({code})" if code else ""
        reason = f"the {self.container} does not exist{said}: create it, or correct the URL"
        return Diagnosis(reason, NotFoundError, status=404)

    def no_credentials(self) -> Diagnosis:
        """Return what it means that no credentials were found."""
        return Diagnosis(f"no credentials: {self.supply}")

    def no_connection(self) -> Diagnosis:
        """Return what it means that nothing accepts connections."""
        reason = f"no connection: check {self.address} and that the server runs"
        return Diagnosis(reason, is_transient=True, is_unreachable=True)

    def _explained(self, status: int, said: str) -> tuple[type[StorageError], str]:
        if status == 404:
            reason = f"nothing is stored there: check the URL, its {self.container} included"
            return NotFoundError, reason
        if status in (401, 403):
            reason = f"refused{said}: check {self.credentials} and what they are allowed to do"
            return DeniedError, reason
        if status == 412:
            return ChangedError, "it changed while it was being read: try again when it is at rest"
        return StorageError, f"the store answered with status {status}{said}"

    def _of_system(self, failure: BaseException) -> Diagnosis | None:
        if isinstance(failure, TimeoutError):
            return SILENCE
        if isinstance(failure, ConnectionRefusedError):
            return self.no_connection()
        if isinstance(failure, ConnectionError):
            return CUT_OFF
        if isinstance(failure, socket.gaierror):
            return _UNKNOWN_HOST
        if isinstance(failure, FileNotFoundError):
            return _NOTHING
        if isinstance(failure, NotADirectoryError):
            return Diagnosis(_OS_REASONS[errno.ENOTDIR], NotFoundError)
        if isinstance(failure, PermissionError):
            return Diagnosis(_OS_REASONS[errno.EACCES], DeniedError)
        reason = _OS_REASONS.get(failure.errno or 0) if isinstance(failure, OSError) else None
        return None if reason is None else Diagnosis(reason)


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """Return the failure, its causes first: libraries wrap the specific error in vaguer ones."""
    chain = [failure]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return reversed(chain)


SYSTEM = StoreFailures()
"""Failures of the disk, and of whatever has no client library."""
