"""Pair the series of two sides, by id or by what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series import SeriesSpec
from pipeline.errors import ConfigError, IncomparableError
from pipeline.wording import counted, few, suggestion

_Key = tuple[str, str, str]
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class SeriesPair:
    """A series of the baseline and its counterpart.

    Attributes:
        baseline_row, comparison_row: Their places in the runs of their sides.
        baseline, comparison: The series.
    """

    baseline_row: int
    comparison_row: int
    baseline: SeriesSpec
    comparison: SeriesSpec

    @property
    def series_id(self) -> str:
        """The id by which the pair is reported: the baseline's."""
        return self.baseline.id

    @property
    def unit(self) -> str | None:
        """The unit of both, as far as one of them names it."""
        return self.baseline.unit or self.comparison.unit

    @property
    def kind(self) -> str | None:
        """The kind of both, as far as one of them names it."""
        return self.baseline.kind or self.comparison.kind


@dataclass(frozen=True, slots=True)
class Pairing:
    """The series of two sides, paired.

    Attributes:
        pairs: In the order of the baseline's series.
        only_in_baseline, only_in_comparison: Ids of series without a counterpart.
        notes: What a reader should know.
    """

    pairs: tuple[SeriesPair, ...]
    only_in_baseline: tuple[str, ...]
    only_in_comparison: tuple[str, ...]
    notes: tuple[str, ...]


def pair_series(
    baseline: Run, comparison: Run, renamed: Mapping[str, str] | None = None
) -> Pairing:
    """Pair the series of two runs.

    Series of equal ids belong together; what is left is paired by measure, component and class,
    since a series may name its class or leave it out.

    Args:
        baseline: The run of one side.
        comparison: The run of the other side.
        renamed: Name of a component in the baseline → its name in the comparison; likewise whole
            series ids, which hold an `@`.

    Raises:
        ConfigError: A mapping names what is not there, or leads two series to one.
        IncomparableError: No series has a counterpart, or units differ.
    """
    mapping = dict(renamed or {})
    _refuse_unknown(mapping, baseline, comparison)
    ours = list(baseline.series)
    theirs = list(comparison.series)
    found = _renamed(ours, theirs, mapping) | _alike(ours, theirs, mapping)
    _refuse_shared(found, ours, theirs)
    pairs = tuple(
        SeriesPair(row, found[row], series, theirs[found[row]])
        for row, series in enumerate(ours)
        if row in found
    )
    if not pairs:
        raise IncomparableError(
            f"no series of {baseline.url} ({_shown(ours)}) is in {comparison.url} "
            f"({_shown(theirs)}): say which components were renamed, by --map OLD=NEW, or by "
            "`renamed` in a config or a request"
        )
    _refuse_units(pairs, baseline, comparison)
    taken = set(found.values())
    return Pairing(
        pairs,
        tuple(series.id for row, series in enumerate(ours) if row not in found),
        tuple(series.id for row, series in enumerate(theirs) if row not in taken),
        tuple(_notes(pairs)),
    )


def _renamed(
    ours: Sequence[SeriesSpec], theirs: Sequence[SeriesSpec], mapping: Mapping[str, str]
) -> dict[int, int]:
    """Pair the series that the mapping names, themselves or by their component."""
    ids = {series.id: row for row, series in enumerate(theirs)}
    keys = _unique((_key(series), row) for row, series in enumerate(theirs))
    found: dict[int, int] = {}
    for row, series in enumerate(ours):
        named = mapping.get(series.id)
        if named in ids:
            found[row] = ids[named]
        elif series.component is not None and series.component in mapping:
            key = (series.measure, mapping[series.component], series.class_name)
            if key in keys:
                found[row] = keys[key]
    return found


def _alike(
    ours: Sequence[SeriesSpec], theirs: Sequence[SeriesSpec], mapping: Mapping[str, str]
) -> dict[int, int]:
    """Pair all other series by their ids, and what is then left by what they are."""
    others = [
        row
        for row, series in enumerate(ours)
        if series.id not in mapping and series.component not in mapping
    ]
    ids = {series.id: row for row, series in enumerate(theirs)}
    found = {row: ids[ours[row].id] for row in others if ours[row].id in ids}
    taken = set(found.values())
    rest = _unique((_key(one), row) for row, one in enumerate(theirs) if row not in taken)
    wanted = _unique((_key(ours[row]), row) for row in others if row not in found)
    return found | {row: rest[key] for key, row in wanted.items() if key in rest}


def _key(series: SeriesSpec) -> _Key:
    return series.measure, series.component or "", series.class_name


def _unique(entries: Iterable[tuple[_Key, int]]) -> dict[_Key, int]:
    listed = list(entries)
    counts = Counter(key for key, _ in listed)
    return {key: row for key, row in listed if counts[key] == 1}


def _refuse_unknown(mapping: Mapping[str, str], baseline: Run, comparison: Run) -> None:
    for names, run, side in (
        (mapping.keys(), baseline, "baseline"),
        (mapping.values(), comparison, "comparison"),
    ):
        ids = {series.id for series in run.series}
        known = {series.component for series in run.series if series.component}
        for name in names:
            if name not in (ids if "@" in name else known | ids):
                components = sorted({one.component or "" for one in run.series} - {""})
                raise ConfigError(
                    f"renamed: the {side} {run.url} has no component or series {name!r}; "
                    f"{suggestion(name, components)}"
                )


def _refuse_shared(
    found: Mapping[int, int], ours: Sequence[SeriesSpec], theirs: Sequence[SeriesSpec]
) -> None:
    first: dict[int, int] = {}
    for row, other in found.items():
        if other in first:
            raise ConfigError(
                f"renamed: series {ours[first[other]].id} and {ours[row].id} of the baseline both "
                f"lead to {theirs[other].id} of the comparison"
            )
        first[other] = row


def _refuse_units(pairs: Iterable[SeriesPair], baseline: Run, comparison: Run) -> None:
    """Refuse pairs whose units are both known and differ."""
    apart = [
        f"{pair.series_id} ({pair.baseline.unit} and {pair.comparison.unit})"
        for pair in pairs
        if pair.baseline.unit and pair.comparison.unit
        if pair.baseline.unit != pair.comparison.unit
    ]
    if apart:
        raise IncomparableError(
            f"units differ between {baseline.url} and {comparison.url}: "
            f"{few(apart, _MOST_SHOWN)}: convert one of them before comparing"
        )


def _notes(pairs: Iterable[SeriesPair]) -> Iterator[str]:
    apart = [
        f"{pair.series_id} ({pair.baseline.kind} and {pair.comparison.kind})"
        for pair in pairs
        if pair.baseline.kind and pair.comparison.kind
        if pair.baseline.kind != pair.comparison.kind
    ]
    if apart:
        yield f"kinds differ: {few(apart, _MOST_SHOWN)}; the baseline's are used"


def _shown(series: Sequence[SeriesSpec]) -> str:
    names = few([one.id for one in series], _MOST_SHOWN)
    return f"{counted(len(series), 'series', 'series')}: {names}" if series else "no series"
