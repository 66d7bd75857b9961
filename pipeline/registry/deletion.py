"""Delete the files of artifacts, after a look at which these are; nothing else is deleted.

Only what lies below a registered folder, and is still what was registered, is deleted: of a run
the files of a run directory, of an export or a comparison those that its descriptor names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.flowtime.discover.discovery import discover_each
from connectors.flowtime.model.run import NEVER_READ_FOLDERS, Run
from connectors.storage import Storage, StorageOptions, connect, join, relative
from pipeline.datapackage import descriptor
from pipeline.errors import ConfigError, IntegrityError
from pipeline.registry.records.artifact import Artifact
from pipeline.registry.records.descriptor_records import (
    DESCRIBED_TYPES,
    is_descriptor,
    keys_of_descriptor,
    records_of_descriptor,
)

_MANIFEST = "manifest.json"
_RUN_FOLDERS = frozenset({"series", "model"}) | NEVER_READ_FOLDERS


@dataclass(frozen=True, slots=True)
class FileToDelete:
    """One file of an artifact.

    Attributes:
        path: The storage's own path.
        url: The same for people.
        size: Bytes.
    """

    path: str
    url: str
    size: int


@dataclass(frozen=True)
class Deletion:
    """The files of one artifact that are to be deleted.

    Attributes:
        artifact: The artifact.
        storage: Where its files are.
        files: The files, in the order in which they are deleted.
        folders: Folders that are removed where they are empty then, the innermost first.
        options: What the storage is connected with.
    """

    artifact: Artifact
    storage: Storage
    files: tuple[FileToDelete, ...]
    folders: tuple[str, ...] = ()
    options: StorageOptions | None = None

    @property
    def keys(self) -> list[int]:
        """Keys of the artifact, and of all exports whose descriptors are among the files."""
        described = [file.url for file in self.files if is_descriptor(file.url)]
        return [self.artifact.key, *(key for url in described for key in keys_of_descriptor(url))]

    def covers(self, other: Deletion) -> bool:
        """Return whether another deletion of the artifact as it is deletes nothing beyond this."""
        is_same = other.artifact.digest == self.artifact.digest
        return is_same and set(other.files) <= set(self.files)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        files = [{"url": file.url, "bytes": file.size} for file in self.files]
        return {"id": self.artifact.id, "type": self.artifact.type, "files": files}

    def carry_out(self) -> None:
        """Delete the files, and the folders that are empty then.

        Raises:
            StorageError: A file could not be deleted; those before it are.
        """
        for file in self.files:
            self.storage.delete(file.path)
        for folder in self.folders:
            self.storage.remove_folder(folder)


def plan_deletion(
    artifact: Artifact, roots: Sequence[str], options: StorageOptions | None = None
) -> Deletion:
    """Return the files of an artifact; nothing is deleted.

    Args:
        artifact: The artifact.
        roots: The registered folders.
        options: Of the storage.

    Raises:
        ConfigError: It has no files of its own, or lies below no registered folder.
        IntegrityError: It is not what was registered any more.
        StorageError: Its files cannot be listed, or a link leads to them.
    """
    if artifact.type not in ("run", "telemetry", *DESCRIBED_TYPES):
        raise ConfigError(f"{artifact.id} is a {artifact.type}, which has no files of its own")
    storage, path = connect(artifact.location, options)
    _refuse_outside(storage, path, artifact, roots, options)
    if artifact.type in DESCRIBED_TYPES:
        described = tuple(_described_files(storage, path, artifact))
        return Deletion(artifact, storage, described, options=options)
    files = tuple(_files_of_run(storage, path, artifact))
    within = {file.path.rpartition("/")[0] for file in files} | {path}
    folders = tuple(sorted(within, key=len, reverse=True))
    return Deletion(artifact, storage, files, folders, options)


def _refuse_outside(
    storage: Storage,
    path: str,
    artifact: Artifact,
    roots: Sequence[str],
    options: StorageOptions | None,
) -> None:
    for root in roots:
        if relative(artifact.location, root):
            _, root_path = connect(root, options)
            storage.refuse_links(root_path, path)
            return
    raise ConfigError(
        f"{artifact.id}: {artifact.location} lies below no folder that the registry knows; "
        "nothing there is deleted"
    )


def _files_of_run(storage: Storage, path: str, artifact: Artifact) -> Iterator[FileToDelete]:
    """Yield the files of a run directory, manifest first: without it no run is complete."""
    found = [one for one in discover_each(storage, path) if isinstance(one, Run)]
    if [f"sha256:{one.fingerprint}" for one in found if one.path == path] != [artifact.digest]:
        raise changed_since(artifact)
    files = []
    for folder in storage.walk(path):
        below = relative(folder.path, path) or ""
        if below and below.partition("/")[0] not in _RUN_FOLDERS:
            continue
        files += [FileToDelete(f.path, storage.url(f.path), f.size) for f in folder.files]
    yield from sorted(files, key=lambda file: (file.path != join(path, _MANIFEST), file.path))


def _described_files(storage: Storage, path: str, artifact: Artifact) -> Iterator[FileToDelete]:
    """Yield the descriptor, without which nothing is published, and the files that it names."""
    data, url = storage.read(path), storage.url(path)
    described = records_of_descriptor(data, url, "")
    if [one.digest for one in described if one.type == artifact.type] != [artifact.digest]:
        raise changed_since(artifact)
    if len(described) > 1:
        raise ConfigError(
            f"{artifact.id}: {url} describes an export and a comparison at once; delete the files "
            "of the one by hand"
        )
    resources = descriptor.load(data, url, check_runs=False)["resources"]
    if any("flowtime" not in one for one in resources):
        raise ConfigError(
            f"{artifact.id}: {url} names files that no export has written; delete it by hand"
        )
    if any(descriptor.table_of(one) is not None for one in resources):
        raise ConfigError(
            f"{artifact.id}: {url} describes a lake table, whose log names the files; drop the "
            "table with its own tools"
        )
    yield FileToDelete(path, url, len(data))
    folder = path.rpartition("/")[0]
    for one in resources:
        place = join(folder, one["path"])
        storage.refuse_links(folder, place)
        entry = storage.info(place)
        if entry is not None and entry.size == one["bytes"]:
            yield FileToDelete(place, storage.url(place), entry.size)


def changed_since(artifact: Artifact) -> IntegrityError:
    """Return the error of an artifact that is not what was registered any more."""
    return IntegrityError(
        f"{artifact.id}: what is at {artifact.location} is not what was registered any more; "
        "nothing was deleted: run `artifacts rebuild` and look again"
    )
