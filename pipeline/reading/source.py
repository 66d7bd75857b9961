"""The runs an export is asked for: found, selected, and what to do about the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from connectors.flowtime.discover.discovery import Discovery, KnownRun, discover
from connectors.flowtime.discover.selection import Selection, select_series
from connectors.flowtime.model.run import Run
from connectors.storage import Storage, connect
from pipeline.config import ExportConfig
from pipeline.reading.left_out import LeftOut

Look = Literal["remembered", "first", "second"]


@dataclass(frozen=True)
class Source:
    """The runs of an export, found and selected.

    Attributes:
        storage: Where they are.
        path: The folder they were looked for under.
        runs: The runs, in the order of the rows.
        left_out: Runs that will not be exported.
        look: `remembered`, as runs that are known as they are listed were not read again; else
            whether all of them were read for the `first` or the `second` time.
        whole_runs: The same runs with all of their series, where a registry wants them.
    """

    storage: Storage
    path: str
    runs: tuple[Run, ...]
    left_out: tuple[LeftOut, ...]
    look: Look = "first"
    whole_runs: tuple[Run, ...] = ()

    def without(self, broken: Sequence[LeftOut]) -> Source:
        """Return the source with some of its runs left out."""
        urls = {run.url for run in broken}
        runs = tuple(run for run in self.runs if run.url not in urls)
        return replace(self, runs=runs, left_out=(*self.left_out, *broken))


def find_runs(config: ExportConfig, known: KnownRun | None = None, look: Look = "first") -> Source:
    """Discover and select the runs of a config.

    Args:
        config: The settings.
        known: Runs that need not be read again.
        look: `remembered` where what is known proves no more than that nothing has changed; else
            whether runs are read for the first or the second time.

    Raises:
        RunError: A run is broken and `on_error` is `fail`, or the source itself is incomplete.
        StorageError: The source cannot be listed or read.
    """
    wanted = config.source
    storage, path = connect(wanted.url, config.storage_options(wanted.storage))
    selection = _selection(config)
    origin = wanted.time_origin if isinstance(wanted.time_origin, datetime) else None
    is_registered = config.registry is not None
    found = discover(
        storage, path, selection, time_origin=origin, known=known, summarise=is_registered
    )
    _refuse(config, found, storage.url(path))
    left_out = tuple(LeftOut(r.url, r.error.detail, r.kind) for r in found.refusals)
    runs = tuple(_selected(run, selection) for run in found.runs)
    whole = found.runs if is_registered else ()
    return Source(storage, path, runs, left_out, look, whole)


def _selected(run: Run, selection: Selection) -> Run:
    """The run with the wanted series, and how many others it has."""
    chosen = select_series(run, selection)
    left_out = run.series_left_out + len(run.series) - len(chosen.series)
    return replace(chosen, series_left_out=left_out)


def _selection(config: ExportConfig) -> Selection:
    source = config.source
    return Selection(
        include=source.include,
        exclude=source.exclude,
        created_from=source.created.from_,
        created_to=source.created.to,
        measures=source.series.measures,
        components=source.series.components,
        classes=source.series.classes,
    )


def _refuse(config: ExportConfig, found: Discovery, root: str) -> None:
    """Stop for broken runs unless they are to be skipped.

    A run that is still being written waits for the next export, unless it is all there is; a link
    is named, as the run it leads to is found where it really is.
    """
    for refusal in found.refusals:
        alone = refusal.url == root and refusal.incomplete
        if alone or (refusal.kind == "broken" and config.source.on_error == "fail"):
            raise refusal.error
