"""The batch script of every shipped job: its golden file, quoting, shellcheck. `python -m …test_batch` writes the files anew."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from matrix import cluster as clusters
from matrix import estimate, select
from matrix.cluster import Cluster
from matrix.pair import Base
from matrix.plan import Pairing
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT
from utils.launch.interface import Order
from utils.launch.slurm import batch, job_files, names, payload, submission
from utils.launch.slurm.launcher import with_slurm
from utils.node.spec import Provenance

GOLDEN = ROOT / "tests/golden/batch"
PROVENANCE = Provenance(commit="a" * 40, clean=True, tree_commit="b" * 40, tree_clean=True, harness="test")


def some_attempts() -> dict[str, submission.Attempt]:
    """The first attempt at every job of every shipped recipe, two runs, by the name of its golden file."""
    source = Folder(ROOT)
    plan = select.chosen(Tree.of(source), [], runs=2)
    known = {job.cluster: with_slurm(clusters.load(source, job.cluster)) for job in plan.jobs}
    plan = estimate.timed(plan, known, estimate.History(), canary=True)
    found: dict[str, submission.Attempt] = {}
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
        found[f"{recipe}.{number}"] = submission.Attempt(
            job=one,
            cluster=known[job.cluster],
            order=order,
            name=name,
            folder=names.folder(name),
            number=0,
            program="vllm",
            token="00112233445566ff",  # noqa: S106 - no password: it marks lines
        )
    return found


def rendered(attempt: submission.Attempt) -> str:
    """A script with a short payload in the place of the real one."""
    with mock.patch.object(os, "getuid", return_value=1000):
        return batch.render(attempt, payload.Payload(b"payload of this job\n"))


@pytest.mark.parametrize(("name", "attempt"), some_attempts().items(), ids=some_attempts().keys())
def test_each_script_is_its_golden_file(name: str, attempt: submission.Attempt) -> None:
    """So that a change of what runs on the cluster is read in a diff."""
    assert rendered(attempt) == (GOLDEN / f"{name}.sh").read_text()


def test_no_golden_file_is_of_the_past() -> None:
    """Every file belongs to a job."""
    assert {path.stem for path in GOLDEN.glob("*.sh")} == set(some_attempts())


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
    attempt = next(iter(some_attempts().values()))
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


def test_what_a_container_sees() -> None:
    """Its own folder, code and models read-only; no home, no images, no environment but the listed one."""
    attempt = next(one for one in some_attempts().values() if one.cluster.container.runtime == "pyxis")
    text = rendered(attempt)
    words = [word for word in text.split() if word.startswith("--container-mounts=")]
    canary, first, second, of_canary, server, _ = words
    work = attempt.work.replace(f"-{os.getuid()}/", "-1000/")

    def writable(word: str) -> dict[str, str]:
        targets = dict(mount.split(":", 1) for mount in word.removeprefix("--container-mounts=").split(","))
        assert targets["/raid/inferencex/hf-hub-cache"].endswith(":ro")
        assert f"{work}/payload" not in targets, "a copy for each run lies in its box"
        return {source: target for source, target in targets.items() if not target.endswith(":ro")}

    devices = {"/dev/kfd": "/dev/kfd", "/dev/dri": "/dev/dri"}
    assert writable(first) == devices | {
        f"{work}/box/run-0-head": "/workspace",
        f"{work}/results/run-0-head": "/workspace/results",
    }
    assert writable(server) == devices | {
        f"{work}/box/server.run-0-head": "/workspace",
        f"{work}/box/run-0-head/scratch": "/workspace/scratch",
    }, "a server's container sees nothing of what is recorded"
    assert first.replace("run-0-head", "run-1-head") == second
    assert first.replace("run-0-head", "canary") == canary
    assert server.replace("run-0-head", "canary") == of_canary
    assert attempt.token not in text.split("in_canary() {")[1].split("begin() {")[0]
    assert "--no-container-mount-home" in text
    assert "--export=ALL" not in text.split("main()")[1]


def test_what_the_payload_leaves_out_is_not_missed(tmp_path: Path) -> None:
    """Every module of the node is imported from the payload alone."""
    attempt = next(one for one in some_attempts().values() if "tiny" in one.name)
    with tarfile.open(fileobj=io.BytesIO(job_files.pack(attempt, ROOT, PROVENANCE).content)) as tar:
        tar.extractall(tmp_path, filter="data")
    names = [path.relative_to(tmp_path).with_suffix("") for path in (tmp_path / "utils/node").rglob("*.py")]
    modules = [".".join(name.parts) for name in names if name.name not in {"__init__", "__main__"}]
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(modules)}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "matrix/editor_schema.py").exists()


def test_the_payload_has_the_same_bytes_every_time() -> None:
    """And nothing but code, the job's files and carried models."""
    attempt = next(one for one in some_attempts().values() if "tiny" in one.name)
    with mock.patch.object(os, "getuid", return_value=1000):
        first, second = (job_files.pack(attempt, ROOT, PROVENANCE) for _ in range(2))
    assert first.content == second.content
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
    assert len(first.text()) < 360_000, "a batch script has room for 3.5 MB, and it is read often"


def test_what_is_sent_runs_alone(tmp_path: Path) -> None:
    """Nothing that the node program imports stays behind: a job would end before it began."""
    attempt = next(one for one in some_attempts().values() if "tiny" in one.name)
    with tarfile.open(fileobj=io.BytesIO(job_files.pack(attempt, ROOT, PROVENANCE).content)) as tar:
        tar.extractall(tmp_path, filter="data")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import utils.node.__main__, utils.node.host.ready, utils.node.host.image, utils.node.host.meter; "
    code += "from utils.node.vllm import server_metrics; assert server_metrics.names('0.32.0'); assert server_metrics.names('9.9.9')"
    line = [sys.executable, "-I", "-c", code, str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def paired(tmp_path: Path) -> submission.Attempt:
    """MiniMax-M3 with its kernel against a base of another image and an older kernel, from another tree."""
    for name in ("recipes", "kernels"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    recipe = tmp_path / "recipes/minimaxm3-fp8-mi300x-vllm.yaml"
    recipe.write_text(recipe.read_text().replace("vllm-openai-rocm:v0.32.0", "vllm-openai-rocm:v0.31.0"))
    (tmp_path / "kernels/minimax_m3_ep/older.py").write_text("OLDER = True\n")
    here, there = Folder(ROOT), Folder(tmp_path)
    base = Base(
        Pairing(name="main", kind="revision", commit="c" * 40),
        Tree(there, there, here, here),
        Tree(there, there, here, here),
    )
    plan = select.chosen(Tree.of(here), ["minimaxm3-fp8-mi300x-vllm-ep-mxfp8/1k1k-*"], base)
    attempt = next(one for one in some_attempts().values() if one.cluster.container.runtime == "pyxis")
    order = replace(attempt.order, plan=plan, base_tree=tmp_path)
    return replace(attempt, job=plan.jobs[0].model_copy(update={"walltime_s": 3600}), order=order)


def test_each_arm_runs_in_its_own_image_with_its_own_kernel(tmp_path: Path) -> None:
    """Both images are imported before the canary; each run's file and tree are those of its arm."""
    attempt = paired(tmp_path)
    text = rendered(attempt)
    assert "# vllm/vllm-openai-rocm:v0.31.0, vllm/vllm-openai-rocm:v0.32.0" in text
    names = ("canary", "run_0_base", "run_1_head", "run_2_head", "run_3_base")

    def images(behind: str) -> list[str]:
        """Of the containers that the script's functions enter."""
        bodies = (text.split(f"in_{name}{behind}() {{")[1].split("\n}")[0] for name in names)
        return [body.split("vllm-openai-rocm+")[1][:7] for body in bodies]

    assert images("_server") == ["v0.32.0", "v0.31.0", "v0.32.0", "v0.32.0", "v0.31.0"]
    assert set(images("")) == {"v0.31.0"}, (
        "load client and recorder are in the image that the change did not choose"
    )
    assert json.loads(job_files.host_file(attempt))["load_image"].endswith("v0.31.0")
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    with mock.patch.object(os, "getuid", return_value=1000):
        packed = job_files.pack(attempt, ROOT, PROVENANCE)
    with tarfile.open(fileobj=io.BytesIO(packed.content)) as tar:
        names_in = tar.getnames()
        base = json.loads(tar.extractfile("run-3-base.json").read())  # type: ignore[union-attr]  # it is a file
    older = "kernels/minimax_m3_ep/older.py"
    assert f"base-tree/{older}" in names_in
    assert f"tree/{older}" not in names_in
    assert base["tree"].endswith("/base-tree")
    assert base["job"]["base"] is None
    assert base["job"]["points"][0]["image"].endswith("v0.31.0")
    assert base["provenance"]["tree_commit"] == "c" * 40


def test_the_clusters_evaluator_is_every_runs() -> None:
    """As the cluster file names it; none is nowhere."""
    attempt = next(one for one in some_attempts().values() if one.cluster.container.runtime == "pyxis")
    assert job_files.whole_job(attempt, PROVENANCE).evaluator == ""
    paths = attempt.cluster.paths.model_copy(update={"evaluator": "/mnt/lm-eval/bin/python"})
    named = replace(attempt, cluster=attempt.cluster.model_copy(update={"paths": paths}))
    assert {one.evaluator for one in job_files.node_jobs(named, PROVENANCE).values()} == {
        "/mnt/lm-eval/bin/python"
    }


def two_containers() -> str:
    """A script whose runs have two each."""
    return next(text for text in map(rendered, some_attempts().values()) if "_server() {" in text)


def in_bash(script: str, text: str, tmp_path: Path, *functions: str) -> subprocess.CompletedProcess[str]:
    """Some functions of a script, and what calls them."""
    bodies = [
        f"{name}() {{{script.split(chr(10) + name + '() {')[1].split(chr(10) + '}', maxsplit=1)[0]}\n}}"
        for name in functions
    ]
    whole = "\n".join(
        [
            "set -uo pipefail",
            f"out={tmp_path} work={tmp_path} token=t worst=0 stopped=0 killed=0 stuck=0 code=0 mark= holds= meter= witness= done={tmp_path}/done",
            *bodies,
            text,
        ]
    )
    return subprocess.run(
        ["bash", "-c", whole], capture_output=True, text=True, check=False, timeout=60, start_new_session=True
    )


@pytest.mark.hostile
def test_a_server_says_nothing_where_slurm_speaks(tmp_path: Path) -> None:
    """Its program's stdout is open to all that runs beside it, and srun's words are evidence against a node."""
    script = two_containers()
    line = next(line for line in script.splitlines() if '_server" sh -c' in line)
    inside = line.split("sh -c '")[1].split("'")[0]
    said = [
        "sh",
        "-c",
        inside,
        "sh",
        str(tmp_path),
        str(tmp_path),
        "sh",
        "-c",
        "echo No space left on device; echo more >&2",
    ]
    done = subprocess.run(said, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "stderr.log").read_text() == "No space left on device\nmore\n"


@pytest.mark.hostile
@pytest.mark.parametrize(("obeys", "wanted"), [(True, "0 0"), (False, "33 1")])
def test_a_server_that_takes_no_signal_ends_the_job(tmp_path: Path, wanted: str, *, obeys: bool) -> None:
    """Srun only passes signals on; without a bound the job would wait for it until its time is up."""
    script = re.sub(r"\{1\.\.\d+\}", "{1..3}", two_containers())
    trap = "" if obeys else "trap '' TERM;"
    text = f"gone() {{ :; }}\n({trap} exec sleep 40) &\nserver=$!\nended x\necho $code $stuck\nkill -KILL $! 2>/dev/null"
    done = in_bash(script, text, tmp_path, "ended", "say")
    assert done.stdout.strip() == wanted, done


@pytest.mark.hostile
@pytest.mark.parametrize("left", ["a link", "a pipe", "nothing"])
def test_who_waits_for_a_tasks_end_follows_no_link(tmp_path: Path, left: str) -> None:
    """It may come at the last moment: a file that is made behind it could pass for what an earlier run left."""
    log, made = tmp_path / "stderr.log", tmp_path / "parity.json.gz"
    log.touch()
    swaps = {"a link": f"ln -s {made} {log}", "a pipe": f"mkfifo {log}", "nothing": ":"}
    late = f'timeout() {{ rm {log}; {swaps[left]}; command timeout "$@"; }}\ngone {log}'
    began = time.monotonic()
    in_bash(two_containers(), late, tmp_path, "gone")
    assert not made.exists()
    assert time.monotonic() - began < 10


@pytest.mark.hostile
def test_a_program_that_a_run_stopped_is_not_waited_for(tmp_path: Path) -> None:
    """A signal needs the same user alone (kill(2)), where processes are the node's; what is stopped takes none until it goes on."""
    script = two_containers()
    lines = [
        line.strip()
        for line in script.splitlines()
        if re.fullmatch(r'  (end "\$witness"|.*wait "\$witness".*)', line)
    ]
    assert len(lines) == 1
    bodies = ["end"] if "end()" in script else []
    stopped = (
        "sleep 50 &\nwitness=$!\nkill -STOP $witness\n(sleep 20; kill -KILL $witness) >/dev/null 2>&1 &\n"
    )
    began = time.monotonic()
    in_bash(script, f"{stopped}{lines[0]}\nkill -KILL $! 2>/dev/null", tmp_path, *bodies)
    assert time.monotonic() - began < 10


def test_who_waits_for_a_tasks_end_waits_for_its_lock(tmp_path: Path) -> None:
    """Which the task and its children hold."""
    log = tmp_path / "stderr.log"
    hold = f"( exec 8>{log}; flock -s 8; echo held; sleep 2; echo let go ) 9>&- &\nuntil [ -e {log} ]; do sleep 0.1; done; sleep 0.3\n"
    done = in_bash(two_containers(), f"{hold}gone {log}\necho gone", tmp_path, "gone")
    assert done.stdout.split() == ["held", "let", "go", "gone"], done


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
    for name, attempt in some_attempts().items():
        (GOLDEN / f"{name}.sh").write_text(rendered(attempt))
