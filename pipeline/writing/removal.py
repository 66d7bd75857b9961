"""Remove data files that are ours beyond doubt: a descriptor or the claim of an export named them.

Whatever else is in the folder of a data set, under whatever name, is never removed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from connectors.errors import ConflictError, StorageError
from connectors.storage import (
    Claim,
    Storage,
    UnfinishedUpload,
    claimed,
    interrupted_work,
    is_claim,
    join,
)
from connectors.storage.addresses.paths import is_safe_name
from pipeline.datapackage import descriptor
from pipeline.datapackage.descriptor import FOLDER_NAME
from pipeline.errors import IntegrityError
from pipeline.planning.partitions import is_data_file, is_partition


def claim_scope(descriptor_name: str) -> str:
    """Return the scope of a claim on what one descriptor of a folder names."""
    return hashlib.sha256(descriptor_name.encode()).hexdigest()[:12]


def remove_data_files(
    storage: Storage, folder: str, paths: Iterable[str], link_free_root: str | None
) -> list[str]:
    """Remove files of a data set.

    A record of them may be forged: only what bears a name that exports give is removed.

    Args:
        storage: Where the data set is.
        folder: Its folder.
        paths: The files, relative to the folder.
        link_free_root: The folder below which no link is followed, if there is one.

    Returns:
        URLs of the files.

    Raises:
        StorageError: A file could not be removed, or a link leads to it.
    """
    removed = []
    for path in sorted(paths):
        parent, _, name = path.rpartition("/")
        if is_safe_name(path) and is_partition(parent) and is_data_file(name):
            file = join(folder, path)
            if link_free_root is not None:
                storage.refuse_links(link_free_root, file)
            if storage.info(file) is not None:
                storage.delete(file)
                removed.append(storage.url(file))
    return removed


def settle_interrupted(
    claim: Claim, storage: Storage, folder: str, named: set[str], link_free_root: str | None
) -> list[str]:
    """Remove what dead exporters published or replaced and the descriptor does not name.

    Args:
        claim: A claim that covers the descriptor of the data set.
        storage: Where the data set is.
        folder: Its folder.
        named: The paths that its descriptor names.
        link_free_root: See `remove_data_files`.

    Returns:
        URLs of the files.

    Raises:
        StorageError: A file could not be removed.
    """
    removed = []
    for work in list(claim.interrupted.values()):
        removed += remove_data_files(storage, folder, set(work.files) - named, link_free_root)
        claim.settle(work)
    return removed


@dataclass(frozen=True)
class Cleaned:
    """What cleaning has done.

    Attributes:
        removed: URLs of what was removed.
        problems: What could not be removed, and why.
    """

    removed: tuple[str, ...]
    problems: tuple[str, ...]


def clean(storage: Storage, path: str) -> Cleaned:
    """Remove what interrupted exports left at or below a path, and nothing else.

    What cannot be removed keeps nothing else from being removed.

    Raises:
        StorageError: There is no such folder on a disk, or it could not be listed.
    """
    claims = (mark.path for mark in storage.abandoned(path) if is_claim(mark.path))
    removed: list[str] = []
    failures: list[StorageError | IntegrityError] = []
    for folder in dict.fromkeys(claim.rpartition("/")[0] for claim in claims):
        try:
            if interrupted_work(storage, folder):
                removed += _clean_data_set(storage, folder)
        except (StorageError, IntegrityError) as failure:
            failures.append(failure)
    removed += storage.remove_leftovers(path, failures.append)
    # On a store a folder is no more than a part of names, and uploads may be all that is below it.
    if storage.is_local and not removed and not failures and storage.info(path) is None:
        storage.check_list(path)
    return Cleaned(tuple(removed), tuple(dict.fromkeys(map(str, failures))))


def abort_stale_uploads(storage: Storage, path: str, seconds: float) -> list[UnfinishedUpload]:
    """Abort every unfinished upload in parts to a path or below it that is older than a time.

    Uploads of others are among them, as uploads have no mark of ours. Those of our own dead
    exporters are not left to it: their claims name them, and `clean` aborts them.

    Args:
        storage: The store.
        path: A file or folder.
        seconds: How old an upload has to be.

    Returns:
        What was aborted.

    Raises:
        StorageError: The uploads could not be listed, or one not be aborted.
    """
    until = time.time() - seconds
    stale = [one for one in storage.unfinished_uploads(path) if one.begun < until]
    for upload in stale:
        storage.abort_upload(upload)
    return stale


def _clean_data_set(storage: Storage, folder: str) -> list[str]:
    """Settle the claims of a folder, unless an exporter is at work.

    Raises:
        IntegrityError: Its descriptor is damaged.
        StorageError: A file could not be read or removed.
    """
    with (
        suppress(ConflictError),
        claimed(storage, folder, claim_scope(FOLDER_NAME)) as claim,
    ):
        place = join(folder, FOLDER_NAME)
        named: set[str] = set()
        if storage.info(place) is not None:
            content = descriptor.load(storage.read(place), storage.url(place), check_runs=False)
            named = descriptor.paths_of(content["resources"])
        claims = [storage.url(path) for path in claim.interrupted]
        return [*settle_interrupted(claim, storage, folder, named, folder), *claims]
    return []
