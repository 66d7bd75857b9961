"""Define the options of a storage; no text made from them shows a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

_PUBLIC_OPTIONS = frozenset(
    {
        "account_host",
        "account_name",
        "addressing_style",
        "anon",
        "endpoint_url",
        "host",
        "mode",
        "payload_signing_enabled",
        "port",
        "profile",
        "project",
        "protocol",
        "region",
        "region_name",
        "request_checksum_calculation",
        "requester_pays",
        "response_checksum_validation",
        "signature_version",
        "use_ssl",
        "version_aware",
    }
)
_SECRET_NAME = re.compile(
    r"(?:.*[_.-])?(?:key(?:[_-]id)?|secret|password|passwd|passphrase|token|sas|credential)"
)
_SIGN_INS = frozenset({"anon", "browser", "cache", "cloud", "google_default"})
"""What `token` may say beside a token: how gcsfs signs in."""
_SECRET_PART = re.compile(r"(?:^|[;?&])(?:AccountKey|SharedAccessSignature|sig)=([^;&]+)")


def is_secret(option: str, text: str) -> bool:
    """Return whether the text of an option must not be shown.

    The only rule of its kind: what is not known to be harmless is a secret, and so is a URL that
    can carry credentials.

    >>> is_secret("region", "eu"), is_secret("endpoint_url", "http://a:b@c"), is_secret("x", "y")
    (False, True, True)
    """
    if option == "token" and text in _SIGN_INS:
        return False
    return option not in _PUBLIC_OPTIONS or "@" in text or "?" in text


def secret_texts(text: str) -> frozenset[str]:
    """Return a secret with those inside it: the key of a connection string, a SAS signature.

    >>> sorted(secret_texts("AccountName=a;AccountKey=k==;x=y"))
    ['AccountName=a;AccountKey=k==;x=y', 'k==']
    """
    inside = _SECRET_PART.findall(text)
    return frozenset((text, *inside, *map(unquote, inside)))


def names_secret(option: str) -> bool:
    """Return whether the name of an option says that its value is a secret.

    >>> names_secret("aws_session_token"), names_secret("s3.access-key-id")
    (True, True)
    >>> names_secret("connect_timeout"), names_secret("s3.connect-timeout")
    (False, False)
    """
    return _SECRET_NAME.fullmatch(option) is not None


@dataclass(frozen=True, repr=False)
class StorageOptions:
    """A named set of options for a storage; no text made from it shows a secret.

    Attributes:
        name: What the config calls the set.
        protocol: The protocol it is meant for, or None for any.
        options: fsspec's keyword arguments. Values may be `SecretStr`; a text under a key that is
            not known to be harmless is a secret as well.
    """

    name: str = ""
    protocol: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def revealed(self) -> dict[str, Any]:
        """Return the options with secrets in clear, for the client library alone."""
        return {key: _revealed(value) for key, value in self.options.items()}

    def secrets(self) -> frozenset[str]:
        """Return every text that must not be shown.

        >>> sorted(StorageOptions(options={"key": "A", "region": "x"}).secrets())
        ['A']
        """
        return frozenset(_secrets(self.options))

    def __repr__(self) -> str:
        return (
            f"StorageOptions(name={self.name!r}, protocol={self.protocol!r}, "
            f"options={_masked(self.options)!r})"
        )


def session_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an fsspec filesystem that keeps no listings and is not shared.

    Args:
        options: Its other arguments; these two cannot be set by a user.

    >>> session_arguments({"anon": True, "use_listings_cache": True})
    {'anon': True, 'use_listings_cache': False, 'skip_instance_cache': True}
    """
    return {**options, "use_listings_cache": False, "skip_instance_cache": True}


def _revealed(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: _revealed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_revealed(item) for item in value)
    return value


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        yield from _secrets_of(name, value)


def _secrets_of(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _secrets(value)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets_of(key, item)
    elif hasattr(value, "get_secret_value"):
        yield from secret_texts(str(value.get_secret_value()))
    elif isinstance(value, str) and value and is_secret(key, value):
        yield from secret_texts(value)


def _masked(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _masked(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, key) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return "***" if names_secret(key) else value
    return value if isinstance(value, str) and not is_secret(key, value) else "***"
