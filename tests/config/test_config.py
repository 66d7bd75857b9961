"""What a config may say, and what is answered to one that is wrong."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from connectors.storage import StorageOptions
from pipeline.config import (
    ExportConfig,
    config_hash,
    config_schema,
    load_config,
    parse_config,
    single_run_config,
)
from pipeline.config import document as config_document
from pipeline.config.document import read_value
from pipeline.errors import ConfigError

FULL = """\
version: 1
name: nightly-gold
storage:
  lake: {protocol: s3, endpoint_url: "${S3_ENDPOINT}", key: "${S3_KEY}", secret: "${S3_SECRET}"}
source:
  url: s3://sim/runs
  storage: lake
  include: ["run_*"]
  created: {from: 2025-01-01, to: 2025-02-01}
  series: {measures: [arrivals, served], components: ["COMP_*"], classes: [DEFAULT]}
  time_origin: auto
  verify: true
  on_error: fail
  require_runs: false
metadata:
  columns: [run_id, unit, kind, source, scenario_hash]
  constants: {team: ops}
transform:
  filter: "value > 0 AND measure <> 'errors'"
  rename: {component_id: node}
sinks:
  - format: csv
    path: "{run_url}/gold/export.csv"
    metadata_header: true
  - format: ndjson
    path: "s3://lake/ndjson/{run_id}.ndjson.gz"
  - format: parquet
    path: s3://lake/gold
    storage: lake
    partition_by: [source, measure]
    max_rows_per_file: 5000000
    compression: zstd
    if_exists: replace
execution: {workers: auto, memory_limit: 512MB, timeout: 2h}
"""
ENVIRON = {"S3_ENDPOINT": "http://127.0.0.1:9000", "S3_KEY": "canary-key", "S3_SECRET": "canary-s"}
MINIMAL = """\
version: 1
source: {url: runs}
sinks:
  - format: csv
    path: out.csv
"""


def parse(text: str, *overrides: str, **environ: str) -> ExportConfig:
    return parse_config(text, filename="c.yaml", overrides=overrides, environ=environ)


def refusal(text: str, *overrides: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, *overrides, **environ)
    # A traceback with its causes must not carry the values either.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return str(caught.value)


def yaml_value(text: str) -> Any:
    node = read_value(text, "x")
    return None if node is None else node.value


class TestWhatIsAccepted:
    def test_the_full_example(self) -> None:
        config = parse(FULL, **ENVIRON)
        assert config.name == "nightly-gold"
        assert config.source.created.from_ == datetime(2025, 1, 1, tzinfo=UTC)
        assert config.source.created.to == datetime(2025, 2, 1, tzinfo=UTC)
        assert config.source.series.components == ("COMP_*",)
        assert config.metadata.constants == {"team": "ops"}
        assert [sink.format for sink in config.sinks] == ["csv", "ndjson", "parquet"]
        assert config.sinks[2].partition_by == ("source", "measure")
        assert config.execution.memory_limit == 512_000_000
        assert config.execution.timeout == 7200
        assert config.execution.thread_count >= 1

    @pytest.mark.parametrize(
        ("execution", "batches"),
        [
            ("{workers: 4}", 5),
            ("{workers: 4, read_ahead: 2}", 2),
            ("{read_ahead: 64, memory_limit: 1GB}", 27),
            ("{read_ahead: 64, memory_limit: 64MB}", 1),
        ],
    )
    def test_reading_ahead_stays_within_the_memory(self, execution: str, batches: int) -> None:
        config = parse(MINIMAL + f"execution: {execution}\n")
        assert config.execution.batches_ahead == batches

    def test_defaults(self) -> None:
        config = parse(MINIMAL)
        assert config.name == "export"
        assert config.source.include == ("*",)
        assert config.source.verify is True
        assert config.source.on_error == "fail"
        assert config.source.time_origin == "auto"
        assert config.metadata.columns == ("run_id", "unit")
        assert config.execution.timeout is None
        assert config.sinks[0].if_exists == "replace"

    def test_blocks_with_nothing_in_them(self) -> None:
        text = MINIMAL + "storage:\nmetadata:\ntransform:\nexecution:\n"
        assert parse(text) == parse(MINIMAL)

    def test_it_is_frozen(self) -> None:
        with pytest.raises(ValidationError):
            parse(MINIMAL).name = "other"  # type: ignore[misc]

    def test_a_byte_order_mark(self) -> None:
        assert parse("\ufeff" + MINIMAL) == parse(MINIMAL)

    def test_anchors(self) -> None:
        text = MINIMAL.replace("path: out.csv", "path: &p out.csv\n  - {format: parquet, path: *p}")
        assert "sinks[1].path: format parquet writes no .csv file" in refusal(text)

    @pytest.mark.parametrize(
        ("path", "compression"),
        [("a.csv", "none"), ("a.csv.gz", "gzip"), ("a.csv.zst", "zstd"), ("gold.gz/", "none")],
    )
    def test_the_path_names_the_compression(self, path: str, compression: str) -> None:
        sink = parse(MINIMAL.replace("out.csv", path)).sinks[0]
        assert sink.compression == compression

    @pytest.mark.parametrize(
        ("written", "seconds"),
        [("30s", 30), ("90m", 5400), ("1h30m", 5400), ("0.5", 0.5), ("45", 45), ("1d", 86400)],
    )
    def test_timeout(self, written: str, seconds: float) -> None:
        assert parse(MINIMAL, f"execution.timeout={written}").execution.timeout == seconds

    @pytest.mark.parametrize(
        ("written", "amount"),
        [("64MB", 64_000_000), ("1GiB", 2**30), ("1.5 GB", 1_500_000_000), ("100000000", 10**8)],
    )
    def test_memory_limit(self, written: str, amount: int) -> None:
        assert parse(MINIMAL, f"execution.memory_limit={written}").execution.memory_limit == amount

    @pytest.mark.parametrize(
        ("written", "instant"),
        [
            ("2025-01-31", datetime(2025, 1, 31, tzinfo=UTC)),
            ("2025-01-31T08:00:00", datetime(2025, 1, 31, 8, tzinfo=UTC)),
            ("2025-01-31T08:00:00+02:00", datetime(2025, 1, 31, 6, tzinfo=UTC)),
        ],
    )
    def test_instants(self, written: str, instant: datetime) -> None:
        assert parse(MINIMAL, f"source.time_origin={written}").source.time_origin == instant
        assert parse(MINIMAL, f"source.created.from={written}").source.created.from_ == instant

    def test_literal_braces_in_a_path(self) -> None:
        assert parse(MINIMAL, "sinks.0.path=a{{b}}.csv").sinks[0].path == "a{{b}}.csv"

    def test_wide_columns_may_be_measures(self) -> None:
        text = MINIMAL + "    layout: wide\n    columns: [time_bin, arrivals]\n"
        assert parse(text).sinks[0].columns == ("time_bin", "arrivals")

    def test_a_sink_names_columns_as_they_are_renamed(self) -> None:
        text = MINIMAL + "    columns: [value, node]\ntransform: {rename: {class: node}}"
        assert parse(text).sinks[0].columns == ("value", "node")

    def test_swapped_names(self) -> None:
        config = parse(MINIMAL + "transform: {rename: {run_id: unit, unit: run_id}}\n")
        assert config.transform.rename == {"run_id": "unit", "unit": "run_id"}


WRONG_CONFIGS = {
    "version: 2\nsource: {url: runs}\nsinks: [{format: csv, path: x}]": (
        "c.yaml:1:10: version: expected 1, found 2"
    ),
    "source: {url: runs}\nsinks: [{format: csv, path: x}]": "c.yaml:1:1: version: is required",
    "version: 1\nsource:\nsinks: []": (
        "c.yaml:2:8: source.url: is required\n"
        "c.yaml:3:8: sinks: expected at least one entry, found none"
    ),
    "- 1": "c.yaml:1:1: expected a block of keys, e.g. version: 1",
    "": "c.yaml:1:1: the config is empty",
}
WRONG_TAILS = {
    "    compresion: gzip": (
        "c.yaml:6:5: sinks[0].compresion: unknown key; did you mean 'compression'?"
    ),
    "sink: 1": "c.yaml:6:1: sink: unknown key; did you mean 'sinks'?",
    "execution: {adress: 1}": "c.yaml:6:13: execution.adress: unknown key; did you mean 'address'?",
    "execution: {colour: 1}": (
        "c.yaml:6:13: execution.colour: unknown key; "
        "choose from engine, address, workers, read_ahead, memory_limit, timeout"
    ),
    "  - {format: cvs, path: x}": (
        "c.yaml:6:14: sinks[1].format: unknown format, found text 'cvs'; did you mean 'csv'?"
    ),
    "  - {path: x}": (
        "c.yaml:6:5: sinks[1].format: is required; choose from csv, ndjson, parquet, delta, iceberg"
    ),
    "  - {format: csv}": "c.yaml:6:5: sinks[1].path: is required",
    "    if_exists: replaced": (
        "c.yaml:6:16: sinks[0].if_exists: expected replace, skip or error, "
        "found text 'replaced'; did you mean 'replace'?"
    ),
    "    max_rows_per_file: abc": (
        "c.yaml:6:24: sinks[0].max_rows_per_file: expected a whole number, found text 'abc'"
    ),
    "    bom: maybe": "c.yaml:6:10: sinks[0].bom: expected true or false, found text 'maybe'",
    "    null_value: null": (
        "c.yaml:6:17: sinks[0].null_value: expected text, found nothing; put text in quotes"
    ),
    "    compression: gzip\n    compression_level: 44": (
        "c.yaml:4:5: sinks[0]: compression_level is 44; gzip takes 1 to 9"
    ),
    "name: 2025": "c.yaml:6:7: name: expected text, found 2025; put text in quotes",
    "name: a/b": (
        "c.yaml:6:7: name: expected 1 to 100 letters, digits, '.', '_' or '-', found text 'a/b'"
    ),
    "storage: {lake: {password: 123456}}": (
        "c.yaml:6:17: storage.lake: password is a number; put text in quotes"
    ),
    "storage: {lake: canary}": (
        "c.yaml:6:17: storage.lake: expected a block of keys, found another value"
    ),
    "storage: {lake: {protocol: 'canary canary'}}": (
        "c.yaml:6:28: storage.lake.protocol: expected a protocol of fsspec such as s3 or file, "
        "found another value"
    ),
    "    storage: lake": (
        "c.yaml:6:14: sinks[0].storage: no storage 'lake'; the config has no storage block"
    ),
    "    storage: lak\nstorage: {lake: {}}": (
        "c.yaml:6:14: sinks[0].storage: no storage 'lak'; did you mean 'lake'?"
    ),
    "metadata: {columns: [units]}": (
        "c.yaml:6:22: metadata.columns[0]: no metadata column 'units'; did you mean 'unit'?"
    ),
    "metadata: {columns: [value]}": (
        "c.yaml:6:22: metadata.columns[0]: "
        "'value' is a base column, which every row has; leave it out here"
    ),
    "metadata: {columns: [unit, unit]}": (
        "c.yaml:6:28: metadata.columns[1]: 'unit' is named twice"
    ),
    "metadata: {constants: {kind: x}}": (
        "c.yaml:6:24: metadata.constants.kind: "
        "'kind' is the name of a metadata column; choose another"
    ),
    "metadata: {constants: {x: [1]}}": (
        "c.yaml:6:27: metadata.constants.x: expected text, a number, true or false, found a list"
    ),
    "metadata: {constants: {x: .nan}}": (
        "c.yaml:6:27: metadata.constants.x: expected a finite number, found nan"
    ),
    "metadata: {constants: {x: -.inf}}": (
        "c.yaml:6:27: metadata.constants.x: expected a finite number, found -inf"
    ),
    "metadata: {constants: {x: 1e999}}": (
        "c.yaml:6:27: metadata.constants.x: expected a finite number, found inf"
    ),
    "metadata: {constants: {x: 18446744073709551616}}": (
        "c.yaml:6:27: metadata.constants.x: expected a whole number of at most 64 bits, found "
        "18446744073709551616"
    ),
    "metadata: {constants: {'^.*$': x}}": (
        "c.yaml:6:24: metadata.constants.'^.*$': a column's name should not be *, nor begin with ^ "
        "and end with $"
    ),
    "metadata: {constants: {'*': x}}": (
        "c.yaml:6:24: metadata.constants.'*': a column's name should not be *, nor begin with ^ "
        "and end with $"
    ),
    "transform: {rename: {value: '^v$'}}": (
        "c.yaml:6:29: transform.rename.value: a column's name should not be *, nor begin with ^ "
        "and end with $"
    ),
    "transform: {rename: {component: node}}": (
        "c.yaml:6:22: transform.rename.component: "
        "no column 'component'; did you mean 'component_id'?"
    ),
    "transform: {rename: {unit: value}}": (
        "c.yaml:6:28: transform.rename.unit: "
        "another column is called 'value' already; choose another name"
    ),
    "transform: {filter: ''}": ("c.yaml:6:21: transform.filter: expected at least 1 character"),
    "execution: {workers: 65}": (
        "c.yaml:6:22: execution.workers: expected 'auto' or a whole number from 1 to 64, found 65"
    ),
    "execution: {read_ahead: 0}": (
        "c.yaml:6:25: execution.read_ahead: expected 'auto' or a whole number from 1 to 64, found 0"
    ),
    "execution: {workers: true}": (
        "c.yaml:6:22: execution.workers: expected 'auto' or a whole number from 1 to 64, found true"
    ),
    "execution: {memory_limit: 1kB}": (
        "c.yaml:6:27: execution.memory_limit: "
        "expected at least 64MB and at most 1PiB, found text '1kB'"
    ),
    "execution: {timeout: soon}": (
        "c.yaml:6:22: execution.timeout: "
        "expected a duration such as 2h, 90m, 30s or a number of seconds, found text 'soon'"
    ),
    "    columns: [value, component_id]\ntransform: {rename: {component_id: node}}": (
        "c.yaml:6:22: sinks[0].columns[1]: "
        "no column 'component_id'; transform.rename calls it 'node'"
    ),
    "    columns: [value, kind]": (
        "c.yaml:6:22: sinks[0].columns[1]: no column 'kind'; add it to metadata.columns"
    ),
    "    columns: [value, measur]": (
        "c.yaml:6:22: sinks[0].columns[1]: no column 'measur'; did you mean 'measure'?"
    ),
    "    columns: [value, value]": ("c.yaml:4:5: sinks[0]: columns names value more than once"),
    "    partition_by: [measure]": (
        "c.yaml:6:19: sinks[0].partition_by: needs a folder as path; out.csv is a file"
    ),
    "    max_rows_per_file: 5": (
        "c.yaml:6:24: sinks[0].max_rows_per_file: needs a folder as path; out.csv is a file"
    ),
    "  - {format: csv, path: gold, partition_by: [value]}": (
        "c.yaml:6:46: sinks[1].partition_by[0]: "
        "'value' cannot name folders; choose text or whole numbers of the series"
    ),
    "  - {format: csv, path: gold, partition_by: [time_bin]}": (
        "c.yaml:6:46: sinks[1].partition_by[0]: "
        "'time_bin' cannot name folders; choose text or whole numbers of the series"
    ),
    "  - {format: csv, path: gold, layout: wide, partition_by: [measure]}": (
        "c.yaml:6:60: sinks[1].partition_by[0]: "
        "layout wide has no column 'measure', which differs by measure"
    ),
    "  - {format: csv, path: gold, columns: [unit], partition_by: [unit]}": (
        "c.yaml:6:62: sinks[1].partition_by: leaves no column for the files"
    ),
    "  - {format: csv, path: out.csv}": (
        "c.yaml:6:25: sinks[1].path: sinks[0] writes there already; choose another path"
    ),
    "  - {format: csv, path: a.parquet}": (
        "c.yaml:6:25: sinks[1].path: format csv writes no .parquet file; set the format to "
        "parquet, or give the path another ending"
    ),
    "  - {format: parquet, path: a.parquet.gz}": (
        "c.yaml:6:29: sinks[1].path: Parquet compresses inside the file; end the path in .parquet"
    ),
    "  - {format: csv, path: a.csv.gz, compression: zstd}": (
        "c.yaml:6:48: sinks[1].compression: "
        "the path asks for gzip; leave the key out, or change the path"
    ),
}
WRONG_PATHS = {
    "{run_nam}": "no field {run_nam}; did you mean 'run_name'?",
    "{}": "no field {}; choose from run_id, run_name, run_url, created_date, name, format, date",
    "{0}": "no field {0}; choose from run_id, run_name, run_url, created_date, name, format, date",
    "{name.__class__}": (
        "no field {name.__class__}; "
        "choose from run_id, run_name, run_url, created_date, name, format, date"
    ),
    "{name[0]}": "no field {name[0]}; did you mean 'name'?",
    "{run_id:}": "fields are alone in their braces, e.g. {run_id}",
    "{run_id:>9}": "fields are alone in their braces, e.g. {run_id}",
    "{run_id!r}": "fields are alone in their braces, e.g. {run_id}",
    "a}b": "a brace without its partner; a literal one is written {{ or }}",
    "{run_id": "a brace without its partner; a literal one is written {{ or }}",
    "out/{run_url}": "{run_url} is a whole URL and can only begin the path",
    "sftp://me:pw@host/x": ("the URL holds a password; put it into an entry of the storage block"),
}


class TestWhatIsRefused:
    @pytest.mark.parametrize("text", WRONG_CONFIGS)
    def test_whole_configs(self, text: str) -> None:
        assert refusal(text) == WRONG_CONFIGS[text]

    @pytest.mark.parametrize("tail", WRONG_TAILS)
    def test_one_wrong_line(self, tail: str) -> None:
        assert refusal(MINIMAL + tail) == WRONG_TAILS[tail]

    @pytest.mark.parametrize("path", WRONG_PATHS)
    def test_path_templates(self, path: str) -> None:
        text = MINIMAL.replace("out.csv", f"'{path}'")
        assert refusal(text) == f"c.yaml:5:11: sinks[0].path: {WRONG_PATHS[path]}"

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("created: {from: 2025-02-01, to: 2025-02-01}",
             "c.yaml:2:30: source.created: from 2025-02-01T00:00:00Z is not before to"),
            ("created: {from: 20250201}",
             "c.yaml:2:37: source.created.from: expected a date or an instant such as "
             "2025-01-31 or 2025-01-31T08:00:00Z, or a time before the export such as -7d or "
             "-36h, found 20250201"),
            ("created: {from: 2025-02-30}",
             "c.yaml:2:37: source.created.from: expected a date or an instant such as "
             "2025-01-31 or 2025-01-31T08:00:00Z, or a time before the export such as -7d or "
             "-36h, found text '2025-02-30'"),
            ("created: {since: 2025-02-01}",
             "c.yaml:2:31: source.created.since: unknown key; choose from from, to"),
            ("time_origin: 2025-01-01T00:00:00.5Z",
             "c.yaml:2:34: source.time_origin: expected 'auto' or an instant in whole seconds "
             "such as 2025-01-31T08:00:00Z, found text '2025-01-01T00:00:00.5Z'"),
            ("include: run_*",
             "c.yaml:2:30: source.include: expected a list, found text 'run_*'"),
            ("include: []",
             "c.yaml:2:30: source.include: expected at least one entry, found none"),
            ("storage: lake",
             "c.yaml:2:30: source.storage: no storage 'lake'; the config has no storage block"),
        ],
    )  # fmt: skip
    def test_sources(self, source: str, message: str) -> None:
        assert refusal(MINIMAL.replace("url: runs", f"url: runs, {source}")) == message

    def test_at_most_ten_problems_are_shown(self) -> None:
        lines = refusal(MINIMAL + "".join(f"key{n}: 1\n" for n in range(14))).splitlines()
        assert len(lines) == 11
        assert lines[0].startswith("c.yaml:6:1: key0: unknown key")
        assert lines[-1] == "... and 4 more"

    def test_a_long_value_is_cut(self) -> None:
        assert len(refusal(MINIMAL + f"name: {'x' * 100_000}")) < 300
        assert len(refusal(MINIMAL + f"    storage: {'x' * 100_000}")) < 700

    def test_blocks_made_without_a_file_are_checked_together_too(self) -> None:
        with pytest.raises(ValidationError, match="no storage 'lake'"):
            ExportConfig.model_validate(
                {
                    "version": 1,
                    "source": {"url": "runs", "storage": "lake"},
                    "sinks": [{"format": "csv", "path": "x.csv"}],
                }
            )


@pytest.fixture(params=["c", "python"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers of PyYAML: the C one is not on every machine."""
    name = {"c": "CSafeLoader", "python": "SafeLoader"}[request.param]
    monkeypatch.setattr(config_document, "_LOADER", getattr(yaml, name, yaml.SafeLoader))


@pytest.mark.usefixtures("loader")
class TestYaml:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("true", True), ("False", False), ("no", "no"), ("on", "on"), ("~", None), ("", None),
            ("null", None), ("12:30:00", "12:30:00"), ("2025-01-01", "2025-01-01"), ("0123", 123),
            ("-7", -7), ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"), ("0b1", "0b1"),
            ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), (".inf", float("inf")), ("=", "="),
            ("-.Inf", float("-inf")), ("'true'", "true"), ('"1"', "1"), ("|-\n 1", "1"),
            ("1.2.3", "1.2.3"), ("+12", 12),
        ],
    )  # fmt: skip
    def test_scalars_of_the_core_schema(self, text: str, value: object) -> None:
        found = yaml_value(text)
        assert found == value
        assert type(found) is type(value)

    def test_nan(self) -> None:
        assert str(yaml_value(".nan")) == "nan"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name: a\nname: b", "2:1: name: this key occurs here twice"),
            ("a: &x {b: 1}\nc:\n  <<: *x", "3:3: merge keys (<<) are not supported; "
             "write the keys out"),
            ("a: !!python/object:os.system x", "1:4: tags are not allowed; "
             "put text that begins with ! in quotes"),
            ("a: ! x", "1:4: tags are not allowed; put text that begins with ! in quotes"),
            ("a: &x [*x]", "1:8: the alias refers to what contains it; "
             "put text that begins with * in quotes"),
            ("a: *canary", "1:4: the alias names no anchor before it; "
             "put text that begins with * in quotes"),
            ("a: 1\n---\nb: 1", "2:1: a second document begins; expected one only"),
            ("? [a]\n: 1", "1:3: expected a plain key, found a list, a block or an alias"),
            ("a: " + "[" * 5000, "1:53: nested more than 50 levels deep"),
            ("a: " + "{a: " * 5000, "1:200: nested more than 50 levels deep"),
            ("a: " + "1" * 5000, "1:4: a number of 5000 digits; put text in quotes"),
            ("a: 1\nb: \x00", "2:4: character U+0000 is not allowed in YAML"),
            ("a: \ud800", "1:4: character U+D800 is not allowed in YAML"),
        ],
    )  # fmt: skip
    def test_what_is_refused(self, text: str, message: str) -> None:
        assert refusal(text) == f"c.yaml:{message}"

    def test_a_syntax_error_shows_no_text(self) -> None:
        message = refusal("storage: {lake: {secret: 'canary\n")
        assert message.startswith("c.yaml:2:1: not YAML: ")
        assert "canary" not in message

    def test_a_reference_without_quotes_in_braces(self) -> None:
        message = refusal("storage: {lake: {key: ${KEY}, secret: ${SECRET}}}")
        assert message.endswith("; between { } or [ ], put ${...} in quotes")

    def test_a_bomb_of_aliases(self) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
        began = time.monotonic()
        assert "more than 100000 values, aliases written out" in refusal("\n".join(lines))
        assert time.monotonic() - began < 2

    def test_many_aliases(self) -> None:
        assert refusal("a: &a 1\nb: [" + "*a, " * 101 + "]").endswith("more than 100 aliases")

    def test_aliases_that_nest_deep(self) -> None:
        lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60)]
        assert refusal("\n".join(lines)).endswith("nested more than 50 levels deep")

    def test_the_size_is_bounded(self) -> None:
        assert refusal("#" * (1024 * 1024 + 1)) == (
            "c.yaml: larger than 1048576 bytes, which no config should be"
        )


class TestReferences:
    def test_a_variable(self) -> None:
        assert parse(MINIMAL + 'name: "a-${X}"', X="b").name == "a-b"

    def test_defaults_replace_unset_and_empty(self) -> None:
        text = MINIMAL + "name: ${X:-d}"
        assert parse(text).name == "d"
        assert parse(text, X="").name == "d"
        assert parse(text, X="x").name == "x"

    def test_a_missing_variable(self) -> None:
        assert refusal(MINIMAL + "name: ${X}\ntransform: {filter: '${Y}'}") == (
            "c.yaml:6:7: name: environment variable X is not set; set it, or write ${X:-default}\n"
            "c.yaml:7:21: transform.filter: environment variable Y is not set; "
            "set it, or write ${Y:-default}"
        )

    def test_a_literal(self) -> None:
        found = parse(MINIMAL, "metadata.constants.a=$${X} $X").metadata.constants
        assert found == {"a": "${X} $X"}

    def test_the_result_is_not_looked_at_again(self) -> None:
        found = parse(MINIMAL, "metadata.constants.a=${X}", X="${Y}").metadata.constants
        assert found == {"a": "${Y}"}

    def test_numbers_and_booleans_may_come_as_text(self) -> None:
        text = MINIMAL + "    bom: ${B}\nexecution: {workers: '${N}', memory_limit: '${M}'}"
        config = parse(text, B="true", N="3", M="64000000")
        assert config.sinks[0].bom is True
        assert (config.execution.workers, config.execution.memory_limit) == (3, 64_000_000)

    def test_a_constant_remains_text(self) -> None:
        config = parse(MINIMAL + "metadata: {constants: {a: '${X}'}}", X="12")
        assert config.metadata.constants == {"a": "12"}

    def test_a_flag_of_a_storage_becomes_one(self) -> None:
        config = parse(MINIMAL + "storage: {lake: {anon: '${A}'}}", A="false")
        options = config.storage_options("lake")
        assert options is not None
        assert options.options == {"anon": False}

    def test_keys_are_left_alone(self) -> None:
        config = parse(MINIMAL + "metadata: {constants: {'${X}': 1}}", X="a")
        assert config.metadata.constants == {"${X}": 1}

    @pytest.mark.parametrize("written", ["${", "${X", "a ${"])
    def test_an_open_reference(self, written: str) -> None:
        assert refusal(MINIMAL + f"name: '{written}'") == (
            "c.yaml:6:7: name: '${' is not closed by '}'; a literal ${ is written $${"
        )

    @pytest.mark.parametrize("written", ["${}", "${1X}", "${X Y:-canary}", "${X-canary}"])
    def test_a_malformed_reference(self, written: str) -> None:
        message = refusal(MINIMAL + f"name: '{written}'")
        assert message == (
            "c.yaml:6:7: name: expected ${NAME}, ${NAME:-default} or ${file:PATH}; "
            "a literal ${ is written $${"
        )

    def test_what_a_wrong_value_refers_to_is_not_shown(self) -> None:
        text = MINIMAL + "execution: {workers: '${N:-canary-a}'}"
        assert refusal(text, N="canary-b") == (
            "c.yaml:6:22: execution.workers: "
            "expected 'auto' or a whole number from 1 to 64, found the text of '${N}'"
        )

    @pytest.mark.parametrize("secret", ["canary-a", "canary-" + "x" * 90, "canary-b} and more"])
    def test_what_is_put_into_a_field_of_a_path_is_not_shown(self, secret: str) -> None:
        message = refusal(MINIMAL.replace("path: ", "path: '{run_${S}}.csv' #"), S=secret)
        assert "canary" not in message
        assert "no field {run_***" in message or "a brace without its partner" in message

    def test_a_mounted_secret(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("canary \n\n", encoding="utf-8")
        text = MINIMAL + "storage: {lake: {secret: '${file:secret}'}}"
        config = parse_config(text, environ={}, base_dir=tmp_path)
        assert config.secrets() == {"canary \n"}

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "is not there, or is no file"),
            (b"x" * (64 * 1024 + 1), "is larger than 65536 bytes"),
            (b"canary\xff", "is not UTF-8 text"),
        ],
    )
    def test_a_secret_that_cannot_be_read(
        self, tmp_path: Path, content: bytes | None, reason: str
    ) -> None:
        path = tmp_path / "s"
        if content is not None:
            path.write_bytes(content)
        message = refusal(MINIMAL + f"name: '${{file:{path}}}'")
        assert message == f"c.yaml:6:7: name: secret file '{path}' {reason}"

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "is no file" in refusal(MINIMAL + f"name: '${{file:{tmp_path}/pipe}}'")

    def test_references_cannot_grow_without_bound(self) -> None:
        text = (
            MINIMAL
            + "metadata: {constants: {"
            + ", ".join(f"c{n}: '{'${X}' * 10}'" for n in range(10))
        )
        assert "references hold more than" in refusal(text + "}}", X="x" * 60_000)


class TestOverrides:
    @pytest.mark.parametrize("path", ["sinks.0.path", "sinks[0].path"])
    def test_an_entry_of_a_list(self, path: str) -> None:
        assert parse(MINIMAL, f"{path}=b.csv").sinks[0].path == "b.csv"

    def test_values_are_yaml(self) -> None:
        config = parse(MINIMAL, "source.include=[a, 'b']", "sinks.0.bom=true", "name=x")
        assert config.source.include == ("a", "b")
        assert config.sinks[0].bom is True

    def test_a_template_is_no_mapping(self) -> None:
        assert parse(MINIMAL, "sinks.0.path={run_url}/x.csv").sinks[0].path == "{run_url}/x.csv"

    def test_blocks_are_made_where_they_are_missing(self) -> None:
        config = parse(MINIMAL + "storage:\n", "storage.a.client_kwargs.verify=false")
        assert config.storage_options("a") == StorageOptions(
            name="a", protocol=None, options={"client_kwargs": {"verify": False}}
        )

    def test_the_last_one_wins(self) -> None:
        assert parse(MINIMAL, "name=a", "name=b").name == "b"

    def test_an_aliased_block_is_changed_in_one_place(self) -> None:
        text = MINIMAL + "storage: {a: &a {anon: true}, b: *a}"
        config = parse(text, "storage.b.anon=false")
        assert config.storage_options("a") == StorageOptions(name="a", options={"anon": True})

    def test_references(self) -> None:
        assert parse(MINIMAL, "name=${X}", X="x").name == "x"

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("sinks.0.compresion=gzip", "--set sinks.0.compresion: sinks[0].compresion: "
             "unknown key; did you mean 'compression'?"),
            ("sinks[1].path=x", "--set sinks[1].path: sinks has no entry 1; "
             "it has 1, counted from 0"),
            ("sinks.path=x", "--set sinks.path: sinks is a list: expected a number, not a key"),
            ("version.x=1", "--set version.x: version is a single value, with nothing below it"),
            ("name", "--set: expected KEY=VALUE, found no '='"),
            ("a..b=1", "--set a..b: expected a path such as sinks.0.path before '='"),
            ("=1", "--set : expected a path such as sinks.0.path before '='"),
            ("name=a/b", "--set name: name: expected 1 to 100 letters, digits, '.', '_' or '-', "
             "found text 'a/b'"),
            ("name=*canary", "--set name: the alias names no anchor before it; "
             "put text that begins with * in quotes"),
        ],
    )  # fmt: skip
    def test_what_is_refused(self, override: str, message: str) -> None:
        assert refusal(MINIMAL, override) == message

    def test_a_syntax_error_shows_no_value(self) -> None:
        message = refusal(MINIMAL, "storage.lake.secret='canary")
        assert message.startswith("--set storage.lake.secret: not YAML: ")
        assert "canary" not in message


class TestSecrets:
    def test_a_config_does_not_show_them(self) -> None:
        config = parse(FULL, **ENVIRON)
        for shown in (
            repr(config),
            str(config),
            config.model_dump_json(),
            str(config.model_dump()),
        ):
            assert "canary" not in shown
        assert "http://127.0.0.1:9000" in repr(config)
        assert config.secrets() == {"canary-key", "canary-s"}

    def test_they_are_hidden_at_any_depth(self) -> None:
        text = MINIMAL + (
            "storage: {lake: {client_kwargs: {aws_session_token: canary, region_name: eu}, "
            "list: [canary], endpoint_url: 'http://a:canary@b'}}"
        )
        config = parse(text)
        assert "canary" not in repr(config) + config.model_dump_json()
        assert "eu" in repr(config)
        assert config.secrets() == {"canary", "http://a:canary@b"}

    def test_options_carry_them_out_of_sight(self) -> None:
        options = parse(FULL, **ENVIRON).storage_options("lake")
        assert options is not None
        assert (options.name, options.protocol) == ("lake", "s3")
        assert options.options["endpoint_url"] == "http://127.0.0.1:9000"
        assert options.options["secret"] == SecretStr("canary-s")
        assert "canary" not in repr(options)

    @pytest.mark.parametrize(
        "tail",
        [
            "storage: {lake: {secret: &s canary}}\nname: *s\nmetadata: {columns: [*s]}",
            "storage: {lake: {secret: &s canary}}\nsource2: *s\ntransform: {rename: {a: *s}}",
            "    storage: *s\nx: &s canary",
            "storage: [canary]",
            "storage: {lake: {protocol: [canary]}}",
            "storage: {lake: {key: 1, secret: canary}}",
            "storage: &s {lake: {secret: canary}}\nmetadata: *s",
            "storage: {lake: {secret: &s 'canary canary'}}\n    \nname: *s",
        ],
    )
    def test_errors_do_not_show_them(self, tail: str) -> None:
        assert "canary" not in refusal(MINIMAL + tail)

    def test_nor_what_a_check_of_several_blocks_found(self) -> None:
        text = MINIMAL.replace("path: out.csv", "path: out.csv\n    storage: *s")
        text = "storage: {lake: {secret: &s canary}}\n" + text
        assert refusal(text).startswith("c.yaml:7:14: sinks[0].storage: no storage '***'")


class TestFiles:
    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
        assert load_config(path) == load_config(str(path), environ={}) == parse(MINIMAL)

    def test_this_process_is_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.yaml"
        path.write_text(MINIMAL + "name: ${FT_TEST_NAME}", encoding="utf-8")
        monkeypatch.setenv("FT_TEST_NAME", "x")
        assert load_config(path).name == "x"

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"a\.yaml: cannot be read: No such file"):
            load_config(tmp_path / "a.yaml")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
            load_config(tmp_path)

    def test_another_encoding(self, tmp_path: Path) -> None:
        path = tmp_path / "a.yaml"
        path.write_bytes(b"version: 1\nname: \xe9")
        with pytest.raises(ConfigError, match=r"a\.yaml:2: not UTF-8") as caught:
            load_config(path)
        assert caught.value.__context__ is None

    def test_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "a.yaml"
        path.write_bytes(b"#" * (1024 * 1024 + 1))
        with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
            load_config(path)


class TestSingleRun:
    def test_the_run_s_own_folder(self) -> None:
        config = single_run_config("runs/run_1", ["csv", "parquet"], None)
        assert [sink.path for sink in config.sinks] == [
            "{run_url}/gold/export.csv",
            "{run_url}/gold/export.parquet",
        ]
        assert config.storage_options("source") is None

    @pytest.mark.parametrize(
        ("formats", "out", "paths"),
        [
            (["csv"], "x.csv", ["x.csv"]),
            (["csv"], "x.csv.gz", ["x.csv.gz"]),
            (["csv"], "x/", ["x/export.csv"]),
            (["csv", "ndjson"], "x", ["x/export.csv", "x/export.ndjson"]),
        ],
    )
    def test_elsewhere(self, formats: list[str], out: str, paths: list[str]) -> None:
        assert [s.path for s in single_run_config("r", formats, out).sinks] == paths

    def test_storage_options(self) -> None:
        options = ["protocol=s3", "secret=canary", "client_kwargs.region_name=eu", "anon=true"]
        config = single_run_config("s3://a/r", ["csv"], "s3://b/x", options)
        assert config.source.storage == config.sinks[0].storage == "source"
        assert config.storage_options("source") == StorageOptions(
            name="source",
            protocol="s3",
            options={
                "secret": SecretStr("canary"),
                "client_kwargs": {"region_name": "eu"},
                "anon": True,
            },
        )
        assert single_run_config("s3://a/r", ["csv"], "x", options).sinks[0].storage is None

    def test_a_wrong_option(self) -> None:
        with pytest.raises(ConfigError) as caught:
            single_run_config("s3://a/r", ["csv"], None, ["secret"])
        assert str(caught.value) == "--storage-option: expected KEY=VALUE, found no '='"


class TestHash:
    @pytest.mark.parametrize(
        "override",
        ["source.url=x", "execution.workers=2", "storage.a.secret=x", "sinks.0.if_exists=skip"],
    )
    def test_places_and_machines_do_not_count(self, override: str) -> None:
        assert config_hash(parse(MINIMAL, override)) == config_hash(parse(MINIMAL))

    @pytest.mark.parametrize(
        "override",
        ["name=x", "source.include=[a]", "sinks.0.bom=true", "metadata.columns=[unit, run_id]",
         "metadata.constants.a=1", "transform.filter=value > 0", "sinks.0.path={run_id}.csv"],
    )  # fmt: skip
    def test_what_shapes_the_bytes_does(self, override: str) -> None:
        assert config_hash(parse(MINIMAL, override)) != config_hash(parse(MINIMAL))

    def test_the_order_of_constants_counts(self) -> None:
        one = parse(MINIMAL + "metadata: {constants: {a: 1, b: 2}}")
        assert config_hash(one) != config_hash(
            parse(MINIMAL + "metadata: {constants: {b: 2, a: 1}}")
        )


class TestSchema:
    def test_it_is_a_schema_that_says_what_keys_mean(self) -> None:
        schema = config_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["title"] == "flowtime-export config"
        for block in (schema, *schema["$defs"].values()):
            for key, described in block["properties"].items():
                if key != "format":
                    assert described.get("description"), key

    def test_it_takes_the_full_example(self) -> None:
        document = yaml.load(FULL, Loader=yaml.BaseLoader)
        document["version"] = 1
        document["source"] |= {"verify": True, "require_runs": False}
        document["sinks"][0]["metadata_header"] = True
        document["sinks"][2]["max_rows_per_file"] = 5_000_000
        jsonschema.validate(document, config_schema())

    def test_it_refuses_unknown_keys(self) -> None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"version": 1, "sink": []}, config_schema())


def only_config_errors(text: str, *overrides: str) -> None:
    try:
        config = parse_config(text, overrides=overrides, environ={"X": "x"})
    except ConfigError:
        return
    json.loads(config.model_dump_json())
    assert len(config_hash(config)) == 64


words = st.sampled_from(
    ["auto", "csv", "*", "&a", "*a", "!t", "<<", "${X}", "${", "{run_id}", "{", "}", "1e999", "~"]
)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), words,
    st.dates().map(str),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | words, inner, max_size=3)
    ),
    max_leaves=8,
)
paths = st.sampled_from(
    [
        ("name",), ("version",), ("storage",), ("storage", "lake"), ("storage", "lake", "key"),
        ("source",), ("source", "created"), ("source", "created", "from"), ("source", "series"),
        ("source", "include"), ("source", "time_origin"), ("metadata", "constants"),
        ("metadata", "columns"), ("transform", "rename"), ("transform", "filter"), ("sinks",),
        ("sinks", 0), ("sinks", 0, "format"), ("sinks", 0, "path"), ("sinks", 1, "compression"),
        ("sinks", 2, "partition_by"), ("sinks", 2, "columns"), ("execution", "timeout"),
        ("execution", "memory_limit"), ("execution", "workers"),
    ]
)  # fmt: skip


class TestAnything:
    @given(st.text(st.characters(), max_size=200))
    @settings(max_examples=300, deadline=None)
    def test_any_text(self, text: str) -> None:
        only_config_errors(text)

    @given(st.text("{}[]:,-?&*!|>'\"%@`#\n \tab1~<$.=\ufeff\x85\u2028", max_size=60))
    @settings(max_examples=300, deadline=None)
    def test_text_full_of_signs(self, text: str) -> None:
        only_config_errors(text)
        only_config_errors(MINIMAL + text)
        only_config_errors(MINIMAL, text, f"name={text}")

    @given(paths, values)
    @settings(max_examples=300, deadline=None)
    def test_any_value_in_any_place(self, path: tuple[str | int, ...], value: object) -> None:
        document = yaml.load(FULL.replace("${S3", "$${S3"), Loader=yaml.BaseLoader)
        document["version"] = 1
        place: Any = document
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        only_config_errors(yaml.safe_dump(document, allow_unicode=True))
