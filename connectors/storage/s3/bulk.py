"""Read many whole S3 objects at a time, through obstore."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import GenericError
from obstore.store import S3Store

from connectors.errors import StorageError
from connectors.storage.calls import retry
from connectors.storage.calls.deadline import check_deadline, seconds_left
from connectors.storage.calls.event_loop import wait_for
from connectors.storage.calls.retry import retrying
from connectors.storage.objects.client import split_key
from connectors.storage.s3.client import S3Client
from connectors.storage.s3.failures import S3_FAILURES

_BULK_READERS = 48
_BULK_OPTIONS = frozenset(
    {"key", "secret", "token", "anon", "profile", "endpoint_url", "client_kwargs"}
)
_BULK_CLIENT_OPTIONS = frozenset({"region_name", "endpoint_url"})


class BulkReader:
    """Reads small objects several times as fast as s3fs, with the session of an s3fs filesystem.

    Args:
        filesystem: The `s3fs.S3FileSystem` whose session and event loop are used.
        options: Its options, in clear.
        client: Reads once more what obstore could not.
        translated: Turns a foreign failure at a path, while doing something, into ours.
    """

    def __init__(
        self,
        filesystem: Any,
        options: dict[str, Any],
        client: S3Client,
        translated: Callable[[Exception, str, str], StorageError],
    ) -> None:
        self._fs = filesystem
        self._options = options
        self._client = client
        self._translated = translated
        self._stores: dict[str, S3Store] = {}

    @property
    def is_able(self) -> bool:
        """Whether obstore supports all options that were given to s3fs."""
        own = set(self._options)
        client = set(self._options.get("client_kwargs", ()))
        return own <= _BULK_OPTIONS and client <= _BULK_CLIENT_OPTIONS

    def connect(self, buckets: Iterable[str]) -> None:
        """Make the stores of buckets."""
        for bucket in buckets:
            self._connect(bucket)

    def read(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        """Whole objects of connected buckets, in the order of `paths`."""
        check_deadline()
        try:
            return wait_for(self._fs.loop, self._read_all(paths), seconds_left())
        except TimeoutError:
            check_deadline()
            raise

    def access(self, bucket: str) -> dict[str, str]:
        """Return how the session of s3fs would reach a bucket, in the words of object_store."""
        endpoint, settings = self._found_settings(bucket)
        provider = settings.pop("credential_provider", None)
        if provider is not None:
            found = wait_for(self._fs.loop, provider(), retry.CALL_SECONDS)
            settings["access_key_id"] = found["access_key_id"]
            settings["secret_access_key"] = found["secret_access_key"]
            settings["session_token"] = found["token"]
        own = {
            f"aws_{name}": "true" if value is True else str(value)
            for name, value in settings.items()
            if value is not None
        }
        return {**own, "aws_conditional_put": "etag"} | (
            {"allow_http": "true"} if endpoint.startswith("http://") else {}
        )

    def _found_settings(self, bucket: str) -> tuple[str, dict[str, Any]]:
        seconds = retry.CALL_SECONDS
        return retrying(
            lambda left: wait_for(self._fs.loop, self._settings(bucket), min(left, seconds)),
            S3_FAILURES,
        )

    def _connect(self, bucket: str) -> None:
        if bucket not in self._stores:
            endpoint, settings = self._found_settings(bucket)
            client: Any = {
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=10),
                "read_timeout": timedelta(seconds=30),
                # The whole of a call is bounded elsewhere, where its size is known.
                "timeout": timedelta(hours=1),
                **_trust(endpoint),
            }
            tries: Any = {
                "max_retries": retry.TRIES - 2,  # the last try is not its own
                "retry_timeout": timedelta(seconds=retry.RETRY_SECONDS),
            }
            self._stores[bucket] = S3Store(
                bucket, **settings, client_options=client, retry_config=tries
            )

    async def _settings(self, bucket: str) -> tuple[str, dict[str, Any]]:
        """Endpoint, and how the session of s3fs would reach a bucket, in obstore's words."""
        client = await self._fs.set_session()
        endpoint: str = client.meta.endpoint_url
        amazon = endpoint.removesuffix(".cn").endswith(".amazonaws.com")
        region = client.meta.region_name
        if amazon and "region_name" not in self._options.get("client_kwargs", ()):
            with suppress(Exception):  # Only a guess is lost; the read itself will say what fails.
                answer = await client.head_bucket(Bucket=bucket)
                region = answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"]
        settings: dict[str, Any] = {"region": region if region != "aws-global" else "us-east-1"}
        if not amazon:
            settings["endpoint"] = endpoint
        if self._options.get("anon"):
            settings["skip_signature"] = True
        elif self._options.get("key"):
            settings["access_key_id"] = self._options["key"]
            settings["secret_access_key"] = self._options.get("secret")
            if self._options.get("token"):
                settings["session_token"] = self._options["token"]
        else:
            settings["credential_provider"] = self._credentials
        return endpoint, settings

    async def _credentials(self) -> dict[str, Any]:
        """Return what the session of s3fs signs with: environment, profile, role, machine."""
        found = await self._fs.session.get_credentials()
        if found is None:
            raise PermissionError("no credentials: give `key` and `secret`, or `anon: true`")
        frozen = await found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            # Asked again after a minute; botocore renews what is about to expire.
            "expires_at": datetime.now(UTC) + timedelta(minutes=6),
        }

    async def _read_all(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        results: list[bytes | StorageError] = [b""] * len(paths)
        waiting = iter(range(len(paths)))

        async def reader() -> None:
            for number in waiting:
                results[number] = await self._read_one(paths[number])

        await asyncio.gather(*(reader() for _ in range(min(_BULK_READERS, len(paths)))))
        return results

    async def _read_one(self, path: str) -> bytes | StorageError:
        try:
            async with asyncio.timeout(retry.CALL_SECONDS) as clock:
                try:
                    return await self._fetch(path, clock)
                except GenericError:
                    # It does not say what failed; the client of s3fs does, if it fails as well.
                    return (await self._client.get_once(path))[0]
        except Exception as failure:
            error = self._translated(failure, path, "reading")
            error.__cause__ = failure
            return error

    async def _fetch(self, path: str, clock: asyncio.Timeout) -> bytes:
        bucket, key = split_key(path)
        answer = await obstore.get_async(self._stores[bucket], key)
        size = answer.meta["size"]
        more = size / retry.SLOWEST_BYTES_PER_SECOND
        clock.reschedule((clock.when() or 0.0) + more)
        data = bytes(await answer.bytes_async())
        if len(data) != size:
            raise ConnectionError("the answer was cut off")
        return data


def _trust(endpoint: str) -> dict[str, Any]:
    """Return the certificates that botocore trusts by the environment."""
    bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    if not bundle or endpoint.startswith("http://"):
        return {}
    return {"root_certificate": Path(bundle).read_bytes()}
