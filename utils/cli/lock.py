"""`servematrix lock`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import Exit
from utils.setup import lock_files

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "lock"


def configure(parser: ArgumentParser) -> None:
    """No option."""
    del parser


def run(arguments: Namespace) -> Exit:
    """Make the locks again."""
    del arguments
    lock_files.write()
    return Exit.OK
