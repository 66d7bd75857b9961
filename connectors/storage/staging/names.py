"""Name files that are being staged, and recognise whether their writer still lives."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

_STAGED_SUFFIX = ".flowtime-export.part"
_STAGED_NAME = re.compile(
    r"\..+\.(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-(?P<group>(?:[0-9a-f]{8})?)[0-9a-f]{8}"
    r"\.flowtime-export\.part"
)
_STALE_SECONDS = 24 * 3600.0
_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that staged files belong to.

    Attributes:
        host: The mark of its machine.
        pid: Its id.
        group: What sets files apart that others stage for it; empty for those of its own.
    """

    host: str
    pid: int
    group: str = ""

    @property
    def mark(self) -> str:
        """What the names of its files have in them; a random part follows."""
        return f"{self.host}-{self.pid}-{self.group}"


_given_up: set[Owner] = set()
"""Groups of files that others have staged for this process, and that are not wanted any more."""

_owner: ContextVar[Owner | None] = ContextVar("flowtime_export_staging_owner", default=None)


@contextmanager
def staging_for(owner: Owner) -> Iterator[None]:
    """Have what is staged in the context belong to another process.

    It is kept for as long as that process lives, which commits or discards it.
    """
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def staging_owner() -> Owner:
    """Return the process that what is staged belongs to."""
    return _owner.get() or Owner(host_mark(), os.getpid())


def owner_of_group() -> Owner:
    """Return this process as the owner of a new group of files, which others stage for it."""
    return replace(staging_owner(), group=secrets.token_hex(4))


def give_up(*groups: Owner) -> None:
    """Have the files of groups be abandoned, as those are of a process that has died."""
    _given_up.update(groups)


def given_up() -> frozenset[Owner]:
    """Return the groups that were given up, for others that stage for this process."""
    return frozenset(_given_up)


def stages_for_another() -> bool:
    """Return whether what is staged belongs to another process."""
    return _owner.get() is not None


def staged_name(name: str) -> str:
    """Return a hidden, unique name for the file that is to become `name`."""
    mark = f".{staging_owner().mark}{secrets.token_hex(4)}{_STAGED_SUFFIX}"
    room = _NAME_BYTES - len(mark) - 1
    return f".{name.encode()[:room].decode(errors='ignore')}{mark}"


def is_staged_name(name: str) -> bool:
    """Return whether a name is one that `staged_name` made, here or elsewhere."""
    return name.endswith(_STAGED_SUFFIX) and _STAGED_NAME.fullmatch(name) is not None


def is_abandoned(name: str, modified: float | None) -> bool:
    """Return whether no process can still be writing the staged file of this name.

    Args:
        name: The file's name.
        modified: When it was last written, in seconds since 1970, if known.
    """
    match = _STAGED_NAME.fullmatch(name)
    if match is None:
        return False
    if modified is not None and time.time() - modified > _STALE_SECONDS:
        return True
    return is_of_none(Owner(match["host"], int(match["pid"]), match["group"]))


def is_own(name: str) -> bool:
    """Return whether this process made a staged file's name."""
    match = _STAGED_NAME.fullmatch(name)
    return match is not None and match["host"] == host_mark() and int(match["pid"]) == os.getpid()


def is_of_none(owner: Owner) -> bool:
    """Return whether a process of this machine has ended, or has given up what others staged.

    False for other machines.
    """
    return owner in _given_up or (owner.host == host_mark() and not _is_alive(owner.pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def host_mark() -> str:
    """Return an id of the machine and of the container, which has process ids of its own."""
    try:
        # os.readlink, because Path.readlink would resolve nothing more and cost more.
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]
