"""Differences between the models of two sides: specs, seeds, engine versions and grids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from connectors.errors import RunError, StorageError
from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.model.run import Run
from connectors.flowtime.parse.model_tree import MAX_BYTES, ModelTree, read_model
from connectors.flowtime.parse.spec_scalars import SPEC_FILE
from connectors.storage import join
from pipeline.comparison.sides.side import OpenSide

MOST_DIFFERENCES = 1_000
_LONGEST_TEXT = 200
_NAMING_KEYS = ("id", "name", "nodeId", "from")


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """Something in which two models differ.

    Attributes:
        path: Where: a fact of the run such as `seed`, or a path in the spec such as
            `spec.nodes[demand].values`.
        baseline, comparison: What is there; None where nothing is.
    """

    path: str
    baseline: str | None
    comparison: str | None

    def as_json(self) -> dict[str, str | None]:
        """Return the difference as JSON-compatible data."""
        return {"path": self.path, "baseline": self.baseline, "comparison": self.comparison}


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """In what two models differ.

    Attributes:
        differences: The differences, facts of the runs first.
        notes: What could not be compared.
    """

    differences: tuple[ModelDifference, ...]
    notes: tuple[str, ...]


def compare_models(baseline: OpenSide, comparison: OpenSide) -> ModelComparison:
    """Compare what two sides say of their models; values are not looked at."""
    differences = list(_run_differences(baseline.run, comparison.run))
    notes: list[str] = []
    specs = [_spec_of(side, notes) for side in (baseline, comparison)]
    if specs[0] is not None and specs[1] is not None:
        found = list(islice(_differences("spec", specs[0], specs[1]), MOST_DIFFERENCES + 1))
        if len(found) > MOST_DIFFERENCES:
            notes.append(f"the specs differ in more than {MOST_DIFFERENCES:,} places")
        differences += found[:MOST_DIFFERENCES]
    return ModelComparison(tuple(differences), tuple(notes))


def _spec_of(side: OpenSide, notes: list[str]) -> ModelTree | None:
    """Return the spec of a run directory."""
    if side.storage is None or side.side.form != "run":
        notes.append(f"{side.side.url}: has no {SPEC_FILE}, so the models were not compared")
        return None
    path = join(side.run.path, SPEC_FILE)
    try:
        if side.storage.info(path) is None:
            notes.append(f"{side.side.url}: has no {SPEC_FILE}, so the models were not compared")
            return None
        return read_model(side.storage.read(path, end=MAX_BYTES + 1))
    except (RunError, StorageError) as error:
        notes.append(f"{side.side.url}: the models were not compared: {error}")
        return None


def _facts(run: Run) -> Mapping[str, str | None]:
    facts: dict[str, object] = {
        "grid.bins": run.grid.bins,
        "grid.binMinutes": run.grid.bin_minutes,
        "timeOrigin": instant_text(run.time_origin),
        "seed": run.seed,
        "engineVersion": run.engine_version,
        "schemaVersion": run.schema_version,
        "source": run.source,
        "mode": run.mode,
        "templateId": run.template_id,
        "modelHash": run.model_hash,
        "scenarioHash": run.scenario_hash,
    }
    return {name: None if fact is None else str(fact) for name, fact in facts.items()}


def _run_differences(baseline: Run, comparison: Run) -> Iterator[ModelDifference]:
    ours, theirs = _facts(baseline), _facts(comparison)
    for name, fact in ours.items():
        if fact != theirs[name]:
            yield ModelDifference(name, fact, theirs[name])


def _differences(path: str, ours: ModelTree, theirs: ModelTree) -> Iterator[ModelDifference]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys([*ours, *theirs]):
            below = f"{path}.{key}"
            if key not in ours or key not in theirs:
                yield _one_sided(below, ours.get(key), theirs.get(key))
            else:
                yield from _differences(below, ours[key], theirs[key])
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield from _list_differences(path, ours, theirs)
    elif ours != theirs:
        yield ModelDifference(path, _text(ours), _text(theirs))


def _list_differences(
    path: str, ours: Sequence[ModelTree], theirs: Sequence[ModelTree]
) -> Iterator[ModelDifference]:
    """Yield the differences of two lists, by the names of their entries or by their places."""
    named = _by_name(ours), _by_name(theirs)
    if named[0] is not None and named[1] is not None:
        for name in dict.fromkeys([*named[0], *named[1]]):
            below = f"{path}[{name}]"
            if name not in named[0] or name not in named[1]:
                yield _one_sided(below, named[0].get(name), named[1].get(name))
            else:
                yield from _differences(below, named[0][name], named[1][name])
    elif all(isinstance(one, str) for one in (*ours, *theirs)):
        if list(ours) != list(theirs):
            yield ModelDifference(path, _values(ours), _values(theirs))
    else:
        for place, (one, other) in enumerate(zip_longest(ours, theirs)):
            below = f"{path}[{place}]"
            if one is None or other is None:
                yield _one_sided(below, one, other)
            else:
                yield from _differences(below, one, other)


def _by_name(entries: Sequence[ModelTree]) -> dict[str, ModelTree] | None:
    """Return entries by the key that names them; None where none names all of them."""
    for key in _NAMING_KEYS:
        names = [one.get(key) if isinstance(one, dict) else None for one in entries]
        texts = [name for name in names if isinstance(name, str)]
        if texts and len(texts) == len(entries) == len(set(texts)):
            return dict(zip(texts, entries, strict=True))
    return None


def _one_sided(path: str, ours: ModelTree | None, theirs: ModelTree | None) -> ModelDifference:
    return ModelDifference(
        path,
        None if ours is None else _text(ours),
        None if theirs is None else _text(theirs),
    )


def _values(values: Sequence[ModelTree]) -> str:
    return _clipped(f"{len(values)} values: {', '.join(map(str, values[:50]))}")


def _text(tree: ModelTree) -> str:
    if isinstance(tree, str):
        return _clipped(tree)
    if isinstance(tree, list):
        return _values(tree) if all(isinstance(one, str) for one in tree) else "a list"
    inner = ", ".join(f"{key}: {_text(value)}" for key, value in list(tree.items())[:8])
    return _clipped("{" + inner + "}")


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."
