"""Uploads become runs, whole or not at all."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.exports.run import export
from tests.exporting import config, names, spec, write_runs
from tests.exporting import upload as upload_folder
from tests.servers import S3Server
from tests.service.serving import PROBLEM, Server, serving

TABLE = (
    "time_bin,component_id,measure,value\n"
    "2025-01-01T00:00:00Z,A,served,1.5\n"
    "2025-01-01T01:00:00Z,A,served,2.5\n"
)
FORMATS = ("csv", "ndjson", "parquet")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run elsewhere, and its exports."""
    base = tmp_path_factory.mktemp("exported")
    runs = write_runs(base / "runs", spec("run_new", values=(1.5, float("nan"), 1e-7, 93.0)))
    for form in FORMATS:
        export(config(runs, {"path": base / form / f"export.{form}"}))
    export(config(runs, {"path": base / "gz" / "export.csv.gz"}))
    return base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("importing")


@pytest.fixture(scope="module")
def shared_server(base: Path) -> Iterator[Server]:
    runs = write_runs(base / "runs", spec("run_a"))
    options = ["--rate", "10000", "--burst", "10000", "--max-upload", "300000"]
    with serving(runs, base / "state", *options) as found:
        yield found


@pytest.fixture
def server(shared_server: Server, base: Path) -> Server:
    """The server; its runs are as at the beginning."""
    for folder in (base / "runs").iterdir():
        shutil.rmtree(folder if folder.name != "run_a" else folder / "gold", ignore_errors=True)
    return shared_server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


def upload(
    client: httpx.Client,
    *files: Path | tuple[str, bytes],
    headers: dict[str, str] | None = None,
    **fields: str,
) -> httpx.Response:
    pairs = [one if isinstance(one, tuple) else (one.name, one.read_bytes()) for one in files]
    parts = [("files", pair) for pair in pairs]
    return client.post("/v1/import", files=parts, data=fields, headers=headers)


def imported(client: httpx.Client, *files: Path | tuple[str, bytes], **fields: str) -> Any:
    answer = upload(client, *files, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def uploads(base: Path) -> list[str]:
    return names(base / "state" / "uploads")


def series(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "series").glob("*.csv")}


# An NDJSON file alone says nothing of its run.
@pytest.mark.parametrize(
    ("form", "with_descriptor"),
    [
        *((form, True) for form in (*FORMATS, "gz")),
        ("csv", False),
        ("gz", False),
        ("parquet", False),
    ],
)
def test_an_export_becomes_the_run_it_was_made_of(
    form: str, with_descriptor: bool, client: httpx.Client, exported: Path, base: Path
) -> None:
    files = sorted((exported / form).iterdir())
    chosen = [path for path in files if with_descriptor or path.suffix != ".json"]
    body = imported(client, *chosen)
    (run,) = body["runs"]
    assert (body["kind"], body["message"]) == ("restored", "1 run imported")
    assert (run["runId"], run["status"], run["series"], run["rows"]) == (
        "run_new",
        "written",
        3,
        12,
    )
    assert run["notes"] == ["3 of 3 files as they were, byte for byte"]
    assert series(base / "runs/run_new") == series(exported / "runs/run_new")
    shown = client.get("/v1/runs/run_new").json()
    assert (shown["state"], shown["rows"]) == ("complete", 12)
    assert uploads(base) == []


def test_several_formats_of_an_export_are_one_import(
    client: httpx.Client, tmp_path: Path, exported: Path
) -> None:
    target = tmp_path / "all"
    runs = exported / "runs"
    export(config(runs, *({"path": target / f"export.{form}"} for form in FORMATS)))
    body = imported(client, *sorted(target.iterdir()))
    assert [run["runId"] for run in body["runs"]] == ["run_new"]


def test_a_download_returns_by_upload(client: httpx.Client, base: Path) -> None:
    client.post("/v1/runs/run_a/export").raise_for_status()
    before = series(base / "runs/run_a")
    data = client.get("/v1/runs/run_a/export/parquet").raise_for_status().content
    refused = upload(client, ("run_a.parquet", data))
    assert refused.status_code == 409
    assert "ifExists=replace" in refused.json()["hint"]
    assert imported(client, ("run_a.parquet", data), ifExists="skip")["runs"][0]["status"] == (
        "skipped"
    )
    body = imported(client, ("run_a.parquet", data), ifExists="replace")
    assert body["runs"][0]["status"] == "replaced"
    assert series(base / "runs/run_a") == before


def test_a_table_becomes_a_telemetry_run(client: httpx.Client, base: Path) -> None:
    checked = imported(client, ("Meine Tabelle (März).csv", TABLE.encode()), dryRun="true")
    assert checked["dryRun"]
    assert checked["message"] == "1 run can be imported"
    assert [path.name for path in (base / "runs").iterdir()] == ["run_a"]
    run_id = checked["runs"][0]["runId"]
    assert client.get(f"/v1/runs/{run_id}").status_code == 404
    body = imported(client, ("Meine Tabelle (März).csv", TABLE.encode()))
    assert (body["kind"], body["runs"][0]["runId"]) == ("telemetry", run_id)
    found = client.get(f"/v1/runs/{run_id}").json()
    assert (found["mode"], found["rows"], found["measures"]) == ("telemetry", 2, ["served"])


def test_options_are_those_of_the_verb(client: httpx.Client) -> None:
    table = TABLE.replace("time_bin", "when").replace("Z,", ",").replace(",", ";").encode()
    fields = {
        "columns": json.dumps({"time_bin": "when"}),
        "separator": ";",
        "timeZone": "Europe/Berlin",
        "runId": "mine",
        "binSize": "1h",
    }
    body = imported(client, ("table.txt.csv", table), **fields)
    assert body["runs"][0]["runId"] == "mine"
    assert client.get("/v1/runs/mine").json()["timeOrigin"] == "2024-12-31T23:00:00Z"


@pytest.mark.parametrize(
    ("name", "content", "where", "found"),
    [
        ("t.csv", TABLE.replace("2.5", "zwei"), "t.csv, line 3, column value", "'zwei'"),
        ("t.csv", TABLE + TABLE.splitlines()[-1] + "\n", "t.csv, line 4", ""),
        ("t.csv", TABLE.replace("measure", "metric"), "t.csv", ""),
        ("t.csv", "", "t.csv", ""),
    ],
)
def test_faults_of_a_table_name_line_and_column(
    name: str, content: str, where: str, found: str, client: httpx.Client, base: Path
) -> None:
    answer = upload(client, (name, content.encode()))
    body = answer.json()
    assert answer.status_code == 422, body
    assert body["problems"], body
    assert body["problems"][0]["where"].startswith(where), body
    assert found in body["problems"][0]["message"]
    assert sum(body["problemCounts"].values()) >= len(body["problems"])
    assert str(base) not in answer.text
    assert [path.name for path in (base / "runs").iterdir()] == ["run_a"]
    assert uploads(base) == []


def test_a_damaged_export_is_refused(client: httpx.Client, exported: Path, base: Path) -> None:
    data = bytearray((exported / "csv/export.csv").read_bytes())
    data[-5] ^= 1
    described = exported / "csv/export.datapackage.json"
    answer = upload(client, ("export.csv", bytes(data)), described)
    assert answer.status_code == 422
    assert "sha256" in answer.json()["error"]
    assert str(base) not in answer.text
    assert not (base / "runs/run_new").exists()


@pytest.mark.parametrize(
    ("files", "fields", "status"),
    [
        ([], {"runId": "x"}, 415),
        ([("t.csv", TABLE.encode())], {"foo": "1"}, 400),
        ([("t.csv", TABLE.encode())], {"ifExists": "perhaps"}, 400),
        ([("t.csv", TABLE.encode())], {"columns": "{"}, 400),
        ([("t.csv", TABLE.encode())], {"binSize": "soon"}, 400),
        ([("t.csv", TABLE.encode())], {"runId": "../x"}, 400),
        ([("t.csv", TABLE.encode()), ("t.csv", TABLE.encode())], {}, 400),
        ([("export.datapackage.json", b"{}")], {}, 400),
        ([("..", TABLE.encode())], {}, 400),
        ([("t.xlsx", b"PK\x03\x04")], {}, 422),
        ([("t.csv.gz", b"not gzip")], {}, 422),
        ([("t.parquet", b"PAR1PAR1")], {}, 422),
        ([("t.csv", b"\xff\xfe\x00")], {}, 422),
    ],
)
def test_what_cannot_be_imported_says_why(
    files: list[tuple[str, bytes]],
    fields: dict[str, str],
    status: int,
    client: httpx.Client,
    base: Path,
) -> None:
    answer = upload(client, *files, **fields)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert str(base) not in answer.text
    assert uploads(base) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../../outside.csv",
        "/etc/outside.csv",
        "..\\..\\outside.csv",
        ".outside.csv",
        "a\x00b.csv",
    ],
)
def test_names_of_files_lead_nowhere(name: str, server: Server, base: Path) -> None:
    boundary = "frontier"
    part = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    )
    body = part.encode() + TABLE.encode() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with server.client() as client:
        answer = client.post("/v1/import", content=body, headers=headers)
    assert answer.status_code in (200, 400), answer.text
    assert not [one for one in names(base) if "outside" in one and "telemetry" not in one]


@pytest.mark.parametrize("link", ["run_new", "run_new/series", "run_new/manifest.json"])
def test_links_are_not_written_through(
    link: str, client: httpx.Client, exported: Path, base: Path, tmp_path: Path
) -> None:
    place = base / "runs" / link
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(tmp_path / "outside")
    try:
        for there in (False, True):
            if there:
                (tmp_path / "outside").mkdir()
            for choice in ("error", "skip", "replace"):
                answer = upload(client, exported / "csv/export.csv", ifExists=choice)
                assert answer.status_code == 422, answer.text
                assert "link" in answer.json()["error"]
        assert names(tmp_path / "outside") == []
    finally:
        place.unlink()


FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b""),
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"files=x"),
        ("application/x-www-form-urlencoded", b"a=1&" * 50_000),
        ("multipart/form-data", b"x"),
        (FORM, b""),
        (FORM, b"--x--\r\n"),
        (FORM, b"nonsense"),
        (FORM, b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.csv"\r\n\r\na'),
        (FORM, b'--x\r\nContent-Disposition: form-data; filename="a.csv"\r\n\r\na\r\n--x--\r\n'),
        (FORM, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"y" * 200_000),
        (FORM, b"--x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n"),
        (FORM, b"--x\r\n" + b"X: y\r\n" * 30_000),
    ],
)
def test_bodies_that_are_no_forms(
    content_type: str | None, body: bytes, client: httpx.Client, base: Path
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.post("/v1/import", content=body, headers=headers)
    is_form = (content_type or "").startswith("multipart/form-data")
    assert answer.status_code == (400 if is_form else 415), answer.text
    assert set(answer.json()) == PROBLEM
    assert uploads(base) == []


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd", "export.csv/../x"])
def test_a_descriptor_that_names_other_locations(
    path: str, client: httpx.Client, exported: Path, base: Path
) -> None:
    package = json.loads((exported / "csv/export.datapackage.json").read_text())
    package["resources"][0]["path"] = path
    described = ("export.datapackage.json", json.dumps(package).encode())
    data = (exported / "csv/export.csv").read_bytes()
    whole = ("_datapackage.json", described[1])
    for files in ([("export.csv", data), described], [("export.csv", data), whole]):
        answer = upload(client, *files)
        assert answer.status_code == 422, answer.text
        assert "root:" not in answer.text
        assert str(base) not in answer.text
    assert [path.name for path in (base / "runs").iterdir()] == ["run_a"]


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a\x00b", "..", "gold/x"])
def test_a_run_whose_id_is_a_path(
    name: str, client: httpx.Client, exported: Path, base: Path
) -> None:
    package = json.loads((exported / "csv/export.datapackage.json").read_text())
    for run in package["flowtime"]["runs"]:
        run |= {key: name for key in ("id", "name", "runId", "run_id") if key in run}
    described = ("export.datapackage.json", json.dumps(package).encode())
    answer = upload(client, exported / "csv/export.csv", described)
    assert answer.status_code == 422, answer.text
    assert upload(client, ("t.csv", TABLE.encode()), runId=name).status_code in (400, 422)
    assert [path.name for path in (base / "runs").iterdir()] == ["run_a"]


def test_a_file_that_was_not_sent_is_named(client: httpx.Client, exported: Path) -> None:
    described = (exported / "csv/export.datapackage.json").read_bytes()
    answer = upload(client, ("other.csv", TABLE.encode()), ("_datapackage.json", described))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("export.csv was not sent")


def test_too_much_is_refused_before_it_is_kept(client: httpx.Client, base: Path) -> None:
    answer = upload(client, ("t.csv", b"x" * 400_000))
    assert answer.status_code == 413

    def endless() -> Iterator[bytes]:
        head = '--b\r\nContent-Disposition: form-data; name="files"; filename="t.csv"\r\n\r\n'
        yield head.encode()
        for _ in range(100):
            yield b"x" * 10_000

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/import", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert uploads(base) == []
    assert client.post("/export", content=b" " * 70_000).status_code == 413


def test_a_bomb_does_not_unpack(client: httpx.Client, base: Path) -> None:
    bomb = gzip.compress(TABLE.encode() + b"2025-01-01T02:00:00Z,A,served,1\n" * 3_000_000)
    assert len(bomb) < 300_000
    answer = upload(client, ("t.csv.gz", bomb))
    assert answer.status_code == 422
    assert "unpack" in answer.json()["error"] or "times" in answer.json()["error"]
    assert uploads(base) == []


def test_a_client_that_goes_away_leaves_nothing(server: Server, base: Path) -> None:
    head = (
        "POST /v1/import HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="files"; filename="t.csv"\r\n\r\n'
    )
    for _ in range(6):  # more than may come in at a time
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode() + b"x" * 1000)
            time.sleep(0.05)
    with server.client() as client:
        end = time.monotonic() + 30
        while upload(client, ("t.csv", TABLE.encode()), dryRun="true").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.1)
    assert uploads(base) == []


def test_a_server_that_takes_no_uploads_says_so(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    with (
        serving(runs, tmp_path / "state", "--max-upload", "0") as server,
        server.client() as client,
    ):
        answer = upload(client, ("t.csv", TABLE.encode()))
    assert answer.status_code == 404
    assert "no uploads" in answer.json()["error"]


def test_another_site_cannot_upload(client: httpx.Client, base: Path) -> None:
    client.headers["Origin"] = "https://elsewhere.example"
    assert upload(client, ("t.csv", TABLE.encode())).status_code == 403
    assert [path.name for path in (base / "runs").iterdir()] == ["run_a"]


def test_runs_on_a_store(rclone_s3: S3Server, exported: Path, tmp_path: Path) -> None:
    url = f"s3://{rclone_s3.bucket}/imports/runs"
    upload_folder(write_runs(tmp_path / "runs", spec("run_a")), url, rclone_s3.options())
    options = [
        f"--storage-option=endpoint_url={rclone_s3.endpoint_url}",
        f"--storage-option=key={rclone_s3.key}",
        "--storage-option=secret=${S3_SECRET}",
        "--storage-option=region=us-east-1",
    ]
    environ = {"S3_SECRET": rclone_s3.secret}
    with (
        serving(url, tmp_path / "state", *options, environ=environ) as server,
        server.client() as client,
    ):
        body = imported(client, exported / "parquet/export.parquet")
        assert body["runs"][0]["status"] == "written"
        assert client.get("/v1/runs/run_new").json()["state"] == "complete"
        for name, data in series(exported / "runs/run_new").items():
            got = client.get(f"/v1/runs/run_new/series/{name.removesuffix('.csv')}")
            assert got.content == data
