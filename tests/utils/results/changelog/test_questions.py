"""Five questions that a diff of perf-changelog.yaml answers by itself, in what GitHub shows without scrolling."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

import pytest

from benchmarks.readme_pictures import pair as pictured_pair
from benchmarks.readme_pictures import sides as pictured
from tests.conftest import ROOT
from tests.utils.results.conftest import Records, sides
from utils.pipeline.judge import judged
from utils.results.changelog import entries as changelog
from utils.results.changelog.absent import absent
from utils.results.changelog.changed import changed
from utils.results.changelog.doubts import MOST, doubts
from utils.results.changelog.edit import Stub, add
from utils.results.summary import result
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import Reason

STUB = "r:\n- pr: 42\n  title: Larger blocks\n  why: [Fewer tables to walk]\n"
PARTS = ({"model": "m", "flags": {"block-size": "16"}}, {"model": "m", "flags": {"block-size": "32"}})
MORE = {"vary": ["flags.block-size"]}


def diff(pair: Records, ledger: Ledger, **how: object) -> list[str]:
    """The added lines, as wide as a reader of GitHub sees them."""
    records = pair(parts=PARTS, more=MORE, **how)
    base, head = sides(records)
    found = compare(base, head, ledger, confirmation=False)
    left = {"32x16-tp1-c4": "not in this run, which was of 2 of 3 points"}
    new = add(STUB.encode(), "c", head, base, Stub(42, "", ()), comparison=found, absent=left)
    changelog.read(new.encode())
    lines = unified_diff(STUB.splitlines(), new.splitlines(), lineterm="", n=9)
    return [line[:121] for line in lines]


def test_a_regression_answers_all_five(pair: Records, noise: Ledger) -> None:
    """What changed, did it help, where not, how sure, can I merge."""
    text = "\n".join(diff(pair, noise, slower=1.1))
    assert "+  changed: {flags.block-size: 16 → 32}" in text
    assert "throughput -9.1 % (95 % interval -11.0 to -7.2); regression in 2 of 2 points" in text
    assert (
        "+    32x16-tp1-c1: {verdict: regression, tput: 2043 -9.1%, ttft: 22 +10.0%, tpot: 5.5 +10.0%,"
        in text
    )
    assert "means of whole runs (tput tok/s/device, ttft ms, tpot ms" in text
    assert "+    32x16-tp1-c4: " in text
    assert "not in this run" in text


def test_without_a_ledger_no_change_reads_as_a_win(pair: Records) -> None:
    """The pair of 147 and 384 tok/s: an interval as wide as its runs differ, no claim, and a note that says why."""
    text = "\n".join(diff(pair, Ledger(), slower=0.75, noise=(2.6, 1.2, 1.1, 1.0)))
    assert text.count("{verdict: no change seen,") == 2
    assert (
        "(95 % interval -47.3 to +564.8); no change seen in 2 of 2 points; what could have been see" in text
    )
    assert "improvement" not in text
    assert "an arm's own runs differ more than the change in 2 of 2 points; most: 32x16-tp1-c1, base" in text


def test_the_result_says_of_which_metrics_a_point_improved(tmp_path: Path) -> None:
    """Two readers of the diff alone had to count it: of the pair that they saw, throughput in 5 points and TPOT in 6."""
    base, head = pictured(pictured_pair())
    found = judged(base, head, tmp_path / "ledger.jsonl", ROOT, confirmation=False)
    assert "improvement in 7 (throughput in 5, TPOT p50 in 6), no change seen in 1 of 8 points" in result(
        found
    )


def test_no_change_says_what_could_have_been_seen(pair: Records, noise: Ledger) -> None:
    """Silence is not proof."""
    text = "\n".join(diff(pair, noise))
    assert "no change seen in 2 of 2 points" in text
    assert "an arm's own runs differ" not in text


def test_runs_that_differ_less_than_the_change_are_no_doubt(pair: Records, noise: Ledger) -> None:
    """The note is for entries that need it."""
    assert "own runs" not in "\n".join(diff(pair, noise, slower=1.5, noise=(1.0, 1.01, 1.0, 1.01)))


def test_a_change_without_verdict_and_reason_is_refused(pair: Records) -> None:
    """Also where somebody writes one by hand."""
    records = pair(parts=PARTS, more=MORE)
    base, head = sides(records)
    text = add(STUB.encode(), "c", head, base, Stub(42, "", ()), comparison=compare(base, head, Ledger()))
    lines = text.splitlines(keepends=True)
    notes = next(n for n, line in enumerate(lines) if line == "  notes:\n")
    without = [line for n, line in enumerate(lines) if n != notes and not line.startswith("    - ")]
    with pytest.raises(Exception, match="a change without a verdict needs a reason"):
        changelog.read("".join(without).encode())


def test_reasons_for_doubt_are_never_cut(pair: Records) -> None:
    """However much there is to say besides: here, where the time went in each of eight profiled points."""
    base, head = sides(pair(parts=PARTS, more=MORE, slower=0.75, noise=(2.6, 1.2, 1.1, 1.0)))
    found = compare(base, head, Ledger())
    profiled = found.model_copy(
        update={
            "reasons": [Reason(point=f"r/{n}", explained=True, text=f"r/{n}: attention") for n in range(8)]
        }
    )
    said = doubts(head, base, profiled)
    assert any("an arm's own runs differ more than the change in 2 of 2 points" in one for one in said)
    assert len(said) == MOST + 1
    assert said[-1].startswith("and ")
    assert said[-1].endswith(" more notes, in the run's own report")


def test_long_values_are_shown_where_they_part(pair: Records) -> None:
    """A configuration in JSON, and an image by its digest: what is cut off was the change itself."""
    long = '{"mode": 3, "cudagraph_mode": "FULL_DECODE_ONLY", "cudagraph_capture_sizes": [1, 2, 4, 8, 16, 32], "level": %d}'
    parts = tuple({"model": "m", "flags": {"compilation-config": long % n}} for n in (2, 3))
    base, head = sides(pair(parts=parts, more={"vary": ["flags.compilation-config"]}))
    assert changed(head, base) == {"flags.compilation-config": '…], "level": 2} → …], "level": 3}'}
    short = tuple({"model": "m", "flags": {"a": value}} for value in ("x" * 100, "y" * 100))
    base, head = sides(pair(parts=short, more={"vary": ["flags.a"]}))
    assert changed(head, base) == {"flags.a": f"{'x' * 79}… → {'y' * 79}…"}


def test_points_outside_of_a_run_are_missing_with_a_reason(records: Records, tiny: str) -> None:
    """`changelog check --strict` accepts a partial run: every point has figures or a reason."""
    one = records(more={"point": f"{tiny}/128x64-tp1-c1"})
    left = absent(ROOT, one)
    assert set(left) == {"128x64-tp1-c2", "128x64-tp1-c4", "256x64-tp1-c1", "256x64-tp1-c2", "256x64-tp1-c4"}
    assert set(left.values()) == {"not in this run, which was of 1 of 6 points"}


@pytest.fixture
def tiny() -> str:
    """A shipped recipe of six points."""
    return "qwen3moe-tiny-cpu-vllm"


def test_show_is_a_table_in_both_forms(pair: Records, noise: Ledger) -> None:
    """With heading and unit of the one table of metrics, which are listed by hand here; text of others stays text."""
    from io import StringIO

    from utils.results.changelog import present

    base, head = sides(pair(slower=1.1, parts=PARTS, more=MORE))
    found = compare(base, head, noise, confirmation=False)
    stub = Stub(42, "Larger <b>blocks</b>", ("w",))
    text = add(b"", "c", head, base, stub, comparison=found, absent={"32x16-tp1-c4": "gone | away"})
    entries = changelog.read(text.encode()).root["r"]
    points = {"32x16-tp1-c1", "32x16-tp1-c2", "32x16-tp1-c4"}
    out = StringIO()
    present.write_text(out, "r", entries, points)
    shown = out.getvalue()
    assert "point         verdict     tok/s/device  change  TTFT ms  change  TPOT ms  change  runs" in shown
    assert "  changed: flags.block-size 16 → 32\n" in shown
    assert max(map(len, shown.splitlines()[:4])) <= 90
    made = present.markdown("r", entries, points)
    assert "| 32x16-tp1-c1 | regression | 2040 | -9.1% | 22.0 | +10.0% | 5.50 | +10.0% | 2+2 |" in made
    assert "<b>" not in made
    assert "gone \\| away" in made
