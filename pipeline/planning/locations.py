"""Check that no two outputs of an export share a place, and that none is in the source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from connectors.storage import Location, Storage
from pipeline.errors import ConfigError
from pipeline.planning.target import Target
from pipeline.sinks import Sink


@dataclass
class TargetLocations:
    """Where targets really are; each folder is looked at once."""

    _folders: dict[tuple[int, str], Location] = field(default_factory=dict)

    def folder(self, target: Target) -> Location:
        """Return the location of the folder that holds a target's descriptor."""
        return self.of(target.storage, target.folder)

    def of(self, storage: Storage, path: str) -> Location:
        """Return the location of a folder."""
        key = (id(storage), path)
        if key not in self._folders:
            self._folders[key] = storage.location(path)
        return self._folders[key]


def refuse_shared_places(sinks: Sequence[tuple[Sink, Sequence[Target]]]) -> None:
    """Refuse targets that would overwrite each other, however their paths are spelled.

    Args:
        sinks: Each sink with its targets.

    Raises:
        ConfigError: Two targets share a place, or their paths differ only in case.
    """
    locations = TargetLocations()
    seen: dict[tuple[str, str], tuple[str, Target]] = {}
    for sink, target in _every(sinks):
        folder = locations.folder(target).key
        names = [("data", target.identity(sink))]
        names += [("descriptor", target.descriptor.rpartition("/")[2])]
        for kind, name in names:
            place = f"{folder}/{name}"
            # Run directories that differ in case are there already, each with a folder of its own.
            in_run = target.link_free_root is not None
            key = (kind, place if in_run else place.casefold())
            before, other = seen.setdefault(key, (place, target))
            if before != place:
                raise ConfigError(
                    f"{other.url} and {target.url} differ only in case, and many disks would "
                    "keep one of them: choose another path"
                )
            if kind == "data" and other is not target:
                raise ConfigError(_shared(other, target))
    _refuse_files_as_folders(sinks, locations)


def _shared(other: Target, target: Target) -> str:
    if other.url == target.url:
        return f"two sinks would write {target.url}: choose another path for one of them"
    return (
        f"{other.url} and {target.url} are one place, written by two sinks: choose another path "
        "for one of them"
    )


def _refuse_files_as_folders(
    sinks: Sequence[tuple[Sink, Sequence[Target]]], locations: TargetLocations
) -> None:
    """Refuse a file where another target needs a folder."""
    files = {
        f"{locations.folder(target).key}/{target.path.rpartition('/')[2]}": target
        for _, target in _every(sinks)
        if not target.is_folder
    }
    for _, target in _every(sinks):
        for place in locations.folder(target).chain:
            if place in files:
                raise ConfigError(
                    f"{files[place].url} is a file of one sink and a folder of {target.url}: "
                    "choose another path for one of them"
                )


def _every(sinks: Sequence[tuple[Sink, Sequence[Target]]]) -> Iterable[tuple[Sink, Target]]:
    return ((sink, target) for sink, targets in sinks for target in targets)
