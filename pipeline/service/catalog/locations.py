"""Where runs are and exports go, and how both are called in front of clients."""

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


@dataclass(frozen=True)
class Locations:
    """The storages of one service.

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

    @classmethod
    def of(cls, settings: ServiceSettings) -> Locations:
        """Connect the storages of settings; no request is made.

        Raises:
            ConfigError: The options do not fit, or exports would lie among the runs.
            StorageError: A URL is not one.
        """
        config = single_run_config(settings.runs, ["csv"], None, settings.storage_options)
        options = config.storage_options("source")
        runs = _place(settings.runs, options)
        exports = None
        if settings.exports is not None:
            shared = _scheme(settings.exports) == _scheme(settings.runs)
            exports = _place(settings.exports, options if shared else None)
            (inside,) = exports.storage.locations([exports.path])
            (root,) = runs.storage.locations([runs.path])
            if inside.is_within(root):
                raise ConfigError(
                    f"--exports {exports.url} lies below the runs: choose a folder beside them, "
                    "or leave it out for each run's own gold/ folder"
                )
        return cls(runs, exports, options, settings.state_folder)

    def shown_path(self, run_path: str) -> str:
        """A run directory relative to the folder of the runs; `.` where it is that folder."""
        return relative(run_path, self.runs.path) or "."

    def folder(self, run: Run, variant: str | None) -> ExportLocation:
        """The folder that the exports of a run go to.

        Args:
            run: The run.
            variant: What tells exports with options of their own from the plain ones.
        """
        names = [] if variant is None else [variant]
        if self.exports is None:
            storage, base = self.runs.storage, join(run.path, GOLD)
        else:
            storage = self.exports.storage
            base = join(self.exports.path, folder_name(run.run_id, self.shown_path(run.path)))
        path = join(base, *names) if names else base
        return ExportLocation(storage, path, storage.url(path))

    def leads_away(self, run: Run, variant: str | None) -> bool:
        """Whether a link stands where the folder of a run's exports should be.

        What is written or served through it would be somewhere else.
        """
        place = self.folder(run, variant)
        if not place.storage.is_local:
            return False
        return any(path.is_symlink() for path in (Path(place.path), Path(place.path).parent))

    def shown_folder(self, run: Run, variant: str | None) -> str:
        """The same folder as clients see it: relative, without where it really is."""
        path = self.folder(run, variant).path
        root = self.runs.path if self.exports is None else self.exports.path
        return relative(path, root) or "."

    def masked(self, text: str) -> str:
        """A message without the places of this machine or of the stores."""
        known = [(self.runs, "runs")]
        if self.exports is not None:
            known.append((self.exports, "exports"))
        pairs = [(spelled, name) for place, name in known for spelled in (place.url, place.path)]
        pairs += [(str(self.state), "state"), (tempfile.gettempdir(), "tmp")]
        for spelled, name in sorted(pairs, key=lambda pair: -len(pair[0])):
            if spelled not in ("", "/"):
                text = text.replace(spelled, name)
        if self.options is not None:
            for secret in self.options.secrets():
                text = text.replace(secret, "********")
        return _TOKEN.sub("(path)", text)


def local_place(folder: Path) -> ExportLocation:
    """A folder of this machine."""
    return _place(str(folder), None)


def folder_name(run_id: str, shown_path: str) -> str:
    """A folder's name for a run that no other run has: readable, then a digest of the place.

    >>> folder_name("run 1/../x", "a/run_1")
    'run_1_.._x-83a26bf8b8d5'
    """
    readable = _UNSAFE.sub("_", run_id)[:80].lstrip(".") or "run"
    return f"{readable}-{hashlib.sha256(shown_path.encode()).hexdigest()[:12]}"


def _place(url: str, options: StorageOptions | None) -> ExportLocation:
    storage, path = connect(url, options)
    return ExportLocation(storage, path, storage.url(path))


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else "file"
