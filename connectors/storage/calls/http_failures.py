"""Read failures of the HTTP clients that drivers of fsspec use: aiohttp and requests."""

from __future__ import annotations

import sys

from connectors.storage.calls.failures import CUT_OFF, SILENCE, Diagnosis, StoreFailures


class HttpFailures(StoreFailures):
    """Failures of aiohttp and requests; neither is imported for it."""

    def recognise(self, failure: BaseException) -> Diagnosis | None:
        """Return what an exception of an HTTP client means."""
        return self._of_aiohttp(failure) or self._of_requests(failure)

    def _of_aiohttp(self, failure: BaseException) -> Diagnosis | None:
        aiohttp = sys.modules.get("aiohttp")  # Where it is not loaded, it raised nothing.
        if aiohttp is None:
            return None
        if isinstance(failure, aiohttp.http.HttpProcessingError):
            return CUT_OFF  # What came was no HTTP, for which aiohttp itself says status 400.
        if isinstance(failure, aiohttp.ClientResponseError):
            return self.answered(failure.status)
        if isinstance(failure, aiohttp.ServerTimeoutError):
            return SILENCE
        if isinstance(failure, aiohttp.ClientConnectorError):
            return self.no_connection()
        if isinstance(failure, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
            return CUT_OFF
        return None

    def _of_requests(self, failure: BaseException) -> Diagnosis | None:
        requests = sys.modules.get("requests")
        if requests is None or not isinstance(failure, requests.RequestException):
            return None
        if isinstance(failure, requests.HTTPError) and failure.response is not None:
            return self.answered(failure.response.status_code)
        if isinstance(failure, requests.Timeout):
            return SILENCE
        if isinstance(failure, requests.ConnectionError):
            return self.no_connection()
        if isinstance(failure, requests.exceptions.ChunkedEncodingError):
            return CUT_OFF
        return None
