"""Read the JSON bodies of requests with the strict parser for untrusted JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from connectors.strict_json import strict_loads


class StrictRoute(APIRoute):
    """A route whose body is refused where it is no JSON that every reader reads alike.

    Half a surrogate pair, NaN, a key that is there twice: none of them reaches a route, a database
    or a response.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        try:
            return strict_loads(body)
        except json.JSONDecodeError:
            raise
        except ValueError as error:
            # The only kind of error from which FastAPI makes one of validation.
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise json.JSONDecodeError(reason, "", 0) from error
