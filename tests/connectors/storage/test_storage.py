"""Storage on real disks and real servers."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from connectors.errors import ConfigError, DeniedError, NotFoundError, StorageError
from connectors.storage import Folder, Storage, StorageOptions, connect, join, relative
from connectors.storage.calls import retry
from connectors.storage.s3 import storage as storage_s3
from connectors.storage.s3 import upload as s3_upload
from tests.servers import S3Server, serve_http
from tests.stores import STORES, connected, leftovers, put


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str]:
    """A storage, and a path in it that no other test uses."""
    return connected(request.param, request, tmp_path)


@pytest.fixture(params=("rclone", "moto"))
def s3_place(request: pytest.FixtureRequest) -> tuple[Storage, str, S3Server]:
    server: S3Server = request.getfixturevalue(f"{request.param}_s3")
    return *connect(f"s3://{server.bucket}/{uuid.uuid4().hex}", server.options()), server


def listing(storage: Storage, path: str) -> dict[str, list[tuple[str, int]]]:
    return {
        folder.path[len(path) :]: [
            (entry.path.rpartition("/")[2], entry.size) for entry in folder.files
        ]
        for folder in storage.walk(path)
    }


# --------------------------------------------------------------------------- every store


def test_what_is_committed_is_read_back(place: tuple[Storage, str]) -> None:
    storage, root = place
    path = join(root, "a/b.csv")
    staged = storage.stage(path)
    staged.local.write_bytes(b"0123456789")
    assert storage.info(path) is None
    storage.commit(staged)
    storage.discard(staged)
    entry = storage.info(path)
    assert entry is not None
    assert (entry.path, entry.size) == (path, 10)
    assert storage.read(path) == b"0123456789"
    assert storage.read(path, start=2, end=5) == b"234"
    assert storage.read(path, start=8) == b"89"
    assert storage.read(path, start=8, end=99) == b"89"
    assert storage.read(path, start=3, end=3) == b""
    assert list(storage.blocks(path, 4)) == [b"0123", b"4567", b"89"]


def test_a_commit_replaces_and_changes_the_version(place: tuple[Storage, str]) -> None:
    storage, root = place
    path = join(root, "x")
    put(storage, path, b"old")
    before = storage.info(path)
    put(storage, path, b"new!")
    after = storage.info(path)
    assert storage.read(path) == b"new!"
    assert before is not None
    assert after is not None
    assert before.version != after.version


def test_a_discarded_file_leaves_nothing(place: tuple[Storage, str]) -> None:
    storage, root = place
    put(storage, join(root, "kept"), b"1")
    staged = storage.stage(join(root, "gone"))
    staged.local.write_bytes(b"half")
    assert listing(storage, root) == {"": [("kept", 1)]}
    storage.discard(staged)
    assert not staged.local.exists()
    assert listing(storage, root) == {"": [("kept", 1)]}


def test_walk_lists_folders_before_what_is_below_them(place: tuple[Storage, str]) -> None:
    storage, root = place
    names = ["zz", "run/run.json", "run/series/a.csv", "run/series/b", "run-2/x", "run/empty"]
    for name in names:
        put(storage, join(root, name), b"" if name.endswith("empty") else name.encode())
    found = listing(storage, root)
    assert found == {
        "": [("zz", 2)],
        "/run": [("empty", 0), ("run.json", 12)],
        "/run/series": [("a.csv", 16), ("b", 12)],
        "/run-2": [("x", 7)],
    }
    order = list(found)
    assert order[0] == ""
    assert order.index("/run/series") == order.index("/run") + 1


def test_walk_gives_what_info_gives(place: tuple[Storage, str]) -> None:
    storage, root = place
    put(storage, join(root, "a/b"), b"abc")
    (folder,) = storage.walk(root)
    assert storage.info(folder.files[0].path) == folder.files[0]


def test_walk_sees_what_was_written_since(place: tuple[Storage, str]) -> None:
    storage, root = place
    for number in range(3):
        put(storage, join(root, f"f{number}"), b"x")
        assert len(listing(storage, root)[""]) == number + 1


def test_walk_of_nothing_and_of_a_file(place: tuple[Storage, str]) -> None:
    storage, root = place
    with pytest.raises(NotFoundError):
        list(storage.walk(join(root, "nothing")))
    put(storage, join(root, "file"), b"x")
    with pytest.raises(NotFoundError, match="a file, not a folder"):
        list(storage.walk(join(root, "file")))


def test_names_are_taken_literally(place: tuple[Storage, str]) -> None:
    storage, root = place
    names = ["a[1].csv", "a1.csv", "what?.csv", "*.csv", "p%20q.csv", "é#+ &.csv", "v?versionId=7"]
    for name in names:
        put(storage, join(root, name), name.encode())
    paths = [join(root, name) for name in names]
    assert [storage.read(path) for path in paths] == [name.encode() for name in names]
    assert storage.read_many(paths) == [name.encode() for name in names]
    assert {name for name, _ in listing(storage, root)[""]} == set(names)


def test_read_many_keeps_order_and_returns_failures(place: tuple[Storage, str]) -> None:
    storage, root = place
    paths = [join(root, f"s/{number}.csv") for number in range(60)]
    for path in paths[::2]:
        put(storage, path, path.encode() * 10)
    found = storage.read_many(paths)
    assert found[::2] == [path.encode() * 10 for path in paths[::2]]
    assert all(isinstance(one, NotFoundError) for one in found[1::2])
    assert storage.url(paths[1]) in str(found[1])
    assert storage.read_many([]) == []


def test_read_many_from_many_threads(place: tuple[Storage, str]) -> None:
    storage, root = place
    paths = [join(root, f"{number}") for number in range(20)]
    for path in paths:
        put(storage, path, path.encode())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(storage.read_many, [paths] * 24))
    assert results == [[path.encode() for path in paths]] * 24


def test_missing_files(place: tuple[Storage, str]) -> None:
    storage, root = place
    path = join(root, "none")
    assert storage.info(path) is None
    with pytest.raises(NotFoundError):
        storage.read(path)
    with pytest.raises(NotFoundError):
        list(storage.blocks(path, 10))
    storage.delete(path)


def test_delete(place: tuple[Storage, str]) -> None:
    storage, root = place
    put(storage, join(root, "a"), b"1")
    put(storage, join(root, "b"), b"1")
    storage.delete(join(root, "a"))
    assert listing(storage, root) == {"": [("b", 1)]}


def test_a_file_rewritten_during_blocks_is_noticed(place: tuple[Storage, str]) -> None:
    storage, root = place
    path = join(root, "big")
    put(storage, path, b"a" * 1000)
    blocks = storage.blocks(path, 400)
    assert next(blocks) == b"a" * 400
    put(storage, path, b"b" * 1000)
    if storage.is_local:
        # The open file is the old one: a version read whole is right as well.
        assert list(blocks) == [b"a" * 400, b"a" * 200]
    else:
        with pytest.raises(StorageError, match="changed"):
            list(blocks)


def test_checks_leave_nothing(place: tuple[Storage, str]) -> None:
    storage, root = place
    put(storage, join(root, "a"), b"1")
    storage.check_list(root)
    storage.check_write(root)
    assert listing(storage, root) == {"": [("a", 1)]}
    with pytest.raises(NotFoundError):
        storage.check_list(join(root, "nothing"))


def test_an_empty_file_has_no_blocks(place: tuple[Storage, str]) -> None:
    storage, root = place
    put(storage, join(root, "e"), b"")
    assert storage.read(join(root, "e")) == b""
    assert list(storage.blocks(join(root, "e"), 8)) == []


# --------------------------------------------------------------------------- names and URLs


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/../b", "/a", "a//b", "a/", "a\\b", "a\x00b", "a\nb", "./a"]
)
def test_join_refuses(name: str) -> None:
    with pytest.raises(StorageError):
        join("root", name)


def test_relative_goes_by_segments() -> None:
    assert relative("a/bc", "a/b") is None
    assert relative("a/b/c", "a/b/") == "c"
    assert relative("/x", "/") == "x"


def test_local_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage, path = connect("a/../b/")
    assert path == f"{tmp_path}/b"
    assert storage.url(path) == path
    assert connect(f"file://{tmp_path}/c") == (storage, f"{tmp_path}/c")
    monkeypatch.setenv("HOME", f"{tmp_path}/home")
    assert connect("~/x")[1] == f"{tmp_path}/home/x"
    assert connect("./~/x")[1] == f"{tmp_path}/~/x"
    assert connect("a[1]*?.csv")[1] == f"{tmp_path}/a[1]*?.csv"


@pytest.mark.parametrize(
    ("url", "options", "match"),
    [
        ("", None, "neither a path nor"),
        ("nosuch://x/y", None, "not a protocol"),
        ("s3://", None, "no bucket"),
        ("s3://b//k", None, "plain relative path"),
        ("s3://b/../k", None, "plain relative path"),
        ("s3://b/k", StorageOptions("lake", "gs"), "for gs://"),
    ],
)
def test_urls_that_are_refused(url: str, options: StorageOptions | None, match: str) -> None:
    with pytest.raises(StorageError, match=match):
        connect(url, options)


def test_a_driver_that_is_not_installed() -> None:
    with pytest.raises(ConfigError, match=r"^oci:// cannot be used: .*ocifs"):
        connect("oci://bucket/x")


def test_credentials_in_an_s3_url_are_refused_unseen() -> None:
    with pytest.raises(StorageError, match="must not hold credentials") as caught:
        connect("s3://AKIAKEY:hunter2@bucket/key")
    assert "hunter2" not in str(caught.value) + caught.value.url


def test_equal_options_share_a_storage() -> None:
    def options(secret: str) -> StorageOptions:
        return StorageOptions("x", "s3", {"key": "k" * 12, "secret": secret})

    assert connect("s3://b", options("one"))[0] is connect("s3://c/d", options("one"))[0]
    assert connect("s3://b", options("one"))[0] is not connect("s3://b", options("two"))[0]


def test_no_text_shows_a_secret() -> None:
    class Secret:
        def get_secret_value(self) -> str:
            return "hunter2"

    nested: dict[str, Any] = {"aws_secret_access_key": "hunter2", "region_name": "eu-north-1"}
    options = StorageOptions(
        "lake",
        "s3",
        {"key": "hunter2", "secret": Secret(), "endpoint_url": "http://e", "client_kwargs": nested},
    )
    for text in (repr(options), str(options), f"{options}", f"{[options]}"):
        assert "hunter2" not in text
        assert "http://e" in text
        assert "eu-north-1" in text
    assert options.secrets() == {"hunter2"}
    assert options.revealed()["secret"] == "hunter2"


# --------------------------------------------------------------------------- local


def test_links_are_named_and_never_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/f").write_text("x")
    (tmp_path / "dir").symlink_to(tmp_path / "real")
    (tmp_path / "file").symlink_to(tmp_path / "real/f")
    (tmp_path / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    storage, path = connect(str(tmp_path))
    folders = list(storage.walk(path))
    assert [folder.path for folder in folders] == [path, join(path, "real")]
    assert folders[0].links == ("broken", "dir", "file", "pipe")
    assert folders[0].special == {"pipe"}
    assert storage.info(join(path, "file")) is None
    with pytest.raises(StorageError, match="link"):
        storage.read(join(path, "file"))
    with pytest.raises(StorageError, match="pipe"):
        storage.read(join(path, "pipe"))
    with pytest.raises(StorageError, match="folder"):
        storage.read(join(path, "real"))


def test_names_that_are_no_text_are_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")).write_text("x")
    (folder,) = connect(str(tmp_path))[0].walk(str(tmp_path))
    assert (folder.files, folder.links) == ((), ("caf\\udce9.csv",))


def test_a_committed_file_has_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        storage, path = connect(str(tmp_path / "deep/er/f"))
        put(storage, path, b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o640
    assert os.listdir(tmp_path / "deep/er") == ["f"]


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    storage, path = connect(str(tmp_path / "f"))
    staged = storage.stage(path)
    Path(path).mkdir()
    with pytest.raises(StorageError, match="folder"):
        storage.commit(staged)
    storage.discard(staged)
    with pytest.raises(StorageError, match="folder"):
        storage.stage(path)
    assert os.listdir(tmp_path) == ["f"]


def test_a_long_name_can_be_staged(tmp_path: Path) -> None:
    storage, path = connect(str(tmp_path / ("é" * 125 + ".csv")))
    put(storage, path, b"x")
    assert storage.read(path) == b"x"


_STAGES_AND_DIES = """
import os, signal, sys
from connectors.storage import connect
storage, path = connect(sys.argv[1])
staged = storage.stage(path)
staged.local.write_bytes(b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_leftovers_are_those_of_the_dead(tmp_path: Path) -> None:
    target = tmp_path / "out/f.csv"
    target.parent.mkdir()
    target.write_text("old")
    died = subprocess.run([sys.executable, "-c", _STAGES_AND_DIES, str(target)], check=False)
    assert died.returncode == -signal.SIGKILL
    storage, root = connect(str(tmp_path))
    alive = storage.stage(join(root, "out/g.csv"))
    foreign = tmp_path / "out/.h.csv.0123abcd-1-89abcdef.flowtime-export.part"
    foreign.write_text("of another machine")
    other = tmp_path / "out/notes.flowtime-export.part"
    other.write_text("not ours")
    (found,) = leftovers(storage, root)
    assert found.startswith(f"{root}/out/.f.csv.")
    assert listing(storage, root) == {
        "/out": [("f.csv", 3), ("notes.flowtime-export.part", 8)],
    }
    assert storage.remove_leftovers(root) == [found]
    assert leftovers(storage, root) == []
    assert target.read_text() == "old"
    day_old = time.time() - 25 * 3600
    os.utime(foreign, (day_old, day_old))
    assert storage.remove_leftovers(root) == [str(foreign)]
    assert alive.local.exists()
    storage.discard(alive)


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    storage, path = connect(str(tmp_path / "f"))
    put(storage, path, b"old")
    staged = storage.stage(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="large") as caught:
            staged.local.write_bytes(b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    storage.discard(staged)
    assert storage.read(path) == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * 1000)
    storage, path = connect(str(file))
    blocks = storage.blocks(path, 400)
    next(blocks)
    os.truncate(file, 500)
    with pytest.raises(StorageError, match="changed"):
        next(blocks)


def test_check_write_makes_no_folder(tmp_path: Path) -> None:
    storage, path = connect(str(tmp_path / "not/yet/there"))
    storage.check_write(path)
    assert os.listdir(tmp_path) == []
    (tmp_path / "not").write_text("a file")
    with pytest.raises(StorageError, match="file, not a folder"):
        storage.check_write(path)


# --------------------------------------------------------------------------- S3


def test_bulk_and_single_reads_agree(s3_place: tuple[Storage, str, S3Server]) -> None:
    storage, root, server = s3_place
    paths = [join(root, f"f{number}") for number in range(10)]
    for number, path in enumerate(paths):
        put(storage, path, os.urandom(number * 100))
    # An option that only s3fs knows sends the same reads another way.
    options = StorageOptions("o", "s3", {**server.options().options, "requester_pays": False})
    slow, _ = connect(f"s3://{root}", options)
    assert isinstance(storage, storage_s3.S3Storage)
    assert isinstance(slow, storage_s3.S3Storage)
    assert storage._bulk.is_able
    assert not slow._bulk.is_able
    assert storage.read_many(paths) == slow.read_many(paths) == [storage.read(p) for p in paths]


def test_credentials_of_the_environment(
    s3_place: tuple[Storage, str, S3Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, root, server = s3_place
    paths = [join(root, name) for name in ("a", "b")]
    for path in paths:
        put(storage, path, b"x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret)
    # The slash keeps these options apart from those of other tests, and changes no request.
    options = StorageOptions("env", "s3", {"endpoint_url": server.endpoint_url + "/"})
    other, _ = connect(f"s3://{root}", options)
    assert other.read_many(paths) == [b"x", b"x"]


def test_large_files_go_in_parts(
    s3_place: tuple[Storage, str, S3Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", 5 * 1024 * 1024)
    storage, root, server = s3_place
    data = os.urandom(12 * 1024 * 1024)
    path = join(root, "big")
    put(storage, path, data)
    assert hashlib.sha256(storage.read(path)).digest() == hashlib.sha256(data).digest()
    assert b"".join(storage.blocks(path, 5_000_000)) == data
    entry = storage.info(path)
    assert entry is not None
    if server.key == "flowtimekey02":  # moto names an object of parts as S3 does, rclone not.
        assert entry.version.endswith("-3")


def test_a_failed_upload_in_parts_is_aborted(
    moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", 5 * 1024 * 1024)
    storage, root = connect(f"s3://{moto_s3.bucket}/{uuid.uuid4().hex}", moto_s3.options())
    path = join(root, "big")
    put(storage, path, b"old")
    staged = storage.stage(path)
    staged.local.write_bytes(os.urandom(11 * 1024 * 1024))
    # A part that is smaller than S3 allows makes the completion fail.
    monkeypatch.setattr(s3_upload, "PART_BYTES", 1024 * 1024)
    with pytest.raises(StorageError):
        storage.commit(staged)
    storage.discard(staged)
    assert storage.read(path) == b"old"
    assert isinstance(storage, storage_s3.S3Storage)
    uploads = storage._fs.call_s3("list_multipart_uploads", Bucket=moto_s3.bucket)
    key = path.removeprefix(f"{moto_s3.bucket}/")
    assert [one for one in uploads.get("Uploads", []) if one["Key"] == key] == []


def test_odd_keys_are_named_and_markers_ignored(moto_s3: S3Server) -> None:
    storage, root = connect(f"s3://{moto_s3.bucket}/{uuid.uuid4().hex}", moto_s3.options())
    assert isinstance(storage, storage_s3.S3Storage)
    prefix = root.partition("/")[2]
    for key in ("run/", "run/f", "run/a//b", "run/../up", "//top", "empty/"):
        body = b"" if key.endswith("/") else b"x"
        storage._fs.call_s3("put_object", Bucket=moto_s3.bucket, Key=f"{prefix}/{key}", Body=body)
    found = {folder.path[len(root) :]: folder for folder in storage.walk(root)}
    assert {name: [e.path for e in f.files] for name, f in found.items()} == {
        "": [],
        "/run": [join(root, "run/f")],
        "/run/a": [],
    }
    assert found["/run"].links == ("../up",)
    assert found["/run/a"].links == ("/b",)
    assert found[""].links == ("/",)


def test_more_keys_than_a_page_holds(moto_s3: S3Server) -> None:
    storage, root = connect(f"s3://{moto_s3.bucket}/{uuid.uuid4().hex}", moto_s3.options())
    assert isinstance(storage, storage_s3.S3Storage)
    prefix = root.partition("/")[2]
    keys = [f"{prefix}/r{number % 7}/{number}" for number in range(1203)]

    def send(key: str) -> None:
        assert isinstance(storage, storage_s3.S3Storage)
        storage._fs.call_s3("put_object", Bucket=moto_s3.bucket, Key=key, Body=b"x")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, keys))
    paths = [entry.path for folder in storage.walk(root) for entry in folder.files]
    assert sorted(paths) == sorted(f"{moto_s3.bucket}/{key}" for key in keys)


def test_wrong_credentials_say_so_and_show_none(rclone_s3: S3Server) -> None:
    options = StorageOptions("w", "s3", {**rclone_s3.options().options, "secret": "hunter2hunter2"})
    storage, root = connect(f"s3://{rclone_s3.bucket}/x", options)
    failures = [one for one in storage.read_many([root, root]) if isinstance(one, StorageError)]
    for call in (storage.read, lambda path: list(storage.walk(path)), storage.check_write):
        with pytest.raises(StorageError, match="check key, secret") as caught:
            call(root)
        failures.append(caught.value)
    assert len(failures) == 5
    for failure in failures:
        assert "check key, secret" in str(failure)
        assert "hunter2" not in str(failure)


def test_a_missing_bucket_says_so(s3_place: tuple[Storage, str, S3Server]) -> None:
    storage, _, _ = s3_place
    for call in (storage.read, lambda path: list(storage.walk(path)), storage.check_list):
        with pytest.raises(NotFoundError, match="bucket"):
            call("no-such-bucket/x")
    staged = storage.stage("no-such-bucket/x")
    staged.local.write_bytes(b"x")
    with pytest.raises(NotFoundError, match="bucket"):
        storage.commit(staged)
    storage.discard(staged)


def _options(port: int) -> StorageOptions:
    url = f"http://127.0.0.1:{port}"
    return StorageOptions("t", "s3", {"endpoint_url": url, "key": "k" * 12, "secret": "s" * 12})


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_silent_server_hangs_no_call(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "CALL_SECONDS", 1.0)
    storage, path = connect("s3://bucket/key", _options(silent_port))
    staged = storage.stage(path)
    staged.local.write_bytes(b"x" * 1000)
    begun = time.monotonic()
    for call in (
        lambda: storage.commit(staged),
        lambda: storage.read(path),
        lambda: storage.info(path),
        lambda: list(storage.walk(path)),
        lambda: storage.delete(path),
    ):
        with pytest.raises(StorageError, match="in time"):
            call()
    assert all("in time" in str(one) for one in storage.read_many([path, path]))
    storage.discard(staged)
    assert time.monotonic() - begun < 12


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    storage, path = connect("s3://bucket/key", _options(port))
    with pytest.raises(StorageError, match="endpoint_url"):
        storage.read(path)
    assert all("endpoint_url" in str(one) for one in storage.read_many([path, path]))


class _Flaky:
    """A server that answers 503 a number of times, then an object of a few bytes.

    Args:
        failures: How often it fails; -1 for ever.
        cut: Announce more bytes than are sent, the first time.
    """

    def __init__(self, failures: int, *, cut: bool = False) -> None:
        self.requests = 0
        self._failures = failures
        self._cut = cut
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            piece = connection.recv(65536)
            if not piece:
                return
            request += piece
        self.requests += 1
        if self.requests <= self._failures or self._failures < 0:
            head, body = "503 Service Unavailable", b"<Error><Code>SlowDown</Code></Error>"
        else:
            head, body = "200 OK", b"payload"
        length = len(body) + (5 if self._cut and self.requests == 1 else 0)
        meta = 'ETag: "e"\r\nLast-Modified: Mon, 06 Jan 2025 00:00:00 GMT\r\nConnection: close'
        header = f"HTTP/1.1 {head}\r\nContent-Length: {length}\r\n{meta}\r\n\r\n"
        connection.sendall(header.encode() + body)


def test_passing_failures_are_outlasted() -> None:
    server = _Flaky(2)
    storage, path = connect("s3://bucket/key", _options(server.port))
    assert storage.read(path) == b"payload"
    assert server.requests == 3
    server.close()


def test_lasting_failures_end_after_five_tries() -> None:
    server = _Flaky(-1)
    storage, path = connect("s3://bucket/key", _options(server.port))
    with pytest.raises(StorageError, match="kept failing"):
        storage.read(path)
    assert server.requests == retry.TRIES
    found = storage.read_many([path, path])
    assert all("kept failing" in str(one) for one in found)
    assert server.requests == 3 * retry.TRIES
    server.close()


def test_an_answer_that_is_cut_off_is_read_again() -> None:
    server = _Flaky(0, cut=True)
    storage, path = connect("s3://bucket/key", _options(server.port))
    assert storage.read(path) == b"payload"
    assert server.requests == 2
    server.close()


# --------------------------------------------------------------------------- http


def test_http_is_read_and_never_written(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/a.csv").write_bytes(b"0123456789")
    with serve_http(tmp_path) as base:
        storage, path = connect(f"{base}/runs/a.csv")
        assert storage.read(path) == b"0123456789"
        assert storage.read_many([path, path + "x"])[0] == b"0123456789"
        with pytest.raises(NotFoundError):
            storage.read(path + "x")
        with pytest.raises(StorageError, match="only be read"):
            storage.stage(path)
        assert storage.url(f"{path}?X-Amz-Signature=hunter2") == f"{base}/runs/a.csv"


def test_only_empty_folders_are_removed(place: tuple[Storage, str]) -> None:
    storage, root = place
    put(storage, join(root, "a/b/c.csv"), b"kept")
    storage.remove_folder(join(root, "a/b"))
    storage.remove_folder(join(root, "a/b/c.csv"))
    storage.remove_folder(join(root, "nowhere"))
    assert storage.read(join(root, "a/b/c.csv")) == b"kept"


def test_an_empty_folder_of_the_disk_is_removed(tmp_path: Path) -> None:
    storage, root = connect(str(tmp_path))
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a/b")
    storage.remove_folder(join(root, "link"))
    assert (tmp_path / "a/b").is_dir()
    storage.remove_folder(join(root, "a"))
    storage.remove_folder(join(root, "a/b"))
    assert [path.name for path in (tmp_path / "a").iterdir()] == []


# --------------------------------------------------------------------------- other file systems


class MountedFileSystem(LocalFileSystem):
    """A driver that lists folder by folder, as those of SFTP, FTP and SMB do."""

    protocol = "mounted"
    failures: ClassVar[dict[str, Exception]] = {}
    listed: ClassVar[list[str]] = []

    def ls(self, path: str, detail: bool = False, **options: Any) -> Any:
        name = self._strip_protocol(path).rpartition("/")[2]
        self.listed.append(name)
        if name in self.failures:
            raise self.failures[name]
        return super().ls(path, detail=detail, **options)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[Storage, str]]:
    fsspec.register_implementation("mounted", MountedFileSystem, clobber=True)
    for name in ("a/deep/f", "a/g", "b/h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    yield connect(f"mounted://{tmp_path}")
    MountedFileSystem.failures.clear()
    MountedFileSystem.listed.clear()


def below(root: str, folders: Iterator[Folder]) -> list[str]:
    return [str(relative(one.path, root)) for one in folders]


def test_a_folder_that_fails_is_not_an_empty_one(mounted: tuple[Storage, str]) -> None:
    storage, root = mounted
    assert below(root, storage.walk(root)) == ["a", "a/deep", "b"]
    MountedFileSystem.failures["deep"] = ConnectionAbortedError("gone")
    with pytest.raises(StorageError, match="gone"):
        list(storage.walk(root, denied=lambda path, error: None))
    MountedFileSystem.failures["deep"] = OSError(errno.EACCES, "no")
    with pytest.raises(DeniedError, match="permission denied"):
        list(storage.walk(root))
    denied: list[str] = []
    found = storage.walk(root, denied=lambda path, error: denied.append(path))
    assert below(root, found) == ["a", "b"]
    assert below(root, iter([Folder(path, ()) for path in denied])) == ["a/deep"]
    MountedFileSystem.failures["deep"] = FileNotFoundError()
    assert below(root, storage.walk(root)) == ["a", "b"]


def test_folders_that_are_not_entered_are_not_listed(mounted: tuple[Storage, str]) -> None:
    storage, root = mounted
    found = storage.walk(root, enter=lambda path: not path.endswith("/deep"))
    assert below(root, found) == ["a", "b"]
    assert "deep" not in MountedFileSystem.listed
    with pytest.raises(NotFoundError, match="a file, not a folder"):
        list(storage.walk(join(root, "a/g")))
    with pytest.raises(NotFoundError, match="nothing is there"):
        list(storage.walk(join(root, "c")))


def test_every_store_leaves_out_what_is_not_entered(place: tuple[Storage, str]) -> None:
    storage, root = place
    for name in ("f", "a/deep/f", "a/g", "b/x/y/h", "b-2/h"):
        put(storage, join(root, name), b"x")
    asked: list[str] = []

    def enter(path: str) -> bool:
        asked.append(str(relative(path, root)))
        return not path.endswith(("/deep", "/b"))

    assert sorted(below(root, storage.walk(root, enter=enter))) == ["", "a", "b-2"]
    assert sorted(asked) == ["a", "a/deep", "b", "b-2"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    storage, root = connect(str(tmp_path))
    for path in ("file/below.csv", "file/further/below.csv"):
        with pytest.raises(StorageError, match="a file is where a folder has to be: choose"):
            storage.stage(f"{root}/{path}")
