"""The batch script of every shipped job: its golden file, quoting, shellcheck. `python -m …test_batch` writes the files anew."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from matrix import cluster as clusters
from matrix import estimate, select
from matrix.cluster import Cluster, Slurm
from matrix.errors import HarnessError
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT
from utils.launch.base import Order
from utils.launch.slurm import batch, names, payload
from utils.launch.slurm.launcher import with_slurm
from utils.node.spec import Provenance

GOLDEN = ROOT / "tests/golden/batch"
PROVENANCE = Provenance(commit="a" * 40, clean=True, tree_commit="b" * 40, tree_clean=True, harness="test")


def attempts() -> dict[str, batch.Attempt]:
    """The first attempt at every job of every shipped recipe, two runs, by the name of its golden file."""
    source = Folder(ROOT)
    plan = select.chosen(Tree.of(source), [], runs=2)
    known = {job.cluster: with_slurm(clusters.load(source, job.cluster)) for job in plan.jobs}
    plan = estimate.timed(plan, known, estimate.History(), canary=True)
    found: dict[str, batch.Attempt] = {}
    for job in plan.jobs:
        one = job.model_copy(update={"id": ".".join(part for part in job.id.split(".") if len(part) != 8)})
        recipe = job.points[0].recipe
        number = sum(name.startswith(f"{recipe}.") for name in found) + 1
        order = Order(
            plan=plan,
            clusters=known,
            tree=ROOT,
            out=Path("/home/perf/results/golden"),
        )
        who = names.Identity("organisation-repository", "42", "0123456789ab", "89abcdef")
        name = who.job(one.id, 0)
        found[f"{recipe}.{number}"] = batch.Attempt(
            job=one,
            cluster=known[job.cluster],
            order=order,
            name=name,
            folder=names.folder(name),
            number=0,
            token="00112233445566ff",  # noqa: S106 - no password: it marks lines
        )
    return found


def rendered(attempt: batch.Attempt) -> str:
    """A script with a short payload in the place of the real one."""
    with mock.patch.object(os, "getuid", return_value=1000):
        return batch.render(attempt, payload.Payload(b"payload of this job\n"))


@pytest.mark.parametrize(("name", "attempt"), attempts().items(), ids=attempts().keys())
def test_each_script_is_its_golden_file(name: str, attempt: batch.Attempt) -> None:
    """So that a change of what runs on the cluster is read in a diff."""
    assert rendered(attempt) == (GOLDEN / f"{name}.sh").read_text()


def test_no_golden_file_is_of_the_past() -> None:
    """Every file belongs to a job."""
    assert {path.stem for path in GOLDEN.glob("*.sh")} == set(attempts())


@pytest.mark.debian
def test_shellcheck_finds_nothing_in_any_script() -> None:
    """Of every recipe; no rule is switched off but where the script says why."""
    files = sorted(map(str, GOLDEN.glob("*.sh")))
    done = subprocess.run(["shellcheck", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_values_are_quoted() -> None:
    """What a cluster file or a path says never becomes shell."""
    owned = Path("/var/tmp/servematrix-owned")  # noqa: S108 - never made, unless quoting fails
    nasty = f"/raid/$(touch {owned})'\";`id` x"
    attempt = next(iter(attempts().values()))
    paths = attempt.cluster.paths.model_copy(update={"spool": nasty, "squash": nasty, "runtime": nasty})
    cluster = attempt.cluster.model_copy(update={"paths": paths})
    text = rendered(replace(attempt, cluster=cluster))
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assignment = next(line for line in text.splitlines() if line.startswith("work=")).split("   #")[0]
    shown = subprocess.run(
        ["bash", "-c", f'{assignment}; printf %s "$work"'], capture_output=True, text=True, check=True
    ).stdout
    assert shown == f"{nasty}/{attempt.folder}"
    assert not owned.exists()


def test_a_template_cannot_use_a_name_that_nobody_gives() -> None:
    """StrictUndefined: a typing error is no empty word."""
    import jinja2

    from utils.launch import script

    with pytest.raises(jinja2.UndefinedError):
        script.environment().from_string("rm -rf {{ wrok }}/x").render(work="w")


def test_options_that_the_harness_needs_cannot_be_overruled() -> None:
    """A cluster file may add options, not take these."""
    attempt = next(iter(attempts().values()))
    slurm = (attempt.cluster.slurm or Slurm()).model_copy(
        update={"options": {"requeue": "", "account": "perf"}}
    )
    with pytest.raises(HarnessError, match=r"slurm.options must not set requeue"):
        batch.options(replace(attempt, cluster=attempt.cluster.model_copy(update={"slurm": slurm})))
    slurm = slurm.model_copy(update={"options": {"account": "perf", "exclusive": ""}})
    lines = batch.options(replace(attempt, cluster=attempt.cluster.model_copy(update={"slurm": slurm})))
    assert {"--account=perf", "--exclusive", "--no-requeue", "--dependency=singleton"} <= set(lines)


def test_what_a_container_sees() -> None:
    """Its own folder, code and models read-only; no home, no images, no environment but the listed one."""
    attempt = next(one for one in attempts().values() if one.cluster.container.runtime == "pyxis")
    text = rendered(attempt)
    canary, first, second = [word for word in text.split() if word.startswith("--container-mounts=")]
    targets = dict(mount.split(":", 1) for mount in first.removeprefix("--container-mounts=").split(","))
    work = attempt.work.replace(f"-{os.getuid()}/", "-1000/")
    assert {source: target for source, target in targets.items() if not target.endswith(":ro")} == {
        f"{work}/box/run-0-head": "/workspace",
        f"{work}/agreed": "/workspace/agreed",
        f"{work}/results/run-0-head": "/workspace/results",
        "/dev/kfd": "/dev/kfd",
        "/dev/dri": "/dev/dri",
    }
    assert targets["/raid/hf-hub-cache"].endswith(":ro")
    assert f"{work}/payload" not in targets, "a copy for each run lies in its box"
    assert first.replace("run-0-head", "run-1-head") == second
    assert first.replace("run-0-head", "canary") == canary
    assert attempt.token not in text.split("in_canary() {")[1].split("begin() {")[0]
    assert "--no-container-mount-home" in text
    assert "--export=ALL" not in text.split("main()")[1]


def test_the_payload_has_the_same_bytes_every_time() -> None:
    """And nothing but code, the job's files and carried models."""
    attempt = next(one for one in attempts().values() if "tiny" in one.name)
    with mock.patch.object(os, "getuid", return_value=1000):
        first, second = (batch.pack(attempt, ROOT, PROVENANCE) for _ in range(2))
    assert first.content == second.content
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(first.content)) as tar:
        names_in = tar.getnames()
        job = json.loads(tar.extractfile("run-1-head.json").read())  # type: ignore[union-attr]  # it is a file
    assert {name.split("/")[0] for name in names_in} == {
        "matrix",
        "utils",
        "tree",
        "host.json",
        "canary.json",
        "run-0-head.json",
        "run-1-head.json",
    }
    assert {name.split("/")[1] for name in names_in if name.startswith("utils/")} == {"__init__.py", "node"}
    assert job["runs"] == [{"index": 1, "arm": "head"}]
    assert len(first.text()) < 200_000


def test_a_mount_above_the_images_is_refused() -> None:
    """A server must not reach them."""
    base = {
        "launcher": "slurm",
        "devices": {"kind": "cpu", "model": "cpu", "count": 1},
        "slurm": {},
        "container": {"runtime": "pyxis", "mounts": {"/raid": "/raid:ro"}},
        "paths": {"squash": "/raid/squash"},
    }
    with pytest.raises(ValueError, match="lies below the mount /raid"):
        Cluster.model_validate(base)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.sh"):
        old.unlink()
    for name, attempt in attempts().items():
        (GOLDEN / f"{name}.sh").write_text(rendered(attempt))
