"""`servematrix doctor`: what this checkout, or with `--github` its repository, lacks; advice a line."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix.errors import Exit, HarnessError
from matrix.source import Folder, git
from utils.github import settings
from utils.github.api import Api
from utils.github.settings import Setting
from utils.setup.environments import ROOT
from utils.show import tables
from utils.show.log import clean

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

COLUMNS = [("", "left"), ("setting", "left"), ("found", "left")]
ROOM_GB = 5
SLURM = ("sbatch", "squeue", "srun", "scancel", "sacct")


EXAMPLE = "doctor --github"


def configure(parser: ArgumentParser) -> None:
    """This machine, or the repository."""
    parser.add_argument("--github", action="store_true", help="look at settings that no file says")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="another one than origin")


def run(arguments: Namespace) -> Exit:
    """Say what is as it should be, and what to change where it is not."""
    found = settings.look(_api(arguments), _runner_labels()) if arguments.github else list(_here())
    marks = {True: "ok", False: "BAD", None: "?"}
    tables.table(
        sys.stdout, "Doctor", COLUMNS, [[marks[one.good], one.name, clean(one.found)] for one in found]
    )
    bad = [one for one in found if not one.good]
    sys.stdout.writelines(f"{one.name}: {one.advice}\n" for one in bad)
    return Exit.CHECK_FAILED if any(one.good is False for one in bad) else Exit.OK


def _runner_labels() -> list[str]:
    """Of the runners where sweeps of this checkout's clusters run."""
    source = Folder(ROOT)
    kinds = [clusters.load(source, name) for name in clusters.names(source)]
    return [cluster.runner for cluster in kinds if cluster.takes_sweeps]


def _api(arguments: Namespace) -> Api:
    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        raise HarnessError(
            Exit.USAGE, "GITHUB_TOKEN is not set; a token that may read the repository's administration"
        )
    repository = arguments.repository or os.environ.get("GITHUB_REPOSITORY") or _origin()
    return Api(os.environ.get("GITHUB_API_URL", "https://api.github.com"), repository, token)


def _origin() -> str:
    """The repository that `origin` names."""
    address = git(ROOT, "remote", "get-url", "origin").decode().strip()
    match = re.search(r"[:/]([\w.-]+/[\w.-]+?)(?:\.git)?$", address)
    if match is None:
        raise HarnessError(Exit.USAGE, "origin names no repository of GitHub; give --repository OWNER/NAME")
    return match[1]


def _here() -> list[Setting]:
    """What this machine needs for the clusters of this checkout."""
    source = Folder(ROOT)
    kinds = {name: clusters.load(source, name) for name in clusters.names(source)}
    behind = [name for name, cluster in kinds.items() if cluster.launcher == "slurm"]
    missing = [name for name in SLURM if not shutil.which(name)]
    free = shutil.disk_usage(ROOT).free / 1e9
    return [
        Setting("clusters", bool(kinds), ", ".join(kinds), "add a file to recipes/clusters"),
        Setting(
            f"Slurm's commands, for {', '.join(behind) or 'no cluster'}",
            None if missing and behind else True,
            "missing: " + ", ".join(missing) if missing else "all there",
            "run it where Slurm's commands are; the local cluster needs none",
        ),
        Setting(
            "room for results",
            free > ROOM_GB,
            f"{free:.0f} GB",
            "free some: records of a sweep and vLLM's environment need 5 GB",
        ),
    ]
