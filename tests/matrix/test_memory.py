"""Memory in plans: what fits is told, what cannot is refused with the sum, what is not known refuses nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from matrix import memory, select
from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT, Cli, write

FOUR = "minimaxm3-fp8-mi300x-vllm-tp4-mxfp8"
EIGHT = "minimaxm3-fp8-mi300x-vllm"


@pytest.fixture
def m3(tmp_path: Path) -> Path:
    """The shipped recipes, to be changed."""
    for folder in ("recipes", "kernels", "requirements"):
        ignored = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


def plan(root: Path, *selectors: str) -> Plan:
    return select.chosen(Tree.of(Folder(root)), selectors)


def refusal(root: Path, *selectors: str) -> str:
    with pytest.raises(HarnessError) as error:
        plan(root, *selectors)
    assert error.value.exit_code == Exit.RECIPE_INVALID
    return str(error.value)


def with_recipe(root: Path, text: str) -> None:
    write(root / "recipes/x.yaml", text)


def test_weights_and_what_is_left_are_in_the_plan(cli: Cli) -> None:
    """Beside the GPUs that nobody uses, in 80 columns; and in its JSON, a point each."""
    done = cli("plan", f"{FOUR}/8k1k-*")
    assert done.returncode == Exit.OK, done.stderr
    assert done.stdout.endswith(
        "tp4-ep4 uses 4 of 8 MI300X; 4 idle\n"
        "tp4-ep4: weights take 105.1 of 192 GiB a GPU (experts in MXFP8 99.2, rest 6.0)\n"
        "  left for KV: at most 71.5 GiB, 1.69 M tokens; c128 needs up to 1.18 M\n"
    )
    made = json.loads(cli("plan", f"{FOUR}/8k1k-tp4-ep4-c64", "--format", "json").stdout)
    found = made["jobs"][0]["points"][0]["memory"]
    assert found["experts_as"] == "MXFP8"
    assert found["gpu_gib"] == 192
    assert found["experts_gib"] == pytest.approx(57 * 128 * 3 * 6144 * 3072 * 33 / 32 / 4 / 2**30)
    assert Plan.from_json(made).jobs[0].points[0].memory is not None


def test_lines_keep_80_columns() -> None:
    """Of all shipped recipes; each pair of lines is there once."""
    found = plan(ROOT).memory
    assert max(map(len, found)) <= 80
    assert any("experts in BF16 96.2" in line for line in found)
    pairs = list(zip(found[::2], found[1::2], strict=True))
    assert len(set(pairs)) == len(pairs)


def test_widened_experts_on_four_gpus_are_refused_with_the_sum(m3: Path) -> None:
    """Experts alone are 206.6 GB, 192.4 GiB; two ways out, one sentence for a row of the search space, at its place."""
    with_recipe(
        m3,
        f"extends: {EIGHT}\nworkloads:\n- {{isl: 8192, osl: 1024, search: [{{tp: 4, ep: 4, concurrency: [32, 64]}}]}}\n",
    )
    assert refusal(m3, "x") == (
        "recipes/x.yaml:3:35: x/8k1k-tp4-ep4-c32 needs at least 198.7 GiB a GPU: weights 198.3 (experts in BF16 192.4, rest 6.0), "
        "0.4 for one request of 9472 tokens; of the 192 GiB of one MI300X vLLM takes 176.6 (gpu-memory-utilization 0.92); "
        "keep experts in MXFP8 (kernel minimax-m3-ep, variant mxfp8: 105.1) or spread it over more GPUs (tp: 8, ep: 8: 99.2)"
    )


def test_only_what_is_selected_is_refused(m3: Path) -> None:
    """A recipe's other points can be measured meanwhile; `check` looks at all."""
    searches = "{tp: 8, concurrency: 1}, {tp: 4, concurrency: 1}"
    with_recipe(m3, f"extends: {EIGHT}\nworkloads:\n- {{isl: 8192, osl: 1024, search: [{searches}]}}\n")
    assert plan(m3, "x/8k1k-tp8-c1").points == 1
    assert "x/8k1k-tp4-c1 needs at least 198.7" in refusal(m3, "x")


def test_the_kernel_keeps_experts_with_expert_parallelism_alone(m3: Path) -> None:
    """Its gate refuses other layers, and vLLM widens them."""
    with_recipe(
        m3, f"extends: {FOUR}\nworkloads:\n- {{isl: 8192, osl: 1024, search: [{{tp: 4, concurrency: 32}}]}}\n"
    )
    assert "experts in BF16 192.4" in refusal(m3, "x")


def test_without_its_kernel_it_has_no_base(cli: Cli) -> None:
    """And the way out is named: another revision, or the recipe that it extends."""
    done = cli("plan", FOUR, "--pair", "kernel=off")
    assert done.returncode == Exit.RECIPE_INVALID
    assert "without its kernel needs at least 198.4 GiB" in done.stderr
    assert f"compare with another revision (--pair main), or run {EIGHT} beside it" in done.stderr
    assert "keep experts" not in done.stderr


def test_a_base_that_cannot_start_is_left_out(m3: Path, cli: Cli) -> None:
    """A change that makes a recipe fit is measured alone."""
    with_recipe(m3, f"extends: {FOUR}\nkernel: null\n")
    done = cli("plan", FOUR, "--tree", str(m3), "--pair", "recipe=x")
    assert done.returncode == Exit.NOTHING_SELECTED
    assert "/8k1k-tp4-ep4-c64 of x needs at least" in done.stderr
    assert "nothing is compared with it" in done.stderr


@pytest.mark.parametrize(
    ("cluster", "recipe", "told"),
    [
        ("model: MI300X", "model: MiniMaxAI/Another", "no sizes of MiniMaxAI/Another"),
        ("model: MI399X", "precision: fp8", "no size of MI399X (devices.memory_gib)"),
        ("model: MI300X", "serve: {flags: {cpu-offload-gb: 100}}", "cpu-offload-gb changes it"),
    ],
)
def test_what_is_not_known_refuses_nothing(m3: Path, cluster: str, recipe: str, told: str) -> None:
    """Another model, another GPU, weights that are elsewhere."""
    path = m3 / "recipes/clusters/mi300x-amd.yaml"
    path.write_text(path.read_text().replace("model: MI300X", cluster))
    search = "[{tp: 4, ep: 4, concurrency: 32}]"
    with_recipe(m3, f"extends: {EIGHT}\n{recipe}\nworkloads:\n- {{isl: 8192, osl: 1024, search: {search}}}\n")
    made = plan(m3, "x")
    assert made.memory == [f"memory of a GPU: not known, {told}"]
    assert made.jobs[0].points[0].memory is None


def test_a_cluster_may_say_its_own_memory(m3: Path) -> None:
    """It goes before what is known of the model; no key changes."""
    keys = [point.key for job in plan(m3, FOUR).jobs for point in job.points]
    path = m3 / "recipes/clusters/mi300x-amd.yaml"
    path.write_text(path.read_text().replace("model: MI300X", "model: MI300X, memory_gib: 256.0"))
    made = plan(m3, FOUR)
    assert "of 256 GiB" in made.memory[0]
    assert [point.key for job in made.jobs for point in job.points] == keys
    path.write_text(path.read_text().replace("256.0", "64.0"))
    assert "of the 64 GiB of one MI300X" in refusal(m3, FOUR)


def test_a_cpu_is_no_gpu() -> None:
    """Nothing is said of a machine's own memory."""
    assert plan(ROOT, "qwen3moe-tiny-cpu-vllm").memory == []


def test_the_file_says_where_its_figures_come_from() -> None:
    """Each of them."""
    known = memory.known()
    assert all(gpu.source for gpu in known.gpus.values())
    assert all(model.source for model in known.models.values())
