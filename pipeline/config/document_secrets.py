"""Find the secrets of a config that has not been validated: a message about it shows none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from connectors.storage.options import secret_texts
from pipeline.config.storage_block import hidden_option
from pipeline.config.values import passwords_in
from pipeline.sinks.iceberg import is_secret_property


def unvalidated_secrets(document: Mapping[str, Any]) -> set[str]:
    """Return the texts of a document that are not to be shown, whether it is valid or not."""
    registry = document.get("registry")
    url = registry.get("url") if isinstance(registry, dict) else None
    passwords = passwords_in(url) if isinstance(url, str) else ()
    webhooks = set(_texts_in(document.get("webhooks")))
    catalogs = _secrets_of_catalogs(document.get("sinks"))
    return {*_secrets_of_storages(document.get("storage")), *catalogs, *passwords, *webhooks}


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from _texts_in(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _texts_in(child)


def _secrets_of_catalogs(sinks: object) -> Iterator[str]:
    for sink in sinks if isinstance(sinks, list) else ():
        catalog = sink.get("catalog") if isinstance(sink, dict) else None
        for name, value in (catalog if isinstance(catalog, dict) else {}).items():
            if isinstance(value, str) and is_secret_property(str(name), value):
                yield value


def _secrets_of_storages(storage: object) -> set[str]:
    found: set[str] = set()
    stack: list[tuple[str, object]] = [("", storage)]
    while stack:
        key, value = stack.pop()
        if isinstance(value, dict):
            stack += [(str(name), child) for name, child in value.items()]
        elif isinstance(value, list):
            stack += [(key, child) for child in value]
        elif isinstance(value, str) and key != "protocol":
            hidden = hidden_option(key, value)
            found.update(secret_texts(value) if isinstance(hidden, SecretStr) else ())
    return found
