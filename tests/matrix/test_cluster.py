"""A cluster file is checked as hard as a recipe: what only a batch script, a node or an open repository would notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix import cluster
from matrix.errors import HarnessError
from matrix.source import Folder
from tests.conftest import write

GOOD = """\
launcher: slurm
devices: {kind: rocm, model: MI300X, arch: gfx942, count: 8}
container: {runtime: pyxis, mounts: {/hub: "/mnt:ro"}, devices: [/dev/kfd]}
slurm: {partition: "p,q", gres: "gpu:mi300x:8", cpus_per_task: 128, options: {account: perf, container-name: x, exclude: n1}}
paths: {squash: /images/$UID, models: /hub}
env: {VLLM_NO_USAGE_STATS: "1", LD_LIBRARY_PATH: /opt/lib}
env_from: {HF_TOKEN: HF_TOKEN}
client_cores: 8
registries: [docker.io, "localhost:5000"]
"""
GRES, OPTION, PATH = 'gres: "gpu:mi300x:8"', "account: perf", "squash: /images/$UID"
ENV, MOUNT = 'VLLM_NO_USAGE_STATS: "1"', '/hub: "/mnt:ro"'
BAD = {
    "another's name of the runtime": ("runtime: pyxis", "runtime: enroot", "3:13: write pyxis"),
    "a GPU of the other maker": ("kind: rocm", "kind: cuda", "2:1: MI300X is no cuda device; write kind: rocm"),
    "a compiler's other name": ("kind: rocm, model: MI300X, arch: gfx942", "kind: cuda, model: H100, arch: sm_90", "write sm90"),
    "no compiler's name": ("arch: gfx942", "arch: sm90", "it is like gfx942"),
    "fewer GPUs than a node has": (GRES, 'gres: "gpu:4"', "gpu:4 is 4 of a node's GPUs, and devices.count says 8"),
    "one GPU": (GRES, "gres: gpu", "gpu is 1 of a node's GPUs"),
    "scontrol's words": (GRES, 'gres: "gres/gpu:8"', "write 'gpu:8'"),
    "no core for the server": ("client_cores: 8", "client_cores: 128", "client_cores 128 leaves none of 128 cores"),
    "a shell in the partition": ('"p,q"', '"p;id"', "4:9: 'p;id' is no partition"),
    "sinfo's mark of the default partition": ('"p,q"', '"gpu*"', "'gpu*' is no partition; write gpu; sinfo -o %R lists them"),
    "a blank between partitions": ('"p,q"', '"p, q"', "'p, q' is no partition; write p,q"),
    "dashes in front": (OPTION, "--account: perf", "write 'account', without the dashes in front"),
    "a slip": (OPTION, "acount: perf", "sbatch has no option 'acount'; did you mean 'account'?"),
    "underscores": (OPTION, "mail_type: x", "write mail-type"),
    "an option that the harness sets": (OPTION, "output: x", "the option 'output' is set by the harness itself"),
    "an option with a key of its own": (OPTION, "time: '10'", "the option 'time' is set by limits.walltime_s"),
    "several jobs": (OPTION, "array: 1-3", "the option 'array' is set by the harness itself"),
    "two lines": (OPTION, 'account: "a\\n#SBATCH --x"', "has a line break"),
    "a path from nowhere": (PATH, "squash: images", "5:9: 'images' is no whole path"),
    "a path with steps up": (PATH, "squash: /a/../b", "has .. in it"),
    "a pattern of Slurm's": (PATH, "squash: /a/%u", "%u in '/a/%u' is not expanded"),
    "a template": (PATH, "squash: '/a/{user}'", "{user} in '/a/{user}' is not expanded"),
    "a command": (PATH, "squash: '/a/`id`'", "` in '/a/`id`' is not expanded"),
    "nearly $UID": (PATH, "squash: /a/$UIDX", "$UIDX in '/a/$UIDX' is not expanded"),
    "a blank": (PATH, "squash: /my images", "has ' ' in it"),
    "a comma": (PATH, "squash: '/a,b'", "has ',' in it"),
    "the whole disk": (PATH, "squash: /", "the node's whole disk"),
    "a home in a mount": (MOUNT, '$HOME/x: "/mnt:ro"', "$HOME in '$HOME/x' is not expanded"),
    "a mount to nowhere": (MOUNT, "/hub: mnt", "'mnt' is no whole path"),
    "docker's word for a mount": (MOUNT, '/other: "/mnt:rw"', "write /mnt, or /mnt:ro"),
    "a device's short name": ("/dev/kfd", "kfd", "'kfd' is no whole path"),
    "a device that is none": ("/dev/kfd", "/sys/kfd", "is no device node"),
    "a token by its name": (ENV, "HF_TOKEN: x", "6:7: HF_TOKEN looks like a secret"),
    "a token by its look": (ENV, "X: hf_abcdefghijklmnopqrstuv", "6:7: X looks like a secret"),
    "a password in an address": (ENV, "HTTPS_PROXY: 'http://me:pw-abcdefghij@proxy:3128'", "HTTPS_PROXY looks like a secret"),
    "a token elsewhere": (OPTION, "comment: hf_abcdefghijklmnopqrstuv", "comment looks like a secret"),
    "what runs set": (ENV, "PATH: /x", "PATH is set by the harness"),
    "a name that is none": (ENV, "'A B': x", "6:7: 'A B' is not the name of an environment variable"),
    "a value that waits for a shell": (ENV, "HF_HOME: $HOME/x", "$HOME in '$HOME/x' is not expanded"),
    "a shell in env_from": ("HF_TOKEN: HF_TOKEN", "'A;id': B", "'A;id' is not the name of an environment variable"),
    "a value in env_from": ("HF_TOKEN: HF_TOKEN", "A: $B", "'$B' is not the name of an environment variable"),
    "an address of a registry": ("[docker.io", "[https://ghcr.io", "write ghcr.io"),
    "a Python that waits for a shell": ("cpus_per_task: 128", "python: $HOME/bin/python", "nothing is expanded here"),
}  # fmt: skip


def load(root: Path, text: str) -> cluster.Cluster:
    write(root / "recipes/clusters/c.yaml", text)
    return cluster.load(Folder(root), "c")


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_found_at_its_place(tmp_path: Path, case: str) -> None:
    """With what to write; a secret is never shown."""
    old, new, wanted = BAD[case]
    assert old in GOOD
    with pytest.raises(HarnessError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    text = str(caught.value)
    assert wanted in text
    assert all(line.startswith("recipes/clusters/c.yaml:") for line in text.splitlines())
    assert "abcdefghij" not in text


def test_a_good_one(tmp_path: Path) -> None:
    """The file that the mistakes are made in; a site's plugin may have options of its own, and a token comes from the node."""
    made = load(tmp_path, GOOD)
    assert made.slurm
    assert made.slurm.options["container-name"] == "x"
    assert made.env_from == {"HF_TOKEN": "HF_TOKEN"}
