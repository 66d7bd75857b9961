"""Measure a registry that holds many artifacts: entering them, lists, texts, facets, relations.

python -m benchmarks.registry_load sqlite:////tmp/registry.db --artifacts 100000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

from pipeline.errors import RegistryTimeoutError
from pipeline.registry.records.artifact import ArtifactRecord, Link, mark_of
from pipeline.registry.registry import Registry, open_registry

_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_COMPONENTS = 40
_TEMPLATES = 40
_RUNS_OF_A_MODEL = 20
_AT_ONCE = 10_000
_DOCUMENT = b"x" * 900  # about what a run of 20 series takes, compressed


def records(count: int, *, first: int = 0) -> Iterator[ArtifactRecord]:
    """Yield runs, every tenth with an export of it; the same ones each time."""
    for number in range(first, first + count):
        yield _run(number)
        if number % 10 == 0:
            yield _export(number)


def _run(number: int) -> ArtifactRecord:
    template = number % _TEMPLATES
    model = _hash(f"model {number // _RUNS_OF_A_MODEL}")
    scenario = _hash(f"scenario {number // 4}")
    name = f"run_20250101T000000Z_{number:08x}"
    components = [f"NODE_{(template + k) % _COMPONENTS}" for k in range(5)]
    measures = ("arrivals", "served", "queue", "errors")
    tags = ("run", "csv", "json", "configured", f"sweep-{template}")
    return ArtifactRecord(
        type="run",
        name=name,
        mark=mark_of(name),
        location=f"s3://sim/runs/{number // 1000:05d}/{name}",
        title=f"Checkout {template} at load {number % 997}",
        folder=name,
        description="Arrivals, queues and services of a shop, hour by hour.",
        created=_BEGIN + timedelta(minutes=3 * number),
        modified=_BEGIN + timedelta(minutes=3 * number + 1),
        size=10_000 + number % 5_000,
        source="engine" if number % 3 else "sim",
        template_id=f"template-{template}",
        model_hash=model,
        scenario=scenario,
        digest=_hash(f"run {number}"),
        listing=_hash(f"listing {number}"),
        terms=frozenset(
            [("component", name) for name in components]
            + [("measure", name) for name in measures]
            + [("class", "DEFAULT")]
            + [("tag", name) for name in tags]
        ),
        series=20,
        rows=20 * 288,
        metadata={
            "runId": name,
            "source": "engine",
            "engineVersion": "0.1.0",
            "scenarioHash": scenario,
            "modelHash": model,
            "templateId": f"template-{template}",
            "templateTitle": f"Template {template}",
            "mode": "simulation",
            "seed": number,
            "bins": 288,
            "binMinutes": 5,
            "seriesCount": 20,
        },
        files=("manifest.json", "run.json", "spec.yaml"),
        document=_DOCUMENT,
    )


def _export(number: int) -> ArtifactRecord:
    run = _run(number)
    location = f"s3://lake/gold/{number:08x}/export.datapackage.json"
    return ArtifactRecord(
        type="export",
        name=f"nightly-{mark_of(location)}",
        mark=mark_of(location),
        location=location,
        title="nightly (parquet)",
        created=run.created,
        size=5_000,
        source="export",
        digest=_hash(f"export {number}"),
        terms=frozenset([("tag", "export"), ("tag", "parquet")]),
        metadata={"configName": "nightly", "formats": ["parquet"], "runCount": 1},
        files=("export.parquet", "export.datapackage.json"),
        links=(Link("exportOf", "run", run.name, run.location, run.digest),),
    )


def _hash(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def questions(count: int) -> dict[str, Callable[[Registry, Random], object]]:
    """Return what is asked, each time a little otherwise."""

    def name(random: Random) -> str:
        return f"run_20250101T000000Z_{random.randrange(count):08x}"

    return {
        "list, first page": lambda r, _: r.list(limit=100),
        "list, skip": lambda r, x: r.list(type="run", skip=x.randrange(count // 2), limit=50),
        "list, oldest first": lambda r, _: r.list(sort_order="asc"),
        "list, by title": lambda r, _: r.list(sort_by="title", sort_order="asc"),
        "list, by size": lambda r, _: r.list(sort_by="size"),
        "filter, template": lambda r, x: r.list(template_id=f"template-{x.randrange(40)}"),
        "filter, tag": lambda r, x: r.list(tags=f"sweep-{x.randrange(40)}"),
        "filter, component": lambda r, x: r.list(component=f"NODE_{x.randrange(40)}"),
        "filter, day": lambda r, x: r.list(
            day=(_BEGIN + timedelta(days=x.randrange(max(1, count // 480)))).date().isoformat()
        ),
        "search, rare": lambda r, x: r.list(search=f"load {x.randrange(997)}"),
        "search, one": lambda r, x: r.list(full_text=name(x)[-12:]),
        "search, everything": lambda r, _: r.list(search="checkout"),
        "search, everything, with type": lambda r, x: r.list(
            type="run", search="hour by hour", min_size=x.randrange(10_000)
        ),
        "search, two letters": lambda r, x: r.list(search=f"{x.randrange(10, 99)}"),
        "facets": lambda r, _: r.list(facets=True),
        "facets, filtered": lambda r, x: r.list(
            facets=True, template_id=f"template-{x.randrange(40)}"
        ),
        "relationships": lambda r, x: r.relationships(name(x)),
        "related to": lambda r, x: r.list(related_to=name(x)),
        "show": lambda r, x: r.get(name(x)),
    }


def main() -> None:
    """Enter artifacts, ask questions, and print how long each takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--artifacts", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, object] = {}
    with open_registry(options.url) as registry:
        began, began_work = time.perf_counter(), time.process_time()
        if registry.stats()["total"] == 0:
            _enter(registry, options.artifacts)
            found["entered, s"] = _since(began, began_work)
        began, began_work = time.perf_counter(), time.process_time()
        registry.add([*records(10_000, first=options.artifacts)])
        found["10,000 more entered, s"] = _since(began, began_work)
        for what, ask in questions(options.artifacts).items():
            found[what] = _times(registry, ask, options.times)
    found["memory at most, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for what, value in found.items():
        print(f"{what:<34} {value}")


def _enter(registry: Registry, count: int) -> None:
    """Enter artifacts some at a time: a million records are more than memory should hold."""
    waiting = records(count)
    while some := [*islice(waiting, _AT_ONCE)]:
        registry.add(some, roots=["s3://sim/runs", "s3://lake/gold"])


def _since(began: float, began_work: float) -> dict[str, float]:
    return {
        "wall": round(time.perf_counter() - began, 2),
        "cpu": round(time.process_time() - began_work, 2),
    }


def _times(
    registry: Registry, ask: Callable[[Registry, Random], object], times: int
) -> dict[str, float]:
    """Return milliseconds: wall time, and processor time, which a busy machine leaves alone."""
    random = Random(1)
    spent: list[float] = []
    worked: list[float] = []
    for number in range(times):
        began, began_work = time.perf_counter(), time.process_time()
        try:
            ask(registry, random)
        except RegistryTimeoutError:
            return {"too slow": float(number)}
        spent.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.process_time() - began_work))
    last = int(0.95 * (times - 1))
    return {
        "first": round(spent[0], 1),
        "median": round(statistics.median(spent), 1),
        "p95": round(sorted(spent)[last], 1),
        "median cpu": round(statistics.median(worked), 1),
        "p95 cpu": round(sorted(worked)[last], 1),
    }


if __name__ == "__main__":
    main()
