"""The stores that tests run against: disk, memory, and servers on this machine."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from connectors.storage import Storage, StorageOptions, connect
from connectors.storage.staging.folders import abandoned_folders

SERVERS = {
    "rclone": "rclone_s3",
    "moto": "moto_s3",
    "azure": "azure_server",
    "google": "google_server",
}
"""Fixtures of servers, by the names of stores."""
STORES = ("local", "memory", *SERVERS)


def store_place(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[str, StorageOptions]:
    """A URL in a store that no other test uses, and the options to connect with."""
    if name == "local":
        return str(tmp_path / "root"), StorageOptions()
    if name == "memory":
        return f"memory://test/{uuid.uuid4().hex}", StorageOptions()
    server: Any = request.getfixturevalue(SERVERS[name])
    options = server.options()
    return f"{options.protocol}://{server.bucket}/{uuid.uuid4().hex}", options


def leftovers(storage: Storage, path: str) -> list[str]:
    """URLs of what dead exporters left below a path, and their folders in TMPDIR."""
    return [storage.url(mark.path) for mark in storage.abandoned(path)] + abandoned_folders()


def connected(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str]:
    """A storage, and a path in it that no other test uses."""
    return connect(*store_place(name, request, tmp_path))


def put(storage: Storage, path: str, data: bytes) -> None:
    """Store bytes whole."""
    staged = storage.stage(path)
    try:
        staged.local.write_bytes(data)
        storage.commit(staged)
    finally:
        storage.discard(staged)
