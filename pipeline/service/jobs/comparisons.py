"""Make the requests and orders of comparison jobs, and keep their results."""

from __future__ import annotations

from pipeline.service.catalog.comparison_store import ComparisonStore
from pipeline.service.catalog.locations import Locations
from pipeline.service.catalog.run_catalog import CatalogEntry, RunCatalog, not_complete
from pipeline.service.errors import UnknownError
from pipeline.service.jobs.compare_order import (
    CompareOptions,
    CompareOrder,
    CompareRequest,
    CompareSideOrder,
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
    """

    def __init__(
        self, settings: ServiceSettings, locations: Locations, catalog: RunCatalog
    ) -> None:
        self._settings = settings
        self._locations = locations
        self._catalog = catalog
        self.store = ComparisonStore(
            settings.state_folder / "comparisons", settings.keep_comparisons
        )

    async def request(self, baseline: str, other: str, options: CompareOptions) -> CompareRequest:
        """Return the request of a comparison.

        Args:
            baseline: Name of a run, as paths have it.
            other: Name of the run that is compared with it.
            options: How they are compared.

        Raises:
            UnknownError: There is no such run.
            UnprocessableError: A run cannot be read.
        """
        entries = [await self._catalog.find(name) for name in (baseline, other)]
        versions = [_fingerprint(entry) for entry in entries]
        return CompareRequest(
            run=entries[0].key,
            other=entries[1].key,
            path=entries[0].path,
            other_path=entries[1].path,
            versions=(versions[0], versions[1]),
            options=options,
        )

    async def order(self, request: CompareRequest, job_id: str) -> CompareOrder:
        """Return what a worker does.

        Raises:
            UnknownError: A run does not exist any more.
            UnprocessableError: A run cannot be read.
        """
        by_path = (await self._catalog.listing()).by_path
        sides = []
        for path in (request.path, request.other_path):
            if path not in by_path:
                raise UnknownError("the run does not exist any more", code="run-not-found")
            sides.append(_side(by_path[path]))
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


def _fingerprint(entry: CatalogEntry) -> str:
    if entry.run is None:
        raise not_complete(entry)
    return entry.run.fingerprint


def _side(entry: CatalogEntry) -> CompareSideOrder:
    if entry.run is None:
        raise not_complete(entry)
    return CompareSideOrder(url=entry.run.url, shown_as=entry.path)
