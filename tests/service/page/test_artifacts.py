"""The pages of artifacts: browsed with facets, selected, tagged, compared, followed by lineage."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

import flowtime_export as fx
from tests.exporting import spec, write_runs
from tests.service.page.browsing import CHROMIUM, go, in_turns, names, notices, opened, shots
from tests.service.serving import Server, serving

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
HOSTILE = "<img src=x onerror=alert(1)>"


def listed(client: httpx.Client, **query: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = client.get("/v1/artifacts", params=query).json()["artifacts"]
    return found


@pytest.fixture(scope="module")
def artifact_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with a run, its export, the run restored of it, and a comparison."""
    runs = write_runs(
        tmp_path_factory.mktemp("artifacts") / "runs",
        spec("run_a", "served@A@DEFAULT", created="2025-01-02T03:04:05Z", title="Checkout"),
        spec("run_b", "served@B@DEFAULT", created="2025-01-03T03:04:05Z", title=HOSTILE),
        spec("turned", "queue@A@VIP", created="2025-01-04T00:00:00Z", title="A \u202e title"),
        spec("chain", title="Chain", created="2024-01-01T00:00:00Z"),
        spec("run_broken"),
        *(
            spec(f"many_{n:02}", created=f"2024-06-{n % 28 + 1:02}T00:00:00Z", title=f"Case {n}")
            for n in range(60)
        ),
    )
    (runs / "run_broken/series/index.json").write_text("{")
    fx.export(str(runs / "chain"), str(runs / "lake/chain.parquet"))
    fx.import_runs(str(runs / "lake/chain.parquet"), str(runs / "again"))
    options = ["--rate", "10000", "--burst", "10000", "--refresh", "1"]
    options += ["--set", "streams_per_client=200"]
    with (
        serving(runs, tmp_path_factory.mktemp("state"), *options) as server,
        server.client() as client,
    ):
        client.post("/v1/runs/run_a/export", json={"formats": ["csv"]}).raise_for_status()
        body = {"baselineId": "run_a", "comparisonId": "many_00"}
        client.post("/v1/compare", json=body).raise_for_status()
        client.post("/v1/artifacts/rescan").raise_for_status()
        end = time.monotonic() + 30
        while not (listed(client, type="export") and listed(client, type="comparison")):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield server


@pytest.fixture
def artifact_page(browser: Browser, artifact_server: Server) -> Iterator[Page]:
    for page in opened(browser, artifact_server):
        go(page, "#/artifacts")
        expect(page.locator("tbody tr").first).to_be_visible()
        yield page


def test_any_artifact_is_three_clicks_away(artifact_page: Page, artifact_server: Server) -> None:
    page = artifact_page
    page.goto(artifact_server.url)
    page.get_by_role("link", name="Artifacts").click()
    page.get_by_role("button", name=re.compile(r"^Export \d+$")).click()
    expect(page.locator("tbody .badge", has_text="Run")).to_have_count(0)
    page.locator("tbody .name a", has_text="(csv)").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("export")
    expect(page.get_by_role("region", name="Files")).to_contain_text("export.csv")


def test_facets_narrow_down_and_the_address_keeps_them(artifact_page: Page) -> None:
    page = artifact_page
    page.get_by_role("button", name=re.compile("^Run ")).click()
    expect(page).to_have_url(re.compile("type=run"))
    component = page.get_by_role("region", name="Component")
    component.get_by_role("button", name=re.compile("^B ")).click()
    expect(page).to_have_url(re.compile("component=B"))
    page.get_by_label("Search artifacts").fill("run_b")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert names(page) == [HOSTILE]
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    chips = page.get_by_role("list", name="Chosen filters")
    expect(chips.get_by_role("button")).to_have_count(2)
    chips.get_by_role("button", name="Remove the filter Component: B").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Search artifacts").fill("")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.go_back()
    expect(page).to_have_url(re.compile("component=B"))


def test_headers_sort_and_pages_turn(artifact_page: Page) -> None:
    page = artifact_page
    go(page, "#/artifacts?type=run")
    page.get_by_role("button", name="Artifact", exact=True).click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Artifact")
    first = names(page)
    assert first == sorted(first)
    page.get_by_role("button", name="Next page").click()
    expect(page.locator("tbody tr")).not_to_have_count(50)
    assert "page=2" in page.url
    assert names(page)[0] > first[-1]
    page.reload()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Artifact")
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()


def test_broken_runs_and_their_reason(artifact_page: Page) -> None:
    page = artifact_page
    page.get_by_label("State").select_option("broken")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="run_broken").click()
    expect(page.locator(".notice")).to_contain_text("Broken: it cannot be used")


def test_a_view_is_saved_apart_from_those_of_runs(artifact_page: Page) -> None:
    page = artifact_page
    go(page, "#/artifacts?type=model")
    page.get_by_role("button", name="Save view").click()
    page.get_by_label("Name of the view").fill("Models")
    page.keyboard.press("Enter")
    go(page, "#/artifacts")
    page.get_by_role("link", name="Models").click()
    expect(page).to_have_url(re.compile("type=model"))
    go(page, "#/")
    expect(page.get_by_role("link", name="Models")).to_have_count(0)


def test_selected_artifacts_are_tagged_archived_and_restored(
    artifact_page: Page, artifact_server: Server
) -> None:
    page = artifact_page
    go(page, "#/artifacts?fullText=many_1&type=run")
    expect(page.locator("tbody tr")).to_have_count(10)
    page.get_by_label("Select all artifacts of this page").check()
    bar = page.get_by_role("region", name="Selected artifacts")
    expect(bar).to_contain_text("10 artifacts selected")
    bar.get_by_role("button", name="Tag").click()
    page.keyboard.type("gold, checked")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr .tags", has_text="gold")).to_have_count(10)
    expect(notices(page).first).to_contain_text("10 artifacts tagged")
    page.keyboard.press("Escape")
    page.get_by_label("Select many_10").check()
    page.get_by_label("Select many_11").check()
    bar.get_by_role("button", name="Archive").click()
    expect(page.locator("tbody tr")).to_have_count(8)
    page.get_by_label("With archived").check()
    expect(page.locator("tbody tr")).to_have_count(10)
    page.get_by_label("Select many_10").check()
    page.get_by_label("Select many_11").check()
    bar.get_by_role("button", name="Restore from the archive").click()
    expect(page.locator("tbody tr", has_text="Archived")).to_have_count(0)
    with artifact_server.client() as client:
        assert {"gold", "checked"} <= set(client.get("/v1/artifacts/many_10").json()["tags"])
        for n in range(10, 20):
            client.put(f"/v1/artifacts/many_{n}", json={"removeTags": ["gold", "checked"]})


def test_selected_artifacts_are_exported_and_compared(artifact_page: Page) -> None:
    page = artifact_page
    go(page, "#/artifacts?fullText=many_2&type=run")
    page.get_by_label("Select many_20").check()
    bar = page.get_by_role("region", name="Selected artifacts")
    expect(bar).to_contain_text("Select two runs or exports to compare them")
    page.get_by_label("Select many_21").check()
    link = bar.get_by_role("link", name="Compare many_20 with many_21")
    assert link.get_attribute("href") == "/compare/many_20/many_21"
    bar.get_by_role("button", name="Export 2 runs").click()
    expect(page.locator(".news")).to_contain_text(
        re.compile("2 exports finished|is exported"), timeout=30_000
    )


def test_lineage_leads_from_the_model_to_the_restored_run(artifact_page: Page) -> None:
    page = artifact_page
    graph = page.get_by_role("region", name="Lineage")
    go(page, "#/artifacts?fullText=Chain&type=model")
    page.locator("tbody .name a").click()
    expect(graph.locator("a.node[data-type=run]", has_text="evaluated from it")).to_have_count(2)
    go(page, "#/artifacts?fullText=chain.parquet&type=export")
    page.locator("tbody .name a").click()
    expect(graph.locator("a.node", has_text="its run")).to_be_visible()
    expect(graph.locator("a.node", has_text="its model")).to_be_visible()
    expect(graph.locator("svg path").nth(2)).to_be_attached()
    restored = graph.locator("a.node", has_text="restored from it")
    restored.focus()
    page.keyboard.press("Enter")
    expect(graph.locator("a.node[data-type=export]", has_text="its origin")).to_be_visible()
    expect(page.get_by_role("region", name="Metadata")).to_contain_text("again/chain")
    go(page, "#/artifacts/run_a")
    expect(graph.locator("a.node[data-type=comparison]")).to_contain_text("has it as the baseline")
    expect(graph.locator("a.node[data-type=export]")).to_contain_text("exported from it")


def test_notes_and_tags_are_kept(artifact_page: Page, artifact_server: Server) -> None:
    page = artifact_page
    go(page, "#/artifacts/many_30")
    form = page.get_by_role("region", name="Notes and tags")
    form.get_by_label("Title").fill("My title")
    form.get_by_label("Owner").fill("ops")
    form.get_by_label("Note").fill("two\nlines <b>")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("My title")
    form.get_by_label("New tag").fill("reviewed")
    page.keyboard.press("Enter")
    expect(form.get_by_role("link", name="reviewed")).to_be_visible()
    form.get_by_label("Pinned").check()
    expect(page.locator("header .badge", has_text="Pinned")).to_be_visible()
    page.reload()
    expect(form.get_by_label("Note")).to_have_value("two\nlines <b>")
    form.get_by_role("button", name="Remove the tag reviewed").click()
    expect(form.get_by_role("link", name="reviewed")).to_have_count(0)
    with artifact_server.client() as client:
        found = client.get("/v1/artifacts/many_30").json()
        assert (found["title"], found["owner"], found["pinned"]) == ("My title", "ops", True)
        client.put("/v1/artifacts/many_30", json={"title": "", "pinned": False})
    form.get_by_label("Title").fill("x" * 200)
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("x" * 200)


def test_files_are_previewed_and_downloaded(
    artifact_page: Page, artifact_server: Server, tmp_path: Path
) -> None:
    page = artifact_page
    go(page, "#/artifacts/run_a")
    files = page.get_by_role("region", name="Files")
    files.get_by_role("button", name="Preview run.json").click()
    expect(files.locator("pre")).to_contain_text('"run_a"')
    with page.expect_download() as waiting:
        files.get_by_role("link", name="run.json").click()
    waiting.value.save_as(tmp_path / "run.json")
    with artifact_server.client() as client:
        assert (tmp_path / "run.json").read_bytes() == client.get(
            "/v1/artifacts/run_a/files/run.json"
        ).content
    files.get_by_role("button", name="Preview series/served@A@DEFAULT.csv").click()
    expect(files.locator("pre")).to_contain_text("bin_index,value")
    with page.expect_download() as waiting:
        files.get_by_role("link", name="series/index.json").click()
    assert waiting.value.suggested_filename == "index.json"
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download", exact=True).click()
    assert waiting.value.suggested_filename == "Checkout.zip"


def test_text_of_runs_is_text_and_turns_nothing(artifact_page: Page) -> None:
    page = artifact_page
    go(page, "#/artifacts?fullText=run_b&type=run")
    expect(page.locator("tbody .name a bdi")).to_have_text(HOSTILE)
    page.locator("tbody .name a").click()
    expect(page.get_by_role("heading", level=1).locator("bdi")).to_have_text(HOSTILE)
    assert page.locator("img").count() == 0
    go(page, "#/artifacts/turned")
    expect(page.get_by_role("heading", level=1).locator("bdi")).to_contain_text("title")
    go(page, "#/artifacts/nothing%2Fat%20all")
    expect(page.locator("main").get_by_role("alert")).to_be_visible()


def test_addresses_outside_of_the_page_lead_to_it(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/artifacts?type=model")
    expect(page).to_have_url(f"{server.url}/page/#/artifacts?type=model")
    page.goto(f"{server.url}/artifacts/run_a")
    expect(page.get_by_role("heading", level=1)).to_have_text("Checkout")


@pytest.mark.parametrize(("width", "scheme"), in_turns([390, 820, 1280, 1920]))
def test_it_is_accessible_and_fits(
    browser: Browser, artifact_server: Server, scheme: str, width: int, tmp_path: Path
) -> None:
    size = {"width": width, "height": 900}
    for page in opened(browser, artifact_server, color_scheme=scheme, viewport=size):
        for name, address, settled in (
            ("list", "#/artifacts?type=run,export&tags=csv", "tbody tr"),
            ("detail", "#/artifacts/run_a", "a.node[data-type=export]"),
        ):
            go(page, address)
            expect(page.locator(settled).first).to_be_visible()
            if name == "detail":
                page.get_by_role("button", name="Preview run.json").click()
                expect(page.locator("pre")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            path = shots(tmp_path) / f"artifacts-{name}-{scheme}-{width}.png"
            page.screenshot(path=path, full_page=True)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
