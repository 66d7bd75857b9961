"""The page of a comparison: from the list, sorted, filtered, shown in three ways, shared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.exporting import write_runs
from tests.run_builder import RunSpec
from tests.service.page.browsing import CHROMIUM, opened, painted, shots
from tests.service.serving import Server, serving

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
SERVED = "served@A@DEFAULT"
COMPARED = 30_000
"""Milliseconds in which a comparison is over, the start of its worker included."""


@pytest.fixture(scope="module")
def compare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = {f"{m}@A@DEFAULT": [float(n % 9) for n in range(300)] for m in ("arrivals", "served")}
    other = {name: list(values) for name, values in base.items()}
    other[SERVED][50] += 4
    other["queue@A@DEFAULT"] = [1.0] * 300
    folder = write_runs(
        tmp_path_factory.mktemp("compare") / "runs",
        RunSpec("base", base),
        RunSpec("other", other, title="<img src=x onerror=alert(1)>"),
    )
    options = ["--rate", "10000", "--burst", "10000"]
    with serving(folder, tmp_path_factory.mktemp("state"), *options) as server:
        yield server


@pytest.fixture
def compare_page(browser: Browser, compare_server: Server) -> Iterator[Page]:
    yield from opened(browser, compare_server)


def test_from_the_list_to_a_comparison_and_back(compare_page: Page, compare_server: Server) -> None:
    page = compare_page
    for run in ("base", "other"):
        page.get_by_role("checkbox", name=f"Select {run}", exact=True).check()
    page.get_by_role("link", name="Compare base with other").click()
    expect(page).to_have_url(f"{compare_server.url}/compare/base/other")
    expect(page.locator(".tiles li").first).to_have_text("1 different", timeout=COMPARED)
    expect(page.locator(".tiles li").last).to_have_text("1 on one side only")
    expect(page.locator("table.metrics tbody tr")).to_have_count(2)
    expect(page.locator("table.metrics tbody tr").first).to_contain_text(SERVED)
    expect(page.locator(".uplot canvas")).to_be_visible()
    assert painted(page) > 500
    expect(page.locator("table.models")).to_contain_text("<img src=x onerror=alert(1)>")
    page.get_by_role("link", name="Swap").click()
    expect(page).to_have_url(f"{compare_server.url}/compare/other/base")
    recent = page.get_by_role("region", name="Recent comparisons")
    expect(recent.get_by_role("link", name="base and other")).to_be_visible()
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.locator("tbody tr").first).to_contain_text("other and base")
    expect(page.locator("tbody tr").first).to_contain_text("1 different")


def test_only_differences_is_remembered_and_the_address_can_be_shared(
    compare_page: Page, compare_server: Server
) -> None:
    page = compare_page
    page.goto(f"{compare_server.url}/compare/base/other?sort=seriesId")
    rows = page.locator("table.metrics tbody tr")
    expect(rows.first).to_contain_text("arrivals@A@DEFAULT", timeout=COMPARED)
    page.get_by_label("Only differences").check()
    expect(rows).to_have_count(1)
    page.goto(f"{compare_server.url}/compare/base/other")
    expect(rows).to_have_count(1)
    page.get_by_label("Only differences").uncheck()
    page.get_by_role("button", name="arrivals@A@DEFAULT").click()
    page.get_by_role("tab", name="Side by side").click()
    expect(page.locator(".uplot")).to_have_count(2)
    page.get_by_role("tab", name="Difference").click()
    expect(page.locator(".uplot")).to_have_count(1)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.get_by_role("tab", name="Difference")).to_have_attribute("aria-selected", "true")
    expect(page.locator("table.metrics tr[data-chosen]")).to_contain_text("arrivals@A@DEFAULT")


def test_a_tolerance_and_a_download(
    compare_page: Page, compare_server: Server, tmp_path: Path
) -> None:
    page = compare_page
    page.goto(f"{compare_server.url}/compare/base/other")
    page.get_by_label("Absolute tolerance").fill("5")
    page.get_by_role("button", name="Compare again").click()
    expect(page.locator(".tiles li").nth(1)).to_have_text("1 within tolerance", timeout=COMPARED)
    assert "absolute=5" in page.url
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Report").click()
    waiting.value.save_as(tmp_path / "report.html")
    assert SERVED in (tmp_path / "report.html").read_text()


def test_a_window_of_a_long_series_is_read_again(browser: Browser, tmp_path: Path) -> None:
    base = {SERVED: [float(n % 9) for n in range(20_000)]}
    other = {SERVED: [value + (n == 9_000) for n, value in enumerate(base[SERVED])]}
    runs = write_runs(tmp_path / "runs", RunSpec("base", base), RunSpec("other", other))
    with serving(runs, tmp_path / "state") as server:
        asked: list[str] = []
        for page in opened(browser, server):
            page.on("request", lambda one: asked.append(one.url))
            page.goto(f"{server.url}/compare/base/other")
            notes = page.get_by_role("region", name="Chart of the chosen series")
            expect(notes).to_contain_text("of 14 bins: zoom in", timeout=COMPARED)
            for _ in range(4):
                page.get_by_role("button", name="Zoom in").click()
            expect(notes).not_to_contain_text("zoom in for every value")
            assert any("/series/" in url and "from=" in url and "to=" in url for url in asked)
            assert "from=" in page.url
            address = page.url
            page.goto("about:blank")
            page.goto(address)
            expect(page.locator(".uplot canvas")).to_be_visible(timeout=COMPARED)
            expect(notes).not_to_contain_text("zoom in for every value")
            page.locator(".chart").focus()
            page.keyboard.press("0")
            expect(notes).to_contain_text("of 14 bins: zoom in")
            assert "from=" not in page.url


def test_what_cannot_be_compared_says_why(compare_page: Page, compare_server: Server) -> None:
    compare_page.goto(f"{compare_server.url}/compare/base/nothing")
    expect(compare_page.get_by_role("alert").last).to_contain_text("Run not found")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 375)])
def test_it_is_accessible_and_fits(
    browser: Browser, compare_server: Server, scheme: str, width: int, tmp_path: Path
) -> None:
    size = {"width": width, "height": 900}
    for page in opened(browser, compare_server, color_scheme=scheme, viewport=size):
        page.goto(f"{compare_server.url}/compare/base/other?only=all&absolute=0.5")
        expect(page.locator(".uplot canvas")).to_be_visible(timeout=COMPARED)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=shots(tmp_path) / f"compare-{scheme}-{width}.png", full_page=True)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
