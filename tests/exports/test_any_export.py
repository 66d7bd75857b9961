"""Whatever is exported can be read, by every reader, with and without filters, and verified."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import IntegrityError
from pipeline.exports.run import export
from pipeline.verification import verify
from tests.examples import in_parts
from tests.exports.drawn_exports import DrawnExport, expected_rows, exports
from tests.exports.reading_back import ReadBack
from tests.exports.removals import Part, remove


@contextmanager
def exported(drawn: DrawnExport, rows: int) -> Iterator[tuple[Path, Path, Path]]:
    """Export what was drawn; give the runs, the output folder and the descriptor."""
    with tempfile.TemporaryDirectory() as base:
        runs, out = Path(base, "runs"), Path(base, "out")
        drawn.write_runs(runs)
        report = export(drawn.config(runs, out))
        is_set = drawn.path == "set"
        descriptor = out / ("set/_datapackage.json" if is_set else "e.datapackage.json")
        (target,) = report.targets
        assert target.rows == rows
        yield runs, out, descriptor


@in_parts(1_000)
@given(exports())
def test_every_reader_finds_every_row(drawn: DrawnExport) -> None:
    expected = expected_rows(drawn)
    with exported(drawn, expected.total()) as (runs, out, descriptor):
        resources: list[dict[str, Any]] = json.loads(descriptor.read_bytes())["resources"]
        paths = [resource["path"] for resource in resources]
        assert len({path.casefold() for path in paths}) == len(paths)
        there = {file for file in out.rglob("*") if file.is_file()}
        assert there == {descriptor, *(descriptor.parent / path for path in paths)}
        assert sum(resource["rowCount"] for resource in resources) == expected.total()
        ReadBack(drawn, out, resources).check(expected)
        report = verify(str(descriptor), str(runs))
        assert report.ok, report.as_text()


@in_parts(200)
@given(
    exports(),
    st.sampled_from(("row", "file", "partition")),
    st.integers(0, 1_000),
    st.booleans(),
)
def test_verify_notices_what_was_removed(
    drawn: DrawnExport, part: Part, place: int, forge: bool
) -> None:
    """Without the runs, and where the descriptor no longer names the part either."""
    with exported(drawn, expected_rows(drawn).total()) as (_, _, descriptor):
        remove(descriptor, part, place, forge=forge)
        try:
            report = verify(str(descriptor))
        except IntegrityError:  # no file is left, or none that holds rows
            return
        assert not report.ok, report.as_text()
