"""The dashboard: alerts and their states, the week's digest, and ten thousand records in a browser."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import HarnessError
from tests.utils.report.conftest import Opened
from tests.utils.report.generated import generated, write
from tests.utils.sweeps.test_report import arms, quiet
from utils.node.record import Record
from utils.report import alerts, site, trust
from utils.report.drawing import drawn
from utils.report.site import Inputs, make
from utils.results.changelog import entries as changelog
from utils.results.history import Step, series
from utils.results.verdict.ledger import Ledger

CHANGELOG = f"""\
generated-0:
- pr: 9
  title: Figures of somebody else
  why: [to compare]
  date: 2026-11-20
  source: a public table
  points:
    1k1k-tp1-c1: {{tput: 500, n: 0+1, key: "k1:{"a" * 16}"}}
"""


def inputs(placed: list[tuple[Record, Path]], said: dict[str, alerts.Said] | None = None) -> Inputs:
    """With an entry of others."""
    log = changelog.read(CHANGELOG.encode())
    return Inputs(
        placed,
        log.root,
        Ledger(),
        said or {},
        ["r: x was measured as y"],
        [["n1", "2026-11-27", "ecc"]],
        None,
    )


def step(percent: float, day: str, metric: str = "tput") -> Step:
    """Of throughput."""
    return Step(metric, day, "c" * 40, 100.0, 100.0 + percent, percent, (4, 4), "#3 Three")


def test_a_folder_where_the_alerts_file_should_be_is_one_sentence(tmp_path: Path) -> None:
    """With its place; no file at all means that nobody said anything."""
    assert alerts.read(tmp_path / alerts.FILE) == {}
    (tmp_path / alerts.FILE).mkdir()
    with pytest.raises(HarnessError, match=re.escape("alerts.yaml: Is a directory")):
        alerts.read(tmp_path / alerts.FILE)


def test_alerts_are_steps_for_the_worse() -> None:
    """A gain is none, power is none; a slower first token is one."""
    found = alerts.alerts(
        {
            "r/p": [
                step(-5, "2026-11-01"),
                step(4, "2026-11-02"),
                step(9, "2026-11-03", "ttft"),
                step(9, "2026-11-03", "power"),
            ]
        },
        {},
    )
    assert [(one.step.metric, one.state) for one in found] == [("ttft", "new"), ("tput", "fixed")]
    name = f"r/p:ttft:{'c' * 10}"
    said = {name: alerts.Said(id=name, state="invalid", why="a broken node")}
    assert alerts.alerts({"r/p": [step(9, "2026-11-03", "ttft")]}, said)[0].state == "invalid"


def test_a_step_that_later_figures_do_not_bear_out_is_no_new_alert() -> None:
    """It was shown once; nobody need look at it, and a person may still say what it was."""
    gone = replace(step(-5, "2026-11-01"), taken_back=True)
    (one,) = alerts.alerts({"r/p": [gone]}, {})
    assert (one.state, one.why) == ("invalid", "not borne out by what was measured since")
    said = {one.id: alerts.Said(id=one.id, state="seen", why="a slow night")}
    (told,) = alerts.alerts({"r/p": [gone]}, said)
    assert (told.state, told.why) == ("seen", "a slow night")


def test_steps_are_found_as_history_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """False ones are held to 1 % over all points of a recipe, not 1 % a point."""
    asked: list[int] = []

    def spied(*_: object, among: int = 1) -> list[Step]:
        asked.append(among)
        return []

    monkeypatch.setattr(site, "steps", spied)
    placed = [(one, tmp_path) for one in generated(32, recipes=2, runs=1, arms=("head",), status="measured")]
    make(inputs(placed), tmp_path / "out", lambda _: None)
    assert asked == [8] * 16


def test_the_file_of_states(tmp_path: Path) -> None:
    """A word that is none is refused at its place."""
    file = tmp_path / alerts.FILE
    assert alerts.read(file) == {}
    file.write_text("- {id: a, state: seen, why: known}\n")
    assert alerts.read(file)["a"].state == "seen"
    file.write_text("- {id: a, state: gone, why: known}\n")
    with pytest.raises(HarnessError, match=r"alerts\.yaml:1:"):
        alerts.read(file)


def test_false_alarms_count_what_was_compared_with_itself() -> None:
    """Without a ledger nothing is judged, and different keys are no comparison with itself."""
    assert trust.false_alarms(generated(64), Ledger()) == (0, 0)
    assert trust.false_alarms([], Ledger()) == (0, 0)


def test_the_rate_of_false_alarms_is_on_the_page(tmp_path: Path) -> None:
    """Three allocations of a thing against itself, one of them ten percent off by bad luck: its figures are the alarms; other keys do not count."""
    records = [one for name in ("a", "b") for one in arms(1.0, allocation=name)] + arms(1.1, allocation="c")
    other = [
        one.model_copy(update={"key": "k1:" + "f" * 16}) if one.arm == "head" else one
        for one in arms(1.2, allocation="d")
    ]
    known = quiet()
    assert trust.false_alarms([*records, *other], known) == (6, 18)
    nothing = Inputs([(one, tmp_path) for one in records], {}, known, {}, [], None, None)
    page = make(nothing, tmp_path / "out", lambda _: None).read_text()
    said = "6 of 18 figures of something against itself would be called a change by one block (33.3 %)"
    assert said in page
    assert said in (tmp_path / "out/digest.md").read_text()
    assert "Noise by class" in page


def halved(one: Record) -> Record:
    """The same at half the throughput, in both windows."""
    windows = {}
    for name, window in (("whole", one.whole), ("steady", one.steady)):
        assert window
        half = {"total_tok_per_s_per_device": window.total_tok_per_s_per_device / 2}
        windows[name] = window.model_copy(update=half)
    return one.model_copy(update=windows)


def test_a_page_and_a_digest(tmp_path: Path) -> None:
    """A step down in the newest week is the first line; others' figures are marked."""
    slow = write(
        generated(48 * 8, recipes=1, runs=1, arms=("head",), status="measured"), tmp_path / "records"
    )
    since = slow[250][0].clock.wall_unix_s
    late = [(one if one.clock.wall_unix_s < since else halved(one), place) for one, place in slow]
    page = make(inputs(late), tmp_path / "out", lambda _: None).read_text()
    assert "new alerts, the worst generated-0/1k1k-tp1-c" in page
    assert "published by others" in page
    assert "r: x was measured as y" in page
    assert "; 1 thing is stale." in page
    assert "2026-11-27" in page
    text = (tmp_path / "out/digest.md").read_text()
    assert text.startswith("# Week of ")
    assert "measurements of 8 points" in text
    assert "**No new alert; 8 of earlier weeks still wait; " in text
    assert text.count("| new |") == 8


def test_a_table_of_one_column_fits_a_phone(opened: Opened, tmp_path: Path) -> None:
    """Its sentences are all it has, and half of each was beyond the edge."""
    placed = write(generated(8, recipes=1, status="measured"), tmp_path / "records")
    page = opened(make(inputs(placed), tmp_path / "out", lambda _: None), width=390)
    wide = """() => [...document.querySelectorAll('table')].filter(one => one.rows[0].cells.length === 1)
        .map(one => [one.parentElement.scrollWidth, one.parentElement.clientWidth])"""
    found = page.evaluate(wide)
    assert found
    assert all(inside <= room for inside, room in found), found


def test_figures_of_others_are_marked_in_a_history(tmp_path: Path) -> None:
    """With a shape and a word of their own; our line does not go through them, and no step is laid to their entry."""
    from utils.report.site import _history

    placed = [(one, tmp_path) for one in generated(16, recipes=1, runs=1, arms=("head",), status="measured")]
    known = inputs(placed)
    found = series("generated-0/1k1k-tp1-c1", [one for one, _ in placed], known.entries["generated-0"])
    asked = _history("p", found, [])
    assert [(row["series"], row["counts"]) for row in asked.rows] == [
        ("published by others", False), ("measured here", True), ("measured here", True)
    ]  # fmt: skip
    ((svg, _),) = drawn([asked], lambda _: None)
    assert svg.count("published by others") >= 2
    assert "step: " not in svg
    line = re.search(r'class="mark-line[^>]*>.*? d="([^"]*)"', svg, re.DOTALL)
    assert line
    assert line[1].count("L") == 1


def content(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_a_mark_of_the_frontier_opens_its_own_point(tmp_path: Path) -> None:
    """Whatever the order of records is: histories are sorted by name."""
    placed = [(one, tmp_path) for one in generated(16, recipes=1, runs=1, arms=("head",), status="measured")]
    page = make(inputs(placed), tmp_path / "out", lambda _: None).read_text()
    marks = re.findall(r'href="#p(\d+)" aria-label="head (\S+):', page)
    assert len(marks) == 8
    panels = content(page)["panels"]
    for number, name in marks:
        assert panels[number]["title"] == f"generated-0/{name}"


def test_a_measurement_with_ones_own_vllm_is_not_of_others(tmp_path: Path) -> None:
    """It feeds no step, and is ours all the same."""
    own = generated(2, recipes=1, runs=1, arms=("head",), status="measured")
    placed = [(one.model_copy(update={"key": "local:" + "a" * 16}), tmp_path) for one in own]
    page = make(inputs(placed), tmp_path / "out", lambda _: None).read_text()
    columns = {one["name"]: one["words"] for one in content(page)["columns"]}
    assert columns["from"] == ["published by others", "records, own environment"]


def test_nothing_measured_is_a_page_too(tmp_path: Path) -> None:
    """An empty data branch."""
    empty = Inputs([], {}, Ledger(), {}, [], None, None)
    assert "Nothing was measured yet." in make(empty, tmp_path, lambda _: None).read_text()
    assert "Nothing was measured yet." in (tmp_path / "digest.md").read_text()


@pytest.mark.debian
@pytest.mark.nightly
def test_ten_thousand_records_open_and_filter_quickly(opened: Opened, tmp_path: Path) -> None:
    """Under 2 s, and each filter under 100 ms; the best of five, for the machine is shared."""
    placed = write(generated(10_000, runs=1, arms=("head",), recipes=6), tmp_path / "records")
    path = make(inputs(placed), tmp_path / "out", lambda _: None)
    took, filters = [], []
    for _ in range(5):
        began = time.monotonic()
        page = opened(path)
        took.append(time.monotonic() - began)
        filters.append(
            page.evaluate(
                """() => { const box = document.getElementById('search'); const began = performance.now();
                box.value = 'c64 generated-3'; box.dispatchEvent(new Event('input')); document.body.offsetHeight;
                return performance.now() - began; }"""
            )
        )
    assert min(took) < 2
    assert min(filters) < 100
    page.click("#rows tr:nth-child(1) a")
    assert page.locator("dialog figure svg").is_visible()
    assert "Measurements, the newest first" in page.locator("dialog").inner_text()
