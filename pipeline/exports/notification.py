"""Send the webhooks of a config when its export has ended, without ever failing the export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.config import ExportConfig
from pipeline.exports.report import Report
from pipeline.logs import LOGGER
from pipeline.wording import without_secrets

if TYPE_CHECKING:
    from pipeline.webhooks.delivery import MessageDelivery


class Notification:
    """The webhooks of one export; none where its config names none.

    Args:
        config: The settings.
    """

    def __init__(self, config: ExportConfig) -> None:
        self._config = config
        self._delivery: MessageDelivery | None = None

    def failed(self, error: BaseException) -> None:
        """Begin to send the message of an export that failed."""
        message = str(error) or type(error).__name__
        self._send(
            {
                "name": self._config.name,
                "status": "failed",
                "error": {"type": type(error).__name__, "message": message},
            }
        )

    def finished(self, report: Report) -> None:
        """Begin to send the message of an export that has ended."""
        self._send(report.as_json())

    def settle(self) -> str | None:
        """Wait for what was sent, and return what was not delivered, if anything."""
        hosts = [] if self._delivery is None else self._delivery.undelivered()
        if not hosts:
            return None
        problem = f"webhooks that have not accepted the report in time: {', '.join(hosts)}"
        LOGGER.warning(problem)
        return problem

    def _send(self, content: dict[str, Any]) -> None:
        block = self._config.webhooks
        if block is None:
            return
        # Imported when needed: most configs name no webhook, and TLS takes time to load.
        from pipeline.webhooks.delivery import MessageDelivery  # noqa: PLC0415
        from pipeline.webhooks.message import WebhookMessage  # noqa: PLC0415

        body = json.dumps(_masked(content, self._config.secrets()), ensure_ascii=False, default=str)
        urls = [url.get_secret_value() for url in block.urls]
        secret = block.secret.get_secret_value()
        self._delivery = MessageDelivery(urls, secret, WebhookMessage.of(body))


def _masked(value: Any, secrets: set[str]) -> Any:
    """Return JSON-compatible data whose texts show no secret."""
    if isinstance(value, str):
        return without_secrets(value, secrets)
    if isinstance(value, dict):
        return {key: _masked(child, secrets) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(child, secrets) for child in value]
    return value
