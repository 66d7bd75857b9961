"""Airflow operators: exports as subprocesses, and exports by the service that defer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import ConfigError, FlowtimeExportError, StorageError
from pipeline.exit_codes import SKIPPED
from pipeline.integrations.command import run_export
from pipeline.integrations.missing_package import missing_package
from pipeline.integrations.published_table import PublishedTable, tables_of
from pipeline.integrations.service_request import export_path, job_path, request_json
from pipeline.sinks.formats import ALL_FORMATS

try:
    from airflow.sdk import Asset, BaseOperator, BaseSensorOperator
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
    from airflow.triggers.base import BaseTrigger, TriggerEvent
except ImportError as failure:
    raise missing_package("airflow", failure) from failure

_OVER = frozenset({"done", "failed", "cancelled"})


class FlowtimeExportOperator(BaseOperator):
    """Run the export of a config as a subprocess.

    Each sink is an outlet asset; its event carries rows, bytes, files and digest as `extra`.

    Args:
        config: The config file; templated.
        overrides: Key paths and values that replace those of the config; templated.
        full_refresh: Write targets that have not changed, too.
        on_skipped_runs: What broken runs that were left out (exit code 3) mean: `succeed`, `skip`
            the task, or `fail` it.
        env: Further environment variables of the process.
        executable: The program; default `flowtime-export` of this environment.
    """

    template_fields: Sequence[str] = ("config", "overrides", "env")

    def __init__(
        self,
        *,
        config: str,
        overrides: Mapping[str, str] | None = None,
        full_refresh: bool = False,
        on_skipped_runs: Literal["succeed", "skip", "fail"] = "succeed",
        env: Mapping[str, str] | None = None,
        executable: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._tables = _known_tables(config, overrides or {})
        kwargs.setdefault("outlets", [Asset(uri=t.uri, name=t.name) for t in self._tables])
        super().__init__(**kwargs)
        self.config = config
        self.overrides = dict(overrides or {})
        self.full_refresh = full_refresh
        self.on_skipped_runs = on_skipped_runs
        self.env = dict(env or {})
        self.executable = executable

    def execute(self, context: Any) -> dict[str, Any]:
        """Return the report.

        Raises:
            AirflowFailException: The config is wrong, so that another try would not help.
            AirflowException: The export failed.
            AirflowSkipException: Broken runs were left out and `on_skipped_runs` is `skip`.
        """
        result = run_export(
            self.config,
            overrides=self.overrides,
            full_refresh=self.full_refresh,
            executable=self.executable,
            env=self.env,
        )
        if result.failed:
            error = AirflowException if result.may_retry else AirflowFailException
            raise error(result.message)
        for run in result.skipped_runs:
            self.log.warning("left out: %s", run)
        if result.exit_code == SKIPPED and self.on_skipped_runs != "succeed":
            message = f"{len(result.skipped_runs)} broken runs were left out"
            raise (AirflowSkipException if self.on_skipped_runs == "skip" else AirflowException)(
                message
            )
        report = dict(result.output)
        for table, outlet in zip(self._tables, self.outlets, strict=False):
            context["outlet_events"][outlet].extra = table.metadata(report)
        return report


def _known_tables(config: str, overrides: Mapping[str, str]) -> list[PublishedTable]:
    """Return the tables of a config; none where it is templated or not on this machine."""
    is_templated = any("{{" in text for text in (config, *overrides.values()))
    if is_templated or not Path(config).is_file():
        return []
    try:
        return tables_of(config, overrides)
    except FlowtimeExportError:  # reported when the task runs, not when the file is parsed
        return []


class FlowtimeServiceExportOperator(BaseOperator):
    """Have a service export a run; the task defers until the job is over.

    Args:
        run_id: The run; templated.
        service_url: Base URL of the service, such as `http://flowtime:8080`.
        formats: Formats to write.
        token: Access token of the service, e.g. from a connection.
        poll_seconds: Pause between two looks at the job.
    """

    template_fields: Sequence[str] = ("run_id", "service_url", "token")

    def __init__(
        self,
        *,
        run_id: str,
        service_url: str,
        formats: Sequence[str] = ALL_FORMATS,
        token: str | None = None,
        poll_seconds: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.service_url = service_url
        self.formats = list(formats)
        self.token = token
        self.poll_seconds = poll_seconds

    def execute(self, context: Any) -> None:
        """Create the job and defer."""
        job = _request(
            self.service_url,
            export_path(self.run_id),
            self.token,
            {"formats": self.formats},
        )
        self.defer(
            trigger=FlowtimeJobTrigger(
                self.service_url, str(job["jobId"]), self.token, self.poll_seconds
            ),
            method_name="complete",
        )

    def complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the job.

        Raises:
            AirflowException: The job failed or was cancelled.
        """
        if event["state"] != "done":
            raise AirflowException(f"job {event['id']} {event['state']}: {event.get('error')}")
        return dict(event)


class FlowtimeJobSensor(BaseSensorOperator):
    """Wait until a job of the service is over.

    Args:
        job_id: The job; templated.
        service_url: Base URL of the service.
        token: Access token of the service.
    """

    template_fields: Sequence[str] = ("job_id", "service_url", "token")

    def __init__(
        self, *, job_id: str, service_url: str, token: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.service_url = service_url
        self.token = token

    def poke(self, context: Any) -> bool:
        """Return whether the job is done.

        Raises:
            AirflowException: It failed or was cancelled.
        """
        job = _request(self.service_url, job_path(self.job_id), self.token)
        if job["state"] in _OVER - {"done"}:
            raise AirflowException(f"job {self.job_id} {job['state']}: {job.get('error')}")
        return bool(job["state"] == "done")


class FlowtimeJobTrigger(BaseTrigger):
    """Wait for a job of the service in the triggerer."""

    def __init__(
        self, service_url: str, job_id: str, token: str | None, poll_seconds: float
    ) -> None:
        super().__init__()
        self.service_url = service_url
        self.job_id = job_id
        self.token = token
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        arguments = {
            "service_url": self.service_url,
            "job_id": self.job_id,
            "token": self.token,
            "poll_seconds": self.poll_seconds,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event once the job is over."""
        path = job_path(self.job_id)
        while True:
            job = await asyncio.to_thread(_request, self.service_url, path, self.token)
            if job["state"] in _OVER:
                yield TriggerEvent(job)
                return
            await asyncio.sleep(self.poll_seconds)


def _request(
    service_url: str, path: str, token: str | None, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the JSON answer of the service; see `request_json`.

    Raises:
        AirflowFailException: The URL is none of a web server.
        AirflowException: The service does not answer, or answers with an error.
    """
    try:
        return request_json(service_url, path, token, body)
    except ConfigError as error:
        raise AirflowFailException(str(error)) from error
    except StorageError as error:
        raise AirflowException(str(error)) from error
