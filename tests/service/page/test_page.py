"""The page in a real browser: a run is seen, exported, downloaded, imported; accessible to all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.exporting import spec, write_runs
from tests.service.page.browsing import go, in_turns, notices, opened, painted, settled, shots
from tests.service.serving import Server, serving

TOKEN = "a-token-of-some-length"
UNITS = "#/runs/run_units?series=arrivals%40A%40DEFAULT&series=utilization%40A%40DEFAULT"
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 800), "wide": (1920, 1080)}


def test_a_run_is_found_seen_exported_and_downloaded(
    page: Page, server: Server, tmp_path: Path
) -> None:
    page.keyboard.press("/")
    page.keyboard.type("checkout")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="run_a").click()
    expect(page.get_by_role("heading", name="run_a")).to_be_visible()
    settled(page)
    assert painted(page) > 1000
    expect(page.get_by_text("queue full", exact=True)).to_be_visible()
    expect(page.locator(".file").last).to_contain_text(
        "2025-01-01T00:00:00Z,A,arrivals,DEFAULT,1.0"
    )

    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator(".exporting .notice")).to_contain_text("Exported 12 rows")
    news = page.locator(".news")
    expect(news).to_contain_text("run_a is exported")
    with page.expect_download() as waiting:
        news.get_by_role("link", name="Parquet").click()
    saved = tmp_path / "saved"
    waiting.value.save_as(saved)
    with server.client() as client:
        assert saved.read_bytes() == client.get("/v1/runs/run_a/export/parquet").content
    expect(page.locator(".export-entry").first.get_by_role("link")).to_have_count(3)
    expect(notices(page).first).to_contain_text("run_a is exported")
    go(page, "#/history")
    expect(page.locator("tbody tr").first).to_contain_text("Done")


def test_one_click_in_the_list_exports(page: Page) -> None:
    page.get_by_role("button", name="Export run_b in all formats").click()
    expect(page.locator(".news")).to_contain_text("run_b is exported")
    expect(page.locator("tr", has_text="run_b").locator(".exported")).to_be_visible()


def test_options_make_an_export_that_is_labelled_and_deleted(page: Page, server: Server) -> None:
    go(page, "#/runs/run_long")
    page.locator("input[value=ndjson]").uncheck()
    page.locator("input[value=parquet]").uncheck()
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Only rows where (SQL)").fill("value > 90")
    page.get_by_label("escape formulas").check()
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator(".exporting .notice")).to_contain_text("Exported 120 rows")
    entry = page.locator(".export-entry", has_text="With options")
    expect(entry).to_contain_text("value > 90")
    expect(entry).to_contain_text("Formulas escaped")
    entry.get_by_role("button", name=re.compile("Delete")).click()
    entry.get_by_role("button", name="Delete the files").click()
    expect(entry).to_have_count(0)
    with server.client() as client:
        items = client.get("/v1/runs/run_long/exports").json()["items"]
        assert [one for one in items if one["variant"]] == []
    page.get_by_label("Only rows where (SQL)").fill("value >")
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator(".exporting .notice")).to_contain_text("Check the columns")


def test_no_rows_are_a_warning(page: Page) -> None:
    go(page, "#/runs/run_a")
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Only rows where (SQL)").fill("value > 1000000")
    page.get_by_role("button", name="Export", exact=True).click()
    notice = page.locator(".exporting .notice")
    expect(notice).to_contain_text("0 rows: no row meets the condition")
    assert notice.get_attribute("data-tone") == "warn"
    entry = notices(page).first
    expect(entry).to_contain_text("0 rows")
    assert entry.get_attribute("data-kind") == "warn"


def test_news_cover_nothing_and_failures_are_kept(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    runs = write_runs(tmp_path / "runs", *(spec(f"run_{n}") for n in range(7)), spec("run_bad"))
    series = next((runs / "run_bad/series").glob("*.csv"))
    series.write_text(series.read_text().replace("bin_index", "bin_inde"))
    with serving(runs, tmp_path / "state", "--refresh", "1") as own:
        for page in opened(browser, own):
            page.get_by_role("button", name="Export run_bad in all formats").click()
            for n in range(7):
                page.get_by_role("button", name=f"Export run_{n} in all formats").click()
            expect(page.locator(".exported")).to_have_count(7, timeout=60_000)
            news = page.locator(".news")
            expect(news).to_contain_text("7 exports finished")
            expect(news).to_contain_text("run_bad was not exported")
            bar = page.locator(".bar").bounding_box()
            box = news.bounding_box()
            assert bar is not None
            assert box is not None
            assert box["y"] + box["height"] <= bar["y"] + bar["height"]
            page.reload()
            entries = notices(page)
            expect(entries.filter(has_text="run_bad was not exported")).to_have_count(1)
            expect(page.locator("tr", has_text="run_bad").locator(".badge")).to_have_text("Broken")
            expect(page.locator("#tray-button .count")).to_be_empty()


def test_previews_of_all_formats(page: Page) -> None:
    go(page, "#/runs/run_a")
    page.get_by_role("tab", name="NDJSON").click()
    expect(page.locator(".file")).to_contain_text('{"time_bin":"2025-01-01T00:00:00Z"')
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Parquet")).to_be_focused()
    expect(page.locator("[role=tabpanel] tbody tr")).to_have_count(8)
    page.reload()
    expect(page.locator("[role=tabpanel] tbody tr")).to_have_count(8)


def test_a_broken_run_says_why(page: Page) -> None:
    go(page, "#/?state=broken")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="run_broken").click()
    expect(page.locator(".notice")).to_contain_text("This run cannot be exported")
    expect(page.locator(".notice")).to_contain_text("index.json")
    go(page, "#/runs/nowhere")
    alert = page.locator("main").get_by_role("alert")
    expect(alert).to_contain_text("Run not found")
    expect(alert).not_to_contain_text("GET")


def test_an_export_when_the_run_completes(page: Page, runs: Path) -> None:
    go(page, "#/runs/run_young")
    expect(page.locator(".notice")).to_contain_text("manifest.json is missing")
    page.get_by_role("switch").check()
    go(page, "#/history")
    expect(page.locator("tbody tr").first).to_contain_text("Waiting for the run")
    go(page, "#/runs/run_young")
    expect(page.get_by_role("switch")).to_be_checked()
    page.get_by_role("switch").uncheck()
    go(page, "#/history")
    expect(page.locator("tbody tr").first).to_contain_text("Cancelled")
    go(page, "#/runs/run_young")
    page.get_by_role("switch").check()
    expect(page.get_by_role("switch")).to_be_enabled()
    go(page, "#/")
    (runs / "run_young.manifest").rename(runs / "run_young/manifest.json")
    expect(page.locator(".news")).to_contain_text("run_young is exported", timeout=40_000)


def test_every_run_is_exported_when_it_completes(browser: Browser, tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_old"))
    with serving(runs, tmp_path / "state", "--refresh", "0.5") as server:
        for page in opened(browser, server):
            page.get_by_text("Automatic export").click()
            page.get_by_label("NDJSON").uncheck()
            page.get_by_role("switch").check()
            expect(page.locator(".auto-export summary")).to_contain_text("on: CSV, Parquet")
            write_runs(runs, spec("run_new"))
            row = page.locator("tr", has_text="run_new")
            expect(row.locator(".exported")).to_be_visible(timeout=30_000)
            expect(page.locator("tr", has_text="run_old").locator(".exported")).to_have_count(0)
            page.reload()
            expect(page.locator(".auto-export summary")).to_contain_text("on: CSV, Parquet")
            go(page, "#/history")
            expect(page.locator("tbody tr").first).to_contain_text("Automatic export")
        assert sorted(path.name for path in (runs / "run_new/gold").glob("export.*")) == [
            "export.csv",
            "export.datapackage.json",
            "export.parquet",
        ]


def test_text_of_a_run_is_text_and_turns_nothing(page: Page) -> None:
    go(page, "#/runs/run_b")
    expect(page.locator(".lead")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main img").count() == 0
    go(page, "#/runs/run_turned")
    lead = page.locator(".lead")
    expect(lead.locator("bdi").first).to_contain_text("A \u202e title")
    expect(lead.locator("bdi").nth(1)).to_have_text("run_turned")
    go(page, "#/")
    expect(page.locator("tr", has_text="run_turned").locator("small bdi")).to_be_visible()


def test_import_by_upload(page: Page, tmp_path: Path) -> None:
    go(page, "#/import")
    head = "time_bin,component_id,measure,value"
    table = head + "\n2025-01-01T00:00:00Z,A,x,{}\n2025-01-01T01:00:00Z,A,x,2\n"
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text(table.format("eins"))
    good.write_text(table.format("1"))
    page.set_input_files("#files", bad)
    page.get_by_role("button", name="Check only").click()
    problems = page.locator("main > [role=status] table")
    expect(problems.locator("tbody tr")).to_contain_text("bad.csv, line 2, column value")
    page.set_input_files("#files", good)
    page.get_by_role("button", name="Check only").click()
    expect(page.locator("main .notice")).to_contain_text("1 run can be imported")
    page.get_by_role("button", name="Import").click()
    page.locator("main > [role=status] li a").click()
    expect(page.locator(".lead")).to_contain_text("good")
    go(page, "#/history")
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("good.csv")
    expect(row).to_contain_text("Done")
    row.get_by_role("link").click()
    expect(page.locator(".lead")).to_contain_text("good")


def test_columns_are_chosen_over_the_first_rows(page: Page, server: Server, tmp_path: Path) -> None:
    go(page, "#/import")
    path = tmp_path / "plant.csv"
    path.write_text("when;station;what;x;reading\n2025-01-01T00:00:00Z;P1;flow;-;1\n")
    path.write_text(path.read_text() + "2025-01-01T01:00:00Z;P1;flow;-;2\n")
    page.set_input_files("#files", path)
    expect(page.get_by_role("region", name="First rows of the table")).to_contain_text("P1")
    expect(page.get_by_label("Column of the Component")).to_have_value("station")
    expect(page.get_by_label("Column of the Value")).to_have_value("reading")
    page.get_by_label("Column of the Time").select_option("when")
    page.get_by_label("Column of the Measure").select_option("what")
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Id of a telemetry run").fill("plant")
    page.get_by_role("button", name="Import").click()
    expect(page.locator("main .notice")).to_contain_text("1 run imported")
    with server.client() as client:
        body = client.get("/v1/runs/plant/index").json()
        assert [one["id"] for one in body["series"]] == ["flow@P1@DEFAULT"]


def test_a_run_that_exists_is_replaced_or_kept(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "again.csv"
    row = "time_bin,component_id,measure,value\n2025-01-01T00:00:00Z,A,x,{}\n"
    row += "2025-01-01T01:00:00Z,A,x,2\n"
    go(page, "#/import")
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Id of a telemetry run").fill("again")
    path.write_text(row.format(1))
    page.set_input_files("#files", path)
    page.get_by_role("button", name="Import").click()
    expect(page.locator("main .notice")).to_contain_text("1 run imported")
    path.write_text(row.format(5))
    page.set_input_files("#files", path)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("button", name="Keep")).to_be_visible()
    page.get_by_role("button", name="Replace").click()
    expect(page.locator("main .notice")).to_contain_text("1 run imported")
    expect(page.locator("main")).to_contain_text("Replaced the run that was there")
    page.get_by_role("button", name="Import").click()
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("main .notice")).to_contain_text("1 run unchanged")


def test_files_are_dropped(page: Page) -> None:
    go(page, "#/import")
    page.locator(".drop").evaluate(
        """drop => {
            const data = new DataTransfer();
            data.items.add(new File(["a,b"], "dropped.csv"));
            const how = { dataTransfer: data, bubbles: true, cancelable: true };
            drop.dispatchEvent(new DragEvent("dragover", how));
            drop.dispatchEvent(new DragEvent("drop", how));
        }"""
    )
    expect(page.locator(".drop")).to_contain_text("dropped.csv, 3 B")
    expect(page.get_by_role("button", name="Import")).to_be_enabled()


def test_the_keyboard_is_enough(page: Page) -> None:
    expect(page.get_by_role("link", name="run_b", exact=True)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "run_b":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="run_b")).to_be_visible()
    settled(page)
    button = page.get_by_role("button", name="Export", exact=True)
    for _ in range(60):
        if button.evaluate("button => button === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".news")).to_contain_text("is exported")
    page.locator("#tray-button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#tray")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#tray")).to_be_hidden()
    expect(page.locator("#tray-button")).to_be_focused()


def test_a_token_is_required_once(browser: Browser, runs: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    with serving(runs, tmp_path / "state", "--token-file", str(tokens), wait=False) as server:
        for page in opened(browser, server):
            page.get_by_label("Token").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            expect(page.locator("dialog").get_by_role("alert")).to_contain_text("not valid")
            page.get_by_label("Token").fill(TOKEN)
            page.keyboard.press("Enter")
            expect(page.get_by_role("link", name="run_a")).to_be_visible()
            page.reload()
            expect(page.get_by_role("link", name="run_a")).to_be_visible()
            assert page.evaluate("document.cookie") == ""
            stored = "JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
            assert TOKEN not in page.evaluate(stored)


@pytest.mark.parametrize(("width", "scheme"), in_turns(SIZES))
def test_every_view_is_accessible_and_fits(
    scheme: str, width: str, browser: Browser, server: Server, tmp_path: Path
) -> None:
    size = dict(zip(("width", "height"), SIZES[width], strict=True))
    for page in opened(browser, server, color_scheme=scheme, viewport=size):
        page.get_by_role("button", name="Export run_a in all formats").click()
        expect(page.locator("tr", has_text="run_a").locator(".exported")).to_be_visible()
        page.get_by_label("Select run_a").check()
        for name, address, ready in (
            ("runs", None, ".selection"),
            (
                "run",
                "#/runs/run_units?series=arrivals%40A%40DEFAULT&series=utilization%40A%40DEFAULT",
                ".uplot canvas",
            ),
            ("broken", "#/runs/run_broken", ".notice"),
            ("history", "#/history", "tbody tr"),
            ("import", "#/import", ".drop"),
            ("tray", None, ".tray-list"),
        ):
            if address is not None:
                go(page, address)
            if name == "tray":
                notices(page)
            page.wait_for_selector(ready)
            page.screenshot(path=shots(tmp_path) / f"{name}-{width}-{scheme}.png", full_page=True)
            found = Axe().run(page).response["violations"]
            faults = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]
            assert faults == [], f"{name}: {json.dumps(faults, indent=1)}"
            across = page.evaluate("document.documentElement.scrollWidth")
            assert across <= size["width"], name
