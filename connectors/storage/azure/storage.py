"""Azure Blob Storage and Data Lake Storage as a storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import adlfs

from connectors.storage.azure.client import STORAGE_SCOPE, AzureClient
from connectors.storage.azure.failures import AZURE_FAILURES
from connectors.storage.calls import retry
from connectors.storage.calls.event_loop import wait_for
from connectors.storage.contract import StoreAccess
from connectors.storage.objects.storage import ObjectStorage
from connectors.storage.options import session_arguments

_ACCOUNT_HOST = ".blob.core.windows.net"


class AzureStorage(ObjectStorage):
    """Containers of an account.

    adlfs holds the session: it knows every way to credentials.

    Args:
        options: The arguments of `adlfs.AzureBlobFileSystem`, in clear.
        secrets: Texts that no message may show.

    Raises:
        StorageError: The options cannot be used.
    """

    def __init__(self, options: dict[str, Any], secrets: Iterable[str]) -> None:
        try:
            self._fs: Any = adlfs.AzureBlobFileSystem(**session_arguments(options))
        except Exception as failure:  # The SDK raises many classes for what is wrong with options.
            raise AZURE_FAILURES.translate(
                failure, "abfs://", "connecting to", secrets
            ) from failure
        super().__init__("abfs", AzureClient(self._fs), secrets)

    def access(self, path: str) -> StoreAccess:
        """Return the URL, and the session's own way to the account.

        Raises:
            StorageError: There are no credentials, or the store failed.
        """
        try:
            options = {f"azure_storage_{name}": value for name, value in self._settings() if value}
        except Exception as failure:
            raise self._translated(failure, path, "connecting to") from failure
        service = self._fs.service_client
        if not service.primary_hostname.endswith(_ACCOUNT_HOST):
            options["azure_storage_endpoint"] = service.primary_endpoint.rstrip("/")
        if service.scheme == "http":
            options["allow_http"] = "true"
        return StoreAccess(self.url(path), options)

    def _settings(self) -> Iterator[tuple[str, str | None]]:
        """Yield what adlfs signs in with, in the words of object_store."""
        given = dict(
            part.split("=", 1) for part in (self._fs.connection_string or "").split(";") if part
        )
        yield "account_name", self._fs.service_client.account_name
        yield "account_key", given.get("AccountKey") or self._fs.account_key
        yield "sas_token", given.get("SharedAccessSignature") or self._fs.sas_token
        if self._fs.credential is not None:
            work = self._fs.credential.get_token(STORAGE_SCOPE)
            yield "token", wait_for(self._fs.loop, work, retry.CALL_SECONDS).token
        elif self._fs.anon:
            yield "skip_signature", "true"


def open_storage(protocol: str, options: dict[str, Any], secrets: Iterable[str]) -> AzureStorage:
    """Return a storage for `abfs://container/path` and its other spellings."""
    return AzureStorage(options, secrets)
