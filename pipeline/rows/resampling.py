"""Define how wide bins become, and which runs that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from connectors.errors import RunError
from connectors.flowtime.model.run import Grid, Run
from pipeline.rows.aggregation import Aggregation, aggregation_of


@dataclass(frozen=True)
class Resampling:
    """How wide bins become, and how their values are aggregated.

    Attributes:
        minutes: Width of the new bins. The first one begins where bin 0 of the run does.
        chosen: Aggregation by kind of series, which comes before the natural ones; `*` for others.
    """

    minutes: int
    chosen: Mapping[str, Aggregation] = field(default_factory=dict)

    def grid(self, grid: Grid) -> Grid:
        """Return the grid of the new bins.

        Raises:
            ValueError: The bins do not divide evenly.
        """
        if self.minutes % grid.bin_minutes:
            raise ValueError(
                f"{self.minutes} minutes are not a multiple of its bins of {grid.bin_minutes}"
            )
        factor = self.minutes // grid.bin_minutes
        if grid.bins % factor:
            raise ValueError(
                f"its {grid.bins} bins of {grid.bin_minutes} minutes do not divide into bins of "
                f"{self.minutes}: the last one would have {grid.bins % factor} of {factor}"
            )
        return Grid(grid.bins // factor, self.minutes)

    def resampled(self, run: Run) -> Run:
        """Return a run with the grid of the new bins.

        Raises:
            ValueError: Its bins do not divide evenly.
        """
        return replace(run, grid=self.grid(run.grid))

    def refuse_unfit(self, run: Run) -> None:
        """Refuse a run that cannot be resampled.

        Raises:
            RunError: Its bins do not divide evenly, or nothing says how a series is aggregated.
        """
        try:
            factor = run.grid.bins // self.grid(run.grid).bins
        except ValueError as error:
            raise RunError(
                f"transform.resample: {error}; choose another width, or exclude the run",
                run_url=run.url,
            ) from error
        if factor == 1:
            return
        for series in run.series:
            if aggregation_of(series.kind, self.chosen) is None:
                kind = "no kind" if series.kind is None else f"kind {series.kind!r}"
                raise RunError(
                    f"transform.resample: the series has {kind}, and nothing says how its bins "
                    f"become one: name it in transform.resample.aggregation, e.g. "
                    f"{{{series.kind or '*'}: mean}}, or leave it out by source.series",
                    run_url=run.url,
                    series=series.id,
                )
