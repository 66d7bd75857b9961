"""Run the command line in a process of its own, as orchestrators want it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.storage import StorageOptions
from pipeline.errors import ConfigError, SinkError
from pipeline.exit_codes import DONE, SKIPPED, USAGE

PROGRAM = "flowtime-export"
_LOG_TAIL = 4_000


@dataclass(frozen=True)
class CommandResult:
    """What one call of the command line gave.

    Attributes:
        exit_code: Its exit code; see the documentation of the command line.
        output: The JSON object on stdout; empty where there was none.
        log: The end of stderr.
    """

    exit_code: int
    output: Mapping[str, Any]
    log: str

    @property
    def failed(self) -> bool:
        """Whether nothing was published."""
        return self.exit_code not in (DONE, SKIPPED)

    @property
    def may_retry(self) -> bool:
        """Whether it failed and another try may help: not where the config is wrong."""
        return self.failed and self.exit_code != USAGE

    @property
    def skipped_runs(self) -> list[str]:
        """URLs of the broken runs that were left out."""
        left_out = self.output.get("left_out", [])
        return [str(run["url"]) for run in left_out if run.get("kind") == "broken"]

    @property
    def message(self) -> str:
        """The error of a failed call."""
        error = self.output.get("error")
        text = error.get("message") if isinstance(error, dict) else None
        return str(text) if text else self.log.strip() or f"exit code {self.exit_code}"


def run_export(
    config: str | Path,
    *,
    overrides: Mapping[str, str] | None = None,
    full_refresh: bool = False,
    executable: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> CommandResult:
    """Run the export of a config and return its report.

    Args:
        config: The config file.
        overrides: Key paths and values that replace those of the config.
        full_refresh: Write targets that have not changed, too.
        executable: The program; default `flowtime-export` beside this Python, else of the path.
        env: Further environment variables, e.g. secrets that the config refers to.
        timeout: Seconds after which the process is ended.

    Raises:
        ConfigError: The program is not installed.
        SinkError: It did not end in time.
    """
    arguments = ["run", str(config), "--json"]
    for key, value in (overrides or {}).items():
        arguments += ["--set", f"{key}={value}"]
    if full_refresh:
        arguments.append("--full-refresh")
    return run_command(arguments, executable=executable, env=env, timeout=timeout)


def verify_export(
    descriptor: str, options: StorageOptions | None, *, executable: str | None = None
) -> CommandResult:
    """Verify a published export against its descriptor.

    Args:
        descriptor: URL of the descriptor.
        options: Options of its storage.
        executable: The program; default as for `run_export`.

    Raises:
        ConfigError: The program is not installed.
    """
    given, env = _storage_arguments(options)
    return run_command(["verify", descriptor, "--json", *given], executable=executable, env=env)


def _storage_arguments(options: StorageOptions | None) -> tuple[list[str], dict[str, str]]:
    """Return arguments that give the options of a storage, and variables that they refer to.

    Other users of the machine see arguments, but not the environment: all texts are there.
    """
    env: dict[str, str] = {}

    def shown(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: shown(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [shown(one) for one in value]
        if not isinstance(value, str):
            return value
        name = f"FLOWTIME_STORAGE_OPTION_{len(env)}"
        env[name] = value
        return f"${{{name}}}"

    arguments = []
    for key, value in ({} if options is None else options.revealed()).items():
        arguments += ["--storage-option", f"{key}={json.dumps(shown(value))}"]
    return arguments, env


def run_command(
    arguments: Sequence[str],
    *,
    executable: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> CommandResult:
    """Run the command line and return what it printed; see `run_export`."""
    command = [executable or _program(), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 no shell; the arguments are passed as they are
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise ConfigError(f"{command[0]} is not installed: pip install flowtime-export") from error
    except subprocess.TimeoutExpired as error:
        raise SinkError(
            f"{PROGRAM} {arguments[0]} did not end within {timeout:g} s: allow more time"
        ) from error
    return CommandResult(done.returncode, _parsed(done.stdout), done.stderr[-_LOG_TAIL:])


def _program() -> str:
    beside = Path(sys.executable).with_name(PROGRAM)
    return str(beside) if beside.exists() else shutil.which(PROGRAM) or PROGRAM


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
