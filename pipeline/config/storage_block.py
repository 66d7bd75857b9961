"""Define a named option set for a storage, with what could be a secret hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from connectors.storage import StorageOptions
from connectors.storage.options import is_secret, names_secret
from pipeline.config.values import Protocol

_FLAGS = frozenset({"anon", "use_ssl", "requester_pays", "version_aware"})


class StorageBlock(BaseModel):
    """A named option set for a storage; other keys are passed on to fsspec.

    Attributes:
        protocol: fsspec protocol such as `s3`, where the URL does not name it.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    protocol: Protocol | None = None

    @model_validator(mode="before")
    @classmethod
    def _hide_texts(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            return value
        return {
            key: child if key == "protocol" else hidden_option(key, child)
            for key, child in value.items()
        }

    def options(self, name: str) -> StorageOptions:
        """Return the options in the terms of the storages, under the name the config gives them."""
        return StorageOptions(
            name=name, protocol=self.protocol, options=dict(self.model_extra or {})
        )

    def secrets(self) -> Iterator[str]:
        """Yield the texts that must not be shown."""
        yield from self.options("").secrets()


def hidden_option(key: str, value: Any) -> Any:
    """Return an option with every text that could be a secret put out of sight.

    Raises:
        ValueError: A secret is a number.
    """
    if isinstance(value, dict):
        return {name: hidden_option(name, child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [hidden_option(key, child) for child in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and names_secret(key):
        # YAML reads 0123 as 123: a secret of digits would be another one.
        raise ValueError(f"{key} is a number; put text in quotes")
    if not isinstance(value, str):
        return value
    if key in _FLAGS and value.lower() in ("true", "false"):
        return value.lower() == "true"  # from the environment everything comes as text
    return SecretStr(value) if is_secret(key, value) else value
