"""Expansion: the shipped recipes, ranges, identifiers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import generated_tree
from matrix import select, strict_yaml
from matrix.expand import expand, lengths_name
from matrix.ranges import concurrencies, condition
from matrix.source import Folder
from matrix.tree import Tree
from matrix.vllm import meanings
from matrix.vllm.vocabulary import Vocabulary
from tests.conftest import RECIPE, ROOT, write

M3 = "minimaxm3-fp8-mi300x-vllm"
POINTS = (
    [f"{M3}/1k1k-tp8-c{c}" for c in (1, 2, 4, 8, 16, 32, 64, 128)]
    + [f"{M3}/1k1k-tp8-ep8-c256"]
    + [f"{M3}/8k1k-tp8-c{c}" for c in (1, 2, 4, 8, 16, 32, 64)]
    + [f"{M3}/8k1k-tp8-ep8-c{c}" for c in (128, 256)]
)


def test_minimax_m3_has_its_18_points_in_5_server_starts() -> None:
    """The public search space, context lengths and the rule for batched tokens."""
    plan = select.chosen(Tree.of(Folder(ROOT)), [M3])
    points = [point for job in plan.jobs for point in job.points]
    assert [point.id for point in points] == POINTS
    assert (plan.points, plan.server_starts) == (18, 5)
    assert {point.max_model_len for point in points if point.isl == 1024} == {2304}
    assert {point.max_model_len for point in points if point.isl == 8192} == {9472}
    for job in plan.jobs:
        batched = "--max-num-batched-tokens" in job.serve.argv
        assert {point.isl >= 8192 and point.concurrency >= 16 for point in job.points} == {batched}
        assert ("--enable-expert-parallel" in job.serve.argv) == (job.points[0].ep == 8)
        assert job.serve.env["VLLM_USE_BREAKABLE_CUDAGRAPH"] == "0"


def test_the_mtp_variant_differs_only_in_drafting() -> None:
    """Ten lines of YAML are the same matrix with two differences."""
    tree = Tree.of(Folder(ROOT))
    plain, mtp = (select.chosen(tree, [name]) for name in (M3, f"{M3}-mtp"))
    assert mtp.points == 18
    for one, other in zip(plain.jobs, mtp.jobs, strict=True):
        added = [word for word in other.serve.argv if word not in one.serve.argv]
        assert added[0] == "--speculative-config"
        assert '"num_speculative_tokens": 3' in added[1]
        assert all(point.chat_template for point in other.points)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1..100", [1, 2, 4, 8, 16, 32, 64, 100]),
        ("128..256", [128, 256]),
        ("3..3", [3]),
        (7, [7]),
        ([9, 1], [9, 1]),
    ],
)
def test_concurrencies(text: int | str | list[int], wanted: list[int]) -> None:
    """A range doubles and always includes its end; a list is taken as it is."""
    assert concurrencies(text) == wanted


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_range_starts_at_its_start_doubles_and_ends_at_its_end(start: int, more: int) -> None:
    """For every range."""
    end = min(start + more, 10**6)
    found = concurrencies(f"{start}..{end}")
    assert (found[0], found[-1]) == (start, end)
    assert all(b == 2 * a for a, b in itertools.pairwise(found[:-1]))
    assert found == sorted(set(found))


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(1, 10**5), st.integers(1, 10**5))
def test_length_names_are_unique(a: int, b: int, c: int, d: int) -> None:
    """Two workloads never share a name."""
    assert (lengths_name(a, b) == lengths_name(c, d)) == ((a, b) == (c, d))


def test_k_stands_only_for_exactly_1024() -> None:
    """1000 is not 1k."""
    assert [lengths_name(8192, 1024), lengths_name(1000, 1024), lengths_name(128, 64)] == [
        "8k1k",
        "1000x1024",
        "128x64",
    ]


@pytest.mark.parametrize(
    ("text", "inside", "outside"), [(">=16", 16, 15), ("<8", 7, 8), (8, 8, 9), ("2..4", 4, 5), (">8", 9, 8)]
)
def test_conditions(text: int | str, inside: int, outside: int) -> None:
    """Bounds are as written."""
    low, high = condition(text)
    assert low <= inside <= high
    assert not low <= outside <= high


def test_a_job_is_the_points_of_one_server_command(tree: Path) -> None:
    """A flag that only some points have splits the job."""
    write(
        tree / "recipes/r.yaml",
        RECIPE.replace("serve:", "serve:\n  when: [{concurrency: 2, flags: {seed: 1}}]"),
    )
    plan = select.chosen(Tree.of(Folder(tree)), [])
    assert [[point.concurrency for point in job.points] for job in plan.jobs] == [[1], [2]]
    assert len({job.id for job in plan.jobs}) == 2


def test_what_points_share_is_worked_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 points of a recipe have 14 servers, and both recipes one cluster: as often are flags and the file looked at."""
    tree = Tree.of(Folder(generated_tree(tmp_path)), Folder(ROOT))
    given: list[dict[str, object]] = []
    read: list[str] = []
    spelt, document = meanings.flags, strict_yaml.read

    def flags(vocabulary: Vocabulary | None, said: dict[str, object]) -> dict[str, object]:
        given.append(said)
        return spelt(vocabulary, said)

    def reading(content: bytes, file: str) -> strict_yaml.Document:
        read.append(file)
        return document(content, file)

    monkeypatch.setattr(meanings, "flags", flags)
    monkeypatch.setattr(strict_yaml, "read", reading)
    cells = [cell for name in ("generated-0", "generated-1") for cell in expand(tree, name)]
    assert len(cells) == 200
    of_servers = [said for said in given if "tensor-parallel-size" in said]
    assert len(of_servers) == len({cell.server for cell in cells}) == 28
    assert read.count("recipes/clusters/mi300x-amd.yaml") <= 1
