"""Define what jobs of all kinds have in common: requests, and orders for workers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from connectors.storage import StorageOptions
from pipeline.service.api_base import Data

Phase = Literal["waiting", "discovering", "reading", "checking", "publishing", "over"]

JobTarget = tuple[str, str | None]
"""What only one job may write at a time, such as a folder."""


class JobRequest(Data):
    """What a job does.

    The properties are those of a job that concerns no single run, begins at once, keeps its files,
    calls no webhook of its own and can be tried again: kinds of jobs that differ override them.
    """

    @property
    def subject(self) -> str:
        """Key of the run in the catalog that the job is about; empty where there is none."""
        return ""

    @property
    @abstractmethod
    def target(self) -> JobTarget:
        """What only one job may write at a time."""

    @property
    def waits_for_run(self) -> bool:
        """Whether the job waits until its run is complete."""
        return False

    @property
    def is_temporary(self) -> bool:
        """Whether its files are for one download only."""
        return False

    @property
    def webhook_url(self) -> str | None:
        """URL to call when the job has finished."""
        return None

    def is_same_work(self, other: JobRequest) -> bool:
        """Return whether one job can serve both requests."""
        return False

    def can_be_tried_again(self, phase: Phase) -> bool:
        """Return whether a second attempt can follow one that ended in a phase."""
        return True


class WorkerOrder(BaseModel):
    """What a worker process does, as one line of JSON.

    Attributes:
        address_space: Bytes of address space that the process may use.
    """

    model_config = ConfigDict(frozen=True)

    address_space: Annotated[int, Field(ge=1)]


class StorageOrder(WorkerOrder):
    """An order that needs the storage of the runs.

    Attributes:
        storage: Options of the storage, in clear; None for none.
        protocol: Protocol that they are meant for.
    """

    storage: dict[str, Any] | None = None
    protocol: str | None = None

    @property
    def storage_options(self) -> StorageOptions | None:
        """The options, hidden from logs again."""
        if self.storage is None:
            return None
        return StorageOptions("runs", self.protocol, self.storage)


def revealed(options: StorageOptions | None) -> dict[str, Any]:
    """Return the fields of a `StorageOrder` for some options."""
    if options is None:
        return {}
    return {"storage": options.revealed(), "protocol": options.protocol}
