"""Sixteen exporters of one target: one publishes, the others say so or find their work done.

Meant to fail without the claim (`claimed` that yields at once: mixed data sets, several winners),
with claims that are listed before they are written, and without the look at the descriptor under
the claim (`CurrentDescriptor._is_done` that always says no: later exporters replace what the first
wrote).
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from botocore.exceptions import ClientError

from connectors.errors import ConflictError
from connectors.storage import StorageOptions, claimed, connect
from connectors.storage.contract import Storage
from connectors.storage.staging import claim as claims
from pipeline.errors import PublishConflictError
from pipeline.exports.run import export
from pipeline.writing.publish import Published, Publisher
from tests.exporting import config, spec, write_runs
from tests.reliability.exporters import Crowd, ExporterResult
from tests.servers import S3Server

EXPORTERS = {"local": 16, "processes": 3}
ROUNDS = {"local": 8, "processes": 1}
"""In one part, on each store; three exporters of two workers each keep as many cores busy."""
STORES = ("local", "rclone", "moto")


@pytest.fixture(scope="module", params=EXPORTERS)
def crowd(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    with Crowd(EXPORTERS[request.param], request.param) as made:
        yield made


def place(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, Any]:
    if store == "local":
        return str(tmp_path / "out"), None
    server: S3Server = request.getfixturevalue(f"{store}_s3")
    return f"s3://{server.bucket}/{tmp_path.name}", server.options()


def settings(
    runs: Path,
    root: str,
    options: StorageOptions | None,
    writer: str,
    sinks: list[dict[str, Any]],
    engine: str = "local",
) -> dict[str, Any]:
    block = {} if options is None else {"lake": {"protocol": "s3", **options.options}}
    named = [{**one, "path": f"{root}/{one['path']}"} for one in sinks]
    if options is not None:
        named = [{**one, "storage": "lake"} for one in named]
    return {
        "version": 1,
        "name": writer,
        "storage": block,
        "source": {"url": str(runs)},
        "metadata": {"constants": {"writer": writer}},
        "sinks": named,
        "execution": {"engine": engine, "workers": 2},
    }


SET = [{"format": "parquet", "path": "gold", "partition_by": ["measure"]}]
PAIR = [{"format": "parquet", "path": "e.parquet"}, {"format": "csv", "path": "e.csv"}]


@pytest.mark.usefixtures("part")
@pytest.mark.parametrize("store", STORES)
def test_one_of_sixteen_wins(
    store: str,
    crowd: Crowd,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    times: int,
    tried: Callable[[int], None],
) -> None:
    """rclone's server knows no conditions: there the claims alone keep the sixteen apart.

    With worker processes, whose files are in the store before the race begins, there are fewer.
    """
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    root, options = place(store, tmp_path, request)
    ends: Counter[str] = Counter()
    rounds = ROUNDS[crowd.engine] * times
    for number in range(rounds):
        alike = number % 3 == 2
        is_set = number % 2 == (crowd.engine == "local")
        sinks = SET if is_set else PAIR
        folder = f"{root}/round-{number % 4}"  # the fifth round replaces what the first wrote
        configs = [
            settings(
                runs,
                folder,
                options,
                f"w{number if alike else place}x{number}",
                sinks,
                crowd.engine,
            )
            for place in range(crowd.size)
        ]
        results = crowd.race(configs)
        ends.update(one.error or ",".join(one.statuses) for one in results)
        check_round(results, alike=alike)
        winner = next(one for one in results if "exported" in one.statuses)
        expected = configs[winner.exporter]["name"]
        base = f"{folder}/gold" if is_set else folder
        check_whole(*connect(base, options), expected)
    assert set(ends) <= {"exported", "exported,exported", "unchanged", "unchanged,unchanged"} | {
        "PublishConflictError"
    }, ends
    tried(rounds)


@pytest.mark.parametrize(("store", "refused"), [("moto", True), ("rclone", False)])
def test_which_store_knows_conditions(
    store: str, refused: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What the tests of exporters take for granted about the stores."""
    server: S3Server = request.getfixturevalue(f"{store}_s3")
    client = server.client()
    wanted = {"Bucket": server.bucket, "Key": f"{tmp_path.name}/x"}
    client.put_object(**wanted, Body=b"first")
    with pytest.raises(ClientError) if refused else nullcontext():
        client.put_object(**wanted, Body=b"second", IfNoneMatch="*")


def check_round(results: list[ExporterResult], *, alike: bool) -> None:
    exported = [one for one in results if "exported" in one.statuses]
    assert len(exported) == 1, results
    for one in results:
        if one.error:
            assert one.error == "PublishConflictError", one.message
            assert "another exporter" in one.message
            assert "run" in one.message.rpartition(":")[2], "the message says what to do"
        elif one is not exported[0]:
            assert alike, "only an exporter of the same export may find its work done"


def check_whole(storage: Storage, path: str, writer: str) -> None:
    """The folder holds what its one descriptor names, all of it by one writer."""
    listed = {
        entry.path: storage.read(entry.path) for one in storage.walk(path) for entry in one.files
    }
    (descriptor,) = (name for name in listed if name.endswith("datapackage.json"))
    package = json.loads(listed.pop(descriptor))
    assert package["flowtime"]["config"]["name"] == writer
    named = {f"{path}/{item['path']}": item for item in package["resources"]}
    assert set(listed) == set(named)
    for name, data in listed.items():
        assert named[name]["bytes"] == len(data)
        frame = (
            pl.read_parquet(io.BytesIO(data))
            if name.endswith("parquet")
            else pl.read_csv(data, comment_prefix="#")
        )
        assert frame["writer"].unique().to_list() == [writer]
    assert storage.marks(path, ".flowtime-export") == []


# --------------------------------------------------------------------------- one claim


@pytest.fixture(params=STORES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str]:
    root, options = place(request.param, tmp_path, request)
    return connect(root, options)


def test_a_claim_keeps_others_away(
    folder: tuple[Storage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.1)
    storage, path = folder
    with claimed(storage, path, "aa"):
        for scope in ("aa", ""):
            with (
                pytest.raises(ConflictError, match=r"another exporter .*host .*process \d+"),
                claimed(storage, path, scope),
            ):
                pass
        with claimed(storage, path, "bb"), claimed(storage, f"{path}/below", "aa"):
            pass
    with claimed(storage, path, ""):
        pass
    assert storage.marks(path, ".flowtime") == []


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    storage, path = connect(str(tmp_path / "out"))
    code = (
        "import sys, os; from connectors.storage import claimed, connect\n"
        "with claimed(*connect(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    assert len(storage.marks(path, ".flowtime")) == 1
    with claimed(storage, path):
        assert len(storage.marks(path, ".flowtime")) == 1
    assert storage.marks(path, ".flowtime") == []


def test_a_claim_of_another_machine_lapses(
    folder: tuple[Storage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.1)
    storage, path = folder
    theirs = f"{path}/.flowtime-export-claim-.deadbeef-1-0123abcd.flowtime-export.part"
    storage.mark(theirs, b"{}")
    with pytest.raises(ConflictError), claimed(storage, path):
        pass
    monkeypatch.setattr(claims, "LAPSE_SECONDS", 1.0)
    time.sleep(2.5)
    with claimed(storage, path):
        pass
    assert storage.marks(path, ".flowtime") == []


def test_a_held_claim_is_renewed_and_a_lost_one_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEWAL_SECONDS", 0.05)
    storage, path = connect(str(tmp_path))
    with claimed(storage, path) as claim:
        (before,) = storage.marks(path, ".flowtime")
        time.sleep(0.3)
        (after,) = storage.marks(path, ".flowtime")
        assert (after.modified or 0) > (before.modified or 0)
        claim.check()
        storage.delete(after.path)
        time.sleep(0.3)
        with pytest.raises(ConflictError, match="suspended"):
            claim.check()
    assert storage.marks(path, ".flowtime") == []


# --------------------------------------------------------------------------- the descriptor


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("published", [False, True])
def test_a_descriptor_that_is_another_meanwhile_is_not_replaced(
    store: str, published: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What holds even where a claim was lost, on stores without conditions by a look before."""
    root, options = place(store, tmp_path, request)
    storage, path = connect(f"{root}/d.json", options)

    def write(data: bytes) -> None:
        staged = storage.stage(path)
        staged.local.write_bytes(data)
        storage.commit(staged)

    if published:
        write(b"first")
    before = storage.info(path)
    mine = storage.stage(path)
    mine.local.write_bytes(b"mine")
    time.sleep(0.01)
    write(b"theirs")
    with pytest.raises(ConflictError, match="another exporter"):
        storage.commit_over(mine, before)
    assert storage.read(path) == b"theirs"
    storage.commit_over(mine, storage.info(path))
    assert storage.read(path) == b"mine"


@pytest.mark.parametrize("published", [False, True])
def test_a_descriptor_written_between_look_and_put_is_not_replaced(
    moto_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: bool
) -> None:
    """Meant to fail without If-Match and If-None-Match."""
    storage, path = connect(f"s3://{moto_s3.bucket}/{tmp_path.name}/d.json", moto_s3.options())
    if published:
        storage.mark(path, b"first")
    before = storage.info(path)
    mine = storage.stage(path)
    mine.local.write_bytes(b"mine")
    real = type(storage).info

    def info(self: Storage, wanted: str) -> Any:
        found = real(self, wanted)  # type: ignore[arg-type]
        storage.mark(path, b"theirs")
        return found

    monkeypatch.setattr(type(storage), "info", info)
    with pytest.raises(ConflictError, match="another exporter"):
        storage.commit_over(mine, before)
    assert storage.read(path) == b"theirs"
    storage.discard(mine)


def test_an_export_that_was_overtaken_says_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, out = write_runs(tmp_path / "runs", spec("run_a")), tmp_path / "out"
    ours = config(runs, {"path": out / "e.csv"})
    theirs = ours.model_copy(update={"name": "rival"})
    real = Publisher.publish

    def overtaken(publisher: Publisher, written: Any) -> Published:
        monkeypatch.setattr(Publisher, "publish", real)
        export(theirs)
        return real(publisher, written)

    monkeypatch.setattr(Publisher, "publish", overtaken)
    with pytest.raises(PublishConflictError, match="config 'rival', created 20"):
        export(ours)
    assert json.loads((out / "e.datapackage.json").read_text())["name"] == "rival"
    monkeypatch.setattr(Publisher, "publish", overtaken)
    theirs = ours
    report = export(config(runs, {"path": out / "e.csv"}, name="test"))
    assert [target.status for target in report.targets] == ["unchanged"]
    assert sorted(path.name for path in out.iterdir()) == ["e.csv", "e.datapackage.json"]
