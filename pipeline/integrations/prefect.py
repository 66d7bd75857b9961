"""A Prefect flow that runs, verifies and documents an export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.exit_codes import SKIPPED
from pipeline.integrations.command import CommandResult, run_export, verify_export
from pipeline.integrations.missing_package import missing_package
from pipeline.integrations.published_table import tables_of

try:
    from prefect import flow, get_run_logger, task
    from prefect.artifacts import create_table_artifact
    from prefect.states import Completed, State
except ImportError as failure:
    raise missing_package("prefect", failure) from failure


def _may_retry(task: Any, task_run: Any, state: State[Any]) -> bool:
    """Return whether another try may help, as Prefect asks before each."""
    return not isinstance(state.result(raise_on_failure=False), ConfigError)


@task(
    name="flowtime-export run",
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=_may_retry,
)
def export_task(
    config: str, overrides: Mapping[str, str] | None = None, full_refresh: bool = False
) -> CommandResult:
    """Run the export of a config; a failed one is tried again where that may help.

    Raises:
        ConfigError: The config is wrong.
        RuntimeError: The export failed.
    """
    result = run_export(config, overrides=overrides, full_refresh=full_refresh)
    if result.failed:
        raise (RuntimeError if result.may_retry else ConfigError)(result.message)
    return result


@task(name="flowtime-export verify")
def verify_task(
    config: str, table: str, descriptor: str, overrides: Mapping[str, str] | None = None
) -> None:
    """Verify a published export against its descriptor.

    The storage is looked up here, as Prefect records the arguments of a task.

    Args:
        config: The config file.
        table: Name of the table.
        descriptor: URL of the descriptor.
        overrides: Key paths and values that replace those of the config.

    Raises:
        RuntimeError: It is not as its descriptor says.
    """
    options = next(one.options for one in tables_of(config, overrides) if one.name == table)
    result = verify_export(descriptor, options)
    if result.failed:
        raise RuntimeError(result.message)


@flow(name="flowtime-export")
def export_flow(
    config: str | Path,
    overrides: dict[str, str] | None = None,
    full_refresh: bool = False,
    verify: bool = True,
) -> State[Any] | dict[str, Any]:
    """Export the runs of a config, verify what was written, and publish a table artifact.

    Args:
        config: The config file.
        overrides: Key paths and values that replace those of the config.
        full_refresh: Write targets that have not changed, too.
        verify: Whether targets that were written are verified.

    Returns:
        The report; a completed state named `Skipped runs` where broken runs were left out.
    """
    result = export_task(str(config), overrides, full_refresh)
    report = dict(result.output)
    tables = tables_of(config, overrides)
    if verify:
        written = [target for target in report["targets"] if target["status"] == "exported"]
        found = {
            descriptor: table.name
            for table in tables
            for descriptor in table.descriptors({"targets": written})
        }
        for descriptor, name in found.items():
            verify_task(str(config), name, descriptor, overrides)
    create_table_artifact(
        key="flowtime-export",
        table=[
            {"table": table.name, "url": table.url, **table.metadata(report)} for table in tables
        ],
        description=f"Tables of {report['name']}, {report['runs']} runs",
    )
    if result.exit_code == SKIPPED:
        get_run_logger().warning("left out: %s", ", ".join(result.skipped_runs))
        return Completed(name="Skipped runs", message=f"{len(result.skipped_runs)} runs left out")
    return report
