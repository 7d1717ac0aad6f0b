"""A task of lm-eval against a server that runs anyway: both arms answer the same questions, and those that only one answers well decide.

lm-eval 0.4.13 runs in an environment of its own, which has no torch, and asks /v1/completions. Its samples say which questions were right.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matrix.evaluation import FOLDER
from utils.node import files, process
from utils.node.record import Accuracy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matrix.evaluation import Evaluation

LIMIT_S = 3600.0
P_MOST = 0.01
"""Of the two-sided test below which a worse head fails."""
OFF_MOST = 1e-3
"""Between a score and the mean of its samples, which lm-eval rounds at most."""
SEED = 1234


@dataclass(frozen=True, slots=True)
class Where:
    """Whom a task is asked, and by what."""

    python: str
    """That has lm-eval."""
    tree: str
    """With the recipe's own tasks."""
    model: str
    port: int
    concurrency: int
    folder: Path
    """For what lm-eval leaves; it exists."""
    shared: Path
    """The job's, where the base's answers are or will be."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Where the node's cache of models and data is, and whether it is all that there is."""
    first: bool = True
    """Whether this run may be the one that the others are compared with: one of the base, where there is one."""


def evaluate(asked: Evaluation, where: Where) -> Accuracy:
    """Run a task, and compare it with the first run of the allocation, which is a base's; that one has a score and no verdict."""
    if not where.python:
        return _untested(
            asked,
            "no environment with lm-eval is on this node: the local launcher makes one, elsewhere paths.evaluator of the cluster file names one",
        )
    why = _run(asked, where)
    if why:
        return _untested(asked, why)
    try:
        score, right = read(where.folder, asked.task)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        return _untested(asked, f"lm-eval left no result that can be read: {error!r}")
    path = where.shared / of_base(asked.task)
    if path.exists():
        return _beside(asked.task, score, right, path)
    why = "the base left no answers to compare with"
    if where.first:
        why = "the first run of the allocation, which the others are compared with"
        files.write_whole(path, json.dumps(right).encode())
    return _untested(asked, why, score)


def _beside(task: str, score: dict[str, float], right: Mapping[str, bool], path: Path) -> Accuracy:
    try:
        base = {str(name): bool(well) for name, well in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        why = f"what the base left cannot be read: {error!r}"[:300]
        return Accuracy(kind="task", name=task, verdict="not tested", figures=score, why=why)
    return compared(task, score, right, base)


def of_base(task: str) -> str:
    """Name of the file in a job's folder with what its first run answered well."""
    return f"accuracy-{task}.json"


def command(asked: Evaluation, where: Where) -> list[str]:
    """The call of lm-eval; one task a call, because its number of examples would be everybody's."""
    model = {
        "model": where.model,
        "base_url": f"http://127.0.0.1:{where.port}/v1/completions",
        "num_concurrent": where.concurrency,
        "tokenized_requests": "False",
        "tokenizer_backend": "none",
        "max_retries": 3,
        "timeout": 600,
    }
    line = [where.python, "-m", "lm_eval", "run", "--model", "local-completions"]
    line += ["--model_args", ",".join(f"{name}={value}" for name, value in model.items())]
    line += ["--tasks", asked.task, "--output_path", str(where.folder), "--log_samples", "--seed", str(SEED)]
    if (tasks := Path(where.tree) / FOLDER).is_dir():
        line += ["--include_path", str(tasks)]
    return line + (["--limit", str(asked.limit)] if asked.limit else [])


def _run(asked: Evaluation, where: Where) -> str:
    """Run it; why there is no result, empty where there is."""
    tasks = Path(where.tree) / FOLDER
    own = (tasks / f"{asked.task}.yaml").is_file()
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(where.folder),
        "HF_HOME": str(where.folder / "cache"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    env |= where.env
    env |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"} if own else {}
    log = where.folder / "lm-eval.log"
    with log.open(
        "wb"
    ) as sink:  # a carried task names its questions beside itself, so that it is run from there
        try:
            running = process.start(command(asked, where), env=env, log=sink, folder=tasks if own else None)
        except OSError as error:
            return f"{where.python} cannot be started: {error.strerror}"
        try:
            status = running.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return f"lm-eval took more than {LIMIT_S:.0f} s"
        finally:
            process.stop(running)
    words = log.read_text(errors="replace").strip().splitlines()[-1:]
    return f"lm-eval ended with status {status}: {' '.join(words)[:200]}" if status else ""


def read(folder: Path, task: str) -> tuple[dict[str, float], dict[str, bool]]:
    """The score, its standard error and count; and question -> whether its answer was right, by the first metric that lm-eval lists.

    Raises:
        ValueError: the samples are not those of the score: none, one twice, neither right nor wrong, or with another mean.
    """
    body = json.loads(_newest(folder, "results_*.json").read_text())
    found: Mapping[str, Any] = body["results"][task]
    name = next((key for key in found if "," in key and "_stderr" not in key), "")
    if not name:
        raise ValueError(f"its results for {task} name no metric with its filter, as acc,none is one")
    metric, _, wanted = name.partition(",")
    right: dict[str, bool] = {}
    with _newest(folder, f"samples_{task}_[0-9]*.jsonl").open(encoding="utf-8") as lines:
        for (
            line
        ) in lines:  # a line feed alone ends one: answers may hold other marks that Unicode ends lines with
            sample = json.loads(line)
            if sample.get("filter", wanted) == wanted:
                question = _question(sample)
                if question in right:
                    raise ValueError(f"question {question[:40]} is there twice")
                if float(sample[metric]) not in {0.0, 1.0}:
                    raise ValueError(
                        f"{metric} of a question is {sample[metric]}, which is neither right nor wrong"
                    )
                right[question] = float(sample[metric]) == 1.0
    error = found.get(f"{metric}_stderr,{wanted}")
    score = {"score": float(found[name]), "questions": float(len(right))}
    if not math.isfinite(score["score"]):
        raise ValueError(f"{name} is {found[name]}")
    if not right:
        raise ValueError(f"there is no sample for {name}")
    mean = sum(right.values()) / len(right)
    if abs(mean - score["score"]) > OFF_MOST:
        raise ValueError(f"{name} is {score['score']:.4g}, and its samples come to {mean:.4g}")
    return score | (
        {"stderr": float(error)} if isinstance(error, int | float) and math.isfinite(error) else {}
    ), right


def _question(sample: Mapping[str, Any]) -> str:
    """Its name: what it says, and its place in the task, where two may say the same."""
    place = f"{sample['doc_id']} " if "doc_id" in sample else ""
    return f"{place}{sample['doc_hash']}"


def _newest(folder: Path, pattern: str) -> Path:
    found = sorted(folder.rglob(pattern), key=lambda path: path.name)
    if not found:
        raise ValueError(f"there is no {pattern}")
    return found[-1]


def compared(
    task: str, score: dict[str, float], right: Mapping[str, bool], base: Mapping[str, bool]
) -> Accuracy:
    """McNemar's exact test (1947): of the questions that one side alone answers well, how many are the base's."""
    if right.keys() != base.keys() or not right:
        why = f"the arms did not answer the same questions ({len(right)} and {len(base)})"
        return Accuracy(kind="task", name=task, verdict="not tested", figures=score, why=why)
    lost = sum(base[one] and not right[one] for one in base)
    won = sum(right[one] and not base[one] for one in base)
    p = binomial(lost, won)
    before = sum(base.values()) / len(base)
    figures = score | {"base_score": before, "lost": float(lost), "won": float(won), "p": p}
    failed = lost > won and p < P_MOST
    why = f"{100 * before:.1f} % → {100 * score['score']:.1f} % of {len(base)} questions, {lost} lost and {won} won, p {p:.2g}"
    return Accuracy(
        kind="task", name=task, verdict="failed" if failed else "passed", figures=figures, why=why
    )


def binomial(lost: int, won: int) -> float:
    """Two-sided: how often a split as uneven comes of fair coins; 1 without any."""
    n, most = lost + won, max(lost, won)
    ways = term = 1  # that all are on one side
    for k in range(n, most, -1):
        term = term * k // (n - k + 1)
        ways += term
    return float(min(1.0, 2 * ways / 2**n))


def _untested(asked: Evaluation, why: str, score: dict[str, float] | None = None) -> Accuracy:
    return Accuracy(kind="task", name=asked.task, verdict="not tested", figures=score or {}, why=why)
