"""Read failures of Google Cloud Storage and of its credentials."""

from __future__ import annotations

from gcsfs.retry import HttpError
from google.auth.exceptions import GoogleAuthError, TransportError

from connectors.storage.calls.failures import Diagnosis
from connectors.storage.calls.http_failures import HttpFailures


class GoogleAnswerError(Exception):
    """The store answered with an error.

    Args:
        status: The HTTP status.
        reason: The store's own name of the error.
        is_of_bucket: Whether the request was about a bucket, not an object in it.
    """

    def __init__(self, status: int, reason: str, *, is_of_bucket: bool) -> None:
        super().__init__(f"status {status} {reason}".strip())
        self.status = status
        self.reason = reason
        self.is_of_bucket = is_of_bucket


class GoogleFailures(HttpFailures):
    """Failures of requests to Google Cloud Storage."""

    credentials = "`token`"
    supply = "give `token`, or `token: anon`, or set GOOGLE_APPLICATION_CREDENTIALS"
    address = "`endpoint_url`"

    def recognise(self, failure: BaseException) -> Diagnosis | None:
        """Return what an answer, or an exception of google-auth or aiohttp, means."""
        if isinstance(failure, GoogleAnswerError):
            if failure.status == 404 and failure.is_of_bucket:
                return self.no_container()
            return self.answered(failure.status, failure.reason)
        if isinstance(failure, TransportError):
            return self.no_connection()
        if isinstance(failure, GoogleAuthError):
            return self.no_credentials()
        if isinstance(failure, HttpError) and isinstance(failure.code, int):
            return self.answered(failure.code)  # of a token that could not be renewed
        return super().recognise(failure)


GOOGLE_FAILURES = GoogleFailures()
