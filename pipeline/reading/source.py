"""Find and select the runs of an export."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from connectors.errors import RunError
from connectors.flowtime.discover.discovery import Discovery, KnownRun, discover
from connectors.flowtime.discover.selection import Selection, select_series
from connectors.flowtime.discover.source_root import SourceRoot
from connectors.flowtime.model.run import Run
from connectors.storage import Storage
from pipeline.config import ExportConfig
from pipeline.planning.source_roots import source_roots
from pipeline.reading.left_out import LeftOut

Look = Literal["remembered", "first", "second"]

Elsewhere = Callable[[Storage, SourceRoot, Selection, datetime | None, bool], Discovery | None]
"""Finds the runs of a root elsewhere: with its storage, what is wanted, the start of bin 0 and
whether summaries are wanted; None where that is not worth it."""


@dataclass(frozen=True)
class Source:
    """The runs of an export, found and selected.

    Attributes:
        storage: Where they are.
        roots: The folders they were looked for in.
        runs: The runs, in the order of the rows.
        left_out: Runs that will not be exported.
        look: `remembered`, as runs that are known as they are listed were not read again; else
            whether all of them were read for the `first` or the `second` time.
        whole_runs: The same runs with all of their series, where a registry wants them.
    """

    storage: Storage
    roots: tuple[SourceRoot, ...]
    runs: tuple[Run, ...]
    left_out: tuple[LeftOut, ...]
    look: Look = "first"
    whole_runs: tuple[Run, ...] = ()

    @property
    def url(self) -> str:
        """The URLs of the roots, for people."""
        return ", ".join(root.url(self.storage) for root in self.roots)

    def without(self, broken: Sequence[LeftOut]) -> Source:
        """Return the source with some of its runs left out."""
        urls = {run.url for run in broken}
        runs = tuple(run for run in self.runs if run.url not in urls)
        return replace(self, runs=runs, left_out=(*self.left_out, *broken))


def find_runs(
    config: ExportConfig,
    known: KnownRun | None = None,
    look: Look = "first",
    *,
    now: datetime | None = None,
    elsewhere: Elsewhere | None = None,
) -> Source:
    """Discover and select the runs of a config.

    Args:
        config: The settings.
        known: Runs that need not be read again.
        look: `remembered` where what is known proves no more than that nothing has changed; else
            whether runs are read for the first or the second time.
        now: When the export began; default the current time.
        elsewhere: Finds the runs where many are judged at a time, if that is worth it.

    Raises:
        RunError: A run is broken and `on_error` is `fail`, or the source itself is incomplete.
        StorageError: The source cannot be listed or read.
    """
    origin = config.source.time_origin
    is_registered = config.registry is not None
    storage, roots = source_roots(config)
    selection = _selection(config, now or datetime.now(UTC))
    start = origin if isinstance(origin, datetime) else None

    def found_in(root: SourceRoot) -> Discovery:
        if elsewhere is not None and known is None:
            parts = elsewhere(storage, root, selection, start, is_registered)
            if parts is not None:
                return parts
        return discover(
            storage,
            root.path,
            selection,
            time_origin=start,
            known=known,
            summarise=is_registered,
            pattern=root.pattern,
        )

    found = _merged(found_in(root) for root in roots)
    _refuse(config, found, {storage.url(root.path) for root in roots})
    left_out = tuple(LeftOut(r.url, r.error.detail, r.kind) for r in found.refusals)
    whole = _latest(found.runs, config.source.latest)
    runs = tuple(_selected(run, selection) for run in whole)
    runs, unfit = _resampled(config, runs)
    return Source(storage, roots, runs, left_out + unfit, look, whole if is_registered else ())


def _resampled(
    config: ExportConfig, runs: tuple[Run, ...]
) -> tuple[tuple[Run, ...], tuple[LeftOut, ...]]:
    """Return the runs that can be resampled as the config asks, and the others.

    Raises:
        RunError: A run cannot, and `on_error` is `fail`.
    """
    resample = config.transform.resample
    if resample is None:
        return runs, ()
    fit: list[Run] = []
    unfit: list[LeftOut] = []
    for run in runs:
        try:
            resample.resampling.refuse_unfit(run)
        except RunError as error:
            if config.source.on_error == "fail":
                raise
            unfit.append(LeftOut(run.url, error.detail, "broken"))
        else:
            fit.append(run)
    return tuple(fit), tuple(unfit)


def _merged(found: Iterable[Discovery]) -> Discovery:
    """Return what several roots hold; what two of them lead to counts once."""
    each = list(found)
    if len(each) == 1:
        return each[0]
    runs = {run.url: run for one in each for run in one.runs}
    refusals = {refusal.url: refusal for one in each for refusal in one.refusals}
    return Discovery(
        tuple(sorted(runs.values(), key=lambda run: (run.run_id, run.url))),
        tuple(refusals[url] for url in sorted(refusals)),
        sum(one.skipped for one in each),
    )


def _latest(runs: tuple[Run, ...], count: int | None) -> tuple[Run, ...]:
    """Return the runs that were created last, in the same order."""
    if count is None or count >= len(runs):
        return runs
    newest = sorted(runs, key=_age)[-count:]
    urls = {run.url for run in newest}
    return tuple(run for run in runs if run.url in urls)


def _age(run: Run) -> tuple[datetime, str, str]:
    assert run.created is not None  # the selection asks for it
    return run.created, run.run_id, run.url


def _selected(run: Run, selection: Selection) -> Run:
    """Return the run with the wanted series, and how many others it has."""
    chosen = select_series(run, selection)
    left_out = len(run.series) - len(chosen.series)
    if not left_out:
        return run
    return replace(chosen, series_left_out=run.series_left_out + left_out)


def _selection(config: ExportConfig, now: datetime) -> Selection:
    source = config.source
    created_from, created_to = source.created.at(now)
    return Selection(
        include=source.include,
        exclude=source.exclude,
        created_from=created_from,
        created_to=created_to,
        needs_created=source.latest is not None,
        measures=source.series.measures,
        components=source.series.components,
        classes=source.series.classes,
    )


def _refuse(config: ExportConfig, found: Discovery, roots: Collection[str]) -> None:
    """Stop for broken runs unless they are to be skipped.

    A run that is still being written waits for the next export, unless it is all there is; a link
    is named, as the run it leads to is found where it really is.
    """
    for refusal in found.refusals:
        alone = refusal.url in roots and refusal.incomplete
        if alone or (refusal.kind == "broken" and config.source.on_error == "fail"):
            raise refusal.error
