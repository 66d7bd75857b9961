"""The contract of storages: every operation on every store, as docs/stores.md tabulates them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.errors import ConflictError, NotFoundError, StorageError
from connectors.storage import StagedFile, Storage, claimed, join, staged_name
from connectors.storage.azure import client as azure_client
from connectors.storage.google import upload as google_upload
from connectors.storage.s3 import upload as s3_upload
from tests.stores import STORES, connected, leftovers, put

PAGE = Path(__file__).parents[3] / "docs/stores.md"
PART_BYTES = 5 * 1024 * 1024
COLUMNS = {
    "local": "disk",
    "memory": "memory",
    "rclone": "S3: rclone",
    "moto": "S3: moto",
    "azure": "Azure: Azurite",
    "google": "Google: fake-gcs-server",
}


def _lists_afresh(storage: Storage, root: str) -> str:
    for number in range(3):
        put(storage, join(root, f"a/f{number}"), b"x")
        (folder,) = storage.walk(root)
        assert len(folder.files) == number + 1
        assert [storage.info(file.path) for file in folder.files] == list(folder.files)
    return "yes"


def _keeps_similar_folders_apart(storage: Storage, root: str) -> str:
    for name in ("runs/a", "runs/z/b", "runs2/c", "runs-old/d", "runs.txt"):
        put(storage, join(root, name), name.encode())
    below = [file.path for folder in storage.walk(join(root, "runs")) for file in folder.files]
    assert below == [join(root, "runs/a"), join(root, "runs/z/b")]
    with pytest.raises(NotFoundError):
        list(storage.walk(join(root, "run")))
    with pytest.raises(NotFoundError):
        storage.check_list(join(root, "run"))
    assert storage.info(join(root, "run")) is None
    assert [m.path for m in storage.marks(join(root, "runs"), "")] in (
        [join(root, "runs/a")],
        [join(root, "runs/a"), join(root, "runs/z")],
    )
    return "yes"


def _reads(storage: Storage, root: str) -> str:
    path = join(root, "a")
    put(storage, path, b"0123456789")
    assert storage.read(path) == b"0123456789"
    assert storage.read(path, start=2, end=5) == b"234"
    assert storage.read(path, start=8, end=99) == b"89"
    assert b"".join(storage.blocks(path, 3)) == b"0123456789"
    found = storage.read_many([path, join(root, "none"), path])
    assert found[::2] == [b"0123456789"] * 2
    assert isinstance(found[1], NotFoundError)
    with pytest.raises(NotFoundError):
        storage.read(join(root, "none"))
    return "yes"


def _notices_changes(storage: Storage, root: str) -> str:
    path = join(root, "a")
    put(storage, path, b"a" * 1000)
    blocks = storage.blocks(path, 400)
    first = next(blocks)
    put(storage, path, b"b" * 1000)
    if storage.is_local:
        # The open file is the old one.
        assert first + b"".join(blocks) == b"a" * 1000
        return "keeps reading the old one"
    with pytest.raises(StorageError, match="changed"):
        list(blocks)
    return "error"


def _writes_whole(storage: Storage, root: str) -> str:
    path = join(root, "a")
    staged = storage.stage(path)
    staged.local.write_bytes(b"new")
    assert storage.info(path) is None
    storage.commit(staged)
    put(storage, path, b"newer")
    assert storage.read(path) == b"newer"
    discarded = storage.stage(path)
    discarded.local.write_bytes(b"half")
    storage.discard(discarded)
    assert storage.read(path) == b"newer"
    return "yes"


def _writes_large_files(storage: Storage, root: str) -> str:
    data = os.urandom(2 * PART_BYTES + 1)
    put(storage, join(root, "big"), data)
    assert storage.read(join(root, "big")) == data
    return "in parts" if storage.sends_in_parts(len(data)) else "in one piece"


def _replaces_on_condition(storage: Storage, root: str) -> str:
    """What guards a write when the target changes between the look and the write."""
    path = join(root, "a")
    outcomes = set()
    for before in (None, b"old"):
        storage.delete(path)
        if before:
            put(storage, path, before)
        seen = storage.info(path)
        put(storage, path, b"another's")
        staged = storage.stage(path)
        staged.local.write_bytes(b"ours")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(storage), "info", lambda *_, seen=seen: seen)
            try:
                storage.commit_over(staged, seen)
            except ConflictError:
                outcomes.add("the store")
            except StorageError:
                outcomes.add("a look before")  # commit looks afterwards, too
            else:
                outcomes.add("a look before")
        expected = b"another's" if outcomes == {"the store"} else b"ours"
        assert storage.read(path) == expected
        with pytest.raises(ConflictError):
            storage.commit_over(staged if staged.local.exists() else _staged(storage, path), seen)
    (outcome,) = outcomes
    return outcome


def _staged(storage: Storage, path: str) -> StagedFile:
    staged = storage.stage(path)
    staged.local.write_bytes(b"ours")
    return staged


def _claims(storage: Storage, root: str) -> str:
    put(storage, join(root, "a"), b"x")
    with claimed(storage, root), pytest.MonkeyPatch.context() as patch:
        patch.setattr("connectors.storage.staging.claim.PATIENCE_SECONDS", 0.2)
        with pytest.raises(ConflictError, match="another exporter"):
            claimed(storage, root).__enter__()
    with claimed(storage, root):
        pass
    return "yes"


def _tidies(storage: Storage, root: str) -> str:
    """Leftovers of a process that is dead are found and removed, and nothing else."""
    put(storage, join(root, "kept"), b"x")
    name = re.sub(r"-[0-9]+-", "-999999999-", staged_name("dead"))
    storage.mark(join(root, name), b"x")
    assert leftovers(storage, root) == [storage.url(join(root, name))]
    assert storage.remove_leftovers(root) == [storage.url(join(root, name))]
    assert [file.path for f in storage.walk(root) for file in f.files] == [join(root, "kept")]
    storage.delete(join(root, "kept"))
    storage.delete(join(root, "kept"))
    assert storage.info(join(root, "kept")) is None
    return "yes"


def _takes_names_literally(storage: Storage, root: str) -> str:
    names = ["a[1].csv", "what?.csv", "*.csv", "p%20q.csv", "é#+ &.csv", "v?versionId=7", "g#12"]
    for name in names:
        put(storage, join(root, name), name.encode())
    assert [storage.read(join(root, name)) for name in names] == [n.encode() for n in names]
    (folder,) = storage.walk(root)
    assert [file.path for file in folder.files] == sorted(join(root, name) for name in names)
    return "yes"


def _checks(storage: Storage, root: str) -> str:
    put(storage, join(root, "a"), b"x")
    storage.check_list(root)
    storage.check_write(root)
    with pytest.raises(NotFoundError):
        storage.check_list(join(root, "none"))
    assert [file.path for f in storage.walk(root) for file in f.files] == [join(root, "a")]
    return "yes"


OPERATIONS: dict[str, Callable[[Storage, str], str]] = {
    "list, never from a cache": _lists_afresh,
    "keep `runs/`, `runs2/` and `runs.txt` apart": _keeps_similar_folders_apart,
    "read files, ranges, blocks, many at once": _reads,
    "a file that changes while its blocks are read": _notices_changes,
    "write a file whole": _writes_whole,
    "write a large file": _writes_large_files,
    "a target that another exporter has just written is kept by": _replaces_on_condition,
    "one exporter at a time, by claims": _claims,
    "delete; find and remove what a crash left": _tidies,
    "names with `*`, `?`, `#`, `%`, taken literally": _takes_names_literally,
    "`doctor`: list and write": _checks,
}


@pytest.fixture(scope="module", autouse=True)
def _small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (s3_upload, azure_client, google_upload):
            patch.setattr(module, "PART_BYTES", PART_BYTES)
        yield


def documented() -> dict[str, dict[str, str]]:
    """The cells of the table, by operation and store."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().split("## What each store supports")[1].splitlines()
        if line.startswith("|")
    ]
    titles = [COLUMNS[store] for store in STORES]
    assert rows[0] == ["operation", *titles]
    return {row[0]: dict(zip(STORES, row[1:], strict=True)) for row in rows[2:]}


def test_the_table_has_every_operation() -> None:
    assert list(documented()) == list(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("store", STORES)
def test_every_operation_on_every_store(
    store: str, operation: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    storage, root = connected(store, request, tmp_path)
    assert OPERATIONS[operation](storage, root) == documented()[operation][store]
