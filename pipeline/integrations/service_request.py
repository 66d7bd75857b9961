"""Send requests to the service."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pipeline.errors import ConfigError, StorageError

_REQUEST_SECONDS = 30
_MOST_ERROR_BYTES = 10_000


def export_path(run_id: str) -> str:
    """Return the path by which a run is exported; an id is one segment of it, whatever it holds."""
    return f"/v1/runs/{quote(run_id, safe='')}/export"


def job_path(job_id: str) -> str:
    """Return the path of a job."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def request_json(
    service_url: str, path: str, token: str | None, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the JSON answer of the service to a GET, or to a POST where there is a body.

    Args:
        service_url: Base URL of the service.
        path: Path of the request.
        token: Access token; a redirection does not take it along.
        body: What is posted, as JSON.

    Raises:
        ConfigError: The URL is none of a web server.
        StorageError: The service does not answer, or answers with an error.
    """
    if not service_url.lower().startswith(("http://", "https://")):
        raise ConfigError(f"{service_url} should begin with http:// or https://")
    request = urllib.request.Request(  # noqa: S310 the scheme was checked above
        service_url.rstrip("/") + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Prefer": "respond-async"},
    )
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    url = f"{service_url}{path}"
    try:
        with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as answer:  # noqa: S310
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        raise StorageError(f"{url}: {error}{_explained(error)}", url=url) from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{url}: {error}", url=url) from error
    if not isinstance(found, dict):
        raise StorageError(f"{url}: the answer is no JSON object: check service_url", url=url)
    return found


def _explained(error: urllib.error.HTTPError) -> str:
    """Return what the service says of its error, if it does."""
    try:
        found = json.loads(error.read(_MOST_ERROR_BYTES))
    except (OSError, ValueError):
        return ""
    text = found.get("error") if isinstance(found, dict) else None
    return f": {text}" if isinstance(text, str) else ""
