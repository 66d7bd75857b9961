"""Make the requests and orders of comparison jobs, and keep their results."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UnknownArtifactError
from pipeline.registry.records.artifact import Artifact
from pipeline.service.catalog.artifact_catalog import ArtifactCatalog
from pipeline.service.catalog.artifact_files import place_of
from pipeline.service.catalog.comparison_store import ComparisonStore
from pipeline.service.catalog.locations import Locations
from pipeline.service.catalog.run_catalog import RunCatalog, not_complete
from pipeline.service.errors import UnknownError
from pipeline.service.jobs.compare_order import (
    CompareOptions,
    CompareOrder,
    CompareRequest,
    CompareSideOrder,
    SideType,
)
from pipeline.service.jobs.job import Job
from pipeline.service.jobs.job_request import revealed
from pipeline.service.settings import ServiceSettings


class Comparisons:
    """The comparisons of a service.

    Args:
        settings: Limits.
        locations: Where the runs are.
        catalog: The runs.
        artifacts: The exports.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        locations: Locations,
        catalog: RunCatalog,
        artifacts: ArtifactCatalog,
    ) -> None:
        self._settings = settings
        self._locations = locations
        self._catalog = catalog
        self._artifacts = artifacts
        self.store = ComparisonStore(Path(locations.comparisons.path), settings.keep_comparisons)

    async def request(self, baseline: str, other: str, options: CompareOptions) -> CompareRequest:
        """Return the request of a comparison.

        Args:
            baseline: Name of a run, as paths have it, or id of an export in the registry.
            other: The same of what is compared with it.
            options: How they are compared.

        Raises:
            BusyError: The registry, which knows the exports, cannot be opened.
            RegistryError: It failed.
            UnknownError: There is neither a run nor an export of this name.
            UnprocessableError: A run cannot be read.
        """
        first, second = [await self._found(name) for name in (baseline, other)]
        return CompareRequest(
            run=first.key,
            other=second.key,
            path=first.path,
            other_path=second.path,
            forms=(first.form, second.form),
            versions=(first.version, second.version),
            options=options,
        )

    async def order(self, request: CompareRequest, job_id: str) -> CompareOrder:
        """Return what a worker does.

        Raises:
            BusyError: The registry, which knows the exports, cannot be opened.
            RegistryError: It failed.
            UnknownError: A run or an export does not exist any more.
            UnprocessableError: A run cannot be read.
        """
        paths = (request.path, request.other_path)
        sides = [
            await self._side(form, path) for form, path in zip(request.forms, paths, strict=True)
        ]
        return CompareOrder(
            request=request,
            baseline=sides[0],
            comparison=sides[1],
            folder=str(self.store.folder(job_id)),
            **revealed(self._locations.options),
            address_space=self._settings.address_space,
        )

    def finish(self, job: Job, request: CompareRequest) -> None:
        """Keep the result of a job that has finished."""
        if job.state == "done":
            self.store.add(job.id, request.digest)
            self._artifacts.enter_comparisons(self.store.remove_oldest)

    async def _found(self, name: str) -> _FoundSide:
        try:
            entry = await self._catalog.find(name)
        except UnknownError:
            export = await asyncio.to_thread(self._export, name)
            if export is None:
                raise
            return _FoundSide("export", export.id, export.id, export.digest or export.listing)
        if not entry.is_readable:
            raise not_complete(entry)
        return _FoundSide("run", entry.key, entry.path, entry.fingerprint)

    async def _side(self, form: SideType, path: str) -> CompareSideOrder:
        if form == "export":
            export = await asyncio.to_thread(self._export, path)
            if export is None:
                raise UnknownError(
                    "the export does not exist any more",
                    "GET /v1/artifacts lists the exports",
                    code="artifact-not-found",
                )
            return CompareSideOrder(url=export.location, shown_as=export.id)
        entry, run = await self._catalog.complete(path)
        return CompareSideOrder(url=run.url, shown_as=entry.path)

    def _export(self, artifact_id: str) -> Artifact | None:
        """Return an export that lies below the folders of the service; None where there is none.

        Raises:
            BusyError: The registry cannot be opened.
            RegistryError: It failed.
            UnknownError: The export lies elsewhere.
        """
        try:
            found = self._artifacts.registry().get(artifact_id)
        except UnknownArtifactError:
            return None
        if found.type != "export":
            return None
        storage, root, path = place_of(self._locations, found)
        storage.refuse_links(root, path)
        return found


@dataclass(frozen=True, slots=True)
class _FoundSide:
    form: SideType
    key: str
    path: str
    version: str
