"""Open pages in a browser, and read what they show."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.service.serving import Server

CHROMIUM = next((one for one in ("chromium", "chromium-browser") if shutil.which(one)), None)


def in_turns(widths: Iterable[Any]) -> list[Any]:
    """Return parameters of a test: each width in light or dark in turns, `-m slow` in the other."""
    schemes = ("light", "dark")
    return [
        pytest.param(width, scheme, marks=() if place % 2 == turn else pytest.mark.slow)
        for place, width in enumerate(widths)
        for turn, scheme in enumerate(schemes)
    ]


def opened(browser: Browser, server: Server, **context: object) -> Iterator[Page]:
    """Yield a page; no exception and no violation of the policy may happen on it unseen."""
    made = browser.new_context(reduced_motion="reduce", accept_downloads=True, **context)
    page = made.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda one: faults.append(one.text) if "Content Security Policy" in one.text else None,
    )
    page.goto(f"{server.url}/page/")
    yield page
    made.close()
    assert faults == [], faults


def go(page: Page, address: str) -> None:
    """Go to a view."""
    page.evaluate("address => { location.hash = address; }", address)


def shots(tmp_path: Path) -> Path:
    """Return the folder of screenshots: of the environment's choice, else the test's own."""
    folder = Path(os.environ.get("FLOWTIME_TEST_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def names(page: Page) -> list[str]:
    """Return what the rows of a list are called."""
    return page.locator("tbody .name a").all_inner_texts()


def notices(page: Page) -> Locator:
    """Return the entries of the tray, which is opened where it is closed."""
    button = page.locator("#tray-button")
    if button.get_attribute("aria-expanded") != "true":
        button.click()
    return page.locator(".tray-list > li")


def painted(page: Page) -> int:
    """Return the number of pixels of the first panel that are not empty."""
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


def settled(page: Page) -> None:
    """Wait until the chart shows what was asked for."""
    expect(page.locator(".uplot canvas").first).to_be_visible()
    page.wait_for_timeout(250)
    expect(page.locator(".chart:not([aria-busy])")).to_be_visible(timeout=20_000)


def shown_values(page: Page, folder: Path) -> list[dict[str, str]]:
    """Return the rows of what the chart shows, as its own CSV has them."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save the shown values as CSV").click()
    path = folder / "shown.csv"
    waiting.value.save_as(path)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
