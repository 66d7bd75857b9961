"""URLs of object stores: bucket and key, and no credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass

from connectors.errors import StorageError
from connectors.storage.addresses.paths import join

_ACCOUNT_HOST = re.compile(r"(?P<account>[A-Za-z0-9-]+)\.[A-Za-z0-9.-]+")
_SIGNATURE = re.compile(r"[?&]sig=")


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A kind of object store.

    Attributes:
        protocol: The spelling of its protocol that URLs are shown with.
        spellings: All spellings.
        name: What it is called.
        example: The form of its URLs.
        credentials: The options that hold its credentials.
        extra: The extra that installs its packages, if they are optional.
        module: Has `open_storage` for it.
    """

    protocol: str
    spellings: frozenset[str]
    name: str
    example: str
    credentials: str
    extra: str
    module: str

    def path(self, url: str) -> str:
        """Return bucket and key of a URL.

        Raises:
            StorageError: It names no bucket, or holds credentials.
        """
        path = url.partition("://")[2].rstrip("/")
        bucket, _, key = path.partition("/")
        if host := self._host(url):
            bucket = bucket.removesuffix(f"@{host}")
        if "@" in bucket or ":" in bucket or (self is AZURE and _SIGNATURE.search(path)):
            raise StorageError(
                f"{self.name} URL must not hold credentials: give {self.credentials} in a storage "
                f"of the config, and the URL as {self.example}",
                url=f"{self.protocol}://",
            )
        if not bucket:
            raise StorageError(
                f"{url} names no bucket: write {self.example}", url=f"{self.protocol}://"
            )
        return join(bucket, key) if key else bucket

    def canonical(self, url: str) -> str:
        """Return one spelling for all that name the same object.

        >>> AZURE.canonical("az://lake@acme.blob.core.windows.net/gold/")
        'abfs://lake@acme.blob.core.windows.net/gold'
        """
        bucket, _, key = self.path(url).partition("/")
        host = self._host(url)
        shown = f"{bucket}@{host}" if host else bucket
        return f"{self.protocol}://{shown}" + (f"/{key}" if key else "")

    def options(self, url: str) -> dict[str, str]:
        """Return the options that a URL holds: the account of Azure."""
        host = self._host(url)
        return {"account_name": host.partition(".")[0]} if host else {}

    def _host(self, url: str) -> str:
        return _account_host(url.partition("://")[2].partition("/")[0]) if self is AZURE else ""


S3 = ObjectStore(
    "s3",
    frozenset({"s3", "s3a"}),
    "an S3",
    "s3://bucket/key",
    "`key` and `secret`",
    "",
    "connectors.storage.s3.storage",
)
AZURE = ObjectStore(
    "abfs",
    frozenset({"abfs", "abfss", "az"}),
    "an Azure",
    "abfs://container/path, or abfs://container@account.dfs.core.windows.net/path",
    "`account_key`, `sas_token` or `connection_string`",
    "azure",
    "connectors.storage.azure.storage",
)
GOOGLE = ObjectStore(
    "gs",
    frozenset({"gs", "gcs"}),
    "a Google Cloud Storage",
    "gs://bucket/key",
    "`token`",
    "gcs",
    "connectors.storage.google.storage",
)
_STORES = {spelling: store for store in (S3, AZURE, GOOGLE) for spelling in store.spellings}


def object_store(protocol: str) -> ObjectStore | None:
    """Return the kind of object store of a protocol; None where it is none."""
    return _STORES.get(protocol)


def _account_host(authority: str) -> str:
    """Return the host of `container@account.host`, or nothing where it is not of that form."""
    container, found, host = authority.partition("@")
    is_plain = container and ":" not in container and _ACCOUNT_HOST.fullmatch(host)
    return host if found and is_plain else ""
