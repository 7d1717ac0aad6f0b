"""`servematrix migrate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.node import record, record_file
from utils.node.files import write_whole
from utils.results.verdict import ledger, ledger_file, ledger_lines

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "migrate results data/ledger.jsonl"


def configure(parser: ArgumentParser) -> None:
    """What to rewrite."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="folders with records, or ledgers (.jsonl)")


def run(arguments: Namespace) -> Exit:
    """Write records and ledgers in today's format; those that are in it already stay as they are."""
    for path in map(Path, arguments.paths):
        if not path.exists():
            raise HarnessError(Exit.USAGE, f"{path} is not there; name a folder with records, or a ledger")
        done = (
            _ledger(path) if path.suffix == ".jsonl" else sum(map(_record, sorted(path.rglob(record.FILE))))
        )
        what = "lines" if path.suffix == ".jsonl" else "records"
        version = ledger_lines.SCHEMA if path.suffix == ".jsonl" else record.SCHEMA
        sys.stdout.write(f"{path}: {done} {what} written in version {version}\n")
    return Exit.OK


def _record(path: Path) -> bool:
    """Whether it had to be written."""
    one = record_file.read(path)
    if json.loads(path.read_bytes()).get("schema_version", 1) == record.SCHEMA:
        return False
    record_file.save(one, path.parent)
    return True


def _ledger(path: Path) -> int:
    """How many lines had to be written."""
    with ledger_file.locked(path):
        known = ledger.read(path)
        versions = [json.loads(line).get("schema_version", 1) for line in path.read_text().splitlines()]
        old = len([version for version in versions if version != ledger_lines.SCHEMA])
        if old:
            write_whole(path, ledger.text(known).encode())
    return old
