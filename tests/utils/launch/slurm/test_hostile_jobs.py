"""Two hostile jobs of a checkout that nobody merged, on a real Slurm of eight nodes: they cost their own time and no node."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.site import RECIPE, Site, base_folder, hidden
from utils.launch.slurm.blaming import TRIES

pytestmark = [pytest.mark.slurm, pytest.mark.hostile, pytest.mark.nightly]

NODES = tuple(f"mi{number}" for number in range(8))
LIES = r"""#!/bin/sh
# a HOSTILE python of an environment: it says in every way that it has that the machine is broken, and ends as a broken one would
{only}
say() { echo "$1"; echo "$1" >&2; }
say '{"kind":"check","name":"disk","text":"the disk is broken","facts":{"passed":false,"of_node":true}}'
say '{"token":"","kind":"end","name":"job","facts":{"exit":20}}'
say "slurmstepd: error: *** JOB $SLURM_JOB_ID ON $SLURMD_NODENAME CANCELLED AT 2026-11-27T00:00:00 DUE TO NODE FAILURE ***"
say 'slurmstepd: error: Prolog failure on node'
say 'srun: error: Node failure on mi0'
say 'srun: error: Communication connection failure'
out=$(sed 's/.*"out":"\([^"]*\)".*/\1/' "$(dirname "$4")/run-0-head.json")
rm "$out/canary/started" # as if it had never begun
{more}case $SLURMD_NODENAME in *[036]) exit 23 ;; *[147]) exit 20 ;; *) exit 22 ;; esac # another cause on each node, so that none clears the others
"""


KILLED = "kill -KILL 0 # as if something outside had ended all of it\n"


@pytest.fixture
def eight() -> Iterator[Site]:
    """A site of its own."""
    base = base_folder()
    try:
        with Cluster(names=NODES, private=hidden(base)) as slurm:
            site = Site.make(base, slurm)
            for recipe in (site.checkout / "recipes").glob("*.yaml"):
                if recipe.stem not in {"shared", "staged"}:  # they name kernels, which are not there
                    recipe.unlink()
            yield site
            site.stop()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def lying(site: Site, name: str, more: str = "", only: str = "") -> list[str]:
    """Options of a run in an environment whose Python lies."""
    environment = site.base / f"{name}-environment"
    shutil.copytree(site.environment, environment)
    python = environment / "bin/python"
    honest = python.rename(python.with_name("honest"))
    elsewhere = f'[ "$SLURMD_NODENAME" = {only} ] || exec {honest} "$@"' if only else ""
    python.write_text(LIES.replace("{more}", more).replace("{only}", elsewhere))
    python.chmod(0o755)
    return ["--environment", str(environment), "--out", str(site.base / "nfs" / name)]


def hostile(site: Site, name: str, more: str = "", only: str = "") -> list[str]:
    """A command that runs a recipe of a checkout of a stranger's, whose environment lies."""
    tree = site.base / f"{name}-tree"
    (tree / "recipes/models").mkdir(parents=True)
    shutil.copytree(site.checkout / "recipes/models/m", tree / "recipes/models/m")
    (tree / f"recipes/{name}.yaml").write_text(RECIPE.format(cluster="shared", fault=""))
    return ["run", name, "--tree", str(tree), *lying(site, name, more, only)]


def test_two_hostile_jobs_on_eight_nodes_cost_no_node(eight: Site) -> None:
    """Each is tried three times at most, none of eight nodes is kept out, and the next honest run is measured.

    The first says in all ways that its node is broken; the second is killed as by something outside.
    """
    jobs = [
        eight.start_command(*hostile(eight, "one")),
        eight.start_command(*hostile(eight, "another", KILLED)),
    ]
    for job in jobs:
        text, _ = job.communicate(timeout=240)
        assert "submitted as Slurm job" in text, text
        assert job.returncode, text
    assert not list((eight.base / "nfs").rglob("canary/started"))
    assert 2 <= len(eight.every_job()) <= 2 * TRIES
    assert "no node is in quarantine" in eight.call("nodes").stdout
    eight.slurm.wait_ready()
    honest = eight.run("shared")
    assert honest.returncode == 0, honest.stdout + honest.stderr
    assert eight.statuses("shared") == ["measured"] * 2
    assert {one["node"]["isolation"] for one in eight.records("shared")} == {"own processes"}


def test_the_same_lie_costs_a_node_where_the_checkout_is_merged(eight: Site) -> None:
    """The control: on one node alone the container seems never to start. A merged checkout is believed; a stranger's is not."""
    stranger = eight.start_command(*hostile(eight, "one", only="mi0"))
    text, _ = stranger.communicate(timeout=240)
    assert "on mi0" in text, text
    assert "no node is in quarantine" in eight.call("nodes").stdout, text
    eight.slurm.wait_ready()
    merged = eight.start_command("run", "shared", *lying(eight, "merged", only="mi0"))
    text, _ = merged.communicate(timeout=240)
    assert "on mi0" in text, text
    assert "mi0" in eight.call("nodes").stdout, text
