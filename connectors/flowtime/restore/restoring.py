"""Write rows back to a run directory, in the bytes of its original writer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import chain
from types import TracebackType
from typing import Any, Literal

import numpy as np

from connectors.errors import FlowtimeExportError, RunError, RunExistsError
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import ExportOrigin, Run
from connectors.flowtime.model.series import FileDigest, SeriesSpec
from connectors.flowtime.model.series_table import SeriesTable
from connectors.flowtime.parse.dialects import MANIFEST_FILE
from connectors.flowtime.restore.layout import SeriesLayout, find_layout
from connectors.flowtime.restore.run_files import (
    DESCRIBING_FILES,
    check_restorable,
    describing_files,
    differences,
)
from connectors.flowtime.restore.run_folder import RunDirectoryWriter
from connectors.storage import Storage, join, sha256_of

IfExists = Literal["error", "skip", "replace"]
RestoreStatus = Literal["written", "replaced", "skipped"]

_Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class RestoredSeries:
    """A series file that was restored.

    Attributes:
        id: The series id.
        path: Its file, relative to the run directory.
        layout: How the file is laid out.
        sha256: Lower-case hex digest of the file.
        bytes: Its size.
        matched: Whether that is the digest that the run promises; None where it promises none.
    """

    id: str
    path: str
    layout: SeriesLayout
    sha256: str
    bytes: int
    matched: bool | None


@dataclass(frozen=True, slots=True)
class RestoredRun:
    """A run that was restored.

    Attributes:
        url: URL of the run directory.
        path: The same place as its storage names it.
        run_id: Its id.
        status: `written`; `replaced` where another run existed; `skipped` where the same one did.
        series: All series, in the run's order.
    """

    url: str
    path: str
    run_id: str
    status: RestoreStatus
    series: tuple[RestoredSeries, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all series files."""
        return sum(one.bytes for one in self.series)


class RunWriter:
    """Writes one run directory: `add` every series, then `publish`, or else `discard`.

    Nothing is visible before `publish`. As a context manager it discards what was not published.
    It holds the values of no more than one series, and is to be used by one thread.

    Args:
        storage: Where to write.
        folder: The storage's own path of the folder that the run directory goes into.
        run: What is to be read there again. `url`, `path`, `fingerprint`, `listing`, `notes` and
            sizes play no part.
        if_exists: What to do where files exist in the run directory: refuse, keep the same run
            and refuse another, or replace it. Exports in its `gold/` and `aggregates/` do not
            count and are left alone.
        vouch: Whether series without a promised digest get that of their file.
        restored_from: The export that the run is restored from, which its manifest will name.

    Raises:
        RunError: The run cannot be written so that it would be read again, or one exists there.
        StorageError: The folder could not be listed, or the name is none for a folder.
    """

    def __init__(
        self,
        storage: Storage,
        folder: str,
        run: Run,
        *,
        if_exists: IfExists = "error",
        vouch: bool = False,
        restored_from: ExportOrigin | None = None,
    ) -> None:
        self._storage = storage
        self._run = run
        self._if_exists = if_exists
        self._vouch = vouch
        self._restored_from = restored_from
        self._last: SeriesLayout | None = None
        self._digests = {
            one.id: digest for one, digest in zip(run.series, run.series.digests(), strict=True)
        }
        self._missing = {one.id: one for one in run.series}
        self._restored: dict[str, RestoredSeries] = {}
        self._done: RestoredRun | None = None
        check_restorable(run)
        _check_paths(run)
        self._folder = RunDirectoryWriter(storage, join(folder, _folder_name(run)))
        if self._folder.existing and if_exists == "error":
            raise RunExistsError(
                "files exist there already: choose another folder, or set "
                "--if-exists replace or skip",
                run_url=self.url,
            )

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.discard()
        else:
            self._discard_after(error)

    @property
    def url(self) -> str:
        """URL of the run directory."""
        return self._folder.url

    def add(
        self, series: SeriesSpec, values: _Array, layout: SeriesLayout | None = None
    ) -> RestoredSeries:
        """Stage the file of one series.

        Where a digest is promised, the layout that gives it is looked for: first that of the
        last series, then `layout`, then all others. Where none gives it, or none is promised,
        the file gets `layout`, else that of the last series.

        Args:
            series: A series of the run.
            values: Its values for bins 0..n-1, as float64.
            layout: The layout it is said to have.

        Raises:
            RunError: The series is none of the run's or there already, or the values are not one
                double for each bin.
            StorageError: The file could not be staged.
        """
        if self._missing.get(series.id) != series:
            known = series.id in self._restored
            reason = "was added already" if known else "is not a series of the run"
            raise self._error(reason, series.id)
        if values.dtype != np.float64 or values.shape != (self._run.grid.bins,):
            raise self._error(
                f"found {values.dtype} values of shape {values.shape}, "
                f"should be {self._run.grid.bins} of float64, one for each bin",
                series.id,
            )
        chosen = layout or self._last or SeriesLayout()
        sha256 = self._digests[series.id].sha256
        tried = (self._last or chosen) if sha256 is not None else chosen
        restored = self._write(series, values, tried)
        if restored.matched is False:
            # Not a match either where none is found, but then the likeliest.
            tried = find_layout(values, sha256 or "", chosen) or chosen
            restored = self._write(series, values, tried)
        if restored.matched is not False:
            self._last = restored.layout
        self._restored[series.id] = restored
        del self._missing[series.id]
        return restored

    def finish(self) -> None:
        """Stage the files that describe the run.

        A series whose promised digest was not met gets that of its file.

        Raises:
            RunError: A series has not been added.
            StorageError: A file could not be staged.
        """
        if self._missing:
            names = ", ".join(list(self._missing)[:5])
            raise self._error(f"{len(self._missing)} series are missing, such as {names}")
        files = describing_files(self._expected(), self._restored_from)
        for name, data in files.items():
            with self._folder.staging(name) as file:
                file.write_bytes(data)

    def publish(self) -> RestoredRun:
        """Make the run directory visible, manifest.json last.

        A run that is replaced loses its manifest.json first, so that there is no complete run
        until the new one is complete. What fails leaves nothing of the new run.

        Raises:
            RunError: A series is missing; or another run exists there that is to be kept.
            StorageError: A store refused a file.
        """
        try:
            if not self._folder.is_staged(MANIFEST_FILE):
                self.finish()
            self._done = self._publish()
        except BaseException as error:
            self._discard_after(error)
            raise
        return self._done

    def discard(self) -> None:
        """Remove all that was written, and the folders made for it; nothing after a publish.

        Raises:
            StorageError: Something could not be removed.
        """
        if self._done is None:
            self._folder.discard()

    def _publish(self) -> RestoredRun:
        if self._folder.existing and self._if_exists == "skip":
            self._check_same()
            self._folder.discard()
            return self._result("skipped")
        self._folder.show()
        return self._result("replaced" if self._folder.existing else "written")

    def _check_same(self) -> None:
        """Find out whether the existing run is this one, down to the bytes of its series."""
        path = self._folder.path
        found = [one for one in discover(self._storage, path).runs if one.path == path]
        if not found:
            raise self._error("the existing folder is no complete run: replace it")
        if odd := differences(self._expected(), found[0]):
            raise self._error(
                f"another run exists there, with another {', '.join(odd)}: replace it"
            )
        for one in self._restored.values():
            if sha256_of(self._storage, join(path, one.path)) != one.sha256:
                raise self._error("the existing file is another: replace it", one.id)

    def _expected(self) -> Run:
        """Return the run as its describing files will give it."""
        series = self._run.series
        digests = (self._digest(one) for one in series)
        return replace(self._run, series=SeriesTable(series.shape, digests))

    def _digest(self, series: SeriesSpec) -> FileDigest:
        restored = self._restored[series.id]
        is_vouched = self._vouch or self._digests[series.id].sha256 is not None
        return FileDigest(restored.sha256 if is_vouched else None, restored.bytes)

    def _result(self, status: RestoreStatus) -> RestoredRun:
        series = tuple(self._restored[one.id] for one in self._run.series)
        return RestoredRun(self.url, self._folder.path, self._run.run_id, status, series)

    def _write(self, series: SeriesSpec, values: _Array, layout: SeriesLayout) -> RestoredSeries:
        digest = hashlib.sha256()
        size = 0
        with self._folder.staging(series.path) as path, path.open("wb") as file:
            for block in chain((layout.head,), layout.body(values)):
                digest.update(block)
                size += file.write(block)
        found = digest.hexdigest()
        expected = self._digests[series.id].sha256
        matched = None if expected is None else found == expected
        return RestoredSeries(series.id, series.path, layout, found, size, matched)

    def _discard_after(self, error: BaseException) -> None:
        try:
            self.discard()
        except FlowtimeExportError as failure:
            error.add_note(f"what was written could not be removed: {failure}")

    def _error(self, reason: str, series: str | None = None) -> RunError:
        return RunError(reason, run_url=self.url, series=series)


def _folder_name(run: Run) -> str:
    if "/" in run.name:
        raise RunError(f"{run.name!r} is no name for a run directory", run_url=run.url)
    return run.name


def _check_paths(run: Run) -> None:
    """Refuse series whose files would not be found again, or are other files of the run."""
    for one in run.series:
        top, _, below = one.path.partition("/")
        is_found = top == "series" if below else top.endswith(".csv")
        if not is_found or one.path in DESCRIBING_FILES:
            raise RunError(
                f"path: found {one.path}, should be series/<name>.csv",
                run_url=run.url,
                series=one.id,
            )
