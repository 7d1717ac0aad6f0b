"""The ledger that a run or sweep was judged by, kept with it: both judgements use it, and so does `compare` years later."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from utils.node.files import write_whole
from utils.results.verdict import ledger
from utils.results.verdict.outcome import LedgerName

if TYPE_CHECKING:
    from pathlib import Path

FILE = "ledger.jsonl"
RULE = 2
"""Version of the rule: 1 took the ledger's word alone, 2 pools it with the change's own noise."""


def keep(folder: Path, source: Path | None) -> Path:
    """The ledger beside results or a plan: as it was when it was first asked for.

    Args:
        folder: of the results, or of the plan.
        source: the ledger as it is now; None, or one that is not there, is empty.

    Raises:
        HarnessError: LEDGER_INVALID; such a one is not kept.
    """
    kept = folder / FILE
    if not kept.exists():
        if source:
            ledger.read(source)
        try:
            content = source.read_bytes() if source else b""
        except FileNotFoundError:
            content = b""
        write_whole(kept, content)
    return kept


def of(folder: Path, otherwise: Path) -> Path:
    """The ledger that results were judged by; another where they kept none."""
    kept = folder / FILE
    return kept if kept.is_file() else otherwise


def read(path: Path | None) -> tuple[ledger.Ledger, LedgerName]:
    """A ledger, and what it is known by in a verdict.

    Raises:
        HarnessError: LEDGER_INVALID.
    """
    known = ledger.read(path) if path else ledger.Ledger()
    content = path.read_bytes() if path and path.is_file() else b""
    name = LedgerName(
        sha256=hashlib.sha256(content).hexdigest() if content else "",
        differences=len(known.differences),
        rule=RULE,
    )
    return known, name
