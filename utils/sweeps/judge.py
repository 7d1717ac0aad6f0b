"""The sweep's judging job: from what the measuring jobs left to a plan to confirm, or to the report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.metrics import figures
from utils.github.trigger import from_environment, summary
from utils.node.files import write_whole
from utils.pipeline.ask import Ask
from utils.pipeline.confirm import again
from utils.pipeline.judge import with_claims
from utils.pipeline.plan import timed
from utils.report import pictures, verdict, verdict_comment
from utils.report.drawing import drawn
from utils.results.recompute import check
from utils.results.verdict import compare, kept, matching
from utils.show import tables
from utils.sweeps.entry import with_entry
from utils.sweeps.inputs import hand_on, read_plan
from utils.sweeps.recheck import rechecked
from utils.sweeps.report import PICTURE, REPORT, Report
from utils.sweeps.returned import keep, missing, taken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison


def judge(tree: Path, plan: Path, results: Path, out: Path, ledger_file: Path | None, *, final: bool) -> Exit:
    """Judge what came back: what is to be confirmed goes on as a matrix; the final time everything goes into a report.

    Args:
        tree: checkout of the pull request's commit.
        plan: folder with the sweep's plan.json.
        results: what the measuring jobs left.
        out: gets the plan to confirm, or the report and the records.
        ledger_file: what noise is; None, or one that is not there, is empty. The first judgement hands it on to the last, so
            that what others measure in between moves neither.
        final: make the report.
    """
    event = from_environment()
    inputs = event.payload["inputs"]
    made, notes = read_plan(plan), list[str]()
    left = rechecked(taken(results, made, notes, event.run, str(inputs["sha"])), made)
    records = list(left.values())
    comparison = _compared(records, ledger_file, tree, notes)
    if not final:
        flagged = comparison.flagged if comparison else []
        hand_on(timed(Ask(root=tree, timings=(results,)), again(made, flagged)), out)
        kept.keep(out, ledger_file)
        return Exit.OK
    report = Report(
        sha=str(inputs["sha"]),
        pull=int(inputs["pull"]),
        comparison=comparison,
        alone=[_line(one) for one in records if one.arm == "head" and not _has_base(one, records)],
        missing=missing(made, records, results),
        changelog="",
        notes=notes,
    )
    report = with_entry(report, records, comparison, tree, event.run_url)
    write_whole(out / REPORT, report.model_dump_json().encode())
    for place, one in left.items():
        if not any(check.place(one, place)):  # else it would be kept over another run's
            keep(one, place, out / "records")
    kept.keep(out, ledger_file)
    if comparison:
        write_whole(out / PICTURE, _drawn(comparison))
        summary("".join(verdict_comment.parts(comparison)))
    return Exit.OK


def _drawn(comparison: Comparison) -> bytes:
    """The comment's picture; empty where there is nothing to draw, or nothing to draw it with: the words stand without it."""
    rows = verdict.once(verdict.by_effect(comparison))
    if not rows:
        return b""
    title = (
        comparison.headline.text
        if len(comparison.headline.text) <= TITLE
        else f"{comparison.headline.text[: TITLE - 1]}…"
    )
    try:
        ((svg, _),) = drawn([pictures.effects(rows, title, alone=True)], _tell)
    except HarnessError as error:
        summary(f"no picture: {error}\n")
        return b""
    return svg.encode()


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


TITLE = 70
"""Letters that fit over the picture."""


def _compared(
    records: Sequence[Record], ledger_file: Path | None, tree: Path, notes: list[str]
) -> Comparison | None:
    if {one.arm for one in records} != {"base", "head"}:
        return None
    base, head = matching.arms(records)
    known, name = kept.read(ledger_file)
    try:
        return with_claims(compare.compare(base, head, known, named=name), head, tree)
    except HarnessError as error:
        notes.append(f"no verdict: {error}"[:500])
        return None


def _has_base(one: Record, records: Sequence[Record]) -> bool:
    return any(other.arm == "base" and other.point == one.point for other in records)


def _line(one: Record) -> str:
    return f"{one.point}: {one.status} {tables.figures_text(figures(one))}".rstrip()
