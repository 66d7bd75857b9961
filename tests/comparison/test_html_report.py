"""The HTML report: whole, safe, and shown by a browser that has no network."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.comparison import compare
from tests.exporting import spec, write_runs
from tests.run_builder import RunSpec

CHROMIUM = next((one for one in ("chromium", "chromium-browser") if shutil.which(one)), None)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    bins = range(3_000)
    base = {f"served@C{c}@DEFAULT": [float(b % 97 + c) for b in bins] for c in range(3)}
    other = {name: list(values) for name, values in base.items()}
    other["served@C1@DEFAULT"][1_500] = 400.0
    other["served@C2@DEFAULT"] = [value + 1e-9 for value in other["served@C2@DEFAULT"]]
    other["errors@C0@DEFAULT"] = [0.0] * 3_000
    hostile = "<script>alert('x')</script>"
    write_runs(folder, RunSpec("base", base), RunSpec("other", other, title=hostile))
    path = folder / "report.html"
    found = compare(str(folder / "base"), str(folder / "other"), tolerance="absolute=1e-6")
    found.to_html(str(path))
    return path


class Elements(HTMLParser):
    """Counts elements, and collects every address that one refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_it_is_whole_and_refers_to_nothing(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    found = Elements()
    found.feed(text)
    assert found.addresses == []
    assert "script" not in found.counts
    assert "&lt;script&gt;alert" in text
    assert found.counts["svg"] == 4  # overlay and difference of the two series that differ
    assert "url(" not in text
    for expected in ("served@C1@DEFAULT", "errors@C0@DEFAULT", "spec.title", "Definitions"):
        assert expected in text


def test_equal_sides_need_no_charts(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one"))
    compare(str(tmp_path / "one"), str(tmp_path / "one")).to_html(str(tmp_path / "r.html"))
    assert "<svg" not in (tmp_path / "r.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 360)])
def test_a_browser_shows_it(report: Path, scheme: str, width: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(CHROMIUM or ""), args=["--no-sandbox"]
        )
        context = browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 800},
            offline=True,
        )
        page = context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: problems.append(request.url))
        page.goto(report.as_uri())
        assert [one for one in problems if one != report.as_uri()] == []
        assert page.locator("section.series svg").first.bounding_box()["width"] > 250  # type: ignore[index]
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(15, 18, 22)" if scheme == "dark" else "rgb(246, 247, 249)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
