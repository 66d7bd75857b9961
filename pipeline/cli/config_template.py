"""A commented config to begin with."""

from __future__ import annotations

from collections.abc import Sequence

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

_STORAGE = """\
storage:
  lake:                              # ${NAME} comes from the environment
    protocol: s3
    endpoint_url: "${S3_ENDPOINT:-https://s3.amazonaws.com}"
    key: "${AWS_ACCESS_KEY_ID}"
    secret: "${AWS_SECRET_ACCESS_KEY}"

"""

_SINKS = {
    "csv": """\
  - format: csv
    path: {root}/export.csv
    metadata_header: true            # '# key: value' lines before the header row
    # compression: gzip              # then end the path in .csv.gz
""",
    "ndjson": """\
  - format: ndjson
    path: {root}/export.ndjson
    non_finite: string               # NaN and infinities as text; or null, error
""",
    "parquet": """\
  - format: parquet
    path: {root}/export.parquet      # a folder name instead makes a data set
    # partition_by: [measure]        # needs a folder
    # max_rows_per_file: 5000000
""",
}


def starter_config(url: str, formats: Sequence[str], *, out: str) -> str:
    """A config for a source and formats, as YAML with comments.

    Args:
        url: The source.
        formats: Formats of the sinks, in order.
        out: Folder or URL that the tables go to.
    """
    remote_source, remote_out = url.startswith("s3://"), out.startswith("s3://")
    head = _HEAD.format(
        url=_quoted(url),
        storage=_STORAGE if remote_source or remote_out else "",
        source_storage="  storage: lake\n" if remote_source else "",
    )
    sinks = "".join(_SINKS[form].format(root=out.rstrip("/")) for form in formats)
    if remote_out:
        sinks = sinks.replace("  - format:", "  - storage: lake\n    format:")
    return head + sinks


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
