"""`servematrix collect`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.cli.options import positive
from utils.results.collect import collect, without
from utils.show import flat, tables

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

EXAMPLE = "collect results/20261123-*"


def configure(parser: ArgumentParser) -> None:
    """Folders, and a job whose results are still on its node."""
    parser.add_argument("folders", nargs="+", metavar="DIR")
    parser.add_argument(
        "--job",
        type=positive,
        metavar="N",
        help="first fetch what this Slurm job left on its node into DIR, as after a launcher that died",
    )
    parser.add_argument("--node", metavar="NAME", help="where that job ran, if Slurm has forgotten it")
    parser.add_argument("--cluster", metavar="NAME", help="its cluster file, if DIR does not name it")
    parser.add_argument(
        "--format",
        choices=["table", "json", "csv", "parquet"],
        default="table",
        help="default: table; csv and parquet are flat, a row a record (docs/records.md)",
    )
    parser.add_argument("--out", metavar="FILE", help="where parquet goes; it wants pyarrow")


def run(arguments: Namespace) -> Exit:
    """Show records again.

    Raises:
        HarnessError: USAGE for parquet without a file, or a file without parquet.
    """
    if (arguments.format == "parquet") != bool(arguments.out):
        raise HarnessError(
            Exit.USAGE, "--out FILE and --format parquet go together; the other forms go to stdout"
        )
    if arguments.job:
        from utils.launch.slurm.left_on_node import fetch_job  # noqa: PLC0415 - only where a job is asked for

        fetch_job(arguments.job, Path(arguments.folders[0]), arguments.node, arguments.cluster)
    folders = [Path(folder) for folder in arguments.folders]
    records = collect(folders)
    sys.stderr.writelines(f"note: no record below {folder}\n" for folder in without(folders))
    if arguments.format == "json":
        json.dump([one.model_dump(mode="json") for one in records], sys.stdout)
        sys.stdout.write("\n")
    elif arguments.format == "csv":
        flat.write_csv(sys.stdout, records)
    elif arguments.format == "parquet":
        flat.write_parquet(Path(arguments.out), records)
        sys.stdout.write(f"{arguments.out}: {tables.counted(len(records), 'row')}\n")
    else:
        tables.results(sys.stdout, records)
    bad = [one for one in records if one.status != "measured"]
    return Exit.GATE_FAILED if bad else Exit.OK
