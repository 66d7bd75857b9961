"""Find the files of an artifact, and pack them into a zip that is sent while it is made.

What is served lies below the folders of the service: an artifact's location is compared with
these, and files are found by listing, never by joining names of requests to paths.
"""

from __future__ import annotations

import mimetypes
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, cast

from connectors.flowtime.model.run import NEVER_READ_FOLDERS
from connectors.storage import FileInfo, Storage, join, relative
from pipeline.datapackage import descriptor
from pipeline.errors import IntegrityError, NotFoundError
from pipeline.registry.records.artifact import Artifact
from pipeline.registry.records.descriptor_records import DESCRIBED_TYPES
from pipeline.service.catalog.export_store import DownloadableFile
from pipeline.service.catalog.locations import Locations
from pipeline.service.errors import UnknownError

MAX_FILES = 100_000
_LEVEL = 1
_OLDEST = (1980, 1, 1, 0, 0, 0)
_PACKED = frozenset({".parquet", ".gz", ".zst", ".zip", ".png"})
_MODEL_FILE = "spec.yaml"


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """One file of an artifact.

    Attributes:
        name: Its path relative to the artifact's folder, with `/`.
        info: The file as it was listed.
    """

    name: str
    info: FileInfo

    @property
    def media_type(self) -> str:
        """Its media type, by its name."""
        if self.name.endswith((".yaml", ".yml")):
            return "application/yaml"
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


@dataclass(frozen=True)
class ArtifactFolder:
    """The files of an artifact.

    Attributes:
        storage: Where they are.
        files: The files, those directly in the folder first.
        modified: When the artifact was last written, UTC.
    """

    storage: Storage
    files: tuple[ArtifactFile, ...]
    modified: datetime | None

    def file(self, name: str) -> DownloadableFile:
        """Return one of the files, by its name.

        Raises:
            UnknownError: There is none of that name.
        """
        for file in self.files:
            if file.name == name:
                return DownloadableFile(
                    self.storage, file.info, None, None, self.modified, file.media_type
                )
        raise UnknownError("There is no such file", "GET /v1/artifacts/{id}/files lists the files")

    def zipped(self) -> Iterator[bytes]:
        """Yield a zip of the files, piece by piece; no more than a piece is held.

        Raises:
            StorageError: A file has changed, or cannot be read.
        """
        buffer = _Buffer()
        with zipfile.ZipFile(cast(IO[bytes], buffer), "w", allowZip64=True) as archive:
            for file in self.files:
                entry = zipfile.ZipInfo(file.name, _zip_time(self.modified))
                entry.external_attr = 0o644 << 16
                is_packed = any(file.name.endswith(ending) for ending in _PACKED)
                entry.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
                entry._compresslevel = _LEVEL  # type: ignore[attr-defined]
                stored = DownloadableFile(self.storage, file.info, None, None, None, "")
                with archive.open(entry, "w", force_zip64=True) as packed:
                    for block in stored.blocks(0, file.info.size):
                        packed.write(block)
                        yield from buffer.drained()
                yield from buffer.drained()
        yield from buffer.drained()


def artifact_folder(locations: Locations, artifact: Artifact) -> ArtifactFolder:
    """Return the files of an artifact as they are now.

    Raises:
        UnknownError: They are not below the folders of this service, or gone.
        StorageError: They cannot be listed.
    """
    storage, root, path = place_of(locations, artifact)
    storage.refuse_links(root, path)
    try:
        if artifact.type in DESCRIBED_TYPES:
            files = [*_described_files(storage, path)]
        else:
            files = [*_run_files(storage, path, only_model=artifact.type == "model")]
    except NotFoundError as error:
        raise _gone(artifact) from error
    files.sort(key=lambda file: ("/" in file.name, file.name))
    return ArtifactFolder(storage, tuple(files[:MAX_FILES]), artifact.modified or artifact.created)


def place_of(locations: Locations, artifact: Artifact) -> tuple[Storage, str, str]:
    """Return the storage, the folder of the service, and the path of an artifact below it.

    Raises:
        UnknownError: It is not below the folders of this service.
    """
    for one in (locations.runs, locations.exports, locations.comparisons):
        if one is None:
            continue
        below = relative(artifact.location, one.url)
        if below is not None:
            return one.storage, one.path, join(one.path, below) if below else one.path
    raise UnknownError(
        f"The files of {artifact.id} are not below the folders of this service",
        "read them where they are: `location` says where",
    )


def _run_files(storage: Storage, path: str, *, only_model: bool) -> Iterator[ArtifactFile]:
    for folder in storage.walk(path):
        below = relative(folder.path, path) or ""
        top = below.partition("/")[0]
        if top in NEVER_READ_FOLDERS or (only_model and top not in ("", "model")):
            continue
        for info in folder.files:
            name = relative(info.path, path) or ""
            if not only_model or top == "model" or name == _MODEL_FILE:
                yield ArtifactFile(name, info)


def _described_files(storage: Storage, path: str) -> Iterator[ArtifactFile]:
    folder, _, name = path.rpartition("/")
    own = storage.info(path)
    if own is None:
        raise NotFoundError("the descriptor is gone", url=storage.url(path))
    yield ArtifactFile(name, own)
    try:
        found = descriptor.load(storage.read(path), storage.url(path), check_runs=False)
    except IntegrityError:
        return
    for one in found["resources"][:MAX_FILES]:
        if not isinstance(one.get("flowtime"), dict):
            continue
        place = join(folder, one["path"])
        storage.refuse_links(folder, place)
        info = storage.info(place)
        if info is not None:
            yield ArtifactFile(one["path"], info)


def _gone(artifact: Artifact) -> UnknownError:
    return UnknownError(
        f"The files of {artifact.id} are gone", "POST /v1/artifacts/rescan looks what there is"
    )


class _Buffer:
    """What a zip is written to: bytes are taken out again as soon as they are there."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._place = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._place += len(data)
        return len(data)

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        pass

    def drained(self) -> Iterator[bytes]:
        parts, self._parts = self._parts, []
        joined = b"".join(parts)
        if joined:
            yield joined


def _zip_time(moment: datetime | None) -> tuple[int, int, int, int, int, int]:
    if moment is None or not 1980 <= moment.year <= 2107:
        return _OLDEST
    return (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
