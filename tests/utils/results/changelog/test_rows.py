"""Rows of an entry: aligned, what matters within 120 columns, and read back as they were."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.results.changelog import entries as changelog
from utils.results.changelog.entries import PointLine
from utils.results.changelog.rows import WIDTH, heading, written

KEY = "k1:" + "3f" * 8
HEAD = f"""r:
- title: T
  why: [w]
  format: 3
  date: 2026-11-26
  notes: ["no verdict: why"]
  head: {{commit: {"b" * 40}, image: x, vllm: "1", device: d}}
"""
WORDS = st.sampled_from(
    ["regression +10.0%", "improvement -3.2% (-4.0 to -2.4)", "no change seen >= 2.8%", "invalid"]
)
NAMES = st.sampled_from(["128x64-tp1-c1", "8k1k-tp8-ep8-c256", "8k1k-tp8-pp2-ep8-dp8-c1024", "128k1k-tp8-c4"])
FIGURE = st.floats(min_value=0.001, max_value=99_999, allow_nan=False).map(
    lambda value: float(f"{value:.4g}")
)
CHANGE = st.floats(min_value=-99, max_value=99.9).map(lambda value: f"{value:+.1f}%")


@st.composite
def lines(draw: st.DrawFn) -> PointLine:
    """A point's line as `changelog add` could make it."""
    from utils.results import summary

    names = ["tput", *draw(st.lists(st.sampled_from(["ttft", "tpot", "power", "glow"]), unique=True))]
    verdict = draw(st.dictionaries(st.sampled_from(["tput", "ttft", "tpot"]), WORDS))
    vs = {name: draw(CHANGE) for name in names if draw(st.booleans())}
    return PointLine(
        word=summary.of_point(verdict) if verdict or vs else "",
        verdict=verdict,
        vs=vs,
        figures={name: draw(FIGURE) for name in names},
        n="2+2",
        reused=draw(st.booleans()),
        key=KEY,
    )


def text(points: dict[str, PointLine]) -> str:
    """An entry with these points."""
    return HEAD + heading(points) + "".join(written(points))


@given(st.dictionaries(NAMES, lines(), min_size=1))
def test_rows_are_read_back_as_they_were(points: dict[str, PointLine]) -> None:
    """Whatever is in them: but the word of a row that is too wide, which gives up the names of its metrics."""
    found = changelog.read(text(points).encode()).root["r"][0].points
    assert list(found) == list(points)
    for name, line in points.items():
        one = found[name]
        assert one.model_dump(exclude={"word"}) == line.model_dump(exclude={"word"})
        assert one.word == line.word or (line.word.startswith(one.word) and one.word)


@given(st.dictionaries(NAMES, lines(), min_size=1))
def test_what_a_reviewer_wants_is_within_the_width(points: dict[str, PointLine]) -> None:
    """Point, verdict, throughput, TTFT and TPOT, each with its change."""
    for row in written(points):
        ends = [
            match.end() for match in re.finditer(r"[ {](tput|ttft|tpot): [^,}]*", row.split(" judged: ")[0])
        ]
        assert ends[-1] <= WIDTH, row


def test_columns_are_aligned_and_one_figure_may_be_missing() -> None:
    """A row without TTFT leaves its place empty."""
    made = {"tput": 1234.5, "ttft": 20.1, "tpot": 5.5}
    points = {
        "128x64-tp1-c1": PointLine(word="none", vs={"tput": "+10.1%", "ttft": "-1.0%"}, figures=made, n="2+2", key=KEY),
        "128x64-tp1-c16": PointLine(word="regression tpot", figures={"tput": 7.0, "tpot": 12.25}, n="2+2", key=KEY),
    }  # fmt: skip
    one, other = written(points)
    assert one.index("tput:") == other.index("tput:")
    assert one.index("tpot:") == other.index("tpot:")
    assert one.index("n: 2+2") == other.index("n: 2+2")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("tput: 1 +2%, n: 0+1", "none"),
        ("verdict: {tput: improvement}, vs: {tput: +2.0%}, tput: 1, n: 0+1", "improvement"),
        ("verdict: {ttft: improvement, tput: regression}, tput: 1, n: 0+1", "regression tput; improvement ttft"),
        ("tput: 1, n: 0+1", ""),
    ],
)  # fmt: skip
def test_a_change_without_a_verdict_is_read_as_none(line: str, wanted: str) -> None:
    """Also of format 2, where nothing stood there."""
    points = f'  points:\n    128x64-tp1-c1: {{{line}, key: "{KEY}"}}\n'
    assert changelog.read((HEAD + points).encode()).root["r"][0].points["128x64-tp1-c1"].word == wanted
