"""The comment as GitHub's own Markdown renders it, its picture, and its size."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.utils.sweeps.test_report import EVIL, GOLDEN, NAMES, RUN, arms, quiet, report
from utils.github import comments
from utils.report import pictures, verdict
from utils.report.drawing import drawn
from utils.report.verdict_comment import parts, words
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import Comparison
from utils.show.markdown import table
from utils.sweeps.report import safe_picture


def found(slower: float, ledger: Ledger) -> Comparison:
    """Of two points."""
    records = arms(slower) + arms(slower, block=2)
    sides = [[one for one in records if one.arm == arm] for arm in ("base", "head")]
    return compare(sides[0], sides[1], ledger)


@pytest.mark.parametrize("name", NAMES)
def test_every_golden_file_is_what_it_looks_like(name: str) -> None:
    """Rendered by the library that GitHub's is a version of: tables are tables, nothing folded leaks, nothing is raw."""
    cmarkgfm = importlib.import_module("cmarkgfm")
    from cmarkgfm.cmark import Options

    text = (GOLDEN / f"{name}.md").read_text()
    html = cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE)
    assert html.startswith("<p><strong>")
    assert html.count("<table>") == len(re.findall(r"(?m)^\| (---(?: \| )?)+", text))
    assert html.count("<details>") == html.count("</details>") == text.count("<details>")
    assert not re.findall(r"<(script|img src=x|iframe)", html)
    for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL):
        assert row.count("<td") + row.count("<th") in {0, 3, 4, 5, 6, 7, 8, 9}
    assert "| ---" not in re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL)


def test_the_first_line_says_it_all() -> None:
    """Did it regress, where, how much, how sure, and what could have been missed."""
    first = parts(found(1.1, quiet()))[0].splitlines()[0]
    for wanted in (
        "Regression in 2 of 2 points",
        "most ",
        "32x16-tp1-c1 +10.0 % (+8.3 to +11.7)",
        "throughput over all points -9.1 %",
    ):
        assert wanted in first
    assert "could have seen" in first
    assert parts(found(1.1, Ledger()))[0].startswith("**No verdict in 2 of 2 points; ")


def test_points_are_ordered_by_effect() -> None:
    """The worst first, whatever their names."""
    one = found(1.1, quiet())
    worst = one.points[1].model_copy(
        update={
            "metrics": {
                name: m.model_copy(update={"percent": 3 * (m.percent or 0)})
                for name, m in one.points[1].metrics.items()
            }
        }
    )
    said = parts(one.model_copy(update={"points": [one.points[0], worst]}))[0]
    assert said.index("| r/32x16-tp1-c2 |") < said.index("| r/32x16-tp1-c1 |")


def test_the_words_stand_without_the_picture() -> None:
    """A private repository's picture may not load: its alternative text has the rows, and nothing rests on it."""
    one = found(1.1, quiet())
    with_, without = parts(one, "https://example.org/x.svg"), parts(one)
    assert with_[0].replace(re.findall(r"(?m)^!\[.*\n\n", with_[0])[0], "") == without[0]
    assert "32x16-tp1-c1 TTFT p50 ms: regression +10.0%" in words(one)


def test_the_picture_is_marks_and_words_alone() -> None:
    """Drawn for real, with names that try something; a picture that does more is refused."""
    one = found(1.1, quiet())
    names = [point.model_copy(update={"point": f"r/<b>{EVIL}"}) for point in one.points]
    rows = verdict.by_effect(one.model_copy(update={"points": names}))
    ((svg, spec),) = drawn([pictures.effects(rows, EVIL, alone=True)], lambda _: None)
    assert safe_picture(svg.encode()), svg[:500]
    assert "change from base to head, %" in svg
    assert '"vega-lite"' in spec or "vega-lite" in spec
    for bad in (
        '<svg onload="x">',
        "<svg ><script>",
        "<svg ><a href='x'>",
        "<svg ><image/>",
        "<svg >&xxe;",
        "<div>",
        "",
    ):
        assert not safe_picture(bad.encode())
    assert not safe_picture(b"<svg " + b" " * 300_000)


def test_a_comment_that_is_too_long_loses_rows_and_says_how_many() -> None:
    """From the bottom of its longest table, with a count and a link; other parts stay whole where they fit."""
    rows = [[f"r/{number}", "x" * 100] for number in range(2000)]
    body = comments.fitted(
        ["**first**\n\n", "\n<details>\n\n" + table(["point", "why"], rows) + "\n</details>\n", "last\n"], RUN
    )
    assert len(body) <= comments.LARGEST == 60_000
    kept = body.count("\n| r/")
    assert 400 < kept < 2000
    assert f"and {2000 - kept} more rows: [all of them]({RUN})" in body
    assert "</details>" in body
    assert body.endswith("last\n")


def test_a_comment_of_very_many_points_fits() -> None:
    """As a sweep makes it: 3,000 points."""
    from utils.sweeps import report as sweeps

    one = found(1.1, quiet())
    many = [one.points[0].model_copy(update={"point": f"r/32x16-tp1-c{number}"}) for number in range(3000)]
    value = report([], Ledger()).model_copy(update={"comparison": one.model_copy(update={"points": many})})
    made = sweeps.parts(value, RUN, "main")
    body = comments.fitted(made, RUN)
    assert len(body) <= comments.LARGEST
    assert "and 2988 more points in the folded table" in body
    assert re.search(r"and \d+ more rows: \[all of them\]", body)
