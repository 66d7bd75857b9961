"""Write log records to stderr, as text or JSON, without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

LOGGER = logging.getLogger("flowtime_export")
MASK = "********"
# These write tokens, signatures and whole requests at DEBUG, and URLs of webhooks or each step of a
# migration at INFO.
_TALKATIVE = (
    *("botocore", "aiobotocore", "boto3", "s3fs", "fsspec", "urllib3", "aiohttp", "asyncio"),
    *("adlfs", "azure", "msal", "gcsfs", "google", "httpx", "httpcore", "alembic"),
)
_SHORTEST_SECRET = 4
_PLAIN = logging.Formatter()


class Redaction(logging.Filter):
    """Masks known secrets in whatever is logged."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these values from now on; very short ones would mask innocent text."""
        known = {*self._secrets, *(s for s in secrets if len(s) >= _SHORTEST_SECRET)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def forget(self) -> None:
        """Forget the secrets of an earlier command line of this process."""
        self._secrets = ()

    def masked(self, text: str) -> str:
        """Return text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record's message and its traceback; it is always passed on."""
        record.msg = self.masked(record.getMessage())
        record.args = ()
        if record.exc_info:
            # Formatters show this text rather than format the exception again.
            record.exc_text = self.masked(_PLAIN.formatException(record.exc_info))
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a record, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """`time`, `level`, `logger`, `message`, the record's own `fields`, and an error if any."""
        shown: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        shown |= getattr(record, "fields", {})
        if record.exc_info:
            shown["error"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(shown, ensure_ascii=False, default=str)


def configure(form: Literal["text", "json"], level: str, redaction: Redaction) -> None:
    """Send the records of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(redaction)
    handler.setFormatter(
        JsonFormatter() if form == "json" else logging.Formatter("%(levelname)s %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
