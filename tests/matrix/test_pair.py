"""`--pair BASE`: what a point is compared with, in which order, and what that costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from matrix import cluster as clusters
from matrix import estimate, select
from matrix.errors import Exit, HarnessError
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import RECIPE, ROOT, Cli, commit, run_git, write
from utils.pipeline import other_arm as basis

M3 = "minimaxm3-fp8-mi300x-vllm"


def planned(cli: Cli, tree: Path, *more: str) -> dict[str, Any]:
    done = cli("plan", "r", "--tree", str(tree), "--format", "json", *more)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def change(tree: Path, old: str, new: str) -> None:
    path = tree / "recipes/r.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_revision_gives_the_base_its_own_server_under_the_heads_names(cli: Cli, git_tree: Path) -> None:
    """B H H B in one job; `vary` says in what they differ; a point that the base lacks runs alone."""
    change(git_tree, "block-size: 16", "block-size: 32")
    change(git_tree, "concurrency: 1..2", "concurrency: 1..4")
    plan = planned(cli, git_tree, "--pair", "main")
    both, alone = plan["jobs"]
    assert both["arms"] == ["base", "head", "head", "base"]
    assert [one["id"] for one in both["base"]["points"]] == [one["id"] for one in both["points"]]
    assert both["serve"]["argv"][3] == "32"
    assert both["base"]["serve"]["argv"][3] == "16"
    assert {tuple(one["vary"]) for one in both["points"]} == {("flags.block-size",)}
    assert (alone["arms"], alone["base"], alone["points"][0]["why"]) == (
        ["head"],
        None,
        "new: the base has no such point",
    )
    assert plan["pair"] == {
        "name": "main",
        "kind": "revision",
        "commit": run_git(git_tree, "rev-parse", "main").strip(),
    }
    assert plan["server_starts"] == 5


def test_four_runs_are_the_order_twice_and_three_are_refused(cli: Cli, git_tree: Path) -> None:
    """Three are not balanced against drift."""
    order = ["base", "head", "head", "base"]
    assert planned(cli, git_tree, "--pair", "main", "--runs", "4")["jobs"][0]["arms"] == order * 2
    done = cli("plan", "r", "--tree", str(git_tree), "--pair", "main", "--runs", "3")
    assert done.returncode == Exit.USAGE
    assert "balanced against drift" in done.stderr


def test_rules_are_the_bases_own(cli: Cli, git_tree: Path) -> None:
    """A change that would relax its own floors, or run less, does not."""
    change(git_tree, "workloads:", "verdict: {runs: 4, floors: {tput: 2.0}, metrics: [tput]}\nworkloads:")
    commit(git_tree, "rules")
    change(
        git_tree,
        "verdict: {runs: 4, floors: {tput: 2.0}, metrics: [tput]}",
        "verdict: {floors: {tput: 50.0}}",
    )
    job = planned(cli, git_tree, "--pair", "main")["jobs"][0]
    assert len(job["arms"]) == 8
    assert job["points"][0]["rules"] == {
        "runs": 4,
        "floors": {"tput": 2.0, "ttft": 3.0, "tpot": 1.5},
        "metrics": ["tput"],
    }


def test_rules_change_no_key(cli: Cli, git_tree: Path) -> None:
    """They move no number."""
    change(git_tree, "workloads:", "verdict: {runs: 4}\nworkloads:")
    assert planned(cli, git_tree, "--changed", "main")["points"] == 0


@pytest.mark.parametrize("name", ["entry=42", "#42", "entry=latest"])
def test_an_entry_is_the_commit_that_it_was_measured_at(
    git_tree: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the selected recipe; one with `source:` has none."""
    monkeypatch.setattr(basis, "ROOT", git_tree)
    tree = Tree.of(Folder(git_tree))
    first = run_git(git_tree, "rev-parse", "HEAD").strip()
    line = '    32x16-tp1-c1: {key: "k1:%s", tput: 1, ttft: 1, tpot: 1, n: 0+1}\n' % ("3f" * 8)
    head = f"  head: {{commit: {first}, image: i, vllm: v, device: d}}\n"
    entry = "r:\n- pr: 42\n  title: T\n  why: [w]\n  date: 2026-06-15\n"
    write(git_tree / "perf-changelog.yaml", f"{entry}{head}  points:\n{line}")
    change(git_tree, "block-size: 16", "block-size: 32")
    commit(git_tree, "later")
    assert basis.base_of(name, git_tree, tree, ["r"]).pairing.commit == first
    with pytest.raises(HarnessError, match="no measured entry 7"):
        basis.base_of("entry=7", git_tree, tree, ["r"])
    write(git_tree / "perf-changelog.yaml", f"{entry}  source: elsewhere\n  points:\n{line}")
    with pytest.raises(HarnessError, match="were not measured here"):
        basis.base_of(name, git_tree, tree, ["r"])


def test_an_entry_of_the_change_itself_is_none(cli: Cli, git_tree: Path) -> None:
    """Else it could name any commit, with any rules, as what it is held against."""
    first = run_git(git_tree, "rev-parse", "HEAD").strip()
    line = '    32x16-tp1-c1: {key: "k1:%s", tput: 1, ttft: 1, tpot: 1, n: 0+1}\n' % ("3f" * 8)
    head = f"  head: {{commit: {first}, image: i, vllm: v, device: d}}\n"
    text = f"r:\n- pr: 42\n  title: T\n  why: [w]\n  date: 2026-06-15\n{head}  points:\n{line}"
    write(git_tree / "perf-changelog.yaml", text)
    assert "no measured entry" in cli("plan", "r", "--tree", str(git_tree), "--pair", "entry=42").stderr


def test_a_branch_is_found_where_only_its_remote_name_is(cli: Cli, git_tree: Path) -> None:
    """As in a checkout of a commit, which has no branches of its own."""
    first = run_git(git_tree, "rev-parse", "HEAD").strip()
    run_git(git_tree, "update-ref", "refs/remotes/origin/elsewhere", first)
    assert planned(cli, git_tree, "--pair", "elsewhere")["pair"]["commit"] == first


def test_a_recipe_cannot_pose_as_a_revision(cli: Cli, git_tree: Path) -> None:
    """A file of the change that is named like its base is refused; `recipe=` says which is meant."""
    first = run_git(git_tree, "rev-parse", "HEAD").strip()
    write(git_tree / f"recipes/{first}.yaml", RECIPE)
    done = cli("plan", "r", "--tree", str(git_tree), "--pair", first)
    assert done.returncode == Exit.USAGE
    assert "is a revision and a recipe" in done.stderr
    assert planned(cli, git_tree, "--pair", f"recipe={first}")["pair"]["kind"] == "recipe"


def test_another_load_is_not_compared(cli: Cli, git_tree: Path) -> None:
    """Both arms are sent the same requests, so that a head with another protocol is measured alone."""
    change(git_tree, "requests-per-concurrency: 10", "requests-per-concurrency: 20")
    done = cli("plan", "r", "--tree", str(git_tree), "--pair", "main")
    assert done.returncode == Exit.NOTHING_SELECTED
    (job,) = planned(cli, git_tree, "--changed", "main", "--pair", "main")["jobs"]
    assert job["arms"] == ["head"]
    assert "another load (protocol.requests_per_concurrency)" in job["points"][0]["why"]


def test_points_that_only_the_base_has_are_told(cli: Cli, git_tree: Path) -> None:
    """With `--pair` alone as well."""
    change(git_tree, "concurrency: 1..2", "concurrency: 1")
    assert planned(cli, git_tree, "--pair", "main")["gone"] == ["r/32x16-tp1-c2"]


def test_another_recipe_lends_its_points(cli: Cli, git_tree: Path) -> None:
    """By the part of the name that both have; the seed is the head's in both arms."""
    write(git_tree / "recipes/other.yaml", RECIPE.replace("block-size: 16", "block-size: 64"))
    job = planned(cli, git_tree, "--pair", "other")["jobs"][0]
    assert {one["recipe"] for one in job["base"]["points"]} == {"other"}
    assert {one["id"].split("/")[0] for one in job["base"]["points"]} == {"r"}
    assert job["base"]["serve"]["argv"][3] == "64"


def test_a_recipe_on_another_cluster_is_refused(cli: Cli, git_tree: Path) -> None:
    """Two arms share one allocation."""
    done = cli("plan", "qwen3moe-tiny-cpu-vllm", "--pair", M3)
    assert done.returncode == Exit.NOTHING_SELECTED
    write(
        git_tree / "recipes/clusters/elsewhere.yaml", (git_tree / "recipes/clusters/local.yaml").read_text()
    )
    write(git_tree / "recipes/other.yaml", RECIPE.replace("cluster: local", "cluster: elsewhere"))
    head, base = (Tree.of(Folder(git_tree)) for _ in range(2))
    with pytest.raises(Exception, match="must name one cluster"):
        select.chosen(head, ["r"], basis.base_of("other", git_tree, base, ["r"]))


def test_kernel_off_is_the_same_point_on_vllms_own_path() -> None:
    """Only points with a kernel are measured, and they differ in nothing else."""
    tree = Tree.of(Folder(ROOT))
    recipe = f"{M3}-ep-mxfp8"
    plan = select.chosen(tree, [recipe, M3], basis.base_of("kernel=off", ROOT, tree, []))
    assert {point.recipe for job in plan.jobs for point in job.points} == {recipe}
    for job in plan.jobs:
        assert job.base
        assert {point.kernel for point in job.base.points} == {None}
        assert all(name.startswith("kernel.") for point in job.points for name in point.vary)
        assert job.serve == job.base.serve
    plain = {
        point.id.split("/")[1]: point.key for job in select.chosen(tree, [M3]).jobs for point in job.points
    }
    for job in plan.jobs:
        assert job.base
        for point in job.base.points:
            assert plain[point.id.split("/")[1]] == point.key


def test_a_point_without_a_kernel_cannot_have_it_off(cli: Cli, git_tree: Path) -> None:
    """The error says so."""
    done = cli("plan", "r", "--tree", str(git_tree), "--pair", "kernel=off")
    assert done.returncode == Exit.NOTHING_SELECTED
    assert "no selected point asks for a kernel" in done.stderr


def test_a_name_that_is_nothing_gets_a_hint(cli: Cli, git_tree: Path) -> None:
    """With what would have been something."""
    write(git_tree / "recipes/other.yaml", RECIPE)
    done = cli("plan", "r", "--tree", str(git_tree), "--pair", "othr")
    assert done.returncode == Exit.USAGE
    assert "did you mean 'other'?" in done.stderr
    done = cli("plan", "r", "--tree", str(git_tree), "--pair", "mian")
    assert done.returncode == Exit.USAGE
    assert "did you mean 'main'?" in done.stderr, "a branch is meant as often as a recipe"


def test_jobs_split_alike_in_both_arms_and_cost_is_shown(cli: Cli) -> None:
    """Each part has the same points on both sides; two canaries, four runs, and what confirming may cost."""
    tree = Tree.of(Folder(ROOT))
    plan = select.chosen(tree, [M3], basis.base_of(M3, ROOT, tree, [M3]))
    cluster = clusters.load(Folder(ROOT), "mi300x-amd")
    timed = estimate.timed(plan, {"mi300x-amd": cluster}, estimate.History(), canary=True)
    assert len(timed.jobs) > len(plan.jobs)
    for job in timed.jobs:
        assert job.base
        assert [one.id for one in job.base.points] == [one.id for one in job.points]
        assert job.walltime_s <= cluster.limits.walltime_s
    alone = select.chosen(tree, [M3])
    single = estimate.timed(alone, {"mi300x-amd": cluster}, estimate.History(), canary=True)
    assert estimate.node_hours(timed) > 2 * estimate.node_hours(single)
    shown = cli("plan", M3, "--pair", M3).stdout
    assert "jobs, each a canary an arm and then B H H B" in shown
    assert "flagged points are measured once more" in shown


AITER = f"{M3}-aiter"


@pytest.mark.parametrize(
    "recipe", [f"{M3}-ep-bf16", f"{M3}-ep-mxfp8", f"{AITER}-ep-bf16", f"{AITER}-ep-mxfp8"]
)
def test_the_kernels_points_are_those_of_the_official_server(recipe: str) -> None:
    """Each has its base there; with that server's own flags they differ in the kernel alone."""
    tree = Tree.of(Folder(ROOT))
    named = f"recipe={AITER}"
    plan = select.chosen(tree, [recipe], basis.base_of(named, ROOT, tree, [recipe]))
    points = [point for job in plan.jobs for point in job.points]
    assert len(points) == 3
    assert all(job.base for job in plan.jobs)
    parts = {name.split(".")[0] for point in points for name in point.vary}
    assert parts == ({"kernel"} if recipe.startswith(AITER) else {"kernel", "flags", "env"})
