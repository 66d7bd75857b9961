"""Exports over HTTP: made, fetched, and only what is committed."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import time
from pathlib import Path

import duckdb
import httpx
import pytest

from pipeline.cli.main import run_cli
from tests.exporting import names, spec, write_runs
from tests.servers import S3Server
from tests.service.conftest import write_some_runs
from tests.service.serving import PROBLEM, Server, found, serving

FORMATS = ("csv", "ndjson", "parquet")


def test_a_session_of_flowtimes_client(client: httpx.Client, runs: Path, tmp_path: Path) -> None:
    """POST, then a GET for each format; the files are those of the command line."""
    shutil.copytree(runs / "run_a", tmp_path / "run_a", ignore=shutil.ignore_patterns("gold"))
    answer = client.post("/v1/runs/run_a/export")
    assert answer.status_code == 200
    body = answer.json()
    assert body["message"] == "Export completed successfully"
    assert body["runId"] == "run_a"
    assert body["formats"] == ["csv", "ndjson", "parquet"]
    assert body["artifactsPath"] == "run_a/gold"
    assert body["files"] == ["export.csv", "export.ndjson", "export.parquet"]
    assert run_cli(["export", str(tmp_path / "run_a"), "--format", "all"]) == 0
    for form in FORMATS:
        fetched = client.get(f"/v1/runs/run_a/export/{form}")
        assert fetched.status_code == 200
        assert fetched.content == (tmp_path / f"run_a/gold/export.{form}").read_bytes()
        assert fetched.content == (runs / f"run_a/gold/export.{form}").read_bytes()
    gold = client.get("/v1/runs/run_a/export/gold")
    assert gold.headers["content-type"] == "text/csv; charset=utf-8"
    # The command line finds the service's export to be its own.
    before = (runs / "run_a/gold/export.csv").stat().st_mtime_ns
    assert run_cli(["export", str(runs / "run_a"), "--format", "all"]) == 0
    assert (runs / "run_a/gold/export.csv").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", [b"{", b""])
def test_a_damaged_descriptor_is_replaced(client: httpx.Client, runs: Path, damage: bytes) -> None:
    client.post("/v1/runs/run_a/export").raise_for_status()
    expected = client.get("/v1/runs/run_a/export/csv").content
    (runs / "run_a/gold/export.datapackage.json").write_bytes(damage)
    assert client.get("/v1/runs/run_a/export/csv").status_code == 404
    client.post("/v1/runs/run_a/export").raise_for_status()
    assert client.get("/v1/runs/run_a/export/csv").content == expected


def test_media_types_and_digests(client: httpx.Client) -> None:
    client.post("/v1/runs/run_a/export").raise_for_status()
    types = {
        "csv": "text/csv; charset=utf-8",
        "ndjson": "application/x-ndjson",
        "parquet": "application/vnd.apache.parquet",
    }
    for form, media_type in types.items():
        answer = client.get(f"/v1/runs/run_a/export/{form}")
        assert answer.headers["content-type"] == media_type
        assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
        assert f"run_a.{form}" in answer.headers["content-disposition"]


def test_not_exported_yet_and_unknown(client: httpx.Client) -> None:
    key = client.get("/v1/runs/twin_1").json()["id"]
    answer = client.get(f"/v1/runs/{key}/export/csv")
    assert answer.status_code == 404
    assert "POST" in answer.json()["hint"]
    assert client.get("/v1/runs/nowhere/export/csv").status_code == 404
    assert client.post("/v1/runs/nowhere/export").status_code == 404
    wrong = client.get("/v1/runs/run_a/export/xlsx")
    assert wrong.status_code == 400
    assert "gold, ndjson, parquet" in wrong.json()["hint"]


def test_the_newest_run_is_meant_where_none_is_named(client: httpx.Client) -> None:
    assert client.post("/export").json()["runId"] == "run_b"
    newest = client.get("/export/csv")
    assert newest.content == client.get("/v1/runs/run_b/export/csv").content
    assert client.post("/export", params={"runId": "run_a"}).json()["runId"] == "run_a"
    named = client.get("/export/ndjson", params={"runId": "run_a"})
    assert named.content == client.get("/v1/runs/run_a/export/ndjson").content


def test_options_make_an_export_beside_the_plain_one(client: httpx.Client, runs: Path) -> None:
    client.post("/v1/runs/run_a/export").raise_for_status()
    plain = client.get("/v1/runs/run_a/export/csv").content
    options = {
        "formats": ["parquet"],
        "columns": ["measure", "value", "kind"],
        "metadata": ["kind"],
        "filter": "value > 2",
    }
    answer = client.post("/v1/runs/run_a/export", json=options).raise_for_status().json()
    assert answer["variant"].startswith("custom-")
    assert client.get("/v1/runs/run_a/export/csv").content == plain
    made = client.get(answer["downloads"]["parquet"])
    assert made.status_code == 200
    path = runs / answer["artifactsPath"] / "export.parquet"
    assert path.read_bytes() == made.content
    assert duckdb.sql(f"SELECT min(value), count(*) FROM '{path}'").fetchall() == [(2.5, 10)]
    listed = client.get("/v1/runs/run_a").json()["exports"]
    assert {"csv", "ndjson", "parquet"} <= {one["format"] for one in listed if not one["variant"]}
    assert [one["url"] for one in listed if one["variant"]] == [answer["downloads"]["parquet"]]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"columns": ["valeu"]}, 400, "value"),
        ({"metadata": ["unti"]}, 400, "unit"),
        ({"filter": "value >"}, 400, "SQL condition"),
        ({"filter": "${HOME} = 1"}, 400, "SQL condition"),
        (
            {"formats": ["xlsx"]},
            400,
            "formats[0]: expected 'csv', 'gold', 'ndjson' or",
        ),
        ({"formats": []}, 422, "body formats: expected at least 1 entries"),
        ({"colums": ["value"]}, 422, "body colums: is not a known field"),
        ({"webhook": "http://169.254.169.254/"}, 400, "webhook"),
    ],
)
def test_wrong_options(
    client: httpx.Client, options: dict[str, object], status: int, message: str
) -> None:
    answer = client.post("/v1/runs/run_a/export", json=options)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert set(answer.json()) == PROBLEM


def test_a_run_with_changed_series_is_not_exported(client: httpx.Client, runs: Path) -> None:
    answer = client.post("/v1/runs/run_liar/export")
    assert answer.status_code == 422
    assert "sha256" in answer.json()["error"]
    assert str(runs) not in answer.text
    assert not list((runs / "run_liar").glob("gold/export.*"))


def test_respond_async(client: httpx.Client) -> None:
    answer = client.post("/v1/runs/run_c/export", headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['jobId']}"
    assert client.get(answer.headers["location"]).status_code == 200
    waited = client.post("/v1/runs/run_c/export", headers={"Prefer": "handling=lenient, wait=60"})
    assert waited.headers["preference-applied"] == "wait=60"


def test_conditions_ranges_and_compression(client: httpx.Client) -> None:
    client.post("/v1/runs/run_a/export").raise_for_status()
    url = "/v1/runs/run_a/export/csv"
    whole = client.get(url)
    tag, size = whole.headers["etag"], len(whole.content)
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
    assert client.get(url, headers={"If-None-Match": f'"x", W/{tag}'}).status_code == 304
    assert client.get(url, headers={"If-None-Match": '"x"'}).status_code == 200
    since = whole.headers["last-modified"]
    assert client.get(url, headers={"If-Modified-Since": since}).status_code == 304
    for wish, start, end in (
        ("bytes=0-9", 0, 10),
        (f"bytes={size - 5}-", size - 5, size),
        ("bytes=-7", size - 7, size),
        ("bytes=3-99999999", 3, size),
    ):
        part = client.get(url, headers={"Range": wish})
        assert part.status_code == 206
        assert part.content == whole.content[start:end]
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    past = client.get(url, headers={"Range": f"bytes={size}-"})
    assert past.status_code == 416
    assert past.headers["content-range"] == f"bytes */{size}"
    for ignored in ("bytes=5-2", "rows=1-2", "bytes=0-1,4-5", "bytes=" + "0-1," * 5000 + "9-"):
        assert client.get(url, headers={"Range": ignored}).content == whole.content
    changed = client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert changed.status_code == 200
    same = client.get(url, headers={"Range": "bytes=0-9", "If-Range": tag})
    assert same.status_code == 206
    with client.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["etag"] != tag
        assert gzip.decompress(raw) == whole.content
    parquet = client.get("/v1/runs/run_a/export/parquet", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in parquet.headers
    refused = client.get(url, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers
    head = client.head(url)
    assert (head.headers["content-length"], head.content) == (str(size), b"")


def test_only_what_a_descriptor_names_is_served(client: httpx.Client, runs: Path) -> None:
    gold = runs / "twin_2/gold"
    key = client.get("/v1/runs/twin_2").json()["id"]
    url = f"/v1/runs/{key}/export/csv"
    gold.mkdir()
    (gold / "export.csv").write_text("half a file")
    assert client.get(url).status_code == 404
    client.post(f"/v1/runs/{key}/export").raise_for_status()
    assert client.get(url).status_code == 200
    whole = (gold / "export.csv").read_bytes()
    (gold / "export.csv").write_bytes(whole[:-1])
    assert client.get(url).status_code == 404
    package = json.loads((gold / "export.datapackage.json").read_text())
    for item in package["resources"]:
        item["path"] = "../../../../../../etc/passwd"
    (gold / "export.datapackage.json").write_text(json.dumps(package))
    assert client.get(url).status_code == 404
    (gold / "export.datapackage.json").write_text("[1")
    assert client.get(url).status_code == 404


def test_a_gold_folder_that_is_a_link_is_not_followed(client: httpx.Client, runs: Path) -> None:
    write_runs(runs, spec("run_linked", created="2019-01-01T00:00:00Z"))
    outside = runs.parent / "outside"
    outside.mkdir()
    (runs / "run_linked/gold").symlink_to(outside)
    found(client, "run_linked")
    answer = client.post("/v1/runs/run_linked/export")
    assert answer.status_code == 422
    assert names(outside) == []
    client.post("/v1/runs/run_a/export").raise_for_status()
    for file in (runs / "run_a/gold").iterdir():
        if file.is_file():
            shutil.copy(file, outside)
    assert client.get("/v1/runs/run_linked/export/csv").status_code == 404


def test_fresh_stores_nothing(client: httpx.Client, server: Server, runs: Path) -> None:
    write_runs(runs, spec("run_fresh", created="2019-01-01T00:00:00Z"))
    found(client, "run_fresh")
    before = names(runs / "run_fresh")
    answers = {form: client.get(f"/v1/runs/run_fresh/export/{form}?fresh=true") for form in FORMATS}
    assert names(runs / "run_fresh") == before
    end = time.monotonic() + 5
    while left := list(server.log.parent.glob("fresh/*")):
        assert time.monotonic() < end, left
    client.post("/v1/runs/run_fresh/export").raise_for_status()
    for form, answer in answers.items():
        assert answer.status_code == 200
        assert answer.content == client.get(f"/v1/runs/run_fresh/export/{form}").content


def test_fresh_takes_options(client: httpx.Client, runs: Path) -> None:
    """The same as POST with these options makes, which GET with them then finds."""
    wish = {"columns": ["measure", "value"], "metadata": ["kind"], "filter": "value > 3"}
    url = "/v1/runs/run_b/export/ndjson"
    before = names(runs / "run_b")
    fresh = client.get(url, params={**wish, "fresh": "true"})
    assert fresh.status_code == 200, fresh.text
    read = [json.loads(line) for line in fresh.text.splitlines()]
    assert read
    assert all(set(row) == {"measure", "value"} and row["value"] > 3 for row in read)
    assert names(runs / "run_b") == before
    assert client.get(url, params=wish).status_code == 404
    made = client.post("/v1/runs/run_b/export", json={"formats": ["ndjson"], **wish}).json()
    assert client.get(url, params=wish).content == fresh.content
    newest = client.get("/export/ndjson", params={**wish, "fresh": "true"})
    assert newest.content == fresh.content
    for more in ({**wish}, {"fresh": "true"}):
        both = client.get(url, params={**more, "variant": made["variant"]})
        assert both.status_code == 400
    for wrong in ({"columns": ["valeu"]}, {"metadata": ["unti"]}, {"filter": "value >"}):
        answer = client.get(url, params={**wrong, "fresh": "true"})
        assert answer.status_code == 400
        assert set(answer.json()) == PROBLEM


def test_exports_to_a_folder_of_their_own(tmp_path: Path) -> None:
    runs = write_some_runs(tmp_path / "runs")
    exports = tmp_path / "exports {x}"
    with (
        serving(runs, tmp_path / "state", "--exports", str(exports)) as server,
        server.client() as client,
    ):
        keys = [client.get(f"/v1/runs/{name}").json()["id"] for name in ("twin_1", "twin_2")]
        answers = [client.post(f"/v1/runs/{key}/export").json() for key in keys]
        folders = {answer["artifactsPath"] for answer in answers}
        assert len(folders) == 2
        for key, folder in zip(keys, sorted(a["artifactsPath"] for a in answers), strict=True):
            assert (exports / folder / "export.csv").is_file()
            assert client.get(f"/v1/runs/{key}/export/csv").status_code == 200
        assert not list(runs.glob("*/gold"))


@pytest.mark.parametrize("to", ["gold", "exports"])
def test_runs_and_exports_on_s3(
    rclone_s3: S3Server, tmp_path: Path, to: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connectors.storage import connect

    storage, root = connect(f"s3://{rclone_s3.bucket}/service-{to}/runs", rclone_s3.options())
    for file in sorted((runs / "run_a").rglob("*")):
        if file.is_file() and "gold" not in file.parts:
            staged = storage.stage(f"{root}/run_a/{file.relative_to(runs / 'run_a').as_posix()}")
            staged.local.write_bytes(file.read_bytes())
            storage.commit(staged)
    options = [
        f"--storage-option=endpoint_url={rclone_s3.endpoint_url}",
        f"--storage-option=key={rclone_s3.key}",
        "--storage-option=secret=${S3_SECRET}",
        "--storage-option=region=us-east-1",
    ]
    if to == "exports":
        options += ["--exports", f"s3://{rclone_s3.bucket}/service-{to}/exports"]
    url = f"s3://{rclone_s3.bucket}/service-{to}/runs"
    environ = {"S3_SECRET": rclone_s3.secret}
    with (
        serving(url, tmp_path / "state", *options, environ=environ) as server,
        server.client() as client,
    ):
        assert client.get("/v1/runs").json()["totalCount"] == 1
        answer = client.post("/v1/runs/run_a/export")
        assert answer.status_code == 200, answer.text
        shutil.copytree(runs / "run_a", tmp_path / "run_a", ignore=shutil.ignore_patterns("gold"))
        assert run_cli(["export", str(tmp_path / "run_a"), "--format", "all"]) == 0
        for form in FORMATS:
            fetched = client.get(f"/v1/runs/run_a/export/{form}")
            assert fetched.status_code == 200
            assert fetched.content == (tmp_path / f"run_a/gold/export.{form}").read_bytes()
            part = client.get(f"/v1/runs/run_a/export/{form}", headers={"Range": "bytes=5-20"})
            assert part.content == fetched.content[5:21]
        series = client.get("/v1/runs/run_a/series/served")
        assert series.content == (runs / "run_a/series/served@A@DEFAULT.csv").read_bytes()
        assert client.get("/v1/runs/run_a/export/csv?fresh=true").status_code == 200
        everything = server.log.read_text() + client.get("/v1/runs/run_a").text
        assert rclone_s3.secret not in everything
