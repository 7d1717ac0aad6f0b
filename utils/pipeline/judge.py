"""From records to a verdict."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from utils.node.files import write_whole
from utils.pipeline.reasons import with_reasons
from utils.results.changelog import entries as changelog
from utils.results.changelog import expect
from utils.results.collect import collect
from utils.results.verdict import compare, kept, matching, present

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison


VERDICT = "verdict.json"
"""Of a run with two arms, beside its records."""


def judged(
    base: Sequence[Record],
    head: Sequence[Record],
    ledger_file: Path,
    tree: Path,
    *,
    vary: Sequence[str] = (),
    confirmation: bool = True,
) -> Comparison:
    """Compare two sides, with the claims that their author committed.

    Args:
        base: records of one side.
        head: records of the other.
        ledger_file: what noise is; one that is not there is empty.
        tree: checkout whose changelog has the claims.
        vary: parts of the key that may differ besides those that the plan named.
        confirmation: whether what was seen once waits for a second time.
    """
    known, name = kept.read(ledger_file)
    found = compare.compare(base, head, known, vary=vary, confirmation=confirmation, named=name)
    return with_claims(found, head, tree)


def with_claims(comparison: Comparison, head: Sequence[Record], tree: Path) -> Comparison:
    """A comparison with what became of the claims in a checkout's changelog."""
    outcomes = []
    for recipe in sorted({record.point.split("/")[0] for record in head}):
        committed = expect.committed(tree, head[0].provenance.tree_commit, recipe)
        outcomes += expect.outcomes(
            comparison, recipe, committed, expect.written(tree / changelog.FILE, recipe)
        )
    return comparison.model_copy(update={"claims": outcomes})


def judge_folder(out: Path, ledger_file: Path, tree: Path, *, quiet: bool = False) -> Comparison:
    """Judge what is in a results folder, by the ledger as it was the first time; show it, unless quiet, and keep both beside the records."""
    base, head = matching.arms(collect([out]))
    found = with_reasons(judged(base, head, kept.keep(out, ledger_file), tree), [out])
    write_whole(out / VERDICT, found.to_json().encode())
    if not quiet:
        present.write_text(sys.stdout, found)
    return found
