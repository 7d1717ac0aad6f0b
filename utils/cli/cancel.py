"""`servematrix cancel`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.launch.slurm import names
from utils.launch.slurm.launcher import cancel
from utils.setup import provenance
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "cancel results/20261123-*"


def configure(parser: ArgumentParser) -> None:
    """Which runs."""
    parser.add_argument(
        "folders", nargs="*", metavar="DIR", help="results folders; none means every job of this checkout"
    )


def run(arguments: Namespace) -> Exit:
    """End jobs by the names that a run gave them."""
    if arguments.folders:
        wanted = {name for folder in arguments.folders for name in _submitted(Path(folder))}
        ended = cancel(lambda job: job.name in wanted)
    else:
        whose = names.identity(ROOT, provenance.find(ROOT).tree_commit, ROOT)
        ended = cancel(lambda job: job.name.startswith(f"{names.PREFIX}/{whose.repository}/"))
    sys.stdout.writelines(f"cancelled: {job}\n" for job in ended)
    if not ended:
        sys.stdout.write("no job is left\n")
    return Exit.OK


def _submitted(folder: Path) -> list[str]:
    """Names under which a run's launchers handed jobs to Slurm."""
    if not (folder / "launch").is_dir():
        raise HarnessError(
            Exit.USAGE, f"{folder}: no launcher wrote there; name the folder of a run on Slurm"
        )
    files = [path for path in (folder / "launch").glob("*.json") if path.name != "plan.json"]
    return [str(json.loads(path.read_bytes()).get("name", "")) for path in files]
