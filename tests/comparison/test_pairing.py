"""Series paired by id, by what they are, and by a mapping of renamed components."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.comparison import (
    Comparison,
    ComparisonOptions,
    ComparisonRequest,
    SideSource,
    Tolerance,
    Tolerances,
    compare_sides,
)
from pipeline.errors import ConfigError
from tests.exporting import spec, write_runs


def compared(folder: Path, **options: Any) -> Comparison:
    sides = [SideSource(str(folder / name)) for name in ("one", "other")]
    return compare_sides(ComparisonRequest(sides[0], sides[1], ComparisonOptions(**options)))


def test_series_on_one_side_are_listed(tmp_path: Path) -> None:
    write_runs(
        tmp_path,
        spec("one", "served@A@DEFAULT", "errors@A@DEFAULT"),
        spec("other", "served@A@DEFAULT", "queue@A@DEFAULT"),
    )
    found = compared(tmp_path)
    assert [one.pair.series_id for one in found.series] == ["served@A@DEFAULT"]
    assert found.only_in_baseline == ("errors@A@DEFAULT",)
    assert found.only_in_comparison == ("queue@A@DEFAULT",)
    assert [found.fails(on) for on in (None, "different", "missing", "any")] == [
        False, False, True, True,
    ]  # fmt: skip


def test_a_class_may_be_left_out(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one", id_style="measure@component"), spec("other"))
    assert compared(tmp_path).summary["equal"] == 3


def test_renamed_components_and_series(tmp_path: Path) -> None:
    ids = ("served@OLD@DEFAULT", "errors@OLD@DEFAULT", "queue@X@DEFAULT")
    write_runs(
        tmp_path,
        spec("one", *ids),
        spec("other", "served@NEW@DEFAULT", "errors@NEW@DEFAULT", "backlog@X@DEFAULT"),
    )
    renamed = {"OLD": "NEW", "queue@X@DEFAULT": "backlog@X@DEFAULT"}
    found = compared(tmp_path, renamed=renamed)
    assert found.summary["equal"] == 3
    listed = found.as_json()["series"]
    assert [one["seriesId"] for one in listed] == list(ids)
    assert listed[0]["comparisonId"] == "served@NEW@DEFAULT"


def test_components_that_were_swapped(tmp_path: Path) -> None:
    write_runs(
        tmp_path,
        spec("one", "served@A@DEFAULT", "served@B@DEFAULT"),
        spec("other", "served@B@DEFAULT", "served@A@DEFAULT"),
    )
    assert compared(tmp_path).summary["different"] == 2
    assert compared(tmp_path, renamed={"A": "B", "B": "A"}).summary["equal"] == 2


@pytest.mark.parametrize(
    ("renamed", "reason"),
    [
        ({"C": "A"}, "the baseline .* has no component or series 'C'"),
        ({"A": "Z"}, "the comparison .* has no component or series 'Z'"),
        ({"A": "B"}, "both lead to served@B@DEFAULT"),
    ],
)
def test_mappings_that_do_not_fit(tmp_path: Path, renamed: dict[str, str], reason: str) -> None:
    ids = ("served@A@DEFAULT", "served@B@DEFAULT")
    write_runs(tmp_path, spec("one", *ids), spec("other", *ids))
    with pytest.raises(ConfigError, match=reason):
        compared(tmp_path, renamed=renamed)


def test_tolerances_by_series_component_and_measure(tmp_path: Path) -> None:
    ids = ("served@A@DEFAULT", "served@B@DEFAULT", "errors@A@DEFAULT", "queue@C@DEFAULT")
    write_runs(
        tmp_path,
        spec("one", *ids),
        spec("other", *ids, values=[one + 0.5 for one in (1.0, 2.5, -0.0, 4.0)]),
    )
    tolerances = Tolerances.parse(
        [
            "absolute=0.1",
            "measure=served,absolute=0.5",
            "component=B,absolute=0.2",
            "series=queue@*,absolute=1",
            "component=ABSENT,absolute=9",
        ]
    )
    found = compared(tmp_path, tolerances=tolerances)
    statuses = {one.pair.series_id: one.metrics.status for one in found.series}
    assert statuses == {
        "served@A@DEFAULT": "within",
        "served@B@DEFAULT": "different",
        "errors@A@DEFAULT": "different",
        "queue@C@DEFAULT": "within",
    }
    assert any("component 'ABSENT' is for none" in note for note in found.notes)


def test_a_rule_takes_what_it_leaves_out_from_the_default() -> None:
    found = Tolerances.parse(["measure=served,absolute=1", "relative=0.5"])
    assert found.rules[0].tolerance == Tolerance(absolute=1.0, relative=0.5)
    mapping = {"relative": 0.5, "measures": {"served": {"absolute": 1}}}
    assert Tolerances.of_any(mapping) == found


@pytest.mark.parametrize("number", [1, 1e-9])
def test_a_number_is_an_absolute_tolerance(number: float) -> None:
    assert Tolerances.of_any(number) == Tolerances(Tolerance(absolute=number))


@pytest.mark.parametrize(
    "wrong",
    [
        -1,
        math.nan,
        math.inf,
        True,
        [1e-9],
        {"measures": {"a": 1}},
        {"series": [1]},
        {"absolute": []},
    ],
)
def test_what_is_no_tolerance_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="tolerance: "):
        Tolerances.of_any(wrong)


@pytest.mark.parametrize(
    "text",
    ["", "absolute", "absolute=", "absolute=x", "absolute=-1", "relative=nan", "absolute=inf",
     "absolut=1", "absolute=1,absolute=2", "measure=served", "measure=a,series=b,absolute=1"],
)  # fmt: skip
def test_tolerances_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="tolerance"):
        Tolerances.parse([text])
