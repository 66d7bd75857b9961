"""Deliver signed webhooks for finished jobs, with retries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from pipeline.errors import StorageError
from pipeline.logs import LOGGER
from pipeline.service.errors import BadRequestError
from pipeline.service.jobs.job import Job
from pipeline.service.jobs.job_store import Delivery, JobStore
from pipeline.service.settings import ServiceSettings
from pipeline.webhooks.message import WebhookMessage, host_of, pauses

FIRST_PAUSE = 1.0
_TIMEOUT = 10.0
_MOST_SECONDS = 30.0


class Webhooks:
    """Deliver messages in the background.

    Args:
        settings: URLs and the secret.
        store: Stores messages until they are delivered.
    """

    def __init__(self, settings: ServiceSettings, store: JobStore) -> None:
        self._settings = settings
        self._store = store
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=False)
        self._allowed = frozenset((*settings.webhooks, *settings.webhook_allow))
        self._running: set[asyncio.Task[None]] = set()

    def check(self, url: str) -> None:
        """Raise an error for a URL that the settings do not allow.

        Raises:
            BadRequestError: The URL is not allowed.
        """
        if url not in self._allowed:
            raise BadRequestError(
                "this webhook is not allowed",
                "the operator can allow it by --webhook-allow",
                code="webhook-not-allowed",
            )

    def start(self) -> None:
        """Continue with the messages that were not delivered when the service ended.

        Those to URLs that are not allowed any more are given up.
        """
        for delivery in self._store.owed():
            if delivery.url in self._allowed:
                self._begin(delivery)
            else:
                LOGGER.warning("webhook %s: not allowed any more", host_of(delivery.url))
                self._store.settle(delivery)

    def deliver(self, job: Job) -> None:
        """Deliver messages about a finished job."""
        body = job.shown().model_dump_json()
        for url in self._urls(job):
            message = WebhookMessage.of(body)
            delivery = Delivery(message.id, url, message.body)
            try:
                self._store.owe(delivery)
            except StorageError as error:  # it is sent all the same, but not after a restart
                LOGGER.error("%s", error)
            self._begin(delivery)

    async def close(self) -> None:
        """Stop; undelivered messages continue at the next start."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._client.aclose()

    def _urls(self, job: Job) -> Sequence[str]:
        if job.request.is_temporary:
            return ()
        asked = [] if job.request.webhook_url is None else [job.request.webhook_url]
        urls = dict.fromkeys((*self._settings.webhooks, *asked))
        return [url for url in urls if url in self._allowed]

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver(self, delivery: Delivery) -> None:
        for pause in (*pauses(FIRST_PAUSE), 0.0):
            if await self._post(delivery):
                break
            await asyncio.sleep(pause)
        else:
            LOGGER.warning("webhook %s: not delivered after all attempts", host_of(delivery.url))
        try:
            self._store.settle(delivery)
        except StorageError as error:  # it is delivered again after a restart
            LOGGER.error("%s", error)

    async def _post(self, delivery: Delivery) -> bool:
        secret = self._settings.webhook_secret
        assert secret is not None  # settings.check requires it
        message = WebhookMessage(delivery.id, delivery.body)
        headers = message.headers(secret.get_secret_value())
        post = self._client.stream("POST", delivery.url, content=delivery.body, headers=headers)
        try:
            # Only the status is of interest: a body may have no end, and headers may come slowly.
            async with asyncio.timeout(_MOST_SECONDS), post as answer:
                return answer.is_success
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            LOGGER.info("webhook %s: %s", host_of(delivery.url), type(error).__name__)
            return False
