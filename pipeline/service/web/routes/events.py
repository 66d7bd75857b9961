"""Stream events to clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from sse_starlette import EventSourceResponse, ServerSentEvent

from pipeline.service.web.routes.shared import ClientOf, ServiceOf, errors
from pipeline.service.web.service import Service
from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(prefix="/v1/events", tags=["events"], route_class=StrictRoute)

_PING_SECONDS = 15


@router.get(
    "",
    response_class=EventSourceResponse,
    responses={
        **errors(503),
        200: {
            "description": "Server-sent events: `job` and `progress` with a job; `runs`: the list "
            "of runs changed; `health`: a problem came or went; `reset`: events were missed.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    },
)
async def get_events(
    service: ServiceOf,
    client: ClientOf,
    last_event_id: Annotated[
        str | None, Header(description="Continue after this event.", max_length=100)
    ] = None,
) -> EventSourceResponse:
    """Stream events from now on, or from the last one that was received."""
    service.streams.check(client)
    return EventSourceResponse(
        _stream(service, client, last_event_id),
        ping=_PING_SECONDS,
        send_timeout=service.settings.client_timeout,
    )


async def _stream(
    service: Service, client: str, last_id: str | None
) -> AsyncIterator[ServerSentEvent]:
    with service.streams.held(client):
        async for event in service.events.listen(last_id):
            yield ServerSentEvent(event.data, event=event.name, id=event.id)
