"""What is published before and after an export, and how other readers see the two."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import frictionless
import pyarrow.json
import pyarrow.parquet

from connectors.errors import NotFoundError
from connectors.storage.contract import Storage
from pipeline.config import ExportConfig
from pipeline.exports.run import export
from tests.exporting import names, spec, write_runs
from tests.stores import leftovers

FORMATS = ("csv", "ndjson", "parquet")
STAGES = [f"{state}-{form}" for state in ("new", "overwrite") for form in FORMATS]
"""Whether another export is published before, and the format."""
IN_CI = "overwrite-parquet"
"""What CI tries by worker processes, which take a second to start."""
_DESCRIPTORS = ("e.datapackage.json", "gold/_datapackage.json")
_BINS = 150
_COUNTED = {
    "csv": "read_csv('{}', comment='#', filename=true)",
    "ndjson": "read_json('{}', filename=true)",
    "parquet": "read_parquet('{}', filename=true)",
}


def settings(
    runs: Path, root: str, form: str, lake: dict[str, Any] | None = None, engine: str = "local"
) -> Any:
    """One file and one data set."""
    sinks: list[dict[str, Any]] = [
        {"format": form, "path": f"{root}/e.{form}"},
        {"format": form, "path": f"{root}/gold", "partition_by": ["measure"]},
    ]
    made: dict[str, Any] = {"version": 1, "source": {"url": str(runs)}, "sinks": sinks}
    made["execution"] = {"engine": engine, "workers": 2}
    if lake is not None:
        made["storage"] = {"lake": lake}
        made["sinks"] = [{**sink, "storage": "lake"} for sink in sinks]
    return made


@dataclass(frozen=True)
class Version:
    """One export: the sha256 and the rows of each of its data files."""

    digests: dict[str, str]
    rows: dict[str, int]

    @classmethod
    def of(cls, folder: Path) -> Version:
        digests, rows = {}, {}
        for descriptor in _DESCRIPTORS:
            for item in json.loads((folder / descriptor).read_bytes())["resources"]:
                name = f"{descriptor.rpartition('/')[0]}/{item['path']}".lstrip("/")
                digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
                rows[name] = item["rowCount"]
        assert set(digests) == {n for n in names(folder) if not n.endswith("datapackage.json")}
        return cls(digests, rows)

    def of_set(self) -> dict[str, str]:
        return {name: one for name, one in self.digests.items() if name.startswith("gold/")}


class Stage:
    """A source, what an export of it looks like, and what was published there before."""

    def __init__(self, folder: Path, form: str, *, published: bool, engine: str = "local") -> None:
        self.form, self.published, self.engine = form, published, engine
        chance = random.Random(3)
        values = [chance.uniform(0, 100) for _ in range(_BINS)]
        self._folder = folder
        self.old_runs = write_runs(folder / "old-runs", spec("run_a", values=values))
        self.runs = write_runs(
            folder / "runs", spec("run_a", values=values), spec("run_b", values=values)
        )
        self.old = self._exported(self.old_runs, folder / "old")
        self.new = self._exported(self.runs, folder / "new")
        self.versions = [self.new, self.old] if published else [self.new]
        self._reader = duckdb.connect()
        self._accepted: set[str] = set()

    def settings(self, root: str, lake: dict[str, Any] | None = None) -> Any:
        """What is exported, by the engine that is tried."""
        return settings(self.runs, root, self.form, lake, self.engine)

    @property
    def offset(self) -> int:
        """Another one for each format and state, so that together they try all instants."""
        return FORMATS.index(self.form) * 2 + self.published

    def _exported(self, runs: Path, out: Path) -> Version:
        export(ExportConfig.model_validate(settings(runs, str(out), self.form)))
        return Version.of(out)

    def fresh(self, out: Path) -> Path:
        """A folder as it is before the export."""
        shutil.rmtree(out, ignore_errors=True)
        if self.published:
            shutil.copytree(self._folder / "old", out)
        return out

    def fill(self, storage: Storage, root: str) -> None:
        """The same in a store."""
        if self.published:
            for name in names(self._folder / "old"):
                storage.mark(f"{root}/{name}", (self._folder / "old" / name).read_bytes())

    def largest(self) -> int:
        """Bytes of the largest file of the new export."""
        return max((self._folder / "new" / name).stat().st_size for name in self.new.digests)

    # ----------------------------------------------------------------- what readers see

    def check_whole(self, storage: Storage, root: str) -> None:
        """Each target is as it was, as it will be, or not yet there."""
        seen = _visible(storage, root)
        data = {n: d for n, d in seen.items() if not n.endswith("datapackage.json")}
        for name, content in data.items():
            digest = hashlib.sha256(content).hexdigest()
            assert digest in [one.digests.get(name) for one in self.versions], f"{name} is torn"
        if self.published:
            assert set(_DESCRIPTORS) <= set(seen), "the old version is lost"
            assert f"e.{self.form}" in data, "the old version is lost"
        if _DESCRIPTORS[1] in seen:
            listed = _listed(seen, _DESCRIPTORS[1])
            assert listed in [one.of_set() for one in self.versions], "versions are mixed"
            assert set(listed) <= set(data), "the descriptor names what is not there"
        if _DESCRIPTORS[0] in seen:
            # Between the file and its descriptor, the descriptor is the old one's.
            (listed_one,) = _listed(seen, _DESCRIPTORS[0]).values()
            assert listed_one in [one.digests[f"e.{self.form}"] for one in self.versions]
        self._check_read(seen, data)

    def check_done(self, storage: Storage, root: str) -> None:
        """The new export is published, with nothing beside it."""
        seen = _visible(storage, root)
        assert set(seen) == {*self.new.digests, *_DESCRIPTORS}
        for descriptor in _DESCRIPTORS:
            for name, digest in _listed(seen, descriptor).items():
                assert digest == self.new.digests[name]
        self._check_read(seen, {name: seen[name] for name in self.new.digests})

    def _check_read(self, seen: dict[str, bytes], data: dict[str, bytes]) -> None:
        """By DuckDB over the folder, by pyarrow file by file, by frictionless by the descriptor."""
        scratch = self._folder / "read"
        shutil.rmtree(scratch, ignore_errors=True)
        for name, content in seen.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(content)
        if data:
            wanted = [
                (str(scratch / name), self._rows(name, hashlib.sha256(content).hexdigest()))
                for name, content in data.items()
            ]
            files = _COUNTED[self.form].format(f"{scratch}/**/*.{self.form}")
            found = self._reader.execute(
                f"SELECT filename, count(*), count(value) FROM {files} GROUP BY 1 ORDER BY 1"
            ).fetchall()
            assert found == [(name, rows, rows) for name, rows in sorted(wanted)]
        for name in data:
            self._check_with_arrow(scratch / name)
        for descriptor in _DESCRIPTORS:
            if descriptor in seen and all(
                hashlib.sha256(data[name]).hexdigest() == digest
                for name, digest in _listed(seen, descriptor).items()
            ):
                self._check_package(scratch / descriptor)

    def _check_package(self, descriptor: Path) -> None:
        """Once for each content: the bytes that it names are known to be the same."""
        package = json.loads(descriptor.read_bytes())
        stated = [item for key, item in package.items() if key not in ("created", "flowtime")]
        content = json.dumps(stated)
        if content not in self._accepted:
            assert complaints(descriptor) == []
            self._accepted.add(content)

    def _check_with_arrow(self, file: Path) -> None:
        if self.form == "parquet":
            pyarrow.parquet.read_table(file, partitioning=None).validate(full=True)
        elif self.form == "ndjson":
            pyarrow.json.read_json(file).validate(full=True)

    def _rows(self, name: str, digest: str) -> int:
        return next(one.rows[name] for one in self.versions if one.digests.get(name) == digest)


def complaints(descriptor: Path) -> list[str]:
    """What frictionless finds wrong with a data package."""
    with frictionless.system.use_context(trusted=True):
        report = frictionless.Package(str(descriptor)).validate()
    found = [error.message for task in report.tasks for error in task.errors]
    # Frictionless does not count the bytes of Parquet files; pyarrow has read them.
    counted = [text for text in found if not text.endswith('actual is "None"')]
    return [*(error.message for error in report.errors), *counted]


def _listed(seen: dict[str, bytes], descriptor: str) -> dict[str, str]:
    folder = descriptor.rpartition("/")[0]
    return {
        f"{folder}/{item['path']}".lstrip("/"): item["hash"].removeprefix("sha256:")
        for item in json.loads(seen[descriptor])["resources"]
    }


def _visible(storage: Storage, root: str) -> dict[str, bytes]:
    try:
        return dict(_files(storage, root))
    except NotFoundError:
        return {}


def _files(storage: Storage, root: str) -> Iterator[tuple[str, bytes]]:
    for folder in storage.walk(root):
        for entry in folder.files:
            yield entry.path.removeprefix(f"{root}/"), storage.read(entry.path)


def converges(
    storage: Storage, root: str, stage: Stage, lake: dict[str, Any] | None = None
) -> None:
    """What readers see now, what the next export makes of it, and what `clean` leaves."""
    stage.check_whole(storage, root)
    # On this process alone, as the next one may be, and as its bytes have to be the same.
    made = settings(stage.runs, storage.url(root), stage.form, lake)
    export(ExportConfig.model_validate(made))
    storage.remove_leftovers(root)
    stage.check_done(storage, root)
    assert leftovers(storage, root) == []
    if storage.is_local:
        assert not [name for name in names(Path(root)) if ".flowtime-export" in name]
    else:
        assert storage.marks(root, ".") == storage.marks(f"{root}/gold", ".") == []
