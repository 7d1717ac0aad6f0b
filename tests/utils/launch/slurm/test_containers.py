"""The main job with the REAL vLLM through a real Slurm, in charliecloud; test_pull_request.py has it without a container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit
from tests.slurm.site import Site, end
from tests.slurm.vllm_image import image
from utils.launch.slurm.container import squash_name
from utils.node.host.image import digest

pytestmark = [pytest.mark.real, pytest.mark.slurm]
CLUSTER = """\
launcher: slurm
storage: staged
devices: {{kind: cpu, model: cpu, count: 2}}
container: {{runtime: charliecloud, mounts: {{{models}: "/mnt:ro"}}}}
slurm: {{gres: "gpu:8", poll_s: 0.5}}
paths: {{spool: /tmp/sm-$UID, squash: /var/tmp/{name}-squash, archives: {archives}}}
env: {{HF_HUB_OFFLINE: "1", VLLM_CPU_KVCACHE_SPACE: "1", VLLM_NO_USAGE_STATS: "1", TORCHDYNAMO_DISABLE: "1"}}
limits: {{foreign_share: 1, ready_s: 300, client_s: 600, estimate_start_s: 240, estimate_request_s: 0.5, estimate_tok_per_s: 2000}}
"""
RECIPE = "extends: qwen3moe-tiny-cpu-vllm\nimage: archive:{name}\ncluster: boxed\n"
PAIR = ("run", "boxed/128x64-tp1-c1", "--pair", "before", "--no-confirm")


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((out / "jobs").rglob("record.json"))]


def server(site: Site, launcher: subprocess.Popen[str]) -> int:
    """The process of `vllm serve`, seen from outside of the node's namespace."""
    found: list[int] = []

    def look() -> bool:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            # others on this machine may serve, too
            ours = any(b"models/qwen3moe-tiny" in word for word in words)
            if ours and b"serve" in words and any(b"vllm" in w for w in words[:3]) and b"ch-run" not in words:
                found.append(int(path.parent.name))
        assert launcher.poll() is None, launcher.communicate()[0]
        return bool(found)

    site.wait(look, limit_s=120)
    return found[0]


@pytest.mark.nightly
def test_the_tiny_recipe_in_charliecloud(site: Site) -> None:
    """A container without home, with an explicit environment, models read-only, images out of sight, hashed before use."""
    made = image()
    models = site.base / "nfs" / "models"
    models.mkdir(exist_ok=True)
    name = f"sm{os.getpid()}"
    cluster = CLUSTER.format(models=models, archives=made.parent, name=name)
    site.add("recipes/clusters/boxed.yaml", cluster)
    for recipe in ("boxed", "before"):
        site.add(f"recipes/{recipe}.yaml", RECIPE.format(name=made.name))
    squash = Path(f"/var/tmp/{name}-squash")  # noqa: S108 - outside of the nodes' private /tmp
    out = site.base / "login" / "boxed"
    try:
        launcher = site.start_command(*PAIR, "--out", str(out))
        process = server(site, launcher)
        environment = dict(
            part.split("=", 1)
            for part in Path(f"/proc/{process}/environ").read_text().split("\0")
            if "=" in part
        )
        mounts = Path(f"/proc/{process}/mountinfo").read_text()
        text, _ = launcher.communicate(timeout=1500)
        assert launcher.returncode == 0, text
        found = records(out)
        assert [one["status"] for one in found] == ["measured"] * 4
        _answers_are_compared(out, found)
        assert {one["squash_sha256"] for one in found} == {digest(made)}
        assert found[0]["node"]["runtime"].startswith("charliecloud 0.")
        assert found[0]["observed"]["parts"]["observed"]["squash_sha256"] == digest(made)
        assert not found[0]["observed"]["reusable"]
        assert not [
            variable for variable in environment if variable.startswith(("SLURM", "GITHUB", "PIP", "SSH"))
        ]
        assert environment["HOME"].startswith("/workspace/scratch")
        points = {line.split()[4]: line.split()[5] for line in mounts.splitlines()}
        assert points["/mnt"].startswith("ro")
        assert {one for one in points if one.startswith("/workspace")} == {
            "/workspace",
            "/workspace/scratch",
        }
        roots = {line.split()[4]: line.split()[3] for line in mounts.splitlines()}
        assert roots["/workspace"].endswith("/box/server.canary")
        assert roots["/workspace/scratch"].endswith("/box/canary/scratch")
        assert {one["node"]["load_image"] for one in found} == {f"archive:{made.name}"}
        assert not any(
            str(Path.home()) in line or str(squash) in line.split()[3:5] for line in mounts.splitlines()
        )
        assert site.left_on_nodes() == []
        _flipped_bits_and_a_damaged_image(site, squash / squash_name(f"archive:{made.name}"), out)
    finally:
        for path in squash.glob(".*"):
            path.unlink()
        for path in squash.glob("*"):
            path.unlink()
        squash.rmdir()


def _answers_are_compared(out: Path, found: list[dict[str, Any]]) -> None:
    """The base's first run left its answers where no container writes; the others were compared with a copy, and left their own."""
    (job,) = (out / "jobs").glob("*/")
    assert sorted(path.name for path in job.glob("*.json*")) == [
        "events.jsonl",
        "found.json",
        "parity-128x64-tp1-c1.json.gz",
        "requests.json",
    ]
    said = {one["run_index"]: [(each["name"], each["verdict"]) for each in one["accuracy"]] for one in found}
    compared = [("decode at 1", "passed"), ("prefill", "passed")]
    assert said == {0: [], 1: compared, 2: compared, 3: compared}
    assert len(list(job.glob("run-*/*/answers.json.gz"))) == 3
    assert len({one["load"]["requests"] for one in found}) == 1
    verdict = json.loads((out / "verdict.json").read_bytes())
    assert any("answers are the base's" in note for note in verdict["notes"]), verdict["notes"]


def _flipped_bits_and_a_damaged_image(site: Site, path: Path, out: Path) -> None:
    """A file that changed since its import is imported anew; nothing else would tell."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    launcher = site.start_command("run", "boxed/128x64-tp1-c1", "--out", f"{out}-2", "--budget", "1")
    site.wait(lambda: digest(path) == digest(image()))
    _, text = end(launcher, signal.SIGTERM)
    assert "is not what was imported (its sha256 differs" in text


def test_an_archive_that_is_not_there(site: Site) -> None:
    """It is the recipe's fault, shown with the file's name, and not tried again."""
    name = f"sm{os.getpid()}"
    archives = site.base / "archives"
    archives.mkdir()
    site.add("recipes/clusters/boxed.yaml", CLUSTER.format(models=site.base, archives=archives, name=name))
    site.add("recipes/boxed.yaml", RECIPE.format(name="gone.sqsh"))
    out = site.base / "login" / "gone"
    done = site.call("run", "boxed/128x64-tp1-c1", "--out", str(out))
    assert done.returncode == Exit.IMAGE_FAILED, done.stdout
    assert "benchmark: the image's archive is not there" in done.stdout
    assert f"{archives}/gone.sqsh" in done.stdout
    for path in [*Path(f"/var/tmp/{name}-squash").glob(".*")]:  # noqa: S108 - as above
        path.unlink()
    Path(f"/var/tmp/{name}-squash").rmdir()  # noqa: S108
