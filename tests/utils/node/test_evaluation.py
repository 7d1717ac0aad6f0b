"""lm-eval's results read, its call, and McNemar's test; the real one is in test_real_accuracy.py."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.evaluation import Evaluation
from utils.node import evaluation
from utils.node.evaluation import Where, binomial, compared


def where(folder: Path, python: str) -> Where:
    """With what a run would give."""
    return Where(
        python=python, tree=str(folder), model="m", port=1, concurrency=4, folder=folder, shared=folder
    )


def answers(right: int, of: int = 100) -> dict[str, bool]:
    """The first so many are right."""
    return {str(n): n < right for n in range(of)}


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        (97, 97, "passed"),
        (97, 95, "passed"),
        (97, 85, "failed"),
        (85, 97, "passed"),
        (97, 0, "failed"),
        (0, 0, "passed"),
    ],
)
def test_the_pairing_decides(base: int, head: int, verdict: str) -> None:
    """Two questions lost of a hundred are chance, twelve are not; a better head does not fail."""
    found = compared("t", {"score": head / 100, "questions": 100.0}, answers(head), answers(base))
    assert found.verdict == verdict
    assert found.figures["lost"] == max(0, base - head)
    assert found.figures["base_score"] == base / 100


def test_a_difference_that_unpaired_scores_would_show_as_none() -> None:
    """Equal scores with many questions changed both ways are no loss; the counts show it."""
    other = {name: not right if int(name) % 2 else right for name, right in answers(50).items()}
    found = compared("t", {"score": 0.5}, other, answers(50))
    assert found.verdict == "passed"
    assert found.figures["lost"] == found.figures["won"] == 25


def test_other_questions_are_not_compared() -> None:
    """Two limits, or two versions of a task."""
    assert compared("t", {"score": 1.0}, answers(10, 10), answers(10, 12)).verdict == "not tested"
    assert compared("t", {"score": 1.0}, {}, {}).verdict == "not tested"


def test_the_exact_test() -> None:
    """Ten of ten one way come of fair coins once in 512 times, two-sided."""
    assert binomial(10, 0) == pytest.approx(2 / 1024)
    assert binomial(5, 5) == 1.0
    assert binomial(0, 0) == 1.0


def test_results_are_read_as_lm_eval_0_4_13_writes_them(tmp_path: Path) -> None:
    """Shapes seen of a real call: a metric's name has its filter behind it, samples say theirs; of two filters the first counts; letters stay as they are."""
    folder = tmp_path / "m"
    folder.mkdir()
    found = {
        "name": "t",
        "alias": "t",
        "sample_len": 2,
        "exact_match,strict": 0.5,
        "exact_match_stderr,strict": 0.5,
        "exact_match,flexible": 1.0,
    }
    (folder / "results_2026-11-26T21-10-05.672913.json").write_text(json.dumps({"results": {"t": found}}))
    samples = [
        {"doc_hash": "a", "filter": "strict", "exact_match": 1.0, "resps": [["a\u2028b\x85c"]]},
        {"doc_hash": "b", "filter": "strict", "exact_match": 0.0},
        {"doc_hash": "b", "filter": "flexible", "exact_match": 1.0},
    ]
    (folder / "samples_t_2026-11-26T21-10-05.672913.jsonl").write_text(
        "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in samples)
    )
    assert evaluation.read(tmp_path, "t") == (
        {"score": 0.5, "questions": 2.0, "stderr": 0.5},
        {"a": True, "b": False},
    )


def test_the_call_is_bounded_and_offline_where_the_task_is_the_trees_own(tmp_path: Path) -> None:
    """One task, its limit, the tree's tasks beside lm-eval's, no tokenizer that would be downloaded."""
    (tmp_path / "recipes/tasks").mkdir(parents=True)
    line = evaluation.command(Evaluation(task="t", limit=7), where(tmp_path, "python"))
    assert line[line.index("--limit") + 1] == "7"
    assert line[line.index("--include_path") + 1] == str(tmp_path / "recipes/tasks")
    assert "tokenizer_backend=none" in line[line.index("--model_args") + 1]
    assert "--limit" not in evaluation.command(Evaluation(task="t"), where(tmp_path, "python"))


@pytest.mark.parametrize(
    ("python", "why"),
    [
        ("", "no environment with lm-eval"),
        ("/no/such/python", "/no/such/python cannot be started: No such file"),
        ("/bin/false", "ended with status 1"),
        ("/bin/true", "left no result"),
    ],
)
def test_what_cannot_be_asked_is_not_tested(tmp_path: Path, python: str, why: str) -> None:
    """And costs no measurement."""
    found = evaluation.evaluate(Evaluation(task="t"), where(tmp_path, python))
    assert found.verdict == "not tested"
    assert why in found.why


def test_the_nodes_cache_is_the_evaluators_too(tmp_path: Path) -> None:
    """A node that reaches no hub has its data in the cache that the cluster file names."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nenv >{tmp_path}/env\nexit 1\n")
    python.chmod(0o755)
    cache = {"HF_HUB_CACHE": "/mnt/hf", "HF_HUB_OFFLINE": "1"}
    given = replace(where(tmp_path, str(python)), env=cache)
    found = evaluation.evaluate(Evaluation(task="t"), given)
    assert found.verdict == "not tested"
    env = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert cache.items() <= env.items()
    assert env["NO_PROXY"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("results", "samples"),
    [
        ({"alias": "t"}, '{"doc_hash": "a", "acc": 1.0}\n'),
        (["acc"], '{"doc_hash": "a", "acc": 1.0}\n'),
        ({"acc,none": float("nan")}, '{"doc_hash": "a", "acc": 1.0}\n'),
        ({"acc,none": "N/A"}, '{"doc_hash": "a", "acc": 1.0}\n'),
        ({"acc,none": 1.0}, "[1]\n"),
        ({"acc,none": 1.0}, "[" * 100_000),
    ],
)
def test_odd_results_are_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: object, samples: str
) -> None:
    """Whatever lm-eval leaves: a run that was measured is not lost for it."""
    (tmp_path / "results_1.json").write_text(json.dumps({"results": {"t": results}}))
    (tmp_path / "samples_t_1.jsonl").write_text(samples)
    monkeypatch.setattr(evaluation, "_run", lambda _asked, _where: "")
    found = evaluation.evaluate(Evaluation(task="t"), where(tmp_path, "python"))
    assert found.verdict == "not tested"
    assert "left no result that can be read" in found.why


def left(folder: Path, results: object, samples: list[dict[str, object]], task: str = "t") -> None:
    """What lm-eval leaves."""
    (folder / "results_2026-1.json").write_text(json.dumps({"results": {"t": results}}))
    lines = "".join(f"{json.dumps(one)}\n" for one in samples)
    (folder / f"samples_{task}_2026-1.jsonl").write_text(lines)


@pytest.mark.parametrize(
    ("results", "values", "why"),
    [
        ({"acc,none": 0.95}, (1.0, 0.0), "acc,none is 0.95, and its samples come to 0.5"),
        ({"acc,none": 50.0}, (1.0, 0.0), "acc,none is 50, and its samples come to 0.5"),
        ({"acc,none": 0.37}, (0.37, 0.37), "acc of a question is 0.37, which is neither right nor wrong"),
        ({"acc,none": 0.5}, (float("nan"), 1.0), "acc of a question is nan"),
        ({"acc,none": 0.5}, (10**400, 1.0), "int too large"),
        ({"acc,none": 0.5}, (), "there is no sample for acc,none"),
        ({"acc": 0.5}, (1.0, 0.0), "name no metric with its filter"),
        ({"acc,strict": 0.5}, (1.0, 0.0), "there is no sample for acc,strict"),
    ],
)
def test_samples_that_are_not_those_of_the_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: object, values: tuple[float, ...], why: str
) -> None:
    """They would be compared in its place: another metric than right or wrong, another part, another version's keys."""
    samples = [
        {"doc_id": n, "doc_hash": str(n), "filter": "none", "acc": value} for n, value in enumerate(values)
    ]
    left(tmp_path, results, samples)
    monkeypatch.setattr(evaluation, "_run", lambda _asked, _where: "")
    found = evaluation.evaluate(Evaluation(task="t"), where(tmp_path, "python"))
    assert (found.verdict, found.figures) == ("not tested", {})
    assert why in found.why
    assert not (tmp_path / evaluation.of_base("t")).exists(), "no base for the others"


def test_questions_are_told_apart_by_their_place(tmp_path: Path) -> None:
    """Two that say the same are two, in whatever order; one that is there twice is none that can be compared."""
    two = [{"doc_id": n, "doc_hash": "a", "filter": "none", "acc": 1.0 - n} for n in range(2)]
    left(tmp_path, {"acc,none": 0.5}, two[::-1])
    assert evaluation.read(tmp_path, "t")[1] == {"0 a": True, "1 a": False}
    left(tmp_path, {"acc,none": 0.5}, [two[0], two[0]])
    with pytest.raises(ValueError, match="question 0 a is there twice"):
        evaluation.read(tmp_path, "t")


def test_samples_of_a_part_are_not_the_groups(tmp_path: Path) -> None:
    """A group of tasks has a score and no samples of its own; its parts' names begin as its own does."""
    left(tmp_path, {"acc,none": 1.0}, [{"doc_hash": "a", "filter": "none", "acc": 1.0}], "t_history")
    with pytest.raises(ValueError, match=r"there is no samples_t_"):
        evaluation.read(tmp_path, "t")


def test_the_exact_test_of_many_questions_takes_no_time() -> None:
    """As many as a large task has, and the figure of ten thousand is still exact."""
    begin = time.monotonic()
    assert binomial(7000, 7000) == 1.0
    assert 0 < binomial(7200, 6800) < 1e-3
    assert binomial(60, 40) == pytest.approx(0.0568879, rel=1e-5)
    assert time.monotonic() - begin < 2
