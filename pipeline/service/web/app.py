"""The application: routes, errors in one shape, and what every request passes first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.service.errors import ServiceError, told
from pipeline.service.settings import ServiceSettings
from pipeline.service.web.metrics import Measured
from pipeline.service.web.protection import OPEN_PATHS, SESSION_COOKIE, Protection
from pipeline.service.web.routes import (
    documentation,
    events,
    exports,
    imports,
    jobs,
    operation,
    runs,
)
from pipeline.service.web.service import Service
from pipeline.version import VERSION

PAGE = Path(__file__).parents[1] / "page"
"""Static files of the page."""

_ABOUT = """\
Runs of FlowTime, and their exports as Gold CSV, NDJSON and Parquet.

Errors have one shape: `{"error": …, "hint": …}`.
"""
_TOPICS = (runs, exports, imports, jobs, events, operation, documentation)
_MOST_PROBLEMS = 5
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of the service."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "What POST /v1/session gives for a token.",
    },
}


def create_app(settings: ServiceSettings) -> FastAPI:
    """The application of a service.

    Raises:
        ConfigError: The settings do not fit together.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    kind = _Guarded if settings.tokens else FastAPI
    app = kind(
        title="flowtime-export",
        version=VERSION,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    for topic in _TOPICS:
        app.include_router(topic.router)
    app.mount("/docs/static", StaticFiles(directory=documentation.STATIC))
    app.mount("/page", StaticFiles(directory=PAGE, html=True))

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/page/")

    _answer_errors(app, service)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Prefer", "Last-Event-ID"],
            expose_headers=["Location", "ETag", "Content-Disposition", "Retry-After"],
        )
    app.add_middleware(Protection, settings=settings, access=service.access)
    app.add_middleware(Measured, metrics=service.metrics)
    return app


class _Guarded(FastAPI):
    """An application whose document says what asks for a token; it is `Protection` that asks."""

    def openapi(self) -> dict[str, Any]:
        is_made = self.openapi_schema is not None
        document = super().openapi()
        if not is_made:
            document["components"]["securitySchemes"] = _SCHEMES
            for path, operations in document["paths"].items():
                for operation in () if path in OPEN_PATHS else operations.values():
                    operation["security"] = [{name: []} for name in _SCHEMES]
        return document


def _answer_errors(app: FastAPI, service: Service) -> None:
    """Give every error the one shape, without places and secrets."""

    def answer(status: int, error: str, hint: str = "", **headers: str) -> Response:
        body = {"error": service.places.masked(error), "hint": hint}
        return JSONResponse(body, status, headers)

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        body = {**error.body(), "error": service.places.masked(str(error))}
        return JSONResponse(body, error.status, error.headers)

    @app.exception_handler(FlowtimeExportError)
    async def known_error(request: Request, error: FlowtimeExportError) -> Response:
        LOGGER.info("%s %s: %s", request.method, request.url.path, error)
        status, hint = told(error)
        return answer(status, str(error), hint)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = error.errors()
        shown = [f"{_where(one['loc'])}: {one['msg']}" for one in problems[:_MOST_PROBLEMS]]
        return answer(422, "; ".join(shown), "GET /docs describes what is expected")

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return answer(
            error.status_code, str(error.detail), "GET /docs lists what there is", **headers
        )

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        return answer(500, "the service failed", "its log says more")


def _methods(app: FastAPI, request: Request) -> set[str]:
    """The methods of all routes of a path; the router itself names those of one of them."""
    routes = [*app.routes, *(route for topic in _TOPICS for route in topic.router.routes)]
    matching = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    found = {method for route in matching for method in getattr(route, "methods", None) or ()}
    return found or {"GET", "HEAD"}  # static files


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "request"
