"""Runs in the API: lists, metadata, series, charts, first rows."""

from __future__ import annotations

import math
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from connectors.flowtime.discover.discovery import discover
from connectors.storage import connect
from pipeline.service.catalog.series_chart import chart_values
from tests.exporting import spec, write_runs
from tests.run_builder import write_run
from tests.service.conftest import AWKWARD_ID
from tests.service.serving import found, serving

TWINS = {"twin_1", "twin_2"}


def ids(answer: httpx.Response) -> list[str]:
    return [item["id"] for item in answer.raise_for_status().json()["items"]]


def test_runs_are_listed_newest_first_with_broken_ones_and_reasons(client: httpx.Client) -> None:
    body = client.get("/v1/runs").raise_for_status().json()
    assert [item["id"] for item in body["items"]][:4] == ["run_b", "run_a", "run_liar", "run_c"]
    assert body["totalCount"] == 9
    assert body["states"] == {"complete": 7, "broken": 1, "incomplete": 1}
    by_id = {item["id"]: item for item in body["items"]}
    assert "series/index.json" in by_id["run_broken"]["reason"]
    assert "manifest.json is missing" in by_id["run_young"]["reason"]
    assert by_id["run_a"]["warningCount"] == 1
    assert by_id["run_a"]["grid"] == {
        "bins": 4,
        "binMinutes": 60,
        "binSize": 60,
        "binUnit": "minutes",
    }
    assert by_id["run_a"]["path"] == "run_a"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"search": "run_a"}, ["run_a"]),
        ({"search": "SECOND"}, ["run_b"]),
        ({"search": "queue full of nothing"}, []),
        ({"state": "broken"}, ["run_broken"]),
        ({"hasWarnings": "true"}, ["run_a"]),
        ({"createdFrom": "2025-01-02", "createdTo": "2025-01-03", "sort": "id"}, ["run_a"]),
        ({"sort": "created", "pageSize": 1, "page": 4}, None),
        ({"sort": "-id", "pageSize": 2, "search": "run_"}, ["run_young", "run_liar"]),
        ({"sort": "-rows", "search": "run_c"}, ["run_c"]),
        ({"page": 1000}, []),
    ],
)
def test_runs_are_searched_sorted_and_paged(
    client: httpx.Client, query: dict[str, str], expected: list[str] | None
) -> None:
    found = ids(client.get("/v1/runs", params=query))
    if expected is None:
        assert len(found) == 1
    elif "createdFrom" in query:
        assert set(found) >= set(expected)
        assert "run_b" not in found
    else:
        assert found == expected


def test_pages_together_are_the_whole(client: httpx.Client) -> None:
    pages = [client.get("/v1/runs", params={"pageSize": 4, "page": n}) for n in (1, 2, 3, 4)]
    assert [one for page in pages for one in ids(page)] == ids(client.get("/v1/runs"))


def test_a_run_has_its_metadata(client: httpx.Client) -> None:
    body = client.get("/v1/runs/run_a").raise_for_status().json()
    assert body["warnings"] == ["queue full"]
    assert body["measures"] == ["arrivals", "served"]
    assert body["components"] == ["A", "B"]
    assert body["timeOrigin"] == "2025-01-01T00:00:00Z"
    assert body["fingerprint"].startswith("sha256:")


def test_a_broken_run_is_shown_and_not_exported(client: httpx.Client) -> None:
    assert client.get("/v1/runs/run_broken").json()["state"] == "broken"
    for answer in (
        client.get("/v1/runs/run_broken/index"),
        client.post("/v1/runs/run_broken/export"),
        client.get("/v1/runs/run_young/export/csv"),
    ):
        assert answer.status_code == 422
        assert "run_" in answer.json()["error"]


def test_runs_that_share_an_id_have_keys_of_their_own(client: httpx.Client) -> None:
    answer = client.get("/v1/runs/twin")
    assert answer.status_code == 409
    keys = answer.json()["hint"].removeprefix("name one of them: ").split(", ")
    assert len(keys) == 2
    assert {client.get(f"/v1/runs/{key}").json()["name"] for key in keys} == TWINS
    assert client.get("/v1/runs/twin_1").json()["id"] in keys


def test_an_id_may_be_any_text(client: httpx.Client) -> None:
    name = quote(AWKWARD_ID, safe="")
    assert client.get(f"/v1/runs/{name}").json()["runId"] == AWKWARD_ID
    assert client.post(f"/v1/runs/{name}/export").status_code == 200
    answer = client.get(f"/v1/runs/{name}/export/csv")
    assert answer.status_code == 200
    shown = answer.headers["content-disposition"]
    assert shown.startswith("attachment; filename=\"a_b_c.csv\"; filename*=UTF-8''a%20%22b%22")


def test_the_index_is_the_same_for_every_dialect(client: httpx.Client) -> None:
    body = client.get("/v1/runs/run_a/index").raise_for_status().json()
    assert body["runId"] == "run_a"
    assert [one["id"] for one in body["series"]] == [
        "arrivals@A@DEFAULT",
        "served@A@DEFAULT",
        "served@B@DEFAULT",
    ]
    first = body["series"][0]
    assert (first["componentId"], first["class"], first["points"]) == ("A", "DEFAULT", 4)
    assert first["hash"].startswith("sha256:")


def test_a_series_is_its_file(client: httpx.Client, runs: Path) -> None:
    answer = client.get("/v1/runs/run_a/series/served@B@DEFAULT")
    assert answer.content == (runs / "run_a/series/served@B@DEFAULT.csv").read_bytes()
    assert answer.headers["content-type"].startswith("text/csv")
    # As FlowTime's own API: the measure alone means its first series.
    assert (
        client.get("/v1/runs/run_a/series/served").content
        == (runs / "run_a/series/served@A@DEFAULT.csv").read_bytes()
    )
    missing = client.get("/v1/runs/run_a/series/nothing")
    assert missing.status_code == 404
    assert missing.json()["hint"]


def test_a_chart_has_the_values(client: httpx.Client) -> None:
    body = client.get("/v1/runs/run_a/series/arrivals", params={"points": 100}).json()
    assert (body["bins"], body["values"]) == ([0, 1, 2, 3], [1.0, 2.5, -0.0, 4.0])
    assert (body["lowest"], body["highest"], body["pointsTotal"]) == (0.0, 4.0, 4)
    odd = client.get("/v1/runs/run_c/series/arrivals", params={"points": 10}).json()
    assert (odd["bins"], odd["values"], odd["nonFinite"]) == ([1], [1.0], 2)


def test_a_broken_series_is_an_error_not_a_chart(client: httpx.Client) -> None:
    series = client.get("/v1/runs/run_liar/index").json()["series"]
    answers = [
        client.get(f"/v1/runs/run_liar/series/{one['id']}", params={"points": 10}) for one in series
    ]
    assert [a.status_code for a in answers].count(422) == 1


@pytest.mark.parametrize("form", ["csv", "gold", "ndjson", "parquet"])
def test_first_rows_look_as_in_the_file(client: httpx.Client, form: str) -> None:
    body = client.get("/v1/runs/run_b/preview", params={"format": form, "rows": 3}).json()
    assert body["rowsTotal"] == 12
    assert len(body["rows"]) == 3
    assert [column["name"] for column in body["columns"]][:2] == ["time_bin", "component_id"]
    client.post("/v1/runs/run_b/export").raise_for_status()
    if form != "parquet":
        assert client.get(f"/v1/runs/run_b/export/{form}").text.startswith(body["text"])
    assert "2025-01-01" in body["text"]


def test_first_rows_take_options(client: httpx.Client) -> None:
    options = {"columns": ["value", "measure"], "filter": "measure = 'served' AND value > 12"}
    body = client.get("/v1/runs/run_b/preview", params=options).raise_for_status().json()
    assert [column["name"] for column in body["columns"]] == ["value", "measure"]
    assert all(row[0] > 12 and row[1] == "served" for row in body["rows"])
    wrong = client.get("/v1/runs/run_b/preview", params={"columns": ["valu"]})
    assert wrong.status_code == 400
    assert "did you mean 'value'" in wrong.json()["error"]


def test_first_rows_of_values_that_are_no_numbers(client: httpx.Client) -> None:
    body = client.get("/v1/runs/run_c/preview").raise_for_status().json()
    values = [row[4] for row in body["rows"][:3]]
    assert values == ["NaN", 1.0, "inf"]
    assert not any(isinstance(v, float) and math.isnan(v) for v in values)


def test_new_runs_are_found(client: httpx.Client, runs: Path) -> None:
    write_runs(runs, spec("run_new", created="2020-01-01T00:00:00Z"))
    assert found(client, "run_new")["state"] == "complete"
    assert "run_new" in ids(client.get("/v1/runs", params={"refresh": "true"}))


def test_a_folder_that_cannot_be_listed_is_reported_and_listed_again(tmp_path: Path) -> None:
    runs = tmp_path / "later"
    with (
        serving(runs, tmp_path / "state", wait=False) as server,
        server.client() as client,
    ):
        answer = client.get("/v1/runs")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert str(tmp_path) not in answer.text
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "failing")
        assert client.get("/healthz").status_code == 200
        # Renamed when it is whole: the service lists what it finds at any time, half a run as well.
        write_runs(tmp_path / "written", spec("run_a")).rename(runs)
        assert found(client, "run_a")["state"] == "complete"
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("points", [2, 3, 10, 999, 20_000])
def test_a_chart_keeps_every_peak(tmp_path: Path, points: int) -> None:
    values = [math.sin(n / 50) for n in range(5000)]
    values[1234], values[4321] = 99.0, -77.0
    write_run(tmp_path, spec("run_long", "wave@A@DEFAULT", values=values))
    storage, path = connect(str(tmp_path / "run_long"))
    (run,) = discover(storage, path).runs
    chart = chart_values(storage, run, run.series[0], points)
    assert len(chart.bins) <= points
    assert chart.bins == sorted(set(chart.bins))
    assert (chart.lowest, chart.highest) == (-77.0, 99.0)
    assert all(
        values[place] == value for place, value in zip(chart.bins, chart.values, strict=True)
    )
    assert {99.0, -77.0} <= set(chart.values)
    if points >= 5000:
        assert chart.values == values
