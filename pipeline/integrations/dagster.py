"""A Dagster component: one asset per sink of a config, with a check by `verify`."""

# Annotations stay objects in this module: Dagster compares that of `context` with its classes.

import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.integrations.command import run_command, run_export
from pipeline.integrations.missing_package import missing_package
from pipeline.integrations.published_table import PublishedTable, tables_of

try:
    import dagster as dg
    from dagster import AssetExecutionContext
except ImportError as failure:
    raise missing_package("dagster", failure) from failure

RUN_PARTITIONS = "flowtime_runs"


class FlowtimeExportComponent(dg.Component, dg.Model, dg.Resolvable):
    """The tables of one config.

    Attributes:
        config: The config file, relative to the component's folder or absolute.
        group: Group of the assets; default `flowtime`.
        partition_by_run: Whether each run directory is a partition of its own.
        skipped_runs_fail: Whether broken runs that were left out fail the materialization.
    """

    config: str
    group: str = "flowtime"
    partition_by_run: bool = False
    skipped_runs_fail: bool = False

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return an asset and a check for every sink of the config."""
        return export_definitions(
            Path(context.path) / self.config,
            group=self.group,
            partition_by_run=self.partition_by_run,
            skipped_runs_fail=self.skipped_runs_fail,
        )


def export_definitions(
    config: Path,
    *,
    group: str = "flowtime",
    partition_by_run: bool = False,
    skipped_runs_fail: bool = False,
) -> dg.Definitions:
    """Return the definitions of a config, for code locations without components.

    Args:
        config: The config file.
        group: Group of the assets.
        partition_by_run: Whether each run directory is a partition of its own.
        skipped_runs_fail: Whether broken runs that were left out fail the materialization.

    Raises:
        ConfigError: The config is wrong.
    """
    tables = tables_of(config)
    partitions = dg.DynamicPartitionsDefinition(name=RUN_PARTITIONS) if partition_by_run else None
    specs = [
        dg.AssetSpec(
            table.name,
            group_name=group,
            partitions_def=partitions,
            metadata={"url": dg.MetadataValue.url(table.uri), "format": table.format},
            kinds={table.format},
        )
        for table in tables
    ]

    @dg.multi_asset(
        specs=specs,
        name=f"{tables[0].name}_export",
        check_specs=[dg.AssetCheckSpec("verified", asset=spec.key) for spec in specs],
    )
    def export(context: AssetExecutionContext) -> Iterator[Any]:
        overrides = {}
        if context.has_partition_key:
            # The key is a name, not a pattern.
            overrides["source.include"] = json.dumps([glob.escape(context.partition_key)])
        result = run_export(config, overrides=overrides)
        if result.failed:
            raise dg.Failure(result.message, allow_retries=result.may_retry)
        if result.skipped_runs and skipped_runs_fail:
            raise dg.Failure(f"left out: {', '.join(result.skipped_runs)}")
        for run in result.skipped_runs:
            context.log.warning("left out: %s", run)
        for table in tables:
            metadata = table.metadata(result.output)
            yield dg.MaterializeResult(
                asset_key=table.name,
                metadata={key: value for key, value in metadata.items() if value is not None},
                check_results=[_verified(table, dict(result.output))],
            )

    return dg.Definitions(assets=[export])


def _verified(table: PublishedTable, report: dict[str, Any]) -> dg.AssetCheckResult:
    """Return whether every descriptor of a table describes what is published."""
    problems = []
    for descriptor in dict.fromkeys(target["descriptor"] for target in table.targets(report)):
        result = run_command(["verify", descriptor, "--json"])
        if result.failed:
            problems.append(f"{descriptor}: {result.message}")
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=table.name,
        check_name="verified",
        metadata={"problems": "\n".join(problems)},
    )
