"""Files that one process hands over and another publishes, and walks of some folders."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from connectors.errors import StorageError
from connectors.storage import StagedFile, Storage, claimed, connect, join
from connectors.storage.remote import RemoteStorage
from connectors.storage.staging.names import Owner, host_mark, staging_for
from tests.connectors.storage.test_storage import place
from tests.servers import S3Server
from tests.stores import put

__all__ = ["place"]
_DEAD = 2**22 + 7


def handed_over(storage: Storage, root: str, name: str = "x=1/part.csv") -> tuple[str, StagedFile]:
    path = join(root, name)
    staged = storage.stage(path)
    staged.local.write_bytes(b"0123456789")
    return path, storage.hand_over(staged, root)


def hidden(storage: Storage, root: str) -> list[str]:
    return [mark.name for mark in storage.marks(root, ".")]


def test_what_was_handed_over_is_committed_within_the_store(
    place: tuple[Storage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, root = place
    path, staged = handed_over(storage, root)
    assert storage.info(path) is None
    if not storage.is_local:
        assert len(hidden(storage, root)) == 1
        monkeypatch.setattr(type(storage), "read", None)
        monkeypatch.setattr(RemoteStorage, "blocks", None)
    storage.commit(staged)
    storage.discard(staged)
    monkeypatch.undo()
    assert storage.read(path) == b"0123456789"
    assert hidden(storage, root) == []


def test_what_was_handed_over_is_fetched(place: tuple[Storage, str]) -> None:
    storage, root = place
    _, staged = handed_over(storage, root)
    here = storage.fetch(staged)
    assert here.local.read_bytes() == b"0123456789"
    storage.discard(here)
    assert hidden(storage, root) == []


def test_what_was_handed_over_is_discarded(place: tuple[Storage, str]) -> None:
    storage, root = place
    path, staged = handed_over(storage, root)
    storage.discard(staged)
    assert storage.info(path) is None
    assert hidden(storage, root) == []


def test_a_handed_over_file_that_was_replaced_is_refused(moto_s3: S3Server) -> None:
    storage, root = connect(f"s3://{moto_s3.bucket}/{uuid.uuid4().hex}", moto_s3.options())
    path, staged = handed_over(storage, root)
    assert staged.handed_over is not None
    put(storage, staged.handed_over.path, b"other bytes")
    with pytest.raises(StorageError, match=f"writing s3://{path}"):
        storage.commit(staged)


def test_the_next_claim_removes_what_a_dead_process_was_handed(place: tuple[Storage, str]) -> None:
    storage, root = place
    with staging_for(Owner(host_mark(), os.getpid())):
        _, ours = handed_over(storage, root)
    with staging_for(Owner(host_mark(), _DEAD)):
        _, theirs = handed_over(storage, root)
    put(storage, join(root, ".htaccess"), b"foreign")
    if storage.is_local:
        storage.sweep(join(root, "x=1"))
    with claimed(storage, root, "0" * 12):
        pass
    left = {".htaccess"}
    if ours.handed_over is not None:
        left.add(Path(ours.handed_over.path).name)
    assert (ours.handed_over is None) == storage.is_local
    assert set(hidden(storage, root)) == left
    assert theirs.handed_over is None or storage.info(theirs.handed_over.path) is None


# --------------------------------------------------------------------------- parts of a listing

_NAMES = ("a", "a-b", "a.b", "a b", "a0", "aé", "aéz", "b", "zz")


def test_a_walk_of_some_folders_is_that_part_of_a_walk(place: tuple[Storage, str]) -> None:
    storage, root = place
    for name in _NAMES:
        put(storage, join(root, f"{name}/run.json"), name.encode())
        put(storage, join(root, f"{name}/series/one.csv"), b"1")
    whole = list(storage.walk(root))
    folders = storage.folders(root)
    if folders is None:  # to list folders alone saves nothing here
        folders = list(_NAMES)
    assert sorted(folders) == sorted(_NAMES)
    for size in (1, 2, 4, len(folders)):
        parts = [
            folder
            for first in range(0, len(folders), size)
            for folder in storage.walk_some(root, set(folders[first : first + size]))
        ]
        assert sorted(parts, key=lambda one: one.path) == sorted(whole, key=lambda one: one.path)
    assert {one.path for one in storage.walk_some(root, {"a", "zz"})} == {
        one.path for one in whole if one.path[len(root) + 1 :].split("/")[0] in ("a", "zz")
    }
    entered = list(storage.walk_some(root, {"a"}, enter=lambda path: not path.endswith("series")))
    assert [one.path for one in entered] == [join(root, "a")]
    assert list(storage.walk_some(root, set())) == []
    if storage.is_local:
        (Path(root) / "latest").symlink_to(Path(root) / "zz")
        assert [one.links for one in storage.walk_some(root, set())] == [("latest",)]
        assert list(storage.walk_some(root, {"latest"})) == []
        assert len(list(storage.walk_some(root, {"latest", "a"}))) == 2


def test_folders_beside_files_are_not_listed_alone(place: tuple[Storage, str]) -> None:
    storage, root = place
    put(storage, join(root, "a/run.json"), b"{}")
    put(storage, join(root, "run.json"), b"{}")
    assert storage.folders(root) is None
