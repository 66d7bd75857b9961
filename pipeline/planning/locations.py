"""Check that no two outputs of an export share a place, and that none is in the source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from connectors.flowtime.discover.source_root import SourceRoot
from connectors.storage import Location, Storage, relative
from pipeline.errors import ConfigError
from pipeline.planning.target import Target, in_source
from pipeline.sinks import Sink

SinkTargets = Sequence[tuple[Sink, Sequence[Target]]]
"""Each sink with its targets."""

_Folder = tuple[Storage, str]


def check_locations(sinks: SinkTargets, storage: Storage, roots: Sequence[SourceRoot]) -> None:
    """Check where all targets lead, however their paths are spelled.

    Args:
        sinks: Each sink with its targets.
        storage: The storage that the runs are read from.
        roots: The folders that they are looked for in.

    Raises:
        ConfigError: Two targets share a place, or their paths differ only in case; or links lead
            a target into the source.
    """
    locations = _locations(sinks)
    _refuse_in_source(sinks, locations, storage, roots)
    _refuse_shared_places(sinks, locations)
    _refuse_shared_tables(sinks, locations)
    _refuse_files_as_folders(sinks, locations)


def _locations(sinks: SinkTargets) -> Mapping[_Folder, Location]:
    """Return where the folders of targets lead; each is looked at once."""
    found: dict[_Folder, Location] = {}
    paths: dict[Storage, dict[str, None]] = {}
    for _, target in _every(sinks):
        if target.link_free_root is None:
            paths.setdefault(target.storage, {})[target.folder] = None
        else:  # No link leads there, and nothing from outside the source does.
            found[target.storage, target.folder] = Location.of_parts("run", target.folder)
    for storage, folders in paths.items():
        places = zip(folders, storage.locations([*folders]), strict=True)
        found |= {(storage, folder): place for folder, place in places}
    return found


def _refuse_in_source(
    sinks: SinkTargets,
    locations: Mapping[_Folder, Location],
    storage: Storage,
    roots: Sequence[SourceRoot],
) -> None:
    """Refuse targets that links lead into the source; their paths have been looked at."""
    places = storage.locations([root.path for root in roots])
    for _, target in _every(sinks):
        location = locations[target.storage, target.folder]
        for root, place in zip(roots, places, strict=True):
            is_beside = storage is target.storage and relative(target.path, root.path) is not None
            if location.is_within(place) and not is_beside:
                raise in_source(target, root.url(storage))


def _refuse_shared_places(sinks: SinkTargets, locations: Mapping[_Folder, Location]) -> None:
    seen: dict[tuple[str, str], tuple[str, Target]] = {}
    for sink, target in _every(sinks):
        folder = locations[target.storage, target.folder].key
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


def _refuse_shared_tables(sinks: SinkTargets, locations: Mapping[_Folder, Location]) -> None:
    """Refuse a lake table whose folder another sink writes into, too."""
    seen: dict[str, Target] = {}
    for _, target in _every(sinks):
        folder = locations[target.storage, target.folder].key
        other = seen.setdefault(folder, target)
        if other is not target and (other.table is not None or target.table is not None):
            raise ConfigError(
                f"{target.url}: a table needs a folder of its own, and two sinks would write "
                "there: choose another path for one of them"
            )


def _shared(other: Target, target: Target) -> str:
    if other.url == target.url:
        return f"two sinks would write {target.url}: choose another path for one of them"
    return (
        f"{other.url} and {target.url} are one place, written by two sinks: choose another path "
        "for one of them"
    )


def _refuse_files_as_folders(sinks: SinkTargets, locations: Mapping[_Folder, Location]) -> None:
    """Refuse a file where another target needs a folder."""
    files = {
        f"{locations[target.storage, target.folder].key}/{target.path.rpartition('/')[2]}": target
        for _, target in _every(sinks)
        if not target.is_folder
    }
    for _, target in _every(sinks):
        for place in locations[target.storage, target.folder].chain:
            if place in files:
                raise ConfigError(
                    f"{files[place].url} is a file of one sink and a folder of {target.url}: "
                    "choose another path for one of them"
                )


def _every(sinks: SinkTargets) -> Iterable[tuple[Sink, Target]]:
    return ((sink, target) for sink, targets in sinks for target in targets)
