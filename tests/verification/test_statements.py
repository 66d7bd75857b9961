"""Each statement of a descriptor is changed, removed or repeated, one at a time."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import IntegrityError
from pipeline.exports.run import export
from pipeline.verification import verify
from tests.exporting import config, spec, write_runs

JsonPath = tuple[str | int, ...]
SINKS: dict[str, dict[str, Any]] = {
    "csv": {"path": "e.csv.gz", "separator": ";", "decimal": ",", "null_value": "NULL"},
    "ndjson": {"path": "e.ndjson.zst"},
    "wide parquet": {"path": "e.parquet", "layout": "wide"},
    "folders": {"path": "csv-set", "partition_by": ["class"], "max_rows_per_file": 2},
}
# Who wrote the descriptor, when, from where: nothing that rows could contradict.
OF_THE_EXPORT = {
    "$schema", "name", "created", "resources.name", "resources.flowtime.target",
    "resources.flowtime.config", "resources.flowtime.state", "flowtime.version",
    "flowtime.created", "flowtime.config", "flowtime.config.name", "flowtime.config.hash",
    "flowtime.writeId", "flowtime.runs.name", "flowtime.runs.url", "flowtime.runs.listing",
}  # fmt: skip
# A note says that the run was changed; a unit that not all runs of the export share is left out;
# a file that no folder names has no partition; what is listed twice is taken once.
HARMLESS = {
    ("change", "flowtime.runs.fingerprint"),
    ("remove", "resources.schema.fields.unit"),
    ("remove", "resources.flowtime.partition"),
    ("repeat", "flowtime.runs"),
    ("repeat", "flowtime.runs.notes"),
    ("repeat", "flowtime.runs.warnings"),
}


def edits(value: Any, path: JsonPath = ()) -> Iterator[tuple[str, JsonPath]]:
    """Every edit of a JSON value: what is done, and where."""
    if path:
        yield "remove", path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from edits(item, (*path, key))
    elif isinstance(value, list):
        yield "repeat", path
        for place, item in enumerate(value[:1]):
            yield from edits(item, (*path, place))
    else:
        yield "change", path


def edited(content: Any, what: str, path: JsonPath) -> Any:
    made = copy.deepcopy(content)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    value = inner[path[-1]]
    if what == "remove":
        del inner[path[-1]]
    elif what == "repeat":
        inner[path[-1]] = value + value[-1:]
    elif isinstance(value, bool):
        inner[path[-1]] = not value
    elif isinstance(value, int):
        inner[path[-1]] = value + 1
    else:
        inner[path[-1]] = f"{(value or 'x')[:-1]}{'b' if (value or '').endswith('a') else 'a'}"
    return made


def is_found(descriptor: Path, runs: Path) -> bool:
    try:
        return not verify(str(descriptor), str(runs)).ok
    except IntegrityError:
        return True


@pytest.mark.parametrize("form", SINKS)
def test_each_statement_on_rows_is_checked(tmp_path: Path, form: str) -> None:
    ids = ("served@A@DEFAULT", "arrivals@A@vip")
    runs = write_runs(tmp_path / "runs", spec("run_a", *ids, values=(1.5, math.nan)))
    sink = SINKS[form]
    export(config(runs, {**sink, "path": tmp_path / "out" / sink["path"]}))
    descriptor = next((tmp_path / "out").rglob("*datapackage.json"))
    content = json.loads(descriptor.read_bytes())
    assert not is_found(descriptor, runs)
    missed = set()
    for what, path in edits(content if form == "csv" else {"resources": content["resources"]}):
        descriptor.write_text(json.dumps(edited(content, what, path)))
        if not is_found(descriptor, runs):
            missed.add((what, ".".join(key for key in path if isinstance(key, str))))
    of_rows = {one for one in missed if one[1] not in OF_THE_EXPORT}
    assert of_rows <= HARMLESS, of_rows - HARMLESS


def test_an_empty_export_in_folders_has_nothing_to_compare(tmp_path: Path) -> None:
    """Its only file lacks the columns that would distinguish the series of rows."""
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    sink = {"path": tmp_path / "out" / "parquet-set", "partition_by": ["measure", "run_id"]}
    export(config(runs, sink, transform={"filter": "value > 1e9"}))
    report = verify(str(tmp_path / "out" / "parquet-set"), str(runs))
    assert report.ok, report.as_text()
    assert [file.rows for file in report.files] == [0]


def test_what_other_tools_add_to_a_resource_is_passed_over(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "e.csv"}))
    descriptor = tmp_path / "e.datapackage.json"
    content = json.loads(descriptor.read_bytes())
    (resource,) = content["resources"]
    resource["title"] = "Values"
    resource["schema"]["fields"][0]["description"] = "start of the bin"
    resource["dialect"]["caseSensitiveHeader"] = True
    descriptor.write_text(json.dumps(content))
    assert verify(str(descriptor), str(runs)).ok
