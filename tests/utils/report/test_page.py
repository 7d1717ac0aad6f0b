"""The report in a browser: filter, sort, hover, open a point, back, dark, print, a phone, the keyboard alone, accessibility."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.utils.report.conftest import H100, Opened
from utils.report.make import make
from utils.results.collect import placed

pytestmark = pytest.mark.debian


def first_cells(page: Any, column: int) -> list[str]:
    """Texts of a column, from the top."""
    cells = page.locator(f"#rows tr td:nth-child({column})").all_inner_texts()
    return [str(cell) for cell in cells]


def test_a_real_report_says_its_verdict_first(opened: Opened, h100: Path) -> None:
    """Before any chart; a single pair has no verdict, and it says why."""
    page = opened(h100)
    assert (
        page.locator("p.verdict").inner_text()
        == "throughput -1.2 % (no interval); no verdict in 2 of 2 points."
    )
    assert "the order of runs (B H) is not balanced against drift" in page.locator("ul.notes").inner_text()
    assert page.locator("figure svg").count() >= 5
    assert "No power: nothing measured it in these runs." in page.locator("main").inner_text()


def test_arms_that_cannot_be_compared_say_why(cli: Cli, tmp_path: Path) -> None:
    """Two runs of the same points, as `results/20261126-*` may find them: the page has the reason that the terminal has."""
    made = cli("report", str(H100), str(H100.parent / "2026-11-27-h100-pair"), "--out", str(tmp_path))
    assert made.returncode == 0, made.stderr
    page = (tmp_path / "report.html").read_text()
    assert "No verdict: one side has minimaxm3-layers-h100/512x256-tp2-ep2-c64 with two keys, " in page
    assert "no point in common" not in page


def test_filter_and_sort(opened: Opened, many: Path) -> None:
    """Words and choices narrow the table and fade the pictures' marks; a column's heading sorts both ways."""
    page = opened(many)
    assert page.locator("#count").inner_text() == "64 of 64 rows, the first 60 shown"
    page.click("#more")
    assert page.locator("#rows tr").count() == 64
    page.fill("#search", "c64 head")
    shown = page.locator("#rows tr").count()
    assert 0 < shown < 20
    assert set(first_cells(page, 3)) == {"head"}
    assert page.locator("svg a.faded").count() > 0
    page.fill("#search", "nothing like it")
    assert page.locator("#none").is_visible()
    page.fill("#search", "")
    page.click("th button:has-text('TTFT ms')")
    values = [float(cell.replace("\u202f", "")) for cell in first_cells(page, 8) if cell]
    assert values == sorted(values, reverse=True)
    page.click("th button:has-text('TTFT ms')")
    values = [float(cell.replace("\u202f", "")) for cell in first_cells(page, 8) if cell]
    assert values == sorted(values)


def test_hover_says_what_a_mark_is(opened: Opened, h100: Path) -> None:
    """Series, point, figure and unit."""
    page = opened(h100)
    page.locator("svg a path[data-label*='frontier']").first.hover()
    assert "tok/s/user" in page.locator("#tip").inner_text()


def test_open_a_point_and_back(opened: Opened, h100: Path) -> None:
    """By its row; where it comes from, gates, commands, log; back and Escape close it."""
    page = opened(h100)
    page.click("#rows tr:nth-child(3) a")
    text = page.locator("dialog").inner_text()
    for wanted in (
        "minimaxm3-layers-h100/512x256-tp2-ep2-c64",
        "kernel_path",
        "vllm serve",
        "git checkout",
        "H100",
        "local:",
    ):
        assert wanted in text
    assert page.locator("dialog pre.log").inner_text().count("\n") > 10
    assert page.locator("dialog figure svg").is_visible()
    page.go_back()
    page.wait_for_selector("dialog", state="hidden")
    page.go_forward()
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    page.wait_for_function(
        "() => location.hash !== '#p3'"
    )  # the way back is a step of the history of its own


def test_the_keyboard_alone(opened: Opened, h100: Path) -> None:
    """Tab reaches a mark of a picture, which says what it is; Enter opens its point, Escape goes back."""
    page = opened(h100)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('svg') !== null"):
            break
    assert page.evaluate("document.activeElement.tagName") == "a"
    assert page.locator("#tip").is_visible()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.activeElement.id") == "point-close"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_axe(opened: Opened, h100: Path, many: Path, scheme: str) -> None:
    """Contrast, names, roles: the table, the pictures and an open point."""
    axe = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    options = {"resultTypes": ["violations"]}

    def serious(page: Any) -> list[str]:
        found = axe.run(page, options=options).response["violations"]
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]

    page = opened(h100, color_scheme=scheme)
    assert serious(page) == []
    page.click("#rows tr:nth-child(1) a")
    assert serious(page) == []
    if scheme == "light":
        page = opened(many)
        page.fill("#search", "c64 head")
        assert serious(page) == []


def test_dark_light_and_print(opened: Opened, h100: Path) -> None:
    """What the system says, then what the button says; paper is white, without controls."""
    page = opened(h100, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(13, 17, 23)"
    page.click("#theme")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.click("#theme")
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert not page.locator(".controls").is_visible()


def test_paper_has_every_column(opened: Opened, tmp_path: Path) -> None:
    """Paper does not scroll: of an A4 page with margins, a column that does not fit is lost. All 22 that a GPU's runs have."""
    found = placed([H100.parent / "2026-11-27-h100-pair"])
    page = opened(make(found, None, None, tmp_path, lambda _: None), 700)
    page.emulate_media(media="print")
    assert page.locator("main table").last.locator("th").count() == 22
    edge = (
        "Math.max(...[...document.querySelectorAll('table')].map(one => one.getBoundingClientRect().right))"
    )
    assert page.evaluate(edge) <= 700
    cut = "[...document.querySelectorAll('th, td')].filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)"
    assert page.evaluate(cut) == []


@pytest.mark.parametrize("width", [320, 360, 820])
def test_a_phone_scrolls_no_page_sideways(opened: Opened, many: Path, width: int) -> None:
    """Wide tables scroll by themselves."""
    page = opened(many, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#rows tr:nth-child(1) a")
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= width


def test_what_can_be_saved(opened: Opened, many: Path) -> None:
    """The table as CSV, and a picture's data."""
    page = opened(many)
    with page.expect_download() as saved:
        page.click("text=save as CSV")
    lines = Path(saved.value.path()).read_text().splitlines()
    assert lines[0].startswith("point,recipe,status")
    assert len(lines) == 193
    with page.expect_download() as saved:
        page.locator("button.download").first.click()
    assert '"$schema"' in Path(saved.value.path()).read_text()
