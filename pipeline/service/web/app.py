"""Build the application: routes, errors as problem documents, and checks of every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.service.errors import INTERNAL, PROBLEM_MEDIA_TYPE, ServiceError, classify, problem
from pipeline.service.settings import ServiceSettings
from pipeline.service.web.metrics import Measured
from pipeline.service.web.models.problems import ErrorBody, ImportProblemsBody
from pipeline.service.web.pages import PAGE
from pipeline.service.web.protection import OPEN_PATHS, SESSION_COOKIE, Protection
from pipeline.service.web.request_errors import request_error
from pipeline.service.web.routes import (
    artifact_changes,
    artifacts,
    auto_export,
    comparisons,
    documentation,
    events,
    exports,
    imports,
    jobs,
    operation,
    runs,
    stored_exports,
)
from pipeline.service.web.service import Service
from pipeline.version import VERSION

_ABOUT = """\
Runs of FlowTime, and their exports as Gold CSV, NDJSON and Parquet.

Errors are problem documents (RFC 9457) with a stable `code`, and FlowTime's `error` and `hint`.
"""
_TOPICS = (
    artifacts,
    artifact_changes,
    comparisons,
    runs,
    exports,
    stored_exports,
    imports,
    jobs,
    auto_export,
    events,
    operation,
    documentation,
)
_CODES = {404: "not-found", 405: "method-not-allowed"}
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of the service."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "The cookie that POST /v1/session sets for a token.",
    },
}


def create_app(settings: ServiceSettings) -> FastAPI:
    """Return the application of a service.

    Raises:
        ConfigError: The settings do not fit together, or the folder of the state cannot be used.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = _Documented(
        title="flowtime-export",
        version=VERSION,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.requires_token = bool(settings.tokens)
    app.state.service = service
    for topic in _TOPICS:
        app.include_router(topic.router)
    app.mount("/docs/static", StaticFiles(directory=documentation.STATIC))
    app.mount("/page", StaticFiles(directory=PAGE, html=True))

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/page/")

    @app.get("/artifacts/import", include_in_schema=False)
    async def import_page() -> RedirectResponse:
        return RedirectResponse("/page/#/import")

    @app.get("/runs/{runId}/compare", include_in_schema=False)
    async def comparable_runs(run_id: Annotated[str, Path(alias="runId")]) -> RedirectResponse:
        # The view of the artifact lists what the run can be compared with.
        return RedirectResponse(f"/page/#/artifacts/{quote(run_id, safe='')}")

    # Decorators apply from below: the fixed addresses come before those of any artifact.
    @app.get("/artifacts/{artifactId}", include_in_schema=False)
    @app.get("/artifacts/manage", include_in_schema=False)
    @app.get("/artifacts/browse", include_in_schema=False)
    @app.get("/artifacts", include_in_schema=False)
    async def artifact_pages(request: Request) -> RedirectResponse:
        name = request.path_params.get("artifactId")
        rest = "" if name is None else f"/{quote(name, safe='')}"
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/page/#/artifacts{rest}{query}")

    _handle_errors(app, service)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Prefer", "Last-Event-ID"],
            expose_headers=["Location", "ETag", "Link", "Content-Disposition", "Retry-After"],
        )
    app.add_middleware(Protection, settings=settings, access=service.access)
    app.add_middleware(Measured, metrics=service.metrics)
    return app


class _Documented(FastAPI):
    """An application whose OpenAPI document has the problem documents and the tokens.

    Attributes:
        requires_token: Whether `Protection` requires a token.
    """

    requires_token = False

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        is_made = self.openapi_schema is not None
        document = super().openapi()
        if is_made:
            return document
        components = document.setdefault("components", {})
        _, problems = models_json_schema(
            [(ErrorBody, "serialization"), (ImportProblemsBody, "serialization")],
            ref_template="#/components/schemas/{model}",
        )
        components.setdefault("schemas", {}).update(problems["$defs"])
        if self.requires_token:
            components["securitySchemes"] = _SCHEMES
            for path, operations in document["paths"].items():
                for operation in () if path in OPEN_PATHS else operations.values():
                    operation["security"] = [{name: []} for name in _SCHEMES]
        return document


def _operation_id(route: APIRoute) -> str:
    """Return a name for the operation in generated clients: `listRuns`."""
    return to_camel(route.name)


def _handle_errors(app: FastAPI, service: Service) -> None:
    """Turn every error into a problem document, without locations and secrets."""

    def respond(
        status: int, code: str, error: str, hint: str = "", headers: dict[str, str] | None = None
    ) -> Response:
        body = problem(status, code, service.locations.masked(error), hint)
        return JSONResponse(body, status, headers, media_type=PROBLEM_MEDIA_TYPE)

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        masked = service.locations.masked(str(error))
        body = {**error.body(), "error": masked, "detail": masked}
        return JSONResponse(body, error.status, error.headers, media_type=PROBLEM_MEDIA_TYPE)

    @app.exception_handler(FlowtimeExportError)
    async def known_error(request: Request, error: FlowtimeExportError) -> Response:
        LOGGER.info("%s %s: %s", request.method, request.url.path, error)
        status, code, hint = classify(error)
        return respond(status, code, str(error), hint)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return await service_error(request, request_error(request, error.errors()))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        code = _CODES.get(error.status_code, "invalid-request")
        hint = "GET /docs lists the paths and methods"
        return respond(error.status_code, code, str(error.detail), hint, headers)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        status, code, hint = INTERNAL
        return respond(status, code, "the service failed", hint)


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Return the methods of all routes of a path; the router itself names those of one route.

    Where a path is both a fixed one and an example of one with parameters, it is the fixed one, as
    in the OpenAPI document: `/v1/artifacts/stats` is no artifact.
    """
    routes = [*app.routes, *(route for topic in _TOPICS for route in topic.router.routes)]
    matching = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    fixed = [route for route in matching if getattr(route, "path", "") == request.url.path]
    matching = fixed or matching
    found = {method for route in matching for method in getattr(route, "methods", None) or ()}
    return found or {"GET", "HEAD"}  # static files
