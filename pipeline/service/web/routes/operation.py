"""Show the health of the service, its metrics and its facts; open and end sessions."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse

from pipeline.service.web.access import SESSION_SECONDS
from pipeline.service.web.models.operation import HealthBody, ServiceBody, SessionBody
from pipeline.service.web.protection import SESSION_COOKIE
from pipeline.service.web.routes.shared import ServiceOf, errors
from pipeline.service.web.strict_route import StrictRoute
from pipeline.sinks.formats import ALL_FORMATS
from pipeline.version import VERSION

router = APIRouter(tags=["operation"], route_class=StrictRoute)


@router.get("/healthz")
async def healthz() -> HealthBody:
    """Show that the process responds."""
    return HealthBody(status="ok", version=VERSION)


@router.get(
    "/readyz",
    response_model=HealthBody,
    responses={503: {"model": HealthBody, "description": "Something does not work."}},
)
async def readyz(service: ServiceOf) -> Response:
    """Show whether everything works: the storages, and the folder of the state."""
    problems = await service.health.problems()
    last = service.catalog.last
    if last is None:
        service.catalog.begin()
        status = "failing" if problems else "starting"
    else:
        status = "degraded" if problems else "ok"
    body = HealthBody.model_validate(
        {
            "status": status,
            "version": VERSION,
            "problem": "; ".join(one.message for one in problems) or None,
            "problems": problems,
            "listed_utc": None if last is None else last.taken,
            "found": service.catalog.looked_at if last is None else 0,
        }
    )
    return JSONResponse(body.model_dump(mode="json"), 200 if status == "ok" else 503)


@router.get("/v1/service", responses=errors())
async def get_service(service: ServiceOf) -> ServiceBody:
    """Show what the service serves, and its limits."""
    settings = service.settings
    return ServiceBody(
        version=VERSION,
        runs=without_credentials(settings.runs),
        exports=None if settings.exports is None else without_credentials(settings.exports),
        refresh_seconds=settings.refresh,
        max_upload_bytes=settings.max_upload,
        formats=ALL_FORMATS,
    )


def without_credentials(url: str) -> str:
    """Return a URL without user, password and query.

    >>> without_credentials("https://me:secret@lake.example/runs?key=1")
    'https://lake.example/runs'
    """
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **errors(),
        200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
async def metrics(service: ServiceOf) -> Response:
    """Show metrics for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/v1/session", responses=errors())
async def open_session(
    request: Request,
    response: Response,
    service: ServiceOf,
    authorization: Annotated[str | None, Header(max_length=4096)] = None,
) -> SessionBody:
    """Exchange a token for a cookie, so that a browser can follow links and receive events."""
    if service.tokens.is_open:
        return SessionBody(required=False, seconds=SESSION_SECONDS)
    address = request.client.host if request.client else "?"
    client = service.access.client(address, authorization, None)
    service.access.check(client, authorization, None)
    assert client.holder is not None  # check has raised otherwise
    response.set_cookie(
        SESSION_COOKIE,
        service.tokens.open_session(client.holder),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return SessionBody(required=True, seconds=SESSION_SECONDS)


@router.delete("/v1/session", status_code=204, responses=errors())
async def end_session(request: Request, response: Response, service: ServiceOf) -> None:
    """End the session of the cookie."""
    service.tokens.end_session(request.cookies.get(SESSION_COOKIE, ""))
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
