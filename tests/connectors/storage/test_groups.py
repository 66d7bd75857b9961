"""What others stage for a process that lives on, once it has given that up."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from connectors.storage import (
    Storage,
    claimed,
    connect,
    give_up,
    join,
    owner_of_group,
    remove_abandoned,
    staging_for,
)
from tests.servers import S3Server
from tests.stores import leftovers


def staged_for_another(storage: Storage, path: str) -> list[Path]:
    """Two staged files, of which the first one's group is given up."""
    groups = owner_of_group(), owner_of_group()
    files = []
    for group in groups:
        with staging_for(group):
            files.append(storage.stage(path).local)
    give_up(groups[0])
    return files


def test_staged_files_of_a_group_are_swept_alone(tmp_path: Path) -> None:
    storage, root = connect(str(tmp_path))
    given_up, kept = staged_for_another(storage, join(root, "e.csv"))
    assert leftovers(storage, root) == [str(given_up)]
    storage.sweep(root)
    assert (given_up.exists(), kept.exists()) == (False, True)


def test_staging_folders_of_a_group_are_removed_alone(
    moto_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    storage, root = connect(f"s3://{moto_s3.bucket}/{tmp_path.name}", moto_s3.options())
    given_up, kept = staged_for_another(storage, join(root, "e.csv"))
    remove_abandoned()
    assert (given_up.exists(), kept.exists()) == (False, True)


def test_files_of_a_group_in_a_store_are_removed_by_the_next_claim(
    moto_s3: S3Server, tmp_path: Path
) -> None:
    storage, root = connect(f"s3://{moto_s3.bucket}/{tmp_path.name}", moto_s3.options())
    groups = owner_of_group(), owner_of_group()
    handed = []
    for group in groups:
        with staging_for(group):
            handed.append(storage.hand_over(storage.stage(join(root, "e.csv")), root))
    give_up(groups[0])
    with claimed(storage, root, "0" * 12):
        pass
    found = [storage.info(one.handed_over.path) for one in handed if one.handed_over]
    assert found[0] is None
    assert found[1] is not None
