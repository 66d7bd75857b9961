"""What operators and browsers ask: is it alive, is it ready, numbers, sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse

from pipeline.service.web.access import SESSION_SECONDS
from pipeline.service.web.api_models import HealthBody, SessionBody
from pipeline.service.web.protection import SESSION_COOKIE
from pipeline.service.web.routes.shared import ServiceOf, errors
from pipeline.version import VERSION

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> HealthBody:
    """Whether the process answers."""
    return HealthBody(status="ok", version=VERSION)


@router.get(
    "/readyz",
    response_model=HealthBody,
    responses={503: {"model": HealthBody, "description": "Not ready."}},
)
async def readyz(service: ServiceOf) -> Response:
    """Whether runs have been listed."""
    problem = service.catalog.problem
    if service.catalog.last is not None:
        body = HealthBody(status="ok", version=VERSION, problem=problem)
        return JSONResponse(body.model_dump(mode="json"))
    service.catalog.begin()
    status = "starting" if problem is None else "failing"
    body = HealthBody.model_validate({"status": status, "version": VERSION, "problem": problem})
    return JSONResponse(body.model_dump(mode="json"), 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **errors(),
        200: {"description": "Numbers.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
async def metrics(service: ServiceOf) -> Response:
    """Numbers for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/v1/session", responses=errors())
async def open_session(
    request: Request,
    response: Response,
    service: ServiceOf,
    authorization: Annotated[str | None, Header(max_length=4096)] = None,
) -> SessionBody:
    """Change a token for a cookie, so that a browser can follow links and listen to events."""
    if service.tokens.is_open:
        return SessionBody(required=False, seconds=SESSION_SECONDS)
    address = request.client.host if request.client else "?"
    service.access.check(address, authorization, None)
    response.set_cookie(
        SESSION_COOKIE,
        service.tokens.open_session(),
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
