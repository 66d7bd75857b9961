"""Write a document as one file, published whole, where asked for with a descriptor beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.storage import Storage, StorageOptions, connect
from pipeline.datapackage import descriptor
from pipeline.datapackage.descriptor import FILE_SUFFIX
from pipeline.errors import SinkError
from pipeline.writing.described_file import DescribedFile, digest_of_contents
from pipeline.writing.descriptor_file import write_whole


@dataclass(frozen=True)
class PageTarget:
    """Where a document goes that is written whole.

    Attributes:
        storage: The storage.
        path: The file, as its storage names it.
    """

    storage: Storage
    path: str

    @classmethod
    def of(cls, url: str, options: StorageOptions | None = None) -> PageTarget:
        """Return the target at a URL."""
        return cls(*connect(url, options))

    @property
    def descriptor(self) -> str:
        """Path of the descriptor, which no table has."""
        return self.path + FILE_SUFFIX

    def is_described(self) -> bool:
        """Return whether there is a descriptor, as of an earlier one.

        Raises:
            StorageError: The store failed.
        """
        return self.storage.info(self.descriptor) is not None

    def write(self, text: str) -> None:
        """Publish a text so that no reader sees a part of it.

        Raises:
            SinkError, StorageError: It could not be written.
        """
        before = self.storage.info(self.path)
        write_whole(self.storage, self.path, [text.encode()], before)

    def publish(self, text: str, package: str, own: Mapping[str, Any], created: datetime) -> None:
        """Publish an HTML page, and its descriptor after it.

        Args:
            text: The page.
            package: Name of the data package.
            own: What the descriptor says of the page under `flowtime`; JSON-compatible.
            created: When it was made, UTC.

        Raises:
            IntegrityError: A descriptor of something else is there.
            PublishConflictError: Another exporter is at work there.
            SinkError, StorageError: It could not be written.
        """
        data = text.encode()
        name = self.path.rpartition("/")[2]
        staged = self.storage.stage(self.path)
        described = {"target": name, "state": digest_of_contents(own), **own}
        resource = descriptor.document_resource(
            described, name, "html", len(data), hashlib.sha256(data).hexdigest()
        )
        try:
            staged.local.write_bytes(data)
            file = DescribedFile(self.storage, self.descriptor, name, staged, len(data))
            file.publish(package, own, [resource], created)
        except OSError as error:
            raise SinkError(
                f"{self.storage.url(self.path)}: its staged file could not be written: "
                f"{error.strerror or error}; make room and run it again"
            ) from error
        finally:
            self.storage.discard(staged)
