"""Keys: what changes them, what must not, and that they are the same everywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix import key, select
from matrix.expand import expand
from matrix.protocol import Protocol
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import CLUSTER, RECIPE, ROOT, write
from utils.setup import environments

GOLDEN = ROOT / "tests/golden/keys.json"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def keys(tree: Path) -> dict[str, str]:
    return {cell.id: cell.key for cell in expand(Tree.of(Folder(tree)), "r")}


def test_comments_and_order_change_nothing(tree: Path) -> None:
    """The key is of what is declared, not of how it is written."""
    before = keys(tree)
    reordered = (
        RECIPE.replace("precision: bf16\n", "").replace("{isl: 32, osl: 16", "{osl: 16, isl: 32")
        + "# a comment\nprecision: bf16\n"
    )
    write(tree / "recipes/r.yaml", reordered)
    assert keys(tree) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("recipes/r.yaml", "block-size: 16", "block-size: 32"),
        ("recipes/r.yaml", "model: recipes/models/m", "model: recipes/models/m\nrevision: abc"),
        ("recipes/r.yaml", "min-duration-s: 0", "min-duration-s: 1"),
        ("recipes/r.yaml", "cluster: local", "cluster: local\nclient: {chat-template: true}"),
        ("recipes/clusters/local.yaml", "client_cores: 0", "client_cores: 0\nenv: {A: b}"),
        ("recipes/clusters/local.yaml", "client_cores: 0", "client_cores: 0\nenv_from: {A: B}"),
        ("recipes/clusters/local.yaml", "count: 8", "count: 4"),
        ("recipes/models/m/config.json", "{}", "{ }"),
        ("requirements/vllm-cpu.lock", "torch==2.13.0", "torch==2.13.1"),
    ],
)
def test_what_can_move_a_number_changes_the_key(tree: Path, file: str, old: str, new: str) -> None:
    """Each part of the key is one that counts."""
    before = keys(tree)
    text = (tree / file).read_text()
    assert old in text
    write(tree / file, text.replace(old, new))
    after = keys(tree)
    assert all(after[point] != before[point] for point in before)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("recipes/clusters/local.yaml", "ready_s: 3", "ready_s: 4"),
        ("recipes/r.yaml", "precision: bf16", "precision: bf16\ndescription: more words"),
        ("requirements/vllm-cpu.lock", "torch==2.13.0+cpu\n", "torch==2.13.0+cpu\n# a comment\n"),
    ],
)
def test_what_cannot_move_a_number_changes_no_key(tree: Path, file: str, old: str, new: str) -> None:
    """Limits, words and comments start nothing."""
    before = keys(tree)
    text = (tree / file).read_text()
    assert old in text
    write(tree / file, text.replace(old, new))
    assert keys(tree) == before


def test_a_default_that_is_written_out_changes_no_key(tree: Path) -> None:
    """So a new field with a default changes no old key."""
    before = keys(tree)
    default = Protocol.model_fields["warmup_requests_per_concurrency"].default
    write(
        tree / "recipes/r.yaml",
        RECIPE.replace(
            "protocol: {",
            f"client: {{chat-template: false}}\nprotocol: {{warmup-requests-per-concurrency: {default}, ",
        ),
    )
    assert keys(tree) == before


def test_a_new_part_that_is_empty_changes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of parts can grow."""
    before = key.key(key.parts(model="m"))
    monkeypatch.setitem(key.PARTS, "novelty", "a field of a later version")
    assert key.key(key.parts(model="m", novelty={})) == before
    assert key.key(key.parts(model="m", novelty={"a": 1})) != before


def test_an_unknown_part_is_an_error() -> None:
    """Nothing slips into a key."""
    with pytest.raises(KeyError):
        key.parts(colour="red")


@given(st.dictionaries(st.sampled_from(sorted(key.PARTS.keys() - {"workload"})), values), values.filter(bool))
def test_parts_that_are_shared_make_the_same_key(shared: dict[str, object], workload: object) -> None:
    """As a point's own parts do, in the same order; and what is shared names the server."""
    alone = key.parts(**shared, workload=workload)
    parts, name = key.Shared(**shared).with_workload(workload)  # type: ignore[arg-type]  # whatever JSON can hold
    assert (list(parts.items()), name) == (list(alone.items()), key.key(alone))
    assert key.Shared(**shared).server == key.server(alone)


@given(st.dictionaries(st.text(), values), st.randoms())
def test_the_order_of_mappings_does_not_count(content: dict[str, object], random: object) -> None:
    """Shuffled dictionaries have the same key."""
    items = list(content.items())
    random.shuffle(items)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert key.key(dict(items)) == key.key(content)


@given(st.dictionaries(st.text(min_size=1), values), st.dictionaries(st.text(min_size=1), values))
def test_differences_are_none_exactly_for_equal_keys(
    one: dict[str, object], other: dict[str, object]
) -> None:
    """`vary` explains every change of a key (parts that are empty are left out before)."""
    one, other = (
        json.loads(json.dumps(x), object_hook=lambda d: {k: v for k, v in d.items() if v not in (None, {})})
        for x in (one, other)
    )
    assert (key.differences(one, other) == []) == (key.digest(one) == key.digest(other))


def test_keys_of_the_shipped_recipes_are_those_of_the_golden_file() -> None:
    """A change here starts sweeps: it must be meant. Written by `python -m tests.matrix.test_key`."""
    assert lasting() == json.loads(GOLDEN.read_text())


def shipped() -> dict[str, str]:
    return {
        point.id: point.key for job in select.chosen(Tree.of(Folder(ROOT)), []).jobs for point in job.points
    }


def lasting() -> dict[str, str]:
    """Without the points of a kernel, whose keys are new with every change of it."""
    jobs = select.chosen(Tree.of(Folder(ROOT)), []).jobs
    return {point.id: point.key for job in jobs for point in job.points if point.kernel is None}


def other_python() -> str:
    """Another minor version of Python: on PATH, of pyenv, or one that uv finds or fetches."""
    mine = f"3.{sys.version_info.minor}"
    versions = [f"3.{minor}" for minor in (13, 12, 14, 11) if f"3.{minor}" != mine]
    found = [shutil.which(f"python{version}") for version in versions]
    roots = [Path(os.environ.get("PYENV_ROOT", "")), Path.home() / ".pyenv"]
    if pyenv := shutil.which("pyenv"):
        roots.append(Path(pyenv).resolve().parent.parent)
    for version in versions:
        found += [
            str(path)
            for root in roots
            for path in sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
        ]
    for candidate in found:
        if (
            candidate
            and subprocess.run([candidate, "-c", "pass"], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    for version in versions[:1]:
        done = subprocess.run(
            [sys.executable, "-m", "uv", "python", "install", version],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (
            f"this test wants a second Python ({', '.join(versions)}); install one: {done.stderr}"
        )
    return versions[0]


def test_keys_are_equal_on_another_python(tmp_path: Path) -> None:
    """Another minor version, another hash seed, the same keys."""
    uv = [sys.executable, "-m", "uv"]
    made = tmp_path / "venv"
    environments._run([*uv, "venv", "--quiet", "--python", other_python(), str(made)])
    wanted = [
        line.split()[0]
        for line in (ROOT / "requirements/harness.in").read_text().splitlines()
        if line.startswith("py")
    ]
    install = [
        *uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        str(made / "bin/python"),
        *environments.pip_settings(),
    ]
    environments._run([*install, "-c", str(ROOT / "requirements/harness.lock"), *wanted])
    program = "import json, sys; from tests_key import shipped; json.dump([list(sys.version_info[:2]), shipped()], sys.stdout)"
    (tmp_path / "tests_key.py").write_text(
        "from matrix import select\nfrom matrix.source import Folder\nfrom matrix.tree import Tree\nfrom pathlib import Path\n"
        f"def shipped():\n    plan = select.chosen(Tree.of(Folder(Path({str(ROOT)!r}))), [])\n"
        "    return {point.id: point.key for job in plan.jobs for point in job.points}\n"
    )
    env = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PYTHONHASHSEED": "7", "PATH": os.environ["PATH"]}
    answer = subprocess.run(
        [str(made / "bin/python"), "-c", program], env=env, capture_output=True, text=True, check=True
    )
    version, found = json.loads(answer.stdout)
    assert version != list(sys.version_info[:2])
    assert found == shipped()


def test_a_kernels_python_counts_and_its_docs_do_not(tree: Path) -> None:
    """Only the points that ask for the kernel change, and only by what is shipped."""
    write(tree / "kernels/fast_moe/__init__.py", "A = 1\n")
    write(tree / "kernels/fast_moe/tiles/gfx942.json", "{}")
    write(
        tree / "recipes/r.yaml",
        RECIPE.replace("cluster: local", "cluster: local\nkernel: {name: fast-moe, when: {concurrency: 2}}"),
    )
    before = keys(tree)
    for name in ("README.md", "tests/test_it.py", "tiles/gfx950.json"):
        write(tree / "kernels/fast_moe" / name, "x")
    assert keys(tree) == before
    for name in ("__init__.py", "tiles/gfx942.json"):
        write(tree / "kernels/fast_moe" / name, f"B = {name!r}\n")
        after = keys(tree)
        assert [point for point in after if after[point] != before[point]] == ["r/32x16-tp1-c2"]
        before = after


def test_mounts_of_a_container_change_no_key(tree: Path) -> None:
    """Where files lie on a node is not what is measured."""
    write(tree / "recipes/clusters/local.yaml", CLUSTER)
    before = keys(tree)
    write(
        tree / "recipes/clusters/local.yaml",
        CLUSTER.replace("{runtime: none}", "{runtime: none, mounts: {/a: /b}}"),
    )
    assert keys(tree) == before


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(lasting(), indent=1) + "\n")
