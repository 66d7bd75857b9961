"""Charts show the values of the file, at every zoom."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.exporting import spec, write_runs
from tests.service.page.browsing import go, opened, painted, settled, shown_values
from tests.service.page.conftest import MINUTES_OF_A_YEAR, year_of_minutes
from tests.service.serving import Server, serving

SERIES = "arrivals@A@DEFAULT"
START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def values() -> list[float]:
    return year_of_minutes()


@pytest.fixture(scope="module")
def year(values: list[float], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("year")
    grid = {"bins": MINUTES_OF_A_YEAR, "binMinutes": 1}
    write_runs(folder / "runs", spec("run_year", SERIES, values=values, grid=grid))
    with serving(folder / "runs", folder / "state") as server:
        yield server


@pytest.mark.parametrize(
    ("first", "after", "width"),
    [(0, MINUTES_OF_A_YEAR, 526), (194_400, 207_360, 13), (200_160, 201_600, 1)],
    ids=["a year", "nine days", "a day"],
)
def test_a_year_by_the_minute_is_shown_as_it_is(
    browser: Browser,
    year: Server,
    values: list[float],
    tmp_path: Path,
    first: int,
    after: int,
    width: int,
) -> None:
    for page in opened(browser, year):
        go(page, f"#/runs/run_year?from={instant(first)}&to={instant(after)}")
        settled(page)
        assert painted(page) > 1000
        note = page.locator(".thinned")
        if width > 1:
            expect(note).to_contain_text(f"1 point per {width} bins")
        else:
            expect(note).to_have_text("")
        rows = shown_values(page, tmp_path)
        assert len(rows) >= (after - first) / width
        for row in rows:
            check(row, values, width, before=max(0, first - 1))


def check(row: dict[str, str], values: list[float], width: int, before: int) -> None:
    """Compare a row of what is shown with the values of its bins in the file."""
    bin_index = (datetime.fromisoformat(row["time_bin"]) - START) // timedelta(minutes=1)
    assert (bin_index - before) % width == 0
    finite = [value for value in values[bin_index : bin_index + width] if math.isfinite(value)]
    if width > 1:
        assert float(row[f"{SERIES} lowest"]) == min(finite)
        assert float(row[f"{SERIES} highest"]) == max(finite)
    elif finite:
        assert float(row[SERIES]) == finite[0]
    else:
        assert row[SERIES] == ""


def instant(bin_index: int) -> str:
    return (START + timedelta(minutes=bin_index)).isoformat().replace("+00:00", "Z")


def test_zooming_and_moving_read_the_file_again(
    browser: Browser, year: Server, values: list[float], tmp_path: Path
) -> None:
    for page in opened(browser, year):
        go(page, "#/runs/run_year")
        settled(page)
        box = page.locator(".u-over").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.37, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.39, box["y"] + 60, steps=4)
        page.mouse.up()
        settled(page)
        expect(page.locator(".thinned")).not_to_contain_text("526")
        for _ in range(4):
            page.get_by_role("button", name="Zoom in").click()
        settled(page)
        expect(page.locator(".thinned")).to_have_text("")
        exact = shown_values(page, tmp_path)
        assert 400 < len(exact) < 2000
        for row in exact:
            check(row, values, 1, before=0)
        page.get_by_role("button", name="Later").click()
        settled(page)
        moved = shown_values(page, tmp_path)
        assert moved[0]["time_bin"] > exact[0]["time_bin"]
        for row in moved:
            check(row, values, 1, before=0)
        address = page.url
        page.reload()
        settled(page)
        assert shown_values(page, tmp_path) == moved
        page.go_back()
        settled(page)
        assert page.url != address
        assert shown_values(page, tmp_path) == exact
        page.get_by_role("button", name="Show the whole time").click()
        settled(page)
        expect(page.locator(".thinned")).to_contain_text("1 point per 526 bins")


def test_the_pointer_shows_the_exact_value(page: Page) -> None:
    go(page, f"#/runs/run_long?series={SERIES}")
    settled(page)
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    time = page.locator(".pointer-time")
    expect(time).to_contain_text("UTC")
    hour = datetime.fromisoformat(time.inner_text().replace(" UTC", "+00:00"))
    bin_index = (hour - START) // timedelta(hours=1)
    expect(page.locator(".legend output")).to_have_text(str(bin_index % 97))


def test_each_unit_has_a_panel_of_its_own(page: Page) -> None:
    go(page, "#/runs/run_units")
    settled(page)
    for measure in ("utilization", "queue_depth", "latency_minutes"):
        page.locator(f".chip input[aria-label^='{measure}@']").check()
    settled(page)
    units = page.locator(".panel-plot").evaluate_all("all => all.map(one => one.dataset.unit)")
    assert units == ["jobs", "share", "min"]
    box = page.locator(".u-over").last.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    values = page.locator(".legend output").all_inner_texts()
    assert len(values) == 4
    assert all(re.search(r"\d", one) for one in values), values


def test_chosen_series_are_in_the_address(page: Page) -> None:
    go(page, "#/runs/run_a")
    settled(page)
    expect(page.locator(".legend li")).to_have_count(2)
    page.get_by_label("served@B@DEFAULT", exact=True).check()
    expect(page.locator(".legend li")).to_have_count(3)
    page.reload()
    expect(page.locator(".legend li")).to_have_count(3)
    page.get_by_role("button", name="Remove arrivals@A@DEFAULT from the chart").click()
    expect(page.locator(".legend li")).to_have_count(2)
    page.go_back()
    expect(page.locator(".legend li")).to_have_count(3)
    page.get_by_text("Values in numbers").click()
    expect(page.locator(".cells").first).to_contain_text("served@B@DEFAULT")


def test_a_chart_is_saved_as_a_picture(page: Page, tmp_path: Path) -> None:
    go(page, "#/runs/run_units")
    settled(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save the chart as a picture").click()
    path = tmp_path / "chart.png"
    waiting.value.save_as(path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert waiting.value.suggested_filename == "run_units.png"
    assert int.from_bytes(data[16:20]) > 300


def test_the_keyboard_zooms_and_moves(page: Page) -> None:
    go(page, "#/runs/run_long")
    settled(page)
    page.locator(".chart").focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    settled(page)
    assert "from=" in page.url
    before = page.url
    page.keyboard.press("ArrowRight")
    settled(page)
    assert page.url != before
    page.keyboard.press("0")
    settled(page)
    assert "from=" not in page.url
