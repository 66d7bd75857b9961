"""Publish a staged file, then the descriptor beside it that names it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.errors import ConflictError
from connectors.storage import StagedFile, Storage, claimed
from pipeline.datapackage import descriptor
from pipeline.errors import PublishConflictError
from pipeline.writing.descriptor_file import commit_described
from pipeline.writing.removal import claim_scope


@dataclass(frozen=True)
class DescribedFile:
    """A whole file that waits to be published.

    Attributes:
        storage: Where it goes.
        descriptor: Path of its descriptor, in the same folder.
        name: The file's name, by which the descriptor knows it.
        staged: The staged file.
        size: Its bytes.
    """

    storage: Storage
    descriptor: str
    name: str
    staged: StagedFile
    size: int

    def publish(
        self,
        package: str,
        own: Mapping[str, Any],
        resources: Sequence[dict[str, Any]],
        created: datetime,
    ) -> None:
        """Make the file visible, then its descriptor.

        Other files that the descriptor names are kept.

        Args:
            package: Name of the data package.
            own: What the file is; JSON-compatible.
            resources: The file as a resource.
            created: When it was made, UTC.

        Raises:
            IntegrityError: A descriptor of something else is there.
            PublishConflictError: Another exporter is at work there.
            StorageError: The store refused a file.
        """
        folder, _, descriptor_name = self.descriptor.rpartition("/")
        in_parts = self.storage.sends_in_parts(self.size)
        uploads = [self.name] if in_parts else []
        try:
            with claimed(
                self.storage, folder, claim_scope(descriptor_name), uploads=uploads
            ) as claim:
                before = self.storage.info(self.descriptor)
                kept: list[dict[str, Any]] = []
                runs: Sequence[Any] = ()
                if before is not None:
                    found = descriptor.load(
                        self.storage.read(self.descriptor), self.storage.url(self.descriptor)
                    )
                    kept = descriptor.resources_beside(found, {self.name})
                    runs = descriptor.runs_of(found)
                content = descriptor.package(
                    package,
                    digest_of_contents(own),
                    created,
                    runs,
                    [*kept, *resources],
                    secrets.token_hex(16),
                )
                commit_described(
                    claim, self.storage, [self.staged], self.descriptor, content, before
                )
        except ConflictError as conflict:
            raise PublishConflictError(str(conflict)) from conflict


def digest_of_contents(own: Mapping[str, Any]) -> str:
    """Return the sha256 hex of what a file is."""
    text = json.dumps(own, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
