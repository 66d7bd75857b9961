"""Whatever is exported can be read, by every reader, with and without filters, and verified."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import IntegrityError
from pipeline.exports.run import export
from pipeline.verification import verify
from tests.exports.drawn_exports import DrawnExport, expected_rows, exports
from tests.exports.reading_back import ReadBack
from tests.exports.removals import Part, remove

quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def exported(drawn: DrawnExport) -> Iterator[tuple[Path, Path, Path]]:
    """Export what was drawn; give the runs, the output folder and the descriptor."""
    with tempfile.TemporaryDirectory() as base:
        runs, out = Path(base, "runs"), Path(base, "out")
        drawn.write_runs(runs)
        report = export(drawn.config(runs, out))
        is_set = drawn.path == "set"
        descriptor = out / ("set/_datapackage.json" if is_set else "e.datapackage.json")
        (target,) = report.targets
        assert target.rows == expected_rows(drawn).total()
        yield runs, out, descriptor


def check(drawn: DrawnExport) -> None:
    """Export, read and verify."""
    with exported(drawn) as (runs, out, descriptor):
        resources: list[dict[str, Any]] = json.loads(descriptor.read_bytes())["resources"]
        paths = [resource["path"] for resource in resources]
        assert len({path.casefold() for path in paths}) == len(paths)
        there = {file for file in out.rglob("*") if file.is_file()}
        assert there == {descriptor, *(descriptor.parent / path for path in paths)}
        expected = expected_rows(drawn)
        assert sum(resource["rowCount"] for resource in resources) == expected.total()
        ReadBack(drawn, out, resources).check(expected)
        report = verify(str(descriptor), str(runs))
        assert report.ok, report.as_text()


@settings(quick, max_examples=1_000)
@given(exports())
def test_every_reader_finds_every_row(drawn: DrawnExport) -> None:
    check(drawn)


@pytest.mark.slow
@settings(quick, max_examples=10_000)
@given(exports())
def test_every_reader_finds_every_row_of_many_exports(drawn: DrawnExport) -> None:
    check(drawn)


def check_removal(drawn: DrawnExport, part: Part, place: int, forge: bool) -> None:
    """Export, remove a part, and see that `verify` notices it without the runs."""
    with exported(drawn) as (_, _, descriptor):
        remove(descriptor, part, place, forge=forge)
        try:
            report = verify(str(descriptor))
        except IntegrityError:  # nothing is left, or not even a row of a file
            return
        assert not report.ok, report.as_text()


removals = (
    exports(),
    st.sampled_from(("row", "file", "partition")),
    st.integers(0, 1_000),
    st.booleans(),
)


@settings(quick, max_examples=200)
@given(*removals)
def test_verify_notices_what_was_removed(
    drawn: DrawnExport, part: Part, place: int, forge: bool
) -> None:
    check_removal(drawn, part, place, forge)


@pytest.mark.slow
@settings(quick, max_examples=5_000)
@given(*removals)
def test_verify_notices_what_was_removed_from_many_exports(
    drawn: DrawnExport, part: Part, place: int, forge: bool
) -> None:
    check_removal(drawn, part, place, forge)
