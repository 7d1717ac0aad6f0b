"""`servematrix doctor`: what a cluster, this machine, or with `--github` the repository lacks; advice a line."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

from matrix import cluster as clusters
from matrix import recipe
from matrix.errors import Exit, HarnessError, did_you_mean
from matrix.source import Folder, git
from utils.github import pinned_actions, settings
from utils.github.api import Api
from utils.launch import doctor
from utils.node.preflight import Check, check
from utils.setup.environments import ROOT
from utils.show import tables
from utils.show.log import clean

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from matrix.recipe import Recipe

COLUMNS = [("", "left"), ("setting", "left"), ("found", "left")]
ROOM_GB = 5
EXAMPLE = "doctor mi300x-amd --probe"


def configure(parser: ArgumentParser) -> None:
    """A cluster, this machine, or the repository."""
    parser.add_argument(
        "cluster", nargs="?", metavar="CLUSTER", help="ask everything of one file of recipes/clusters"
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="with CLUSTER: run a job of one minute that asks a node, with its gres",
    )
    parser.add_argument("--github", action="store_true", help="look at settings that no file says")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="another one than origin")


def run(arguments: Namespace) -> Exit:
    """Say what is as it should be, and what to change where it is not."""
    if arguments.github:
        return _github(arguments)
    if arguments.probe and not arguments.cluster:
        raise HarnessError(Exit.USAGE, "--probe wants a CLUSTER: ./servematrix doctor CLUSTER --probe")
    found = _cluster(arguments.cluster, asks_node=arguments.probe) if arguments.cluster else _here()
    worst = Exit.OK
    for one in found:
        sys.stdout.write(f"{one.level:<8} {one.name}: {clean(one.cause)}\n")
        sys.stdout.flush()
        worst = worst if one.passed else Exit.CHECK_FAILED
    return worst


def _github(arguments: Namespace) -> Exit:
    found = settings.look(_api(arguments), _runner_labels(), pinned_actions.read(ROOT))
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
            Exit.USAGE,
            "GITHUB_TOKEN is not set; --github reads the repository's settings with it: export a token with administration: read",
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


def _cluster(name: str, *, asks_node: bool) -> Iterator[Check]:
    """Everything about one cluster."""
    source = Folder(ROOT)
    known = clusters.names(source)
    if name not in known:
        raise HarnessError(
            Exit.USAGE, f"no cluster {name!r} in {clusters.FOLDER}; {did_you_mean(name, known)}"
        )
    served: list[Recipe] = []
    for one in recipe.names(source):
        try:
            read, _ = recipe.load(source, one)
        except HarnessError as error:
            yield Check(
                f"recipe {one}", passed=True, found=str(error).splitlines()[0], advice="./servematrix check"
            )
            continue
        if read.cluster == name:
            served.append(read)
    yield from doctor.of_cluster(name, clusters.load(source, name), served, ROOT, asks_node=asks_node)


def _here() -> Iterator[Check]:
    """This machine, and which clusters can run from here."""
    source = Folder(ROOT)
    free = shutil.disk_usage(ROOT).free / 1e9
    room = "free some: records of a sweep and a server's environment need 5 GB"
    yield check("room for results", free > ROOM_GB, f"{free:.0f} GB", room)
    yield check(
        "git",
        bool(shutil.which("git")),
        shutil.which("git") or "git is missing",
        "install it: records name commits",
    )
    each = []
    for name in clusters.names(source):
        each.append(doctor.can_run(name, clusters.load(source, name)))
        yield each[-1]
    yield doctor.some_can_run(each)
