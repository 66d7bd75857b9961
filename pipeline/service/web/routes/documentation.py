"""Show the documentation of the API with Swagger UI, from files of this installation."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(include_in_schema=False, route_class=StrictRoute)

STATIC = Path(fastapi_offline.__file__).with_name("static")

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>flowtime-export API</title>
<link rel="stylesheet" href="/docs/static/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/static/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """\
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: true });
"""


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Show the documentation."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
async def start() -> Response:
    """Return the script of the page; the policy forbids scripts within the page."""
    return Response(_START, media_type="text/javascript")
