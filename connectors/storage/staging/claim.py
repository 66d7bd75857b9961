"""Let one exporter at a time publish in a folder, on every store that lists what it holds.

A claim is a small file. Beside keeping others away it records what its holder is about to publish
and to remove, so that what a killed exporter leaves can be distinguished from others' files.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.errors import ConflictError, NotFoundError, StorageError
from connectors.storage.addresses.paths import is_safe_name, join
from connectors.storage.calls.deadline import within
from connectors.storage.contract import Failed, Mark, Storage
from connectors.storage.staging.names import is_abandoned, is_own, staged_name

RENEWAL_SECONDS = 60.0
"""A claim is written again after this time, for as long as it is held."""
LAPSE_SECONDS = 15 * 60.0
"""A claim that has not been renewed for this long has expired."""
PATIENCE_SECONDS = 5.0
"""How long a claim waits for others that are about to give way."""
_PAUSE_SECONDS = 0.05
_CLOCK_SKEW_SECONDS = 15 * 60.0
"""S3 refuses requests of clocks that are further off."""
_PREFIX = ".flowtime-export-claim"
_MOST_BYTES = 256 * 1024 * 1024

_held: set[str] = set()
"""Names of the claims that this process holds."""


@dataclass(frozen=True, slots=True)
class InterruptedWork:
    """What the claim of a dead exporter says of its work.

    Attributes:
        claim: The path of the claim.
        scope: What was claimed in the folder, or nothing for all of it.
        files: Paths below the folder that the exporter was publishing or removing.
    """

    claim: str
    scope: str
    files: tuple[str, ...]


class Claim:
    """The exclusive right to publish something in a folder.

    Args:
        storage: Where the folder is.
        folder: The folder.
        scope: What is claimed in it, or nothing for all of it.
        uploads: Names below the folder that are sent in parts while the claim is held.
        files: Paths below the folder that are published or removed meanwhile, none of which
            belongs to others.

    Attributes:
        interrupted: What dead exporters recorded of the same scope, once the claim is taken.
    """

    def __init__(
        self,
        storage: Storage,
        folder: str,
        scope: str,
        uploads: Sequence[str] = (),
        files: Sequence[str] = (),
    ) -> None:
        self.interrupted: dict[str, InterruptedWork] = {}
        self._files = tuple(files)
        self._storage = storage
        self._folder = folder
        self._scope = scope
        self._name = staged_name(f"{_PREFIX[1:]}-{scope}")
        self._path = f"{folder}/{self._name}"
        self._record: dict[str, Any] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "scope": scope,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "uploads": list(uploads),
        }
        if files:
            self._record["files"] = list(files)
        self._content = json.dumps(self._record).encode()
        self._renewed = time.monotonic()
        self._lost = False
        self._abandoned = False
        self._over = threading.Event()

    def check(self) -> None:
        """Check that the claim is still held.

        Raises:
            ConflictError: It expired, because this process or the store was suspended for too long.
        """
        if self._lost or time.monotonic() - self._renewed > LAPSE_SECONDS - RENEWAL_SECONDS:
            raise ConflictError(
                f"writing below {self._storage.url(self._folder)}: this export was suspended so "
                "long that another one may have begun: run it again",
                url=self._storage.url(self._folder),
            )

    def take(self) -> None:
        """Write the claim, and wait until it is the only one.

        Every exporter writes first and lists then. Of two, the one that lists later sees the claim
        of the other, so both can never find themselves alone; the one with the lower name waits
        for the other to give way.

        Raises:
            ConflictError: Another exporter is publishing there; the message says which.
        """
        _held.add(self._name)
        # What it records has to outlive a power cut, as the files do.
        self._storage.mark(self._path, self._content, durable=bool(self._files))
        until = time.monotonic() + PATIENCE_SECONDS
        while others := self._others():
            if any(_token(mark) < _token_of(self._path) for mark in others):
                self._give_way(others)
            if time.monotonic() > until:
                self._give_way(others)
            time.sleep(_PAUSE_SECONDS)
        threading.Thread(target=self._renew, name="flowtime-claim", daemon=True).start()

    @property
    def work(self) -> InterruptedWork:
        """What a successor would find recorded if this process died now."""
        return InterruptedWork(self._path, self._scope, self._files)

    def record(self, files: Sequence[str]) -> None:
        """Record other files in the place of those that were, which others may see from now on.

        Args:
            files: As for the claim itself.

        Raises:
            StorageError: The claim could not be written.
        """
        if self._files != tuple(files):
            self._files = tuple(files)
            self._record["files"] = list(files)
            self._content = json.dumps(self._record).encode()
            self._storage.mark(self._path, self._content, durable=True)

    def settle(self, work: InterruptedWork) -> None:
        """Remove the claim of a dead exporter whose files have been seen to.

        Raises:
            StorageError: It could not be removed.
        """
        self._storage.delete(work.claim)
        self.interrupted.pop(work.claim, None)

    def abandon(self) -> None:
        """Leave the claim to the next exporter, as what it records could not be seen to."""
        self._over.set()
        self._abandoned = True
        _held.discard(self._name)

    def release(self) -> None:
        """Take the claim back."""
        if self._abandoned:
            return
        self._over.set()
        _held.discard(self._name)
        # What stays is a leftover by its name, and lapses.
        with suppress(StorageError), within(None):
            self._storage.delete(self._path)

    def _renew(self) -> None:
        while not self._over.wait(RENEWAL_SECONDS):
            with suppress(StorageError):  # The claim lapses when this goes on.
                if self._storage.info(self._path) is None:
                    self._lost = not self._over.is_set()
                    return
                self._storage.mark(self._path, self._content)
                self._renewed = time.monotonic()
        # A renewal may have crossed the release.
        if not self._abandoned:
            with suppress(StorageError):
                self._storage.delete(self._path)

    def _others(self) -> list[Mark]:
        """Return claims of living exporters that exclude this one.

        What workers of dead exporters have handed over in the folder is removed on the way; disks
        are swept elsewhere.
        """
        found = self._storage.marks(self._folder, _PREFIX if self._storage.is_local else ".")
        now = next((mark.modified for mark in found if mark.path == self._path), None)
        others = []
        for mark in found:
            if not is_claim(mark.path) and is_abandoned(mark.name, mark.modified):
                self._storage.delete(mark.path)
            if mark.path == self._path or not self._excludes(mark):
                continue
            if mark.path in self.interrupted:
                continue
            if _is_over(mark, now):
                bury(self._storage, self._folder, mark)
                if work := _work(self._storage, mark):
                    self.interrupted[mark.path] = work
            else:
                others.append(mark)
        return others

    def _excludes(self, mark: Mark) -> bool:
        scope = _scope_of(mark.path)
        return scope is not None and (not scope or not self._scope or scope == self._scope)

    def _give_way(self, others: Sequence[Mark]) -> None:
        other = _content(self._storage, min(others, key=_token)) or {}
        who = f"host {other.get('host')}, process {other.get('pid')}, since {other.get('since')}"
        raise ConflictError(
            f"writing below {self._storage.url(self._folder)}: another exporter is publishing "
            f"there ({who if other else 'it has just ended'}): run this one again when it has "
            "ended, and one at a time",
            url=self._storage.url(self._folder),
        )


@contextmanager
def claimed(
    storage: Storage,
    folder: str,
    scope: str = "",
    *,
    uploads: Sequence[str] = (),
    files: Sequence[str] = (),
) -> Iterator[Claim]:
    """Hold a claim while publishing in a folder.

    It holds where a store shows a new file to every listing that begins after the write has
    ended, as disks, S3 and the large clouds do.

    Args:
        storage: Where the folder is.
        folder: The folder.
        scope: A hexadecimal digest of what is claimed in it, or nothing for all of it.
        uploads: Names below the folder that are sent in parts while the claim is held.
        files: Paths below the folder that are published or removed meanwhile.

    Raises:
        ConflictError: Another exporter is publishing there.
        StorageError: The store failed.
    """
    claim = Claim(storage, folder, scope, uploads, files)
    try:
        claim.take()
        yield claim
    finally:
        claim.release()


def interrupted_work(storage: Storage, folder: str) -> list[InterruptedWork]:
    """Return what dead exporters recorded in a folder.

    Raises:
        StorageError: The store failed.
    """
    until = time.time() - LAPSE_SECONDS - _CLOCK_SKEW_SECONDS
    works = (
        _work(storage, mark)
        for mark in storage.marks(folder, _PREFIX)
        if _is_dead(mark) or (mark.modified is not None and mark.modified < until)
    )
    return [work for work in works if work is not None]


def bury(storage: Storage, folder: str, mark: Mark) -> list[str]:
    """Remove the claim of a killed exporter, and the uploads that it had recorded.

    A claim that records files stays: whether they are removed depends on what is published.

    Returns:
        URLs of what was removed.
    """
    removed: list[str] = []
    record = _content(storage, mark) if is_claim(mark.path) else None
    if record is not None:
        paths = [join(folder, name) for name in _names(record, "uploads")]
        since = _instant(record.get("since"))
        if paths and since is not None:
            removed = storage.abort_uploads(paths, since - _CLOCK_SKEW_SECONDS)
        if _names(record, "files"):
            return removed
    storage.delete(mark.path)
    return [*removed, storage.url(mark.path)]


def bury_all(storage: Storage, path: str, failed: Failed | None = None) -> list[str]:
    """Bury what dead exporters left at or below a path.

    Args:
        storage: The store.
        path: A folder.
        failed: Called for each file that could not be removed; by default the first one ends it.

    Returns:
        URLs of what was removed.

    Raises:
        StorageError: The path could not be listed, or a file not be removed.
    """
    removed: list[str] = []
    for mark in storage.abandoned(path):
        try:
            removed += bury(storage, mark.path.rpartition("/")[0], mark)
        except StorageError as failure:
            if failed is None:
                raise
            failed(failure)
    return removed


def _work(storage: Storage, mark: Mark) -> InterruptedWork | None:
    """Return what a claim records of files, if it does."""
    files = _names(_content(storage, mark) or {}, "files")
    if not files:
        return None
    return InterruptedWork(mark.path, _scope_of(mark.path) or "", tuple(files))


def _names(record: Mapping[str, Any], key: str) -> list[str]:
    """Return the plain relative paths of a list in a record, which may be forged."""
    found = record.get(key)
    names = found if isinstance(found, list) else []
    return [name for name in names if isinstance(name, str) and is_safe_name(name)]


def is_claim(path: str) -> bool:
    """Return whether a path is that of a claim."""
    return _scope_of(path) is not None


def _is_over(mark: Mark, now: float | None) -> bool:
    """Return whether the exporter has ended, or its claim has expired by the store's clock."""
    if _is_dead(mark):
        return True
    return None not in (now, mark.modified) and now - mark.modified > LAPSE_SECONDS  # type: ignore[operator]


def _is_dead(mark: Mark) -> bool:
    """Return whether no process holds a claim, as far as its name shows."""
    return is_abandoned(mark.name, mark.modified) or (is_own(mark.name) and mark.name not in _held)


def _content(storage: Storage, mark: Mark) -> dict[str, Any] | None:
    """Return what a claim says, or None where it has gone or says nothing."""
    try:
        found = json.loads(storage.read(mark.path, end=_MOST_BYTES))
    except (NotFoundError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _scope_of(path: str) -> str | None:
    name = path.rpartition("/")[2]
    if not name.startswith(f"{_PREFIX}-"):
        return None
    return name.removeprefix(f"{_PREFIX}-").partition(".")[0]


def _token(mark: Mark) -> str:
    return _token_of(mark.path)


def _token_of(path: str) -> str:
    return path.rpartition(".flowtime-export.part")[0].rpartition("-")[2]


def _instant(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
