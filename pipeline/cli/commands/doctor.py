"""Check whether every storage of a config can be reached, listed and written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.errors import ConfigError, FlowtimeExportError, StorageError
from connectors.storage import Storage, StorageOptions, connect, split_glob
from pipeline.config import ExportConfig
from pipeline.config.path_template import format_of, names_run
from pipeline.lake_tables.opening import open_lake_table
from pipeline.planning.target import TargetResolver
from pipeline.sinks import Sink


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question about one place.

    Attributes:
        what: `source can be listed`, `sink 1 can be written`, ...
        url: The place.
        problem: What is wrong and how to repair it, or None.
    """

    what: str
    url: str
    problem: str | None


def examine(config: ExportConfig) -> list[Finding]:
    """Try what an export of this config would do, and leave nothing behind.

    A sink that names the run in its path is tried below the part that is the same for all runs.
    """
    source = config.source
    listed = [split_glob(url)[0] for url in source.urls]
    found = [
        _tried(
            "source can be listed",
            url,
            config.storage_options(source.storage),
            lambda storage, path: storage.check_list(path),
        )
        for url in listed
    ]
    for number, sink in enumerate(config.sinks, start=1):
        if sink.is_stdout:
            continue
        of_run = sink.path.startswith("{run_url}")
        url = listed[0] if of_run else _fixed_part(sink.path)
        storage = source.storage if of_run and sink.storage is None else sink.storage
        found.append(
            _tried(
                f"sink {number} ({sink.format}) can be written",
                url,
                config.storage_options(storage),
                lambda storage, path: storage.check_write(path),
            )
        )
        if sink.is_table:
            found.append(_tried_table(f"sink {number} ({sink.format}) can be read", sink, config))
    return found


def _tried(
    what: str,
    url: str,
    options: StorageOptions | None,
    attempt: Callable[[Storage, str], None],
) -> Finding:
    try:
        storage, path = connect(url, options)
        attempt(storage, path)
    except (ConfigError, StorageError) as error:
        return Finding(what, url, str(error))
    return Finding(what, url, None)


def _tried_table(what: str, sink: Sink, config: ExportConfig) -> Finding:
    """Read a lake table, and its catalog if it has one; that it is not there yet is no problem."""
    try:
        place = TargetResolver.of(config, datetime.now(UTC)).place(sink, sink.path)
        table = open_lake_table(sink, *place)
        if table is not None:
            table.read()
    except FlowtimeExportError as error:
        return Finding(what, sink.path, str(error))
    return Finding(what, sink.path, None)


def _fixed_part(template: str) -> str:
    """Return the folder above the first part of a path that differs from run to run."""
    fixed = re.split(r"\{", template, maxsplit=1)[0]
    if names_run(template) or fixed != template or format_of(template) is not None:
        return fixed.rpartition("/")[0] or "."
    return fixed
