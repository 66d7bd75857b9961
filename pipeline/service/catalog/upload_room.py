"""Room for uploads: bounded, and empty again when nobody needs what was in it."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.service.errors import BusyError

MOST_UPLOADS = 4


@dataclass(frozen=True)
class Upload:
    """Where one upload is kept.

    Attributes:
        id: Its name, and then that of the job that imports it.
        folder: Folder of all that belongs to it.
    """

    id: str
    folder: Path

    @property
    def files(self) -> Path:
        """Folder of the files."""
        return self.folder / "files"

    @property
    def scratch(self) -> Path:
        """Folder for what is made of them on the way."""
        return self.folder / "scratch"

    @property
    def size(self) -> int:
        """Bytes of the files; 0 where they are not there any more."""
        return sum(path.stat().st_size for path in self.files.glob("*"))


class UploadRoom:
    """Keeps uploads from their first byte to the end of their import.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: set[str] = set()
        self._leaving: dict[str, asyncio.Task[None]] = {}

    @property
    def taken(self) -> int:
        """How many uploads there are."""
        return len(self._kept)

    def take_over(self, uploads: Iterable[str]) -> None:
        """Keep these of what another process has left, and throw away the rest."""
        self._kept = set(uploads)
        for folder in self._folder.glob("*"):
            if folder.name not in self._kept:
                shutil.rmtree(folder, ignore_errors=True)

    def place(self, upload: str) -> Upload:
        """Where an upload is kept."""
        return Upload(upload, self._folder / upload)

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Upload]:
        """Room for one upload; it is given free again where the block fails.

        Raises:
            BusyError: So many uploads are there that no more fit on the disk for sure.
            StorageError: The disk does not take folders.
        """
        if self.taken >= MOST_UPLOADS:
            raise BusyError(
                f"{self.taken} uploads are not over yet",
                "try again later",
                headers={"Retry-After": "15"},
            )
        upload = self.place(secrets.token_hex(8))
        self._kept.add(upload.id)
        try:
            try:
                for folder in (upload.files, upload.scratch):
                    folder.mkdir(mode=0o700, parents=True)
            except OSError as error:
                raise StorageError(f"uploads cannot be kept: {error.strerror}") from error
            yield upload
        except BaseException:
            self.leave(upload.id)
            await self.left(upload.id)
            raise

    def leave(self, upload: str) -> None:
        """Give an upload's room free, once its files are removed."""
        if upload in self._kept and upload not in self._leaving:
            self._leaving[upload] = asyncio.create_task(self._remove(upload))

    async def left(self, upload: str) -> None:
        """Wait until an upload that leaves is gone."""
        if upload in self._leaving:
            await asyncio.shield(self._leaving[upload])

    async def close(self) -> None:
        """Wait until all that leave are gone."""
        await asyncio.gather(*self._leaving.values())

    async def _remove(self, upload: str) -> None:
        folder = self.place(upload).folder
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._kept.discard(upload)
        self._leaving.pop(upload, None)
