"""Find and judge runs in worker processes, some folders each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from connectors.flowtime.discover.discovery import Discovery, discover, joined
from connectors.flowtime.discover.folder_parts import in_parts
from connectors.flowtime.discover.selection import Selection
from connectors.storage import StorageOptions, connect
from connectors.storage.calls.deadline import check_deadline
from pipeline.errors import ConfigError
from pipeline.version import VERSION

FEWEST_FOLDERS = 400
"""Fewer folders are found sooner by one process."""

FEWEST_FOLDERS_OF_TWO = 4_000
"""Fewer are not worth starting two workers that are not needed otherwise."""

_FOLDERS_AT_ONCE = 128
_POLL_SECONDS = 0.2


def refuse_other_version(version: str) -> None:
    """Refuse work that was handed out by another version of the program.

    Raises:
        ConfigError: It is another one.
    """
    if version != VERSION:
        raise ConfigError(
            f"a worker runs flowtime-export {VERSION}, the export {version}: "
            "install the same version everywhere"
        )


@dataclass(frozen=True)
class DiscoveryMessage:
    """What one worker looks through.

    Attributes:
        url: The folder of run directories.
        options: The options to connect with.
        pattern: As in `SourceRoot`.
        selection: What is wanted.
        time_origin: Start of bin 0 of every run, or None to find it in the runs.
        summarise: Whether runs get a `summary`.
        only: Names of the folders directly below that are looked through.
        version: Version of the program that has made it.
    """

    url: str
    options: StorageOptions | None
    pattern: tuple[str, ...]
    selection: Selection
    time_origin: datetime | None
    summarise: bool
    only: frozenset[str] = frozenset()
    version: str = VERSION

    def run(self) -> Discovery:
        """Find the runs.

        Raises:
            ConfigError: It was made by another version of the program.
            StorageError: The listing failed.
        """
        refuse_other_version(self.version)
        storage, path = connect(self.url, self.options)
        return discover(
            storage,
            path,
            self.selection,
            time_origin=self.time_origin,
            summarise=self.summarise,
            pattern=self.pattern,
            only=self.only,
        )


class DiscoveryPool(Protocol):
    """Finds runs elsewhere."""

    def discover(self, message: DiscoveryMessage) -> Any:
        """Have a worker find the runs in some folders, and return its future."""

    def wait(self, future: Any, seconds: float) -> None:
        """Wait until a part is done, but not for longer."""


def discover_in_parts(
    pool: DiscoveryPool,
    whole: DiscoveryMessage,
    folders: Sequence[str],
    meanwhile: Callable[[], None],
) -> Discovery:
    """Return what `discover` gives, found by workers.

    Args:
        pool: Finds the parts.
        whole: What all workers together look through.
        folders: Names of all folders directly in it.
        meanwhile: Called while they work.

    Raises:
        StorageError: The listing failed.
    """
    names = in_parts(folders, _FOLDERS_AT_ONCE)
    parts = [pool.discover(replace(whole, only=only)) for only in names]
    meanwhile()
    for part in parts:
        while not part.done():
            check_deadline()
            pool.wait(part, _POLL_SECONDS)
    return joined([part.result() for part in parts])
