"""Write a commented config to begin with."""

from __future__ import annotations

import json
from collections.abc import Sequence

from connectors.storage import storage_kind
from pipeline.config import parse_config
from pipeline.config.path_template import format_of
from pipeline.errors import ConfigError
from pipeline.sinks.formats import TABLE_FORMATS

_HEAD = """\
# Settings of flowtime-export; `flowtime-export schema` prints all keys for your editor.
version: 1
name: my-export                    # appears in logs and in the descriptor

{storage}source:
  url: {url}
{source_storage}\
  on_error: fail                     # or skip: leave broken runs out, exit code 3
  # include: ["run_*"]               # globs on the run directory's name
  # created: {{from: 2025-01-01, to: 2025-02-01}}
  # series: {{measures: [arrivals], components: ["*"], classes: [DEFAULT]}}

metadata:
  columns: [run_id, unit]            # more: kind, source, scenario_hash, series_id, ...
  # constants: {{team: ops}}

# transform:
#   filter: "value > 0 AND measure <> 'errors'"
#   rename: {{component_id: node}}

sinks:                               # one pass over the source feeds all of them
"""

_STORAGES = {
    "s3": """\
  lake:                              # ${NAME} comes from the environment
    protocol: s3
    endpoint_url: "${S3_ENDPOINT:-https://s3.amazonaws.com}"
    # key: "${AWS_ACCESS_KEY_ID}"      # without them, what the environment offers is used:
    # secret: "${AWS_SECRET_ACCESS_KEY}"   # variables, a profile or a role
""",
    "abfs": """\
  azure:                             # pip install 'flowtime-export[azure]'
    protocol: abfs
    account_name: "${AZURE_STORAGE_ACCOUNT_NAME:-account}"
    # account_key: "${AZURE_STORAGE_ACCOUNT_KEY}"   # or sas_token; without them, what the
    #                                    environment offers is used, or a managed identity
""",
    "gs": """\
  google:                            # pip install 'flowtime-export[gcs]'
    protocol: gs
    token: google_default            # or the path of a service account's JSON file
""",
}
"""Storages of a config by the kind of their URLs; each begins with its name."""

_SINKS = {
    "csv": """\
  - format: csv
    path: {path}
    metadata_header: true            # '# key: value' lines before the header row
    # compression: gzip              # then end the path in .csv.gz
""",
    "ndjson": """\
  - format: ndjson
    path: {path}
    non_finite: string               # NaN and infinities as text; or null, error
""",
    "parquet": """\
  - format: parquet
    path: {path}      # a folder name instead makes a data set
    # partition_by: [measure]        # needs a folder
    # max_rows_per_file: 5000000
""",
    "delta": """\
  - format: delta                    # pip install 'flowtime-export[delta]'
    path: {path}      # the table's folder
    # partition_by: [source]
""",
    "iceberg": """\
  - format: iceberg                  # pip install 'flowtime-export[iceberg]'
    path: {path}      # the table's folder
    table: flowtime.gold             # namespace and name in the catalog
    catalog: {{type: sql, uri: "sqlite:///catalog.db"}}    # as pyiceberg is given it
    # partition_by: [source]
""",
}


def config_template(url: str, formats: Sequence[str], *, out: str) -> str:
    """Return a config for a source and formats, as YAML with comments.

    Args:
        url: The source.
        formats: Formats of the sinks, in order.
        out: Folder or URL that the tables go to; with one format, also a file.

    Raises:
        ConfigError: What is asked for makes no valid config.
    """
    if not out:
        raise ConfigError(
            "these options make no valid config:\n--to: expected a folder or a URL, found nothing"
        )
    source_storage, sink_storage = (_storage_name(storage_kind(place)) for place in (url, out))
    kinds = dict.fromkeys(storage_kind(place) for place in (url, out))
    storages = "".join(_STORAGES.get(kind, "") for kind in kinds)
    head = _HEAD.format(
        url=_quoted(url),
        storage=f"storage:\n{storages}\n" if storages else "",
        source_storage=f"  storage: {source_storage}\n" if source_storage else "",
    )
    sinks = "".join(
        _SINKS[form].format(path=_quoted(_path(out, form, formats))) for form in formats
    )
    if sink_storage:
        sinks = sinks.replace("  - format:", f"  - storage: {sink_storage}\n    format:")
    try:
        parse_config(head + sinks, filename="config")
    except ConfigError as error:
        raise ConfigError(f"these options make no valid config:\n{error}") from error
    return head + sinks


def _storage_name(kind: str) -> str:
    return _STORAGES.get(kind, "").partition(":")[0].strip()


def _path(out: str, form: str, formats: Sequence[str]) -> str:
    if len(formats) == 1 and format_of(out) is not None:
        return out
    if form in TABLE_FORMATS:
        return f"{out.rstrip('/')}/gold_{form}"
    return f"{out.rstrip('/')}/export.{form}"


def _quoted(text: str) -> str:
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text)
