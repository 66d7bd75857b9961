"""Match two open sides: align their grids and pair their series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from pipeline.comparison.alignment import Alignment, AlignmentMethod, align
from pipeline.comparison.metrics.tolerance import Tolerances
from pipeline.comparison.paired_values import PairBlock, paired_blocks
from pipeline.comparison.pairing import Pairing, SeriesPair, pair_series
from pipeline.comparison.sides.side import OpenSide, SeveralRunsError, SideSource, open_side
from pipeline.errors import ConfigError
from pipeline.rows.aggregation import AGGREGATIONS, Aggregation, aggregation_of
from pipeline.wording import few

_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ComparisonOptions:
    """How two sides are compared.

    Attributes:
        tolerances: How far series may lie apart.
        alignment: How their grids are laid over each other.
        aggregations: How bins of a finer grid become one, by kind of series; `*` for all others.
        renamed: Component or series id of the baseline → its name in the comparison.
    """

    tolerances: Tolerances = field(default_factory=Tolerances)
    alignment: AlignmentMethod = "auto"
    aggregations: Mapping[str, Aggregation] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """What is compared with what, and how."""

    baseline: SideSource
    comparison: SideSource
    options: ComparisonOptions = field(default_factory=ComparisonOptions)


@dataclass(frozen=True, slots=True)
class MatchedSides:
    """Two open sides whose values can be read bin against bin.

    Attributes:
        baseline, comparison: The sides.
        alignment: How their grids are laid over each other.
        pairing: Their series, paired.
        aggregations: How bins of the finer grid become one, for each pair.
        notes: What a reader should know.
    """

    baseline: OpenSide
    comparison: OpenSide
    alignment: Alignment
    pairing: Pairing
    aggregations: tuple[Aggregation, ...]
    notes: tuple[str, ...]

    def blocks(self, places: Sequence[int]) -> AbstractContextManager[Iterator[PairBlock]]:
        """Read pairs side by side.

        Args:
            places: Places of the pairs, ascending; the blocks refer to places among these.
        """
        return paired_blocks(
            self.baseline,
            self.comparison,
            self.alignment,
            [self.pairing.pairs[place] for place in places],
            [self.aggregations[place] for place in places],
        )


@contextmanager
def open_sides(request: ComparisonRequest) -> Iterator[MatchedSides]:
    """Open and match both sides, for as long as the context lasts.

    Where one side holds several runs and none is named, that with the other side's id is taken.

    Raises:
        ConfigError: An option does not fit the sides.
        IntegrityError: A side is damaged.
        RunError: A side is no complete run, or the two cannot be compared.
        StorageError: A side could not be read.
    """
    with ExitStack() as stack:
        try:
            baseline = stack.enter_context(open_side(request.baseline))
        except SeveralRunsError:
            comparison = stack.enter_context(open_side(request.comparison))
            like = comparison.run.run_id
            baseline = stack.enter_context(open_side(request.baseline, like=like))
        else:
            like = baseline.run.run_id
            comparison = stack.enter_context(open_side(request.comparison, like=like))
        yield match_sides(baseline, comparison, request.options)


def match_sides(
    baseline: OpenSide, comparison: OpenSide, options: ComparisonOptions
) -> MatchedSides:
    """Align the grids of two open sides and pair their series.

    Raises:
        ConfigError: An option does not fit the sides.
        RunError: The grids have no bin in common, or no series has a counterpart.
    """
    pairing = pair_series(baseline.run, comparison.run, options.renamed)
    alignment = align(baseline.run, comparison.run, options.alignment)
    unused = options.tolerances.unused([pair.baseline for pair in pairing.pairs])
    notes = [*alignment.notes, *pairing.notes]
    notes += [f"the tolerance for {rule} is for none of the series" for rule in unused]
    return MatchedSides(
        baseline,
        comparison,
        alignment,
        pairing,
        tuple(_aggregations(alignment, pairing.pairs, options.aggregations)),
        tuple(notes),
    )


def _aggregations(
    alignment: Alignment, pairs: Sequence[SeriesPair], chosen: Mapping[str, Aggregation]
) -> Iterator[Aggregation]:
    for kind, aggregation in chosen.items():
        if aggregation not in AGGREGATIONS:
            raise ConfigError(
                f"aggregation: {kind}={aggregation}; choose from {', '.join(AGGREGATIONS)}"
            )
    found = [aggregation_of(pair.kind, chosen) for pair in pairs]
    if not alignment.is_aggregated:
        yield from (aggregation or "sum" for aggregation in found)
        return
    open_ = [
        f"{pair.series_id} ({pair.kind or 'no kind'})"
        for pair, aggregation in zip(pairs, found, strict=True)
        if aggregation is None
    ]
    if open_:
        raise ConfigError(
            f"bins must be aggregated, and nothing says how for {few(open_, _MOST_SHOWN)}: name an "
            "aggregation by kind such as derived=mean, or *=mean for all others"
        )
    yield from (aggregation for aggregation in found if aggregation is not None)
