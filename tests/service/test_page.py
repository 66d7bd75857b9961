"""The page in a real browser: found, seen, exported, told, downloaded, imported."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.exporting import spec, write_runs
from tests.service.serving import Server, serving

TOKEN = "a-token-of-some-length"
CHROMIUM = next((one for one in ("chromium", "chromium-browser") if shutil.which(one)), None)
SIZES = {"desktop": (1280, 900), "phone": (375, 740)}
LONG = [float(n % 97) for n in range(2000)]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_runs(
        tmp_path_factory.mktemp("page") / "runs",
        spec("run_a", created="2025-01-02T03:04:05Z", warnings=["queue full"], title="Checkout"),
        spec("run_b", created="2025-01-03T03:04:05Z", title="<img src=x onerror=alert(1)>"),
        spec("run_long", "arrivals@A@DEFAULT", values=LONG, created="2025-01-01T03:04:05Z"),
        spec("run_broken"),
        spec("run_young"),
    )
    (folder / "run_broken/series/index.json").write_text("{")
    (folder / "run_young/manifest.json").rename(folder / "run_young.manifest")
    return folder


@pytest.fixture(scope="module")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ["--rate", "10000", "--burst", "10000", "--refresh", "1"]
    with serving(runs, tmp_path_factory.mktemp("state"), *options) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=shutil.which(str(CHROMIUM)), args=["--no-sandbox"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    yield from opened(browser, server)


def opened(browser: Browser, server: Server, **context: object) -> Iterator[Page]:
    """A page on which nothing fails unseen: no exception, and nothing that the policy forbids."""
    made = browser.new_context(reduced_motion="reduce", accept_downloads=True, **context)
    found = made.new_page()
    faults: list[str] = []
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on(
        "console",
        lambda told: faults.append(told.text) if "Content Security Policy" in told.text else None,
    )
    found.goto(f"{server.url}/page/")
    yield found
    made.close()
    assert faults == []


def go(page: Page, address: str) -> None:
    page.evaluate("address => { location.hash = address; }", address)


def painted(page: Page) -> int:
    """Pixels of the chart that are not empty."""
    return int(
        page.evaluate(
            """() => {
                const canvas = document.querySelector(".uplot canvas");
                const { width, height } = canvas;
                const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
                let painted = 0;
                for (let at = 3; at < data.length; at += 4) painted += data[at] > 0;
                return painted;
            }"""
        )
    )


def test_a_run_is_found_seen_exported_and_downloaded(
    page: Page, server: Server, tmp_path: Path
) -> None:
    expect(page.get_by_role("link", name="run_b", exact=True)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("checkout")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="run_a").click()
    expect(page.get_by_role("heading", name="run_a")).to_be_visible()
    expect(page.locator(".uplot canvas")).to_be_visible()
    assert painted(page) > 1000
    expect(page.get_by_text("queue full", exact=True)).to_be_visible()
    expect(page.locator(".file").last).to_contain_text(
        "2025-01-01T00:00:00Z,A,arrivals,DEFAULT,1.0"
    )

    page.get_by_role("button", name="Export", exact=True).click()
    toast = page.locator(".toast")
    expect(toast).to_contain_text("run_a is exported")
    expect(toast.get_by_role("link")).to_have_count(3)
    with page.expect_download() as waiting:
        toast.get_by_role("link", name="Parquet").click()
    saved = tmp_path / "saved"
    waiting.value.save_as(saved)
    with server.client() as client:
        assert saved.read_bytes() == client.get("/v1/runs/run_a/export/parquet").content
    expect(page.locator(".files li")).to_have_count(3)
    go(page, "#/history")
    expect(page.locator("tbody tr").first).to_contain_text("Done")


def test_one_click_in_the_list_exports(page: Page) -> None:
    page.get_by_role("button", name="Export run_b in all formats").click()
    expect(page.locator(".toast")).to_contain_text("run_b is exported")


def test_chosen_formats_and_a_condition(page: Page, server: Server) -> None:
    go(page, "#/runs/run_long")
    page.locator("input[value=ndjson]").uncheck()
    page.locator("input[value=parquet]").uncheck()
    page.get_by_text("Options").click()
    page.get_by_label("Only rows where (SQL)").fill("value > 90")
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("120 rows")
    expect(page.locator(".files")).to_contain_text("CSV (with options)")
    page.get_by_label("Only rows where (SQL)").fill("value >")
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator(".exporting .notice")).to_be_visible()


def test_the_chart_zooms_and_series_are_chosen(page: Page) -> None:
    go(page, "#/runs/run_a")
    expect(page.locator(".u-legend .u-series")).to_have_count(3)
    page.get_by_label("served@B@DEFAULT").check()
    expect(page.locator(".u-legend .u-series")).to_have_count(4)
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    expect(page.locator(".u-legend")).to_contain_text("2025-01-01 0")
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Show the whole time").click()
    page.get_by_text("Values in numbers").click()
    expect(page.locator(".cells").first).to_contain_text("served@B@DEFAULT")


def test_previews_of_all_formats(page: Page) -> None:
    go(page, "#/runs/run_a")
    page.get_by_role("tab", name="NDJSON").click()
    expect(page.locator(".file")).to_contain_text('{"time_bin":"2025-01-01T00:00:00Z"')
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Parquet")).to_be_focused()
    expect(page.locator("[role=tabpanel] tbody tr")).to_have_count(8)


def test_a_broken_run_says_why(page: Page) -> None:
    go(page, "#/?state=broken")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="run_broken").click()
    expect(page.locator(".notice")).to_contain_text("This run cannot be exported")
    expect(page.locator(".notice")).to_contain_text("index.json")
    go(page, "#/runs/nowhere")
    expect(page.get_by_role("alert")).to_contain_text("Run not found")


def test_an_export_when_the_run_completes(page: Page, runs: Path) -> None:
    go(page, "#/runs/run_young")
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
    expect(page.locator(".toast").last).to_contain_text("run_young is exported", timeout=40_000)


def test_text_of_a_run_is_text(page: Page) -> None:
    go(page, "#/runs/run_b")
    expect(page.locator(".lead")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main img").count() == 0


def test_import_by_upload(page: Page, tmp_path: Path) -> None:
    go(page, "#/import")
    head = "time_bin,component_id,measure,value"
    table = head + "\n2025-01-01T00:00:00Z,A,x,{}\n2025-01-01T01:00:00Z,A,x,2\n"
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text(table.format("eins"))
    good.write_text(table.format("1"))
    page.set_input_files("#files", bad)
    page.get_by_role("button", name="Check only").click()
    expect(page.locator("tbody tr")).to_contain_text("bad.csv, line 2, column value")
    page.set_input_files("#files", good)
    page.get_by_role("button", name="Check only").click()
    expect(page.locator("main .notice")).to_contain_text("1 run can be imported")
    page.get_by_role("button", name="Import").click()
    page.locator("main ul a").click()
    expect(page.locator(".badge").first).to_have_text("Complete")
    go(page, "#/history")
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("Import of good.csv")
    expect(row).to_contain_text("Done")
    row.get_by_role("link").click()
    expect(page.locator(".badge").first).to_have_text("Complete")
    go(page, "#/history?state=failed")
    expect(page.locator("tbody tr").first).to_contain_text("line 2, value: 'eins'")


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
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "run_b":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="run_b")).to_be_visible()
    button = page.get_by_role("button", name="Export", exact=True)
    for _ in range(60):
        if button.evaluate("button => button === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("is exported")
    page.keyboard.press("Escape")
    expect(page.locator(".toast")).to_have_count(0)


def test_a_token_is_asked_for_once(browser: Browser, runs: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    with serving(runs, tmp_path / "state", "--token-file", str(tokens), wait=False) as server:
        for page in opened(browser, server):
            page.get_by_label("Token").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            expect(page.locator("dialog").get_by_role("alert")).to_contain_text("not known")
            page.get_by_label("Token").fill(TOKEN)
            page.keyboard.press("Enter")
            expect(page.get_by_role("link", name="run_a")).to_be_visible()
            page.reload()
            expect(page.get_by_role("link", name="run_a")).to_be_visible()
            assert page.evaluate("document.cookie") == ""
            assert TOKEN not in page.evaluate("JSON.stringify(localStorage)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_every_view_is_accessible_and_fits(
    scheme: str, width: str, browser: Browser, server: Server, tmp_path: Path
) -> None:
    size = dict(zip(("width", "height"), SIZES[width], strict=True))
    for page in opened(browser, server, color_scheme=scheme, viewport=size):
        page.get_by_role("button", name="Export run_a in all formats").click()
        expect(page.locator(".toast")).to_contain_text("is exported")
        for name, address, ready in (
            ("runs", "#/", "tbody tr"),
            ("run", "#/runs/run_a", ".uplot canvas"),
            ("broken", "#/runs/run_broken", ".notice"),
            ("history", "#/history", "tbody tr"),
            ("import", "#/import", ".drop"),
        ):
            go(page, address)
            page.wait_for_selector(ready)
            page.screenshot(path=shots(tmp_path) / f"{name}-{width}-{scheme}.png", full_page=True)
            found = Axe().run(page).response["violations"]
            told = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]
            assert told == [], f"{name}: {json.dumps(told, indent=1)}"
            across = page.evaluate("document.documentElement.scrollWidth")
            assert across <= size["width"], name


def shots(tmp_path: Path) -> Path:
    """Where screenshots are kept: the folder of the environment's choice, else the test's own."""
    folder = Path(os.environ.get("FLOWTIME_TEST_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
