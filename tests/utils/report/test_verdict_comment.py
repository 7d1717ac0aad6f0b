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
from utils.results import summary
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import CauseVerdict, Comparison, MeanVerdict, NoiseVerdict
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
    for rows in (one.split("</tr>")[:-1] for one in re.findall(r"<table>.*?</table>", html, re.DOTALL)):
        (cells,) = {row.count("<td>") + row.count("<th>") for row in rows}
        assert cells >= 3
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


def test_a_verdict_names_metrics_as_its_columns_do() -> None:
    """`tput` is a name of ours, which no reader of a comment knows; and one point is not `points`."""
    one = found(1.1, quiet())
    calm = one.points[0].metrics["ttft"].model_copy(update={"word": "no change seen"})
    first = one.points[0].model_copy(update={"metrics": one.points[0].metrics | {"ttft": calm}})
    said = parts(one.model_copy(update={"points": [first], "new": ["r/x"], "gone": ["r/y", "r/z"]}))[0]
    assert "| regression throughput, TPOT p50 |" in said
    assert "- 1 point is new: r/x" in said
    assert "- 2 points are gone: r/y, r/z" in said


def test_a_picture_of_many_changes_says_how_many_it_leaves_out() -> None:
    """In its own words on a page, and under its title where it stands alone; one with room for all says nothing."""
    rows = verdict.by_effect(found(1.1, quiet()))
    many = [rows[0] | {"point": f"r/32x16-tp1-c{number}"} for number in range(20)]
    one = pictures.effects(many, "title", alone=True)
    assert len(one.rows) == 12
    assert one.subtitle == ["the first 12 of 20 changes"]
    assert one.words.endswith("; and 14 more (drawn: the first 12 of 20 changes)")
    few = pictures.effects(many[:5], "title", alone=True)
    assert (few.subtitle, "more" in few.words) == ([], False)


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


KNOWN = ("tput", "ttft", "tpot")


def test_one_cause_is_counted_once() -> None:
    """Throughput and TPOT are one fact: one row of the changes, one bar a point; TTFT is another."""
    one = found(1.1, quiet())
    first = parts(one)[0]
    assert "Regression in 2 of 2 points (TTFT p50, speed), most " in first
    assert first.count("| regression: ") == 2
    (speed,) = (row for row in summary.facts(one) if row[0] == "regression: speed")
    assert speed[1] == "2 of 2"
    assert speed[2].startswith("throughput -9.1 % (-10.5 to -7.7) of 32x16-tp1-c")
    assert "; TPOT p50 +10.0 % (+8.3 to +11.7) of 32x16-tp1-c" in speed[2]
    rows = verdict.once(verdict.by_effect(one))
    assert sorted((row["point"][-2:], row["metric"]) for row in rows if row["metric"] in KNOWN) == [
        ("c1", "tpot"),
        ("c1", "ttft"),
        ("c2", "tpot"),
        ("c2", "ttft"),
    ]


def test_a_job_as_a_whole_and_noisier_runs_are_in_the_first_line() -> None:
    """What no single point shows: the mean of a job, the mean of everything, and runs of the head that scatter more."""
    quiet_ = found(1.0, quiet())
    job = MeanVerdict(
        job="r.tp1.0", metric="tput", points=["r/a", "r/b"], percent=-3.1, low_percent=-4.0, high_percent=-2.2,
        word="regression", why="",
    )  # fmt: skip
    cause = CauseVerdict(
        word="regression", cause="speed", metrics=["tput", "tpot"], points=["r/a", "r/b"], job="r.tp1.0", worst_percent=-3.1
    )  # fmt: skip
    louder = NoiseVerdict(
        metric="tput", over_ledger=None, louder_p=None, head_over_base=9.0, head_louder_p=0.001, loud_jobs=[], share=0.0
    )  # fmt: skip
    headline = quiet_.headline.model_copy(update={"word": "regression"})
    update = {"jobs": [job], "causes": [cause], "noise": [louder], "headline": headline}
    said = parts(quiet_.model_copy(update=update))[0]
    first = said.splitlines()[0]
    assert first.startswith(
        "**Regression of job r.tp1.0 as a whole -3.1 % (-4.0 to -2.2); no change seen in 2 of 2 points"
    )
    assert ", regression of the whole; " in first
    assert "the head's runs vary 3.0 times as much as the base's in throughput" in first
    assert "| regression of job r.tp1.0 as a whole: speed | 2 without a word of their own |" in said


def test_what_waits_for_its_confirmation_is_not_called_unchanged() -> None:
    """Throughput and TPOT are flagged, TTFT is not: the point has no verdict yet, and the first line says that it waits."""
    records = arms(1.1)
    sides = [[one for one in records if one.arm == arm] for arm in ("base", "head")]
    one = compare(sides[0], sides[1], quiet())
    calm = [
        point.model_copy(
            update={
                "metrics": point.metrics
                | {
                    "ttft": point.metrics["ttft"].model_copy(
                        update={"word": "no change seen", "flagged": False}
                    )
                }
            }
        )
        for point in one.points
    ]
    said = parts(one.model_copy(update={"points": calm}))[0]
    assert said.startswith("**No verdict in 2 of 2 points; ")
    assert "; 2 points flagged, to be confirmed; " in said.splitlines()[0]
    assert "no change seen" not in said
    assert "| r/32x16-tp1-c1 | none |" in said
    assert "- no verdict yet for all 2 points: flagged by one block, and to be confirmed by a second" in said


def test_what_power_says_of_many_points_is_said_once() -> None:
    """The first of them with its figures, and how many are alike."""
    one = found(1.0, quiet())
    notes = [
        f"r/p{n}: throughput -4.{n} %, power -2.0 %: the devices did less in the same time" for n in range(3)
    ]
    said = summary.notes(one.model_copy(update={"notes": [*notes, "something else"]}))
    assert said == ["something else", f"{notes[0]} (and 2 more points alike)"]
