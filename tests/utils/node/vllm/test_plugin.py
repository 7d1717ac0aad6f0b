"""Staging a kernel for a server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix import select
from matrix.errors import Exit, HarnessError
from matrix.plan import Job
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import RECIPE, environment, write
from utils.launch.slurm import payload
from utils.node import process
from utils.node.exceptions import RunFailed
from utils.node.vllm import plugin


@pytest.fixture
def job(tree: Path) -> Job:
    """A job whose points ask for a kernel and a vehicle."""
    write(tree / "kernels/fast_moe/__init__.py", 'VARIANTS = ("one", "two")\n')
    write(tree / "kernels/fast_moe/plugin.py", "def register() -> None:\n    print('registered')\n")
    for name in ("bench.py", "bench_cases.py", "tests/test_it.py", "README.md", "tiles/gfx950.json"):
        write(tree / "kernels/fast_moe" / name, "")
    write(tree / "kernels/fast_moe/tiles/gfx942.json", "{}")
    write(tree / "kernels/vehicles/on_foot/__init__.py", "")
    write(tree / "kernels/vehicles/on_foot/plugin.py", "def register() -> None:\n    pass\n")
    more = "cluster: local\nkernel: {name: fast-moe, variant: one}\nvehicle: on-foot"
    write(tree / "recipes/r.yaml", RECIPE.replace("cluster: local", more))
    return select.chosen(Tree.of(Folder(tree)), ["r"]).jobs[0]


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_server_sees_the_packages_and_nothing_else(job: Job, tree: Path, tmp_path: Path) -> None:
    """A folder with what is shipped and its metadata, which any Python finds as vLLM's plugins."""
    env = plugin.stage(job, str(tree), "gfx942", tmp_path, {"PYTHONPATH": "/image", "A": "b"})
    staged = tmp_path / "kernel"
    assert env == {
        "A": "b",
        "PYTHONPATH": f"{staged}:/image",
        "SERVEMATRIX_KERNEL_VARIANT": "one",
        "SERVEMATRIX_KERNEL_MARKER": str(tmp_path / "marker"),
    }
    first = job.points[0]
    assert first.kernel
    assert first.vehicle
    assert below(staged) == [
        f"fast_moe-{first.kernel.files}.dist-info/METADATA",
        f"fast_moe-{first.kernel.files}.dist-info/entry_points.txt",
        "fast_moe/__init__.py",
        "fast_moe/plugin.py",
        "fast_moe/tiles/gfx942.json",
        f"on_foot-{first.vehicle.files}.dist-info/METADATA",
        f"on_foot-{first.vehicle.files}.dist-info/entry_points.txt",
        "on_foot/__init__.py",
        "on_foot/plugin.py",
    ]
    program = (
        "from importlib.metadata import entry_points as e\n"
        "found = sorted(e(group='vllm.general_plugins'), key=lambda one: one.name)\n"
        "print([one.name for one in found]); [one.load()() for one in found]"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(staged)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['fast_moe', 'on_foot']\nregistered\n"


def test_files_that_changed_since_the_plan_are_refused(job: Job, tree: Path, tmp_path: Path) -> None:
    """What is measured is what the key says."""
    write(tree / "kernels/fast_moe/plugin.py", "raise SystemExit\n")
    with pytest.raises(RunFailed, match="kernels/fast_moe are not those that were planned") as caught:
        plugin.stage(job, str(tree), "gfx942", tmp_path, {})
    assert caught.value.exit_code is Exit.PREFLIGHT_FAILED


def test_without_a_kernel_nothing_changes(tree: Path, tmp_path: Path) -> None:
    """No folder, no environment."""
    plain = select.chosen(Tree.of(Folder(tree)), ["r"]).jobs[0]
    assert plugin.stage(plain, str(tree), "gfx942", tmp_path, {"A": "b"}) == {"A": "b"}
    assert not list(tmp_path.glob("kernel"))


def test_it_travels_with_a_job(job: Job, tree: Path, tmp_path: Path) -> None:
    """A node that has no files of the login node's can stage it from the payload."""
    packed = payload.make(tree, {"tree": (tree, job)}, "gfx942", {})
    node = tmp_path / "node"
    (node / "scratch").mkdir(parents=True)
    (node / "p.tar.gz").write_bytes(packed.content)
    subprocess.run(["tar", "xzf", "p.tar.gz"], cwd=node, check=True)
    plugin.stage(job, str(node / "tree"), "gfx942", node / "scratch", {})
    assert below(node / "tree/kernels/fast_moe") == ["__init__.py", "plugin.py", "tiles/gfx942.json"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "kernel: {name: fast-moe, variant: three}",
            "5:26: fast-moe has no variant 'three'; name one of one, two",
        ),
        ("kernel: {name: fast-moe}", "5:1: fast-moe has no variant ''; name one of one, two"),
        ("vehicle: on-fot", "5:1: no vehicle 'on-fot'; did you mean 'on-foot'?"),
    ],
)
def test_what_is_not_there_is_named(job: Job, tree: Path, cli: Any, line: str, words: str) -> None:
    """With its place and what there is."""
    assert job
    write(tree / "recipes/r.yaml", RECIPE.replace("cluster: local", f"cluster: local\n{line}"))
    done = cli("plan", "--tree", str(tree))
    assert words in done.stderr


@pytest.mark.parametrize("line", ["VARIANTS = 5", 'VARIANTS = ("one")', "VARIANTS = ("])
def test_variants_are_a_literal_tuple(job: Job, tree: Path, cli: Any, line: str) -> None:
    """Anything else is one error with its place; an annotation is no harm."""
    assert job
    write(tree / "kernels/fast_moe/__init__.py", 'VARIANTS: tuple[str, ...] = ("one",)')
    assert cli("plan", "--tree", str(tree)).returncode == 0
    write(tree / "kernels/fast_moe/__init__.py", line)
    done = cli("plan", "--tree", str(tree))
    assert "recipes/r.yaml:5:10: kernels/fast_moe/__init__.py is not Python, or its VARIANTS" in done.stderr


def test_a_gpu_without_tiles_is_told_at_plan(job: Job, tree: Path) -> None:
    """Before a server loads for a quarter of an hour and then does not find them."""
    assert job
    cluster = tree / "recipes/clusters/local.yaml"
    write(cluster, cluster.read_text().replace("kind: cpu", "kind: cuda").replace("gfx942", "sm80"))
    with pytest.raises(HarnessError) as caught:
        select.chosen(Tree.of(Folder(tree)), ["r"])
    assert "fast-moe has tiles for gfx942, gfx950, not for sm80" in str(caught.value.problems)


def test_what_is_expected_is_no_part_of_the_key(job: Job, tree: Path) -> None:
    """It cannot move a number."""
    recipe = tree / "recipes/r.yaml"
    write(recipe, recipe.read_text().replace("variant: one", "variant: one, expect: fallback"))
    other = select.chosen(Tree.of(Folder(tree)), ["r"]).jobs[0]
    assert [one.kernel.expect for one in other.points if one.kernel] == ["fallback"] * len(other.points)
    assert [one.key for one in other.points] == [one.key for one in job.points]


def test_a_server_does_not_import_from_where_the_harness_runs(tmp_path: Path) -> None:
    """`python -m`, by which vLLM starts processes, looks into the working directory first."""
    log = tmp_path / "log"
    with log.open("wb") as sink:
        process.start(
            [sys.executable, "-c", "import os; print(os.getcwd())"], env={"HOME": str(tmp_path)}, log=sink
        ).wait()
    assert log.read_text() == f"{tmp_path}\n"


def test_a_canary_without_its_kernel_ends_the_job(
    job: Job, node_command: Callable[[], tuple[list[str], Path]]
) -> None:
    """Its exit code lets no run follow; the reason is told. FAKE vLLM, which loads no plugin."""
    assert job
    command, _ = node_command()
    path = Path(command[-1])
    spec = json.loads(path.read_text())
    spec["canary"] = True
    del spec["job"]["points"][1:]
    path.write_text(json.dumps(spec))
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == Exit.KERNEL_INACTIVE < Exit.SERVER_DIED, done.stderr
    assert "kernel_path: 0 of 1 workers answered" in done.stdout
