"""Keep uploads in a bounded folder from their first byte to the end of their import."""

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

MOST_UPLOADS = 8
MOST_OF_A_CLIENT = 4


@dataclass(frozen=True)
class Upload:
    """The folder of one upload.

    Attributes:
        id: Its id, and later that of the job that imports it.
        folder: The folder.
    """

    id: str
    folder: Path

    @property
    def files(self) -> Path:
        """Folder of the files."""
        return self.folder / "files"

    @property
    def scratch(self) -> Path:
        """Folder for intermediate files."""
        return self.folder / "scratch"

    @property
    def size(self) -> int:
        """Bytes of the files; 0 if they were removed."""
        return sum(path.stat().st_size for path in self.files.glob("*"))


class UploadRoom:
    """The folder of all uploads.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, str] = {}  # upload → client
        self._leaving: dict[str, asyncio.Task[None]] = {}

    @property
    def taken(self) -> int:
        """Number of uploads."""
        return len(self._kept)

    def take_over(self, uploads: Iterable[str]) -> None:
        """Keep these uploads of an earlier process, and remove all others."""
        self._kept = dict.fromkeys(uploads, "")
        for folder in self._folder.glob("*"):
            if folder.name not in self._kept:
                shutil.rmtree(folder, ignore_errors=True)

    def upload(self, upload: str) -> Upload:
        """Return the folder of an upload."""
        return Upload(upload, self._folder / upload)

    @asynccontextmanager
    async def receiving(self, client: str = "") -> AsyncIterator[Upload]:
        """Provide a folder for an upload; it is removed if the block fails.

        Args:
            client: Whom the upload counts for.

        Raises:
            BusyError: There are as many uploads as the disk is sure to hold, or as one client may
                have.
            StorageError: The folder cannot be made.
        """
        own = sum(one == client for one in self._kept.values())
        if self.taken >= MOST_UPLOADS or own >= MOST_OF_A_CLIENT:
            count = own if own >= MOST_OF_A_CLIENT else self.taken
            raise BusyError(
                f"{count} uploads are not finished yet",
                "try again when one is finished",
                headers={"Retry-After": "15"},
            )
        upload = self.upload(secrets.token_hex(8))
        self._kept[upload.id] = client
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
        """Remove an upload in the background; it counts until its files are gone."""
        if upload in self._kept and upload not in self._leaving:
            self._leaving[upload] = asyncio.create_task(self._remove(upload))

    async def left(self, upload: str) -> None:
        """Wait until an upload that is being removed is gone."""
        if upload in self._leaving:
            await asyncio.shield(self._leaving[upload])

    async def close(self) -> None:
        """Wait until all uploads that are being removed are gone."""
        await asyncio.gather(*self._leaving.values())

    async def _remove(self, upload: str) -> None:
        folder = self.upload(upload).folder
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._kept.pop(upload, None)
        self._leaving.pop(upload, None)
