"""Locate runs and exports, and name them in messages without their real places."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from connectors.flowtime.model.run import Run
from connectors.storage import Storage, StorageOptions, connect, join, relative
from pipeline.config import single_run_config
from pipeline.errors import ConfigError
from pipeline.service.settings import ServiceSettings

GOLD = "gold"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_TOKEN = re.compile(r"(?<![\w.])/(?:[\w.@+~-]+/)+[\w.@+~-]*")


@dataclass(frozen=True)
class ExportLocation:
    """A folder of a storage.

    Attributes:
        storage: Where it is.
        path: The folder, as the storage names it.
        url: The same as a URL.
    """

    storage: Storage
    path: str
    url: str


@dataclass(frozen=True, slots=True)
class RunPlace:
    """What the places of a run's exports depend on.

    Attributes:
        path: The run directory, as its storage names it.
        run_id: Its id.
    """

    path: str
    run_id: str


@dataclass(frozen=True)
class Locations:
    """The storages of a service.

    Attributes:
        runs: Where runs are.
        exports: Where exports go; None for each run's own folder.
        options: What the storages are connected with.
        state: The folder of the service's own files.
    """

    runs: ExportLocation
    exports: ExportLocation | None
    options: StorageOptions | None
    state: Path

    @property
    def comparisons(self) -> ExportLocation:
        """The folder of the results of comparisons, on this machine."""
        return local_location(self.state / "comparisons")

    @classmethod
    def of(cls, settings: ServiceSettings) -> Locations:
        """Connect the storages of settings, without a request to them.

        Raises:
            ConfigError: The options do not fit, or exports would lie among the runs.
            StorageError: A URL is not one.
        """
        config = single_run_config(settings.runs, ["csv"], None, settings.storage_options)
        options = config.storage_options("source")
        runs = _location(settings.runs, options)
        exports = None
        if settings.exports is not None:
            shared = _scheme(settings.exports) == _scheme(settings.runs)
            exports = _location(settings.exports, options if shared else None)
            (inside,) = exports.storage.locations([exports.path])
            (root,) = runs.storage.locations([runs.path])
            if inside.is_within(root):
                raise ConfigError(
                    f"--exports {exports.url} lies below the runs: choose a folder beside them, "
                    "or leave it out for each run's own gold/ folder"
                )
        return cls(runs, exports, options, settings.state_folder)

    def shown_path(self, run_path: str) -> str:
        """Return a run directory relative to the folder of the runs; `.` for that folder itself."""
        return relative(run_path, self.runs.path) or "."

    def run_path(self, shown_path: str) -> str:
        """Return a run directory as the storage of the runs names it.

        Args:
            shown_path: The directory as `shown_path` gives it.
        """
        root = self.runs.path
        return root if shown_path == "." else f"{root.rstrip('/')}/{shown_path}"

    def folder(self, run: Run | RunPlace, variant: str | None) -> ExportLocation:
        """Return the folder of the exports of a run.

        Args:
            run: The run.
            variant: Folder of exports with options; None for plain exports.
        """
        names = [] if variant is None else [variant]
        if self.exports is None:
            storage, base = self.runs.storage, join(run.path, GOLD)
        else:
            storage = self.exports.storage
            base = join(self.exports.path, folder_name(run.run_id, self.shown_path(run.path)))
        path = join(base, *names) if names else base
        return ExportLocation(storage, path, storage.url(path))

    def leads_away(self, run: Run | RunPlace, variant: str | None) -> bool:
        """Return whether the folder of a run's exports is a link.

        Files written or served through it would be in another place.
        """
        return self.is_link(self.folder(run, variant))

    @staticmethod
    def is_link(folder: ExportLocation) -> bool:
        """Return whether a folder of exports, or the folder above it, is a link."""
        if not folder.storage.is_local:
            return False
        return any(path.is_symlink() for path in (Path(folder.path), Path(folder.path).parent))

    def export_folder(self, path: str) -> ExportLocation:
        """Return a folder of exports by its path in their storage."""
        storage = self.runs.storage if self.exports is None else self.exports.storage
        return ExportLocation(storage, path, storage.url(path))

    def shown_folder(self, run: Run, variant: str | None) -> str:
        """Return the folder of the exports of a run as clients see it, relative."""
        path = self.folder(run, variant).path
        root = self.runs.path if self.exports is None else self.exports.path
        return relative(path, root) or "."

    def masked(self, text: str) -> str:
        """Return a message without the locations of this machine or of the storages."""
        known = [(self.runs, "runs")]
        if self.exports is not None:
            known.append((self.exports, "exports"))
        pairs = [(spelled, name) for one, name in known for spelled in (one.url, one.path)]
        pairs += [(str(self.state), "state"), (tempfile.gettempdir(), "tmp")]
        for spelled, name in sorted(pairs, key=lambda pair: -len(pair[0])):
            if spelled not in ("", "/"):
                text = text.replace(spelled, name)
        if self.options is not None:
            for secret in self.options.secrets():
                text = text.replace(secret, "********")
        return _TOKEN.sub("(path)", text)


def local_location(folder: Path) -> ExportLocation:
    """Return a folder of this machine."""
    return _location(str(folder), None)


def folder_name(run_id: str, shown_path: str) -> str:
    """Return a folder name that no other run has: a readable part and a digest of the path.

    >>> folder_name("run 1/../x", "a/run_1")
    'run_1_.._x-83a26bf8b8d5'
    """
    readable = _UNSAFE.sub("_", run_id)[:80].lstrip(".") or "run"
    return f"{readable}-{hashlib.sha256(shown_path.encode()).hexdigest()[:12]}"


def _location(url: str, options: StorageOptions | None) -> ExportLocation:
    storage, path = connect(url, options)
    return ExportLocation(storage, path, storage.url(path))


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else "file"
