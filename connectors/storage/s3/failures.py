"""Read failures of botocore, and of obstore where they have a class of their own."""

from __future__ import annotations

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError
from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

from connectors.storage.calls.failures import CUT_OFF, SILENCE, Diagnosis
from connectors.storage.calls.http_failures import HttpFailures


class S3Failures(HttpFailures):
    """Failures of requests to S3."""

    credentials = "key, secret"
    supply = "give `key` and `secret`, or `anon: true`"
    address = "`endpoint_url`"

    def recognise(self, failure: BaseException) -> Diagnosis | None:
        """Return what an exception of botocore, aiohttp or obstore means."""
        if isinstance(failure, ClientError):
            return self._of_answer(failure)
        if isinstance(failure, NoCredentialsError | PartialCredentialsError):
            return self.no_credentials()
        if isinstance(failure, ConnectTimeoutError | ReadTimeoutError):
            return SILENCE
        if isinstance(failure, EndpointConnectionError):
            return self.no_connection()
        if isinstance(failure, HTTPClientError | IncompleteReadError | ResponseParserError):
            return CUT_OFF
        if isinstance(failure, PermissionDeniedError | UnauthenticatedError):
            return self.answered(403)
        if isinstance(failure, PreconditionError):
            return self.answered(412)
        return super().recognise(failure)

    def _of_answer(self, failure: ClientError) -> Diagnosis:
        code = str(failure.response.get("Error", {}).get("Code", ""))
        status = failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code.isdigit():  # of a HEAD, whose answer has no body to name the error
            status, code = status or int(code), ""
        if code == "NoSuchBucket":
            return self.no_container()
        if code == "RequestTimeTooSkewed":
            return Diagnosis(
                "this machine's clock differs from the store's: set it right", status=status
            )
        if status in (301, 307):
            said = f" ({code})" if code else ""
            return Diagnosis(f"the bucket is elsewhere{said}: give its `region`", status=status)
        return self.answered(400 if status is None else int(status), code)


S3_FAILURES = S3Failures()
