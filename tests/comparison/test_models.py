"""What differs between the models of two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.comparison import Comparison, compare
from pipeline.exports.run import export
from tests.exporting import config, spec, write_runs

SPEC = """\
grid:
  start: 2025-01-01T00:00:00Z
  bins: 4
nodes:
  - id: demand
    kind: const
    values: [1, 2, 3, 4]
  - id: served
    expr: "MIN(demand, 5)"
classes: [DEFAULT, Order]
"""


def compared(folder: Path, one: str, other: str) -> Comparison:
    write_runs(folder, spec("one"), spec("other"))
    for name, text in (("one", one), ("other", other)):
        (folder / name / "spec.yaml").write_text(text, encoding="utf-8")
    return compare(str(folder / "one"), str(folder / "other"))


def differences(found: Comparison) -> dict[str, tuple[str | None, str | None]]:
    # The hashes of two runs that the builder writes always differ.
    return {
        one.path: (one.baseline, one.comparison)
        for one in found.models.differences
        if not one.path.endswith("Hash")
    }


def test_equal_models(tmp_path: Path) -> None:
    assert differences(compared(tmp_path, SPEC, "# a comment\n" + SPEC)) == {}


def test_entries_are_compared_by_their_names(tmp_path: Path) -> None:
    other = SPEC.replace("MIN(demand, 5)", "MIN(demand, 6)").replace("4]", "9]")
    moved = other.replace("  - id: demand", "  - id: extra\n    kind: const\n  - id: demand")
    found = differences(compared(tmp_path, SPEC, moved.replace("Order", "Refund")))
    assert found == {
        "spec.nodes[demand].values": ("4 values: 1, 2, 3, 4", "4 values: 1, 2, 3, 9"),
        "spec.nodes[served].expr": ("MIN(demand, 5)", "MIN(demand, 6)"),
        "spec.nodes[extra]": (None, "{id: extra, kind: const}"),
        "spec.classes": ("2 values: DEFAULT, Order", "2 values: DEFAULT, Refund"),
    }


def test_facts_of_the_runs(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one"), spec("other", values=[1.0, 2.5, -0.0, 4.0, 5.0]))
    for path in ("other/run.json", "other/manifest.json"):
        file = tmp_path / path
        file.write_text(file.read_text().replace('"seed": 42', '"seed": 43'))
    found = differences(compare(str(tmp_path / "one"), str(tmp_path / "other")))
    assert found["grid.bins"] == ("4", "5")
    assert found["seed"] == ("42", "43")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "not YAML"),
        ("a: &x 1\nb: *x\n", "uses an alias"),
        ("a: " + "[" * 100 + "]" * 100, "nested deeper"),
        ("a: \xe9", None),
    ],
)
def test_hostile_specs_are_noted_and_values_compared_nonetheless(
    tmp_path: Path, text: str, reason: str | None
) -> None:
    start = "grid:\n  start: 2025-01-01T00:00:00Z\n"
    found = compared(tmp_path, SPEC, start + text)
    assert found.summary["equal"] == 3
    assert reason is None or any(reason in note for note in found.models.notes)


def test_an_export_has_no_spec(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one"))
    export(config(tmp_path / "one", {"path": tmp_path / "one.parquet"}))
    found = compare(str(tmp_path / "one"), str(tmp_path / "one.parquet"))
    assert found.models.differences == ()
    assert any("has no spec.yaml" in note for note in found.models.notes)
