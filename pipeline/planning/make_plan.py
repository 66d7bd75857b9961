"""Plan what will be read and written, before anything is opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from connectors.flowtime.model.run import Run
from pipeline.config import ExportConfig
from pipeline.errors import ConfigError
from pipeline.planning.clock import filter_of
from pipeline.planning.locations import check_locations
from pipeline.planning.partitions import refuse_colliding, refuse_empty
from pipeline.planning.plan import ExportPlan, Shown, SinkPlan
from pipeline.planning.target import TargetResolver
from pipeline.rows.catalogue import BASE_COLUMNS, CATALOGUE, PER_MEASURE
from pipeline.rows.column import Column
from pipeline.rows.metadata_tables import MetadataTables
from pipeline.rows.row_filter import RowFilter
from pipeline.rows.wide import measures_of
from pipeline.sinks import Sink
from pipeline.wording import few, suggestion


def make_plan(config: ExportConfig, runs: Sequence[Run], resolver: TargetResolver) -> ExportPlan:
    """Work out what an export of these runs will read and write.

    Raises:
        ConfigError: The runs do not fit the config, e.g. two of them share a target.
    """
    row_filter = filter_of(config, resolver.now)
    tables = metadata_tables(config, runs, row_filter, resolver.now)
    kept = tables.series_rows() if row_filter is None else row_filter.series_rows(tables)
    sinks = tuple(_sink_plan(config, sink, runs, tables, resolver) for sink in config.sinks)
    targets = [(plan.sink, plan.targets) for plan in sinks]
    check_locations(targets, resolver.storage, resolver.roots)
    is_filtered = row_filter is not None and (
        row_filter.of_rows is not None or len(kept) < tables.series_count
    )
    return ExportPlan(config, tuple(runs), tables, kept, row_filter, sinks, is_filtered)


def metadata_tables(
    config: ExportConfig, runs: Sequence[Run], row_filter: RowFilter | None, now: datetime
) -> MetadataTables:
    """Return the tables that the columns of a config and of its condition are gathered from."""
    names = _all_columns(config)
    if row_filter is not None:
        of_series = row_filter.of_series
        names += [
            *row_filter.columns,
            *(of_series.meta.root_names() if of_series is not None else ()),
        ]
    resample = config.transform.resample
    if resample is not None:
        runs = [resample.resampling.resampled(run) for run in runs]
    return MetadataTables.build(runs, names, config.metadata.constants, now)


def _all_columns(config: ExportConfig) -> list[str]:
    return [*BASE_COLUMNS, *config.metadata.columns, *config.metadata.constants]


def _sink_plan(
    config: ExportConfig,
    sink: Sink,
    runs: Sequence[Run],
    tables: MetadataTables,
    resolver: TargetResolver,
) -> SinkPlan:
    renamed = config.transform.rename
    measures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources = _all_columns(config)
    if sink.layout == "wide":
        measures = measures_of(runs)
        sources, notes = _wide_sources(config, sink, measures, runs)
    shown = [
        Shown(name, Column(name, "number"))
        if name in measures
        else Shown(name, tables.column(name, renamed.get(name, name)))
        for name in sources
    ]
    targets = tuple(resolver.targets(sink, runs))
    plan = SinkPlan(sink, _picked(sink, shown), targets, measures, notes)
    try:
        sink.check_names([entry.column.name for entry in plan.in_file])
    except ValueError as error:
        raise ConfigError(f"sink {sink.path}: {error}") from error
    if sink.partition_by:
        values = tables.texts(plan.partition_sources)
        if not sink.is_table:
            local = any(target.storage.is_local for target in targets)
            refuse_colliding(sink.partition_by, values, sink.path, local=local)
        elif sink.empty_is_null:
            refuse_empty(sink.partition_by, values, sink.path)
    return plan


def _wide_sources(
    config: ExportConfig, sink: Sink, measures: Sequence[str], runs: Iterable[Run]
) -> tuple[list[str], tuple[str, ...]]:
    constants = config.metadata.constants
    left_out = [name for name in config.metadata.columns if name in PER_MEASURE]
    metadata = [name for name in config.metadata.columns if name not in PER_MEASURE]
    keys = [name for name in BASE_COLUMNS if name not in PER_MEASURE]
    taken = {*keys, *metadata, *constants, "series_row", "bin_index"}.intersection(measures)
    if taken:
        raise ConfigError(
            f"layout wide: measure {min(taken)!r} has the name of a column: use layout long, or "
            "leave the measure out by source.series.measures"
        )
    others = {config.transform.rename.get(n, n) for n in (*keys, *metadata, *constants)}
    clash = sorted(others.intersection(measures))
    if clash:
        raise ConfigError(
            f"layout wide: measure {clash[0]!r} has the name of another column: rename that one"
        )
    for run in runs:
        _refuse_twins(run)
    return [*keys, *measures, *metadata, *constants], _left_out_note(sink, left_out)


def _left_out_note(sink: Sink, columns: Sequence[str]) -> tuple[str, ...]:
    if not columns:
        return ()
    what = "column that differs" if len(columns) == 1 else "columns that differ"
    names = few([repr(name) for name in columns])
    return (f"sink {sink.path}: layout wide leaves out {len(columns)} {what} by measure: {names}",)


def _refuse_twins(run: Run) -> None:
    seen: dict[tuple[str | None, str, str], str] = {}
    for series in run.series:
        place = (series.component, series.class_name, series.measure)
        if place in seen:
            raise ConfigError(
                f"run {run.url}: series {seen[place]} and {series.id} would share a cell of the "
                "wide layout: use layout long for it"
            )
        seen[place] = series.id


def _picked(sink: Sink, shown: Sequence[Shown]) -> tuple[Shown, ...]:
    by_name = {entry.column.name: entry for entry in shown}
    wanted = list(sink.columns) if sink.columns is not None else list(by_name)
    for name in (*wanted, *sink.partition_by):
        if name not in by_name:
            raise ConfigError(
                f"sink {sink.path}: there is no column {name!r}; {suggestion(name, by_name)}"
            )
    for name in sink.partition_by:
        entry = by_name[name]
        catalogued = CATALOGUE.get(entry.source)
        if entry.column.type not in ("text", "integer", "boolean") or (
            catalogued is not None and catalogued.level != "series"
        ):
            raise ConfigError(
                f"sink {sink.path}: partition_by {name!r} is no column of series or runs; "
                "partition by text or whole numbers that a series has one of"
            )
    picked = [by_name[name] for name in wanted]
    return tuple(picked + [by_name[name] for name in sink.partition_by if name not in wanted])
