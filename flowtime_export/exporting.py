"""Export runs, by a config or by a URL and output paths."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from connectors.storage import protocol_of
from flowtime_export.storage_options import AnyPath, AnyStorageOptions, remote_protocol
from pipeline.config import ExportConfig, checked_config, load_config, parse_mapping
from pipeline.config.path_template import format_of
from pipeline.errors import ConfigError
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.report import Report
from pipeline.exports.run import export as export_runs


def export(
    config_or_url: ExportConfig | Mapping[str, Any] | AnyPath,
    *paths: AnyPath,
    storage_options: AnyStorageOptions = None,
    full_refresh: bool = False,
    progress: ProgressCallback | None = None,
) -> Report:
    """Export runs to files, and publish these whole or not at all.

    What has not changed since the last export is not written again.

    Args:
        config_or_url: A config, as the path of a YAML file, as a mapping of what such a file
            holds, or as an `ExportConfig`; or, with `paths`, the URL of a run directory or of a
            folder of run directories.
        paths: Output files, each in the format that its name ends in: `.csv`, `.ndjson` or
            `.parquet`, the first two also with `.gz` or `.zst`. A path that names the run, such
            as `out/{run_id}.csv`, gives a file for each run.
        storage_options: With `paths`: fsspec's options of the remote storage among URL and
            outputs; where there are several, a config names the options of each.
        full_refresh: Write what has not changed, too.
        progress: Receives the progress; its methods are called from the thread of the caller and
            from others.

    Raises:
        ConfigError: The config is wrong, or does not fit the runs.
        RunError: A run is broken, and `on_error` is `fail`.
        SinkError: An output could not be written, or the time is up.
        StorageError: A storage failed.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> report = export("samples/runs", f"{folder}/rows.parquet", f"{folder}/rows.csv.gz")
    >>> report.runs, [target.rows for target in report.targets]
    (6, [4504, 4504])
    """
    if paths:
        config = _config_of_paths(config_or_url, paths, storage_options)
    elif storage_options is not None:
        raise ConfigError(
            "storage_options goes with a URL and output paths; a config has `storage`"
        )
    else:
        config = _config(config_or_url)
    return export_runs(config, full_refresh=full_refresh, progress=progress)


def _config(given: ExportConfig | Mapping[str, Any] | AnyPath) -> ExportConfig:
    if isinstance(given, ExportConfig):
        return given
    if isinstance(given, Mapping):
        return parse_mapping(given)
    path = fspath(given)
    if protocol_of(path) != "file" or Path(path).is_dir():
        raise ConfigError(
            f"{path} is no config: give output paths as well, as in export({path!r}, 'out.parquet')"
        )
    return load_config(path)


def _config_of_paths(
    url: ExportConfig | Mapping[str, Any] | AnyPath,
    paths: tuple[AnyPath, ...],
    storage_options: AnyStorageOptions,
) -> ExportConfig:
    if not isinstance(url, str | PathLike):
        raise ConfigError("output paths go with a URL; a config names its own outputs in `sinks`")
    source: dict[str, Any] = {"url": fspath(url)}
    sinks = [{"format": _format(fspath(path)), "path": fspath(path)} for path in paths]
    plain: dict[str, Any] = {"version": 1, "source": source, "sinks": sinks}
    if storage_options is not None:
        plain["storage"] = {"given": dict(storage_options)}
        protocol = remote_protocol([source["url"], *(sink["path"] for sink in sinks)])
        for block, url_of_block in [
            (source, source["url"]),
            *((one, one["path"]) for one in sinks),
        ]:
            if protocol_of(url_of_block) == protocol:
                block["storage"] = "given"
    return checked_config(plain, called="export()")


def _format(path: str) -> str:
    found = format_of(path)
    if found is None:
        raise ConfigError(
            f"{path}: the name of an output says its format: end it in .csv, .ndjson or .parquet; "
            "a folder of files needs a config"
        )
    return found
