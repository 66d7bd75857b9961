"""Polars: both sides scanned, joined by series and bin, and aggregated by series.

It is left at its own settings: the streaming engine, all cores. A given schema spares it inference.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.peers.compare_arguments import METRICS, runs, show

_SCHEMA = {"bin_index": pl.Int32(), "value": pl.Float64()}


def side(run: Path, name: str) -> pl.LazyFrame:
    """Return the values of a run, with the name of their series."""
    files = sorted((run / "series").glob("*.csv"))
    names = pl.Enum([file.stem for file in files])
    return pl.scan_csv(files, schema=_SCHEMA, include_file_paths="file", glob=False).select(
        pl.col("file").str.split("/").list.last().str.head(-4).cast(names).alias("series"),
        "bin_index",
        pl.col("value").alias(name),
    )


def metrics() -> list[pl.Expr]:
    """Return the metrics of one series, from columns `a` and `b`."""
    a, b = pl.col("a"), pl.col("b")
    d = b - a
    size = a.abs() + b.abs()
    smape = pl.when(size == 0).then(0.0).otherwise(2 * d.abs() / size)
    found = (
        pl.len(),
        d.abs().max(),
        d.mean(),
        d.abs().mean(),
        (d * d).mean().sqrt(),
        smape.mean(),
        100 * (b.sum() - a.sum()) / a.sum(),
        pl.corr("a", "b"),
    )
    return [one.alias(name) for name, one in zip(METRICS, found, strict=True)]


def main() -> None:
    """Compare in one query."""
    baseline, comparison = runs()
    joined = side(baseline, "a").join(side(comparison, "b"), on=["series", "bin_index"])
    kept = joined.filter(~(pl.col("a").is_nan() | pl.col("b").is_nan()))
    found = kept.group_by("series").agg(metrics()).collect(engine="streaming")
    show({row[0]: list(row[1:]) for row in found.sort("series").rows()})


if __name__ == "__main__":
    main()
