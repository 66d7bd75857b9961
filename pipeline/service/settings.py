"""Define the settings of the service, checked before it listens."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from pipeline.config.values import RegistryUrl
from pipeline.errors import ConfigError
from pipeline.sinks.formats import Format
from pipeline.webhooks.message import check_webhook_url

SHORTEST_TOKEN = 16

_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0)]


class ServiceSettings(BaseModel):
    """Settings of a service.

    Attributes:
        runs: A folder or bucket of run directories.
        storage_options: Options `key=value` of the storage of the runs.
        registry: URL of the registry; default a file in the folder of the state.
        exports: Folder of the exports, one folder per run in it; default each run's own `gold/`.
        host: Address to listen on.
        port: Port to listen on.
        tokens: Valid bearer tokens; without any, no token is required.
        state: Folder of the job history, of uploads and of temporary exports.
        workers: Jobs that run at a time.
        queue: Jobs that may wait.
        memory_limit: Bytes that an export plans with.
        address_space: Bytes of address space that a worker may have.
        job_timeout: Seconds that a job may run.
        cancel_grace: Seconds after which a cancelled worker is killed.
        wait: Seconds that a request waits for its export before the response names the job instead.
        large_bytes: Bytes of series from which the response names the job at once.
        refresh: Age in seconds at which the runs are listed again.
        keep_comparisons: Results of comparisons that are kept.
        keep_jobs: Finished jobs that the history keeps.
        custom_export_days: Days after which an export with options is deleted.
        custom_export_bytes: Bytes that all exports with options may have.
        custom_exports_per_run: Number of exports with options that a run may have.
        auto_export: Formats in which each run is exported when it is completed; None for what was
            chosen on the page.
        webhooks: URLs that are called for every finished job.
        webhook_allow: URLs that a request may name as the webhook of its job.
        webhook_secret: Key of the signatures.
        allowed_hosts: Names that the `Host` header may have beside those of loopback.
        forwarded_allow_ips: Addresses or networks of proxies whose `X-Forwarded-For` and
            `X-Forwarded-Proto` are trusted, separated by commas; `*` for any.
        cors_origins: Other web origins that may use the API.
        rate: Requests per second that a client may make on average.
        burst: Requests that a client may make at once.
        failed_tokens: Wrong tokens per minute after which an address gets 429 instead of 401.
        streams_per_client: Event streams that a client may have open.
        max_body: Bytes that the body of a request may have.
        max_upload: Bytes that an upload may have; 0 for no uploads.
        slowest_body: Bytes per second at which a body must arrive after `client_timeout`.
        client_timeout: Seconds that the service waits for a client.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: Annotated[str, Field(min_length=1)]
    storage_options: tuple[str, ...] = ()
    exports: str | None = None
    registry: RegistryUrl | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    tokens: tuple[SecretStr, ...] = ()
    state: Path | None = None
    workers: _Count = 2
    queue: _Count = 100
    memory_limit: _Count = 512 * 10**6
    address_space: _Count = 16 * 2**30
    job_timeout: _Seconds = 3600.0
    cancel_grace: _Seconds = 10.0
    wait: Annotated[float, Field(ge=0)] = 20.0
    large_bytes: _Count = 64 * 10**6
    refresh: _Seconds = 30.0
    keep_jobs: _Count = 10_000
    keep_comparisons: _Count = 100
    custom_export_days: Annotated[float, Field(gt=0)] = 30.0
    custom_export_bytes: _Count = 10**10
    custom_exports_per_run: _Count = 20
    auto_export: tuple[Format, ...] | None = None
    webhooks: tuple[str, ...] = ()
    webhook_allow: tuple[str, ...] = ()
    webhook_secret: SecretStr | None = None
    allowed_hosts: tuple[str, ...] = ()
    forwarded_allow_ips: str = ""
    cors_origins: tuple[str, ...] = ()
    rate: Annotated[float, Field(gt=0)] = 50.0
    burst: _Count = 200
    failed_tokens: _Count = 10
    streams_per_client: _Count = 20
    max_body: _Count = 64 * 1024
    max_upload: Annotated[int, Field(ge=0)] = 10**9
    slowest_body: _Count = 10_000
    client_timeout: _Seconds = 60.0

    def check(self) -> None:
        """Raise an error for settings that would be unsafe.

        Raises:
            ConfigError: They are; the message says what to change.
        """
        if not self.tokens and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host} can be reached from other machines, and no token is required: "
                "give --token-file, or listen on 127.0.0.1"
            )
        if any(len(t.get_secret_value()) < SHORTEST_TOKEN for t in self.tokens):
            raise ConfigError(
                f"a token is shorter than {SHORTEST_TOKEN} characters: use longer ones"
            )
        for url in (*self.webhooks, *self.webhook_allow):
            try:
                check_webhook_url(url)
            except ValueError as error:
                raise ConfigError(f"a webhook {error}") from None
        if (self.webhooks or self.webhook_allow) and self.webhook_secret is None:
            raise ConfigError("webhooks are signed: give --webhook-secret-file")

    @property
    def registry_url(self) -> str:
        """The URL of the registry, with its password."""
        if self.registry is not None:
            return self.registry.get_secret_value()
        return self.local_registry_url

    @property
    def local_registry_url(self) -> str:
        """The URL of the registry in the folder of the state, which always has the runs."""
        return f"sqlite:///{self.state_folder / 'registry.db'}"

    @property
    def state_folder(self) -> Path:
        """The folder of the state; by default one for each URL of runs."""
        if self.state is not None:
            return self.state
        base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
        mark = hashlib.sha256(self.runs.encode()).hexdigest()[:12]
        return Path(base) / "flowtime-export" / mark

    @property
    def known_hosts(self) -> tuple[str, ...]:
        """Names that a `Host` header may have; empty for any."""
        if not self.allowed_hosts and not is_loopback(self.host):
            return ()
        return ("localhost", "127.0.0.1", "[::1]", self.host, *self.allowed_hosts)


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_tokens(path: Path) -> tuple[SecretStr, ...]:
    """Return the tokens of a file, one per line, without empty lines and comments (`#`).

    Raises:
        ConfigError: The file cannot be read or holds no token.
    """
    lines = [line.strip() for line in read_secret(path).splitlines()]
    tokens = tuple(SecretStr(line) for line in lines if line and not line.startswith("#"))
    if not tokens:
        raise ConfigError(f"{path} holds no token: write one per line")
    return tokens


def read_secret(path: Path) -> str:
    """Return the text of a file that holds a secret.

    Raises:
        ConfigError: The file cannot be read or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{path} cannot be read: {reason}") from error
    if not text:
        raise ConfigError(f"{path} is empty: write the secret into it")
    return text
