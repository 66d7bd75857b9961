"""Open a registry when it is first needed, and try again later where that fails."""

from __future__ import annotations

import threading
import time

from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.registry.registry import Registry
from pipeline.service.errors import BusyError

_RETRY_SECONDS = 5.0
_WRITE_SECONDS = 30.0
_ASK = "try again later, or check the registry's database"


class RegistryHandle:
    """A registry that is opened when it is first asked for.

    One that cannot be opened fails whatever needs it, and nothing else.

    Args:
        url: The registry's URL.
        name: What messages call it.

    Attributes:
        url: The registry's URL, with its password.
    """

    def __init__(self, url: str, name: str = "the registry") -> None:
        self.url = url
        self._name = name
        self._registry: Registry | None = None
        self._opening = threading.Lock()
        self._failed_until = 0.0
        self._failure = ""

    def registry(self) -> Registry:
        """Return the registry; opens it first where need be. To be called on a thread.

        Raises:
            BusyError: It cannot be opened.
        """
        with self._opening:
            if self._registry is None:
                self._registry = self._opened()
            return self._registry

    def close(self) -> None:
        """Close the registry."""
        with self._opening:
            if self._registry is not None:
                self._registry.close()

    def _opened(self) -> Registry:
        if time.monotonic() >= self._failed_until:
            try:
                return Registry(self.url, write_seconds=_WRITE_SECONDS)
            except FlowtimeExportError as error:
                LOGGER.warning("%s", error)
                self._failure = f"{self._name} cannot be opened: {error}"
                self._failed_until = time.monotonic() + _RETRY_SECONDS
        raise BusyError(self._failure, _ASK)
