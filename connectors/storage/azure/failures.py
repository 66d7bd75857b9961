"""Read failures of the Azure SDK."""

from __future__ import annotations

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

from connectors.storage.calls.failures import CUT_OFF, SILENCE, Diagnosis
from connectors.storage.calls.http_failures import HttpFailures

_NO_CONTAINER = frozenset({"ContainerNotFound", "ContainerBeingDeleted"})


class AzureFailures(HttpFailures):
    """Failures of requests to Azure."""

    container = "container"
    credentials = "account_name, its key or token"
    supply = (
        "give `account_key`, `sas_token` or `connection_string`, or set the variables of "
        "DefaultAzureCredential"
    )
    address = "`account_name`, `account_host` or `connection_string`"

    def recognise(self, failure: BaseException) -> Diagnosis | None:
        """Return what an exception of the SDK or of aiohttp means."""
        if isinstance(failure, AzureError):
            return self._of_sdk(failure)
        return super().recognise(failure)

    def _of_sdk(self, failure: AzureError) -> Diagnosis | None:
        if isinstance(failure, ServiceRequestTimeoutError | ServiceResponseTimeoutError):
            return SILENCE
        if isinstance(failure, ServiceRequestError):
            return self.no_connection()
        if isinstance(failure, ServiceResponseError | IncompleteReadError):
            return CUT_OFF
        if isinstance(failure, HttpResponseError) and failure.status_code:
            return self._of_answer(failure, failure.status_code)
        if isinstance(failure, ClientAuthenticationError):
            return Diagnosis(f"no usable credentials: {self.supply}")
        return None

    def _of_answer(self, failure: HttpResponseError, status: int) -> Diagnosis | None:
        found = getattr(failure, "error_code", None) or ""
        code = str(getattr(found, "value", found))
        if code in _NO_CONTAINER:
            return self.no_container(code)
        if status < 400:
            return CUT_OFF  # The answer was no error, but it could not be read.
        return self.answered(status, code)


AZURE_FAILURES = AzureFailures()
