"""Data files in the folder of a data set, and which of them no descriptor names."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from connectors.errors import NotFoundError
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


def data_files(storage: Storage, folder: str) -> Iterator[str]:
    """Yield the paths of files below a folder that readers would take for a part of its data set.

    Folders that are no partitions, or that are data sets of their own, are left out, as are files
    with a descriptor of their own and hidden ones.

    Raises:
        StorageError: The folder could not be listed.
    """
    others: list[str] = []
    try:
        for found in storage.walk(folder):
            below = relative(found.path, folder)
            if below is None or not is_partition(below) or _is_in(below, others):
                continue
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
