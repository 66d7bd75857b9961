"""A session of FlowTime's own clients against this service: fields, defaults, and orders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.exporting import spec, write_runs
from tests.service.serving import serving

COUNT = 60
SAME = "2025-03-01T00:00:00Z"
ARTIFACT = {"id", "type", "title", "created", "tags", "metadata", "files", "totalSize"}
"""Fields that both of FlowTime's user interfaces read of an artifact."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("session")
    runs = write_runs(
        folder / "runs",
        *(
            spec(
                f"run_{n:02}",
                "served@A@DEFAULT",
                created=SAME if n < 3 else f"2025-01-{n % 28 + 1:02}T{n % 24:02}:00:00Z",
                title=f"Case {n % 7}",
            )
            for n in range(COUNT)
        ),
    )
    options = ("--rate", "10000", "--burst", "10000")
    with serving(runs, folder / "state", *options) as server, server.client() as found:
        found.post("/v1/artifacts/index").raise_for_status()
        yield found


def answered(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The artifacts of a list, whose frame is as FlowTime documents it."""
    body = client.get(f"/v1/artifacts{query}").raise_for_status().json()
    assert body["count"] == len(body["artifacts"]) <= body["total"]
    for one in body["artifacts"]:
        assert set(one) >= ARTIFACT | {"lastModified"}
        assert isinstance(one["tags"], list)
        assert isinstance(one["metadata"], dict)
    found: list[dict[str, Any]] = body["artifacts"]
    return found


def ids(artifacts: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in artifacts]


def test_the_svelte_client(client: httpx.Client) -> None:
    first = answered(client, "?limit=100&sortBy=created&sortOrder=desc")
    runs = [one for one in first if one["type"] == "run"]
    assert ids(runs[:3]) == ["run_02", "run_01", "run_00"]  # equal times: by id, downwards too
    created = [one["created"] for one in first]
    assert created == sorted(created, reverse=True)
    one = client.get("/v1/artifacts/run_02").raise_for_status().json()
    assert {**one, "relationships": None} == {**runs[0], "relationships": None}
    relations = client.get("/v1/artifacts/run_02/relationships").raise_for_status().json()
    assert relations["artifactId"] == "run_02"
    for name in ("derivedFrom", "derivatives", "related"):
        assert all({"id", "type", "title"} <= set(other) for other in relations[name])
    file = client.get("/v1/artifacts/run_02/files/run.json").raise_for_status()
    assert '"run_02"' in file.text
    assert "run.json" in one["files"]


def test_the_blazor_list(client: httpx.Client) -> None:
    query = "?type=run&sortBy=created&sortOrder=desc&includeArchived=false"
    whole = ids(answered(client, f"{query}&skip=0&limit=1000"))
    assert len(whole) == COUNT
    pages = [ids(answered(client, f"{query}&skip={at}&limit=25")) for at in range(0, 75, 25)]
    assert [len(page) for page in pages] == [25, 25, 10]
    assert [one for page in pages for one in page] == whole
    assert ids(answered(client, f"{query}&search=case%203&limit=100")) == [
        name for name in whole if int(name[-2:]) % 7 == 3
    ]
    assert ids(answered(client, "?type=RUN&sortBy=title&sortOrder=asc&limit=9")) == [
        f"run_{n:02}" for n in range(0, COUNT, 7)
    ]


def test_the_command_line_list(client: httpx.Client) -> None:
    assert len(answered(client, "")) == 50  # the default limit
    assert answered(client, "") == answered(client, "?skip=0&limit=50&sortBy=created")
    assert len(answered(client, "?limit=5000")) > 100 - 40  # at most 1,000, not refused
    some = answered(client, "?type=run&templateId=adhoc-model&sortBy=id&sortOrder=asc&limit=2")
    assert ids(some) == ["run_00", "run_01"]


def test_what_cannot_be_understood_is_passed_over(client: httpx.Client) -> None:
    plain = answered(client, "")
    for query in ("?limit=x&skip=-1", "?sortBy=colour&sortOrder=up", "?createdAfter=soon&foo=1"):
        assert answered(client, query) == plain


def test_archiving_and_deleting_several(client: httpx.Client) -> None:
    for path, count in (("archive", "archived"), ("bulk-delete", "deleted")):
        done = client.post(f"/v1/artifacts/{path}", json=["run_50", "nothing"]).json()
        assert done == {
            "success": False,
            "processed": 2,
            count: 1,
            "results": [
                {"id": "run_50", "success": True},
                {
                    "id": "nothing",
                    "success": False,
                    "error": "Artifact 'nothing' not found",
                },
            ],
        }
        shown = answered(client, "?type=run&includeArchived=true&limit=100")
        archived = next(one for one in shown if one["id"] == "run_50")
        assert "archived" in archived["tags"]
        assert "run_50" not in ids(answered(client, "?type=run&limit=100"))
        client.put("/v1/artifacts/run_50", json={"archived": False}).raise_for_status()


def test_unknown_artifacts(client: httpx.Client) -> None:
    for path in ("", "/relationships", "/download", "/files/run.json"):
        answer = client.get(f"/v1/artifacts/nothing{path}")
        assert answer.status_code == 404
        assert answer.json()["error"] == "Artifact 'nothing' not found"


def test_downloads_are_named_by_the_title(client: httpx.Client, tmp_path: Path) -> None:
    answer = client.get("/v1/artifacts/run_03/download").raise_for_status()
    assert answer.headers["content-type"] == "application/zip"
    assert "Case_3.zip" in answer.headers["content-disposition"]
