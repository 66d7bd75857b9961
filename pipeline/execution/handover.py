"""Hand staged files over to the process that publishes them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from connectors.errors import StorageError
from connectors.storage import StagedFile, Storage
from pipeline.execution.task import ExportTask, PartResult, TaskResult
from pipeline.planning.target import Target


def handed_over(task: ExportTask, result: TaskResult, fewest_bytes: int = 0) -> TaskResult:
    """Return a result whose files for stores are in these, under hidden names.

    The process that publishes them has them copied within the store: no row comes through it.

    Args:
        task: The task.
        result: What it has staged here.
        fewest_bytes: Smaller files stay where they are, for a process of this machine.

    Raises:
        StorageError: A store refused a file; nothing stays staged then.
    """
    targets = [part.target for _, part in task.parts]
    handover = _Handover(fewest_bytes)
    try:
        parts = [handover.part(*one) for one in zip(targets, result.parts, strict=False)]
    except BaseException:
        handover.discard()
        for target, part in zip(targets, result.parts, strict=False):
            part.discard(target.storage)
        raise
    return replace(result, parts=tuple(parts))


class _Handover:
    """Hands files over, and knows which ones."""

    def __init__(self, fewest_bytes: int) -> None:
        self._fewest_bytes = fewest_bytes
        self._done: list[tuple[Storage, StagedFile]] = []

    def part(self, target: Target, part: PartResult) -> PartResult:
        """Return what a target has of a task, handed over."""
        return PartResult(
            tuple((self._moved(target, staged, file.size), file) for staged, file in part.files),
            tuple((self._moved(target, staged), written) for staged, written in part.segments),
        )

    def discard(self) -> None:
        """Discard what was handed over."""
        for storage, staged in self._done:
            with suppress(StorageError):
                storage.discard(staged)

    def _moved(self, target: Target, staged: StagedFile, size: int = 0) -> StagedFile:
        if size < self._fewest_bytes:
            return staged
        moved = target.storage.hand_over(staged, target.folder)
        self._done.append((target.storage, moved))
        return moved
