"""Events: what happens, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from sse_starlette import EventSourceResponse, ServerSentEvent

from pipeline.service.errors import BusyError
from pipeline.service.web.routes.shared import ServiceOf, errors
from pipeline.service.web.service import Service

router = APIRouter(prefix="/v1/events", tags=["events"])

MOST_LISTENERS = 200
_PING_SECONDS = 15


@router.get(
    "",
    response_class=EventSourceResponse,
    responses={
        **errors(503),
        200: {
            "description": "Server-sent events: `job` and `progress` hold a job, `runs` that other "
            "runs were found, `reset` that events were missed.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    },
)
async def get_events(
    service: ServiceOf,
    last_event_id: Annotated[
        str | None, Header(description="Go on after this event.", max_length=100)
    ] = None,
) -> EventSourceResponse:
    """Events from now on, or from the last one that was seen."""
    if service.events.listeners >= MOST_LISTENERS:
        raise BusyError("too many listen already", "ask GET /v1/jobs now and then instead")
    return EventSourceResponse(
        _told(service, last_event_id),
        ping=_PING_SECONDS,
        send_timeout=service.settings.client_timeout,
    )


async def _told(service: Service, last_id: str | None) -> AsyncIterator[ServerSentEvent]:
    async for event in service.events.listen(last_id):
        yield ServerSentEvent(event.data, event=event.name, id=event.id)
