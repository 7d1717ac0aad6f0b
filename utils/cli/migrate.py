"""`servematrix migrate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.node import record, record_file
from utils.node.files import below, write_whole
from utils.results.changelog import entries
from utils.results.changelog.migrate import migrated
from utils.results.verdict import ledger, ledger_file, ledger_lines

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "migrate results data/ledger.jsonl"


def configure(parser: ArgumentParser) -> None:
    """What to rewrite."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="folders with records, records, ledgers (.jsonl), or perf-changelog.yaml",
    )


def run(arguments: Namespace) -> Exit:
    """Write records, ledgers and the changelog in today's format; what is in it already stays as it is."""
    for path in map(Path, arguments.paths):
        if not path.exists():
            raise HarnessError(
                Exit.USAGE, f"{path} is not there; name a folder with records, a ledger, or a changelog"
            )
        if path.is_dir() or path.name == record.FILE:
            found = sorted(below(path, record.FILE)) if path.is_dir() else [path]
            said = f"{sum(map(_record, found))} records written in version {record.SCHEMA}"
        elif path.suffix == ".jsonl":
            said = f"{_ledger(path)} lines written in version {ledger_lines.SCHEMA}"
        elif path.suffix in {".yaml", ".yml"}:
            said = f"{_changelog(path)} entries written in format {entries.FORMAT}"
        else:
            raise HarnessError(
                Exit.USAGE,
                f"{path} is none of these: {record.FILE}, a ledger in .jsonl, a changelog in .yaml",
            )
        sys.stdout.write(f"{path}: {said}\n")
    return Exit.OK


def _changelog(path: Path) -> int:
    """How many entries had to be written."""
    text, done = migrated(path.read_bytes(), path.name)
    if done:
        write_whole(path, text.encode())
    return done


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
        versions = [json.loads(line).get("schema_version", 1) for line in ledger.written(path)]
        old = len([version for version in versions if version != ledger_lines.SCHEMA])
        if old:
            write_whole(path, ledger.text(known).encode())
    return old
