"""The `plan` command: selectors, changes between commits, formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matrix import cluster as clusters
from matrix import estimate, select
from matrix.errors import Exit
from matrix.plan import Plan
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import RECIPE, Cli, commit, run_git, write
from utils.show import tables


def ids(cli: Cli, tree: Path, *arguments: str) -> list[str]:
    done = cli("plan", "--tree", str(tree), "--format", "ids", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def changed(cli: Cli, tree: Path, what: str = "main...HEAD") -> dict[str, tuple[str, list[str]]]:
    done = cli("plan", "--tree", str(tree), "--format", "json", "--changed", what)
    assert done.returncode == 0, done.stderr
    plan = Plan.from_json(json.loads(done.stdout))
    return {point.id: (point.why, point.vary) for job in plan.jobs for point in job.points}


def branch(tree: Path, file: str, text: str) -> None:
    """A branch with one changed file."""
    run_git(tree, "checkout", "--quiet", "-B", "change", "main")
    write(tree / file, text)
    commit(tree, "change")


def test_selectors(cli: Cli, tree: Path) -> None:
    """A name means all of a recipe; a pattern picks; nothing found is an error with a hint."""
    both = ["r/32x16-tp1-c1", "r/32x16-tp1-c2"]
    assert ids(cli, tree) == ids(cli, tree, "r") == ids(cli, tree, "r/*") == both
    assert ids(cli, tree, "*-c2") == ids(cli, tree, "r/*-c2") == ids(cli, tree, "r/32x16-tp1-c2") == [both[1]]
    done = cli("plan", "--tree", str(tree), "s")
    assert done.returncode == Exit.NOTHING_SELECTED
    assert "no point matches s" in done.stderr


def test_a_file_is_no_selector(cli: Cli, tree: Path) -> None:
    """A shell completes the file's path: the error says the name to write, or where recipes are."""
    for path in ("recipes/r.yaml", str(tree / "recipes/r.yaml"), "r.yml"):
        assert "; write 'r', the recipe's name" in cli("plan", "--tree", str(tree), path).stderr
    (tree / "mine.yaml").write_text(RECIPE)
    done = cli("plan", "--tree", str(tree), str(tree / "mine.yaml"))
    assert done.returncode == Exit.NOTHING_SELECTED
    assert (
        "; recipes are files of recipes/, not of its folders: move it there, and write 'mine'" in done.stderr
    )


def test_a_comment_plans_nothing(cli: Cli, git_tree: Path) -> None:
    """A change that cannot move a number starts nothing."""
    branch(git_tree, "recipes/r.yaml", "# words\n" + RECIPE)
    assert changed(cli, git_tree) == {}


def test_a_flag_plans_its_points(cli: Cli, git_tree: Path) -> None:
    """Why and vary name the part that differs."""
    branch(git_tree, "recipes/r.yaml", RECIPE.replace("block-size: 16", "block-size: 32"))
    found = changed(cli, git_tree)
    assert set(found) == {"r/32x16-tp1-c1", "r/32x16-tp1-c2"}
    assert set(map(str, found.values())) == {"('changed: flags.block-size', ['flags.block-size'])"}


def test_a_new_concurrency_plans_one_point(cli: Cli, git_tree: Path) -> None:
    """The others keep their keys."""
    branch(git_tree, "recipes/r.yaml", RECIPE.replace("1..2", "1..4"))
    assert changed(cli, git_tree) == {"r/32x16-tp1-c4": ("new", [])}


def test_a_point_that_is_gone_is_told(cli: Cli, git_tree: Path) -> None:
    """Points of the base alone stand in the plan as gone."""
    branch(git_tree, "recipes/r.yaml", RECIPE.replace("1..2", "1"))
    done = cli("plan", "--tree", str(git_tree), "--changed", "main...HEAD")
    assert "gone: r/32x16-tp1-c2" in done.stdout


def test_a_kernel_plans_the_points_that_ask_for_it(cli: Cli, git_tree: Path) -> None:
    """Its Python does; its docs do not."""
    write(git_tree / "kernels/k/__init__.py", "A = 1\n")
    write(
        git_tree / "recipes/r.yaml",
        RECIPE.replace("cluster: local", "cluster: local\nkernel: {name: k, when: {concurrency: 1}}"),
    )
    commit(git_tree, "kernel")
    branch(git_tree, "kernels/k/README.md", "words\n")
    assert changed(cli, git_tree) == {}
    branch(git_tree, "kernels/k/__init__.py", "A = 2\n")
    assert changed(cli, git_tree) == {"r/32x16-tp1-c1": ("changed: kernel.files", ["kernel.files"])}


def test_a_base_that_cannot_be_read_means_all_points(cli: Cli, git_tree: Path) -> None:
    """And its error is shown."""
    write(git_tree / "recipes/r.yaml", RECIPE.replace("precision", "precison"))
    commit(git_tree, "broken")
    branch(git_tree, "recipes/r.yaml", RECIPE)
    done = cli("plan", "--tree", str(git_tree), "--changed", "main...HEAD")
    assert "2 points" in done.stdout
    assert "recipes/r.yaml:2:1: unknown key 'precison'" in done.stderr


def test_a_base_that_is_no_mapping_counts_as_unread(cli: Cli, git_tree: Path) -> None:
    """Whatever stands there."""
    write(git_tree / "recipes/r.yaml", "- a\n")
    commit(git_tree, "broken")
    branch(git_tree, "recipes/r.yaml", RECIPE)
    assert {why for why, _ in changed(cli, git_tree).values()} == {
        "changed: the base's recipe cannot be read"
    }


def test_a_link_to_a_folder_of_a_kernel_is_refused(cli: Cli, tree: Path) -> None:
    """Its code would change without the key changing."""
    write(tree / "kernels/k/__init__.py", "A = 1\n")
    write(tree / "elsewhere/core.py", "B = 1\n")
    (tree / "kernels/k/impl").symlink_to("../../elsewhere")
    write(tree / "recipes/r.yaml", RECIPE.replace("cluster: local", "cluster: local\nkernel: {name: k}"))
    done = cli("plan", "--tree", str(tree))
    assert done.returncode == Exit.RECIPE_UNREADABLE
    assert "symbolic link" in done.stderr


def test_the_table_says_what_it_knows(cli: Cli, tree: Path) -> None:
    """Minutes, where they come from, devices that stay idle; no column that says `selected` on each line."""
    shown = cli("plan", "r", "--tree", str(tree)).stdout
    assert shown.splitlines()[1].split() == ["point", "job", "min", "of", "job", "max-model-len", "key"]
    assert shown.endswith("node-hours (from the cluster file)\n")
    assert "at most" not in shown
    cluster = tree / "recipes/clusters/local.yaml"
    cluster.write_text(cluster.read_text().replace("kind: cpu, model: cpu", "kind: rocm, model: MI300X"))
    source = Tree.of(Folder(tree))
    known = {"local": clusters.load(source.clusters, "local")}
    made = estimate.timed(select.chosen(source, ["r"]), known, estimate.History(), canary=False)
    assert made.idle == ["tp1 uses 1 of 8 MI300X; 7 idle"]
    assert "\ntp1 uses 1 of 8 MI300X; 7 idle\n" in tables.plan_summary(made)


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ("minimaxm3-fp8-mi300x-vlm", "did you mean 'minimaxm3-fp8-mi300x-vllm'?"),
        ("minimaxm3-fp8", "did you mean 'minimaxm3-fp8*'?"),
        ("minimaxm3-fp8-mi300x-vllm/8k1k-tp8-c3", "did you mean 'minimaxm3-fp8-mi300x-vllm/8k1k-tp8-c"),
        ("nosuch-*/8k1k", "known: minimaxm3"),
        ("minimaxm3-*/zzz", "points of minimaxm3-*: "),
    ],
)
def test_a_hint_is_short(cli: Cli, selector: str, wanted: str) -> None:
    """Never the list of all points."""
    done = cli("plan", selector)
    assert done.returncode == Exit.NOTHING_SELECTED
    assert wanted in done.stderr
    assert max(map(len, done.stderr.splitlines())) < 300


def test_a_selector_that_matches_nothing_is_an_error_beside_one_that_does(cli: Cli, tree: Path) -> None:
    """A mistyped one must not be passed over."""
    done = cli("plan", "--tree", str(tree), "r", "rr")
    assert done.returncode == Exit.NOTHING_SELECTED
    assert "did you mean 'r'" in done.stderr


def test_an_empty_range_of_commits_is_an_error(cli: Cli, git_tree: Path) -> None:
    """An unset variable of a script must not plan everything."""
    for text in ("", "...HEAD", "main..HEAD"):
        done = cli("plan", "--tree", str(git_tree), "--changed", text)
        assert done.returncode == Exit.USAGE, text
    done = cli("run", "--tree", str(git_tree), "--changed", "HEAD...HEAD")
    assert (done.returncode, done.stdout) == (0, "nothing to run: no point's key differs\n")


def test_without_a_head_the_working_tree_is_compared(cli: Cli, git_tree: Path) -> None:
    """So that a change can be seen before it is committed."""
    write(git_tree / "recipes/r.yaml", RECIPE.replace("1..2", "1..4"))
    assert list(changed(cli, git_tree, "main")) == ["r/32x16-tp1-c4"]
    assert changed(cli, git_tree, "main...HEAD") == {}


def test_the_formats(cli: Cli, tree: Path) -> None:
    """JSON has the documented keys; the matrix for GitHub is one line of ids."""
    plan = json.loads(cli("plan", "--tree", str(tree), "--format", "json").stdout)
    assert list(plan)[:2] == ["schema", "jobs"]
    assert (plan["schema"], plan["points"], plan["server_starts"]) == (1, 2, 1)
    job = plan["jobs"][0]
    assert set(job) == {"id", "cluster", "points", "serve", "arms", "walltime_s", "base", "block"}
    documented = {
        "id",
        "key",
        "recipe",
        "model",
        "image",
        "precision",
        "isl",
        "osl",
        "tp",
        "pp",
        "ep",
        "dp",
        "concurrency",
    }
    assert documented | {"max_model_len", "kernel", "why", "vary", "estimate_s"} <= set(job["points"][0])
    github = cli("plan", "--tree", str(tree), "--format", "github").stdout
    assert github == f'count=1\nmatrix={{"job":["{job["id"]}"]}}\n'
    assert "2 points in 1 server start," in cli("plan", "--tree", str(tree)).stdout


def test_clusters_of_another_tree_are_not_taken(cli: Cli, tree: Path) -> None:
    """Where and as what a job runs is the harness's own to say."""
    write(tree / "recipes/r.yaml", RECIPE.replace("cluster: local", "cluster: evil"))
    write(tree / "recipes/clusters/evil.yaml", (tree / "recipes/clusters/local.yaml").read_text())
    done = cli("plan", "--tree", str(tree))
    assert done.returncode == Exit.RECIPE_INVALID
    assert "no cluster 'evil'" in done.stderr
