"""Find the data files of a data set, and those that no descriptor names."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from connectors.errors import DeniedError, NotFoundError
from connectors.storage import Storage, interrupted_work, relative
from pipeline.config.path_template import format_of, stem
from pipeline.datapackage.descriptor import FILE_SUFFIX, FOLDER_NAME
from pipeline.planning.partitions import is_partition


def unnamed_data_files(storage: Storage, folder: str, named: Collection[str]) -> frozenset[str]:
    """Return the paths of data files below a data set's folder that are of unknown origin.

    These are neither named by the data set's descriptor, nor by that of a single file, nor recorded
    by an export that was interrupted.

    Args:
        storage: Where the data set is.
        folder: Its folder.
        named: The paths that its descriptor names.

    Raises:
        StorageError: The folder could not be listed.
    """
    found = frozenset(data_files(storage, folder)) - frozenset(named)
    if not found:
        return found
    return found - {path for work in interrupted_work(storage, folder) for path in work.files}


def data_files(storage: Storage, folder: str, unlisted: list[str] | None = None) -> Iterator[str]:
    """Yield the paths of files below a folder that readers would take for a part of its data set.

    Folders that are no partitions, or that are data sets of their own, are left out, as are files
    with a descriptor of their own, hidden ones, and what may not be listed.

    Args:
        storage: Where the data set is.
        folder: Its folder.
        unlisted: Takes the folders that may not be listed.

    Raises:
        StorageError: The folder could not be listed.
    """
    others: list[str] = []

    def is_partition_of_it(path: str) -> bool:
        below = relative(path, folder)
        return below is not None and is_partition(below) and not _is_in(below, others)

    def denied(path: str, _: DeniedError) -> None:
        if unlisted is not None:
            unlisted.append(path)

    try:
        for found in storage.walk(folder, enter=is_partition_of_it, denied=denied):
            below = relative(found.path, folder)
            names = [entry.path.rpartition("/")[2] for entry in found.files]
            if below and FOLDER_NAME in names:
                others.append(below)
                continue
            for name in names:
                if _is_data(name) and stem(name) + FILE_SUFFIX not in names:
                    yield f"{below}/{name}".lstrip("/")
    except NotFoundError:
        return


def _is_data(name: str) -> bool:
    return not name.startswith(("_", ".")) and format_of(name.lower()) is not None


def _is_in(path: str, folders: Collection[str]) -> bool:
    return any(relative(path, folder) is not None for folder in folders)
