"""The list of runs and the history: found, sorted, selected, kept in the address."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.exporting import spec, write_runs
from tests.service.page.browsing import go, names, notices, opened
from tests.service.serving import Server, serving


def test_words_are_found_in_any_order(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("17 case")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert names(page) == ["many_17"]
    expect(page.locator("main [role=status]").first).to_contain_text("1 run")


def test_twenty_rows_fit_a_window_of_800_pixels(browser: Browser, server: Server) -> None:
    for page in opened(browser, server, viewport={"width": 1280, "height": 800}):
        expect(page.locator("tbody tr").nth(25)).to_be_attached()
        boxes = page.locator("tbody tr").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().bottom)"
        )
        assert sum(bottom <= 800 for bottom in boxes) >= 20


def test_headers_sort_and_the_address_keeps_it(page: Page) -> None:
    page.get_by_role("button", name="Rows").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Rows")
    expect(page.locator("tbody .name a").first).to_have_text("run_long")
    page.get_by_role("button", name="Rows").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Rows")
    assert "sort=rows" in page.url
    page.reload()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Rows")
    page.go_back()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Rows")


def test_filters_outlive_a_visit_to_a_run_and_a_reload(page: Page) -> None:
    page.get_by_label("Created from").fill("2024-06-10")
    page.get_by_label("Created before").fill("2024-06-12")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("link", name="many_10").click()
    expect(page.get_by_role("heading", name="many_10")).to_be_visible()
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_label("Created from")).to_have_value("2024-06-10")
    page.get_by_label("Source").select_option("engine")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert "source=engine" in page.url


def test_a_view_is_saved_and_found_again(page: Page) -> None:
    page.get_by_label("With warnings").check()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Save view").click()
    page.get_by_label("Name of the view").fill("Trouble")
    page.keyboard.press("Enter")
    go(page, "#/")
    expect(page.locator("tbody tr").nth(5)).to_be_attached()
    page.get_by_role("link", name="Trouble").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Forget the view Trouble").click()
    expect(page.get_by_role("link", name="Trouble")).to_have_count(0)


def test_times_are_relative_and_exact_on_hover(page: Page) -> None:
    time = page.locator("tr", has_text="run_a").locator("time").first
    expect(time).to_contain_text("ago")
    assert time.get_attribute("title") == "2025-01-02 03:04 UTC"


def test_only_unusual_states_have_a_word(page: Page) -> None:
    expect(page.locator("tr", has_text="run_broken").locator(".badge")).to_have_text("Broken")
    expect(page.locator("tr", has_text="run_a").locator(".badge")).to_have_text("1 warning")
    expect(page.locator("tr", has_text="run_long").locator(".badge")).to_have_count(0)


def test_selected_runs_are_exported_together(page: Page, server: Server) -> None:
    go(page, "#/?search=many_0&sort=id")
    expect(page.locator("tbody tr")).to_have_count(10)
    page.get_by_label("Select all runs of this page").check()
    page.get_by_label("Select many_00").uncheck()
    bar = page.get_by_role("region", name="Selected runs")
    expect(bar).to_contain_text("9 runs selected")
    bar.get_by_role("button", name="Export 9 runs as CSV").click()
    expect(bar).to_be_hidden()
    expect(page.locator(".exported")).to_have_count(9, timeout=60_000)
    expect(page.locator(".news")).to_contain_text(re.compile("exports? finished|is exported"))
    # Each of them is in the tray, though the news count them together.
    entries = notices(page)
    expect(entries.first).to_contain_text("exports finished")
    entries.first.locator("summary").click()
    expect(entries.first.locator("li")).to_have_count(9)
    with server.client() as client:
        body = client.get("/v1/jobs?kind=export&search=many_0&state=done").json()
        assert {job["request"]["run"] for job in body["items"]} == {
            f"many_{n:02}" for n in range(1, 10)
        }
    page.reload()
    expect(page.locator(".exported")).to_have_count(9)


def test_two_selected_runs_are_compared(page: Page) -> None:
    page.get_by_label("Select run_b").check()
    bar = page.get_by_role("region", name="Selected runs")
    expect(bar).to_contain_text("Select two runs to compare them")
    page.get_by_label("Select run_a").check()
    link = bar.get_by_role("link", name="Compare run_b with run_a")
    assert link.get_attribute("href") == "/compare/run_b/run_a"
    page.get_by_label("Select run_long").check()
    expect(link).to_have_count(0)


def test_the_history_is_filtered_by_kind_state_and_words(page: Page, server: Server) -> None:
    with server.client() as client:
        client.post("/v1/runs/run_a/export", json={"filter": "value > 0"}).raise_for_status()
        table = b"time_bin,component_id,measure,value\n2025-01-01T00:00:00Z,A,x,one\n"
        client.post("/v1/import", files={"files": ("words.csv", table)})
    go(page, "#/history")
    page.get_by_label("Kind").select_option("import")
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("words.csv")
    row.locator("summary").click()
    expect(row.locator("li").first).to_contain_text("line 2")
    expect(page.locator("thead")).to_contain_text("Requested")
    assert "kind=import" in page.url
    page.reload()
    expect(page.locator("tbody tr").first).to_contain_text("words.csv")
    page.get_by_label("Kind").select_option("export")
    page.get_by_label("Search jobs").fill("run_a")
    expect(page.locator("tbody tr").first).to_contain_text("rows where value > 0")
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_text("No job matches")).to_be_visible()


def test_an_empty_folder_says_which_one_is_watched(browser: Browser, tmp_path: Path) -> None:
    runs = tmp_path / "incoming"
    runs.mkdir()
    (runs / "note.txt").write_text("nothing yet")
    with serving(runs, tmp_path / "state") as server:
        for page in opened(browser, server):
            expect(page.locator(".empty")).to_contain_text(str(runs))
            expect(page.locator(".empty").get_by_role("link", name="import")).to_be_visible()
            go(page, "#/?search=none")
            page.get_by_role("link", name="Show all runs").click()
            expect(page.locator(".empty")).to_contain_text("No runs yet")
            go(page, "#/history")
            expect(page.locator(".empty")).to_contain_text("Nothing was exported or imported yet")


def test_a_banner_says_that_the_runs_are_gone(browser: Browser, tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    with serving(runs, tmp_path / "state", "--refresh", "1") as server:
        for page in opened(browser, server):
            expect(page.get_by_role("link", name="run_a")).to_be_visible()
            expect(page.locator(".banner")).to_be_empty()
            shutil.move(runs, tmp_path / "elsewhere")
            banner = page.locator(".banner")
            expect(banner).to_contain_text("The runs cannot be listed", timeout=30_000)
            expect(banner).to_contain_text(re.compile(r"The list is \d+ s old"))
            assert str(tmp_path) not in banner.inner_text()
            shutil.move(tmp_path / "elsewhere", runs)
            expect(banner).to_be_empty(timeout=30_000)
