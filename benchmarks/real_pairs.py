"""How right verdicts are on a real machine: pairs of the tiny recipe against itself, and against itself slowed down.

    for n in 1 2 3 4 5 6 7 8 9 10; do ./servematrix run qwen3moe-tiny-cpu-vllm --pair HEAD --no-confirm --out results/aa-$n; done
    PYTHONPATH=. .environments/dev/bin/python benchmarks/real_pairs.py judge results/aa-*
    PYTHONPATH=. .environments/dev/bin/python benchmarks/real_pairs.py slow 20 /tmp/slow    # a checkout whose vLLM takes 20 % longer
    ./servematrix run qwen3moe-tiny-cpu-vllm --tree /tmp/slow --pair HEAD --out results/slow

`judge` gives each pair the ledger of the others, and takes the next pair as the block that confirms.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from matrix.metrics import METRICS
from utils.results.collect import collect
from utils.results.verdict import matching
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger

ROOT = Path(__file__).resolve().parent.parent
RECIPE = "qwen3moe-tiny-cpu-vllm"
SLOWER = '''\
"""A test vehicle: the worker of vLLM takes a fixed share longer for each step."""

import time


def _longer(function, share):
    def call(*arguments, **named):
        begin = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            end = time.perf_counter() + share * (time.perf_counter() - begin)
            while time.perf_counter() < end:
                pass
    call.slowed = True
    return call


def register():
    from vllm.v1.worker.gpu_worker import Worker

    for name in ("execute_model", "sample_tokens"):
        if not hasattr(getattr(Worker, name), "slowed"):
            setattr(Worker, name, _longer(getattr(Worker, name), {share}))
'''


def judge(folders: list[Path]) -> None:
    """Flagged shares of pairs in which nothing differs."""
    measured = [collect([folder]) for folder in folders]
    flagged = called = changes_flagged = changes_called = figures = 0
    for number, records in enumerate(measured):
        ledger = Ledger()
        for other, more in enumerate(measured):
            if other != number:
                ledger, _, _ = ledger.with_records(more)
        again = [one.model_copy(update={"block": 2}) for one in measured[(number + 1) % len(measured)]]
        first = compare(*matching.arms(records), ledger)
        both = compare(
            *matching.arms([*records, *(one for one in again if one.point in first.flagged)]), ledger
        )
        flags = [m for point in first.points for m in point.metrics.values() if m.flagged]
        words = [
            m
            for point in both.points
            for m in point.metrics.values()
            if m.word in {"regression", "improvement"}
        ]
        figures += sum(len(point.metrics) for point in first.points)
        flagged, called = flagged + len(flags), called + len(words)
        changes_flagged, changes_called = changes_flagged + bool(flags), changes_called + bool(words)
        print(
            f"{folders[number].name}: {len(flags)} figures stand out, {len(words)} called; {first.headline.text}"
        )
    print(f"stand out: {flagged} of {figures} figures, in {changes_flagged} of {len(measured)} changes")
    print(f"called a change: {called} figures, in {changes_called} of {len(measured)} changes")
    whole = Ledger()
    for records in measured:
        whole, _, _ = whole.with_records(records)
    for (device, _, name, metric), pool in whole.classes.items():
        sd = 100 * pool.variance**0.5
        print(
            f"{device} {name} {METRICS[metric].about}: {sd:.2f} % a run, {pool.df} df, seen {2.8 * sd:.1f} %"
        )


def slow(percent: float, folder: Path) -> None:
    """A clone whose recipe asks for a vehicle that makes every step longer."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    package = folder / "kernels/vehicles/slower"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(SLOWER.replace("{share}", str(percent / 100)))
    recipe = folder / f"recipes/{RECIPE}.yaml"
    recipe.write_text(recipe.read_text().replace("cluster: local\n", "cluster: local\nvehicle: slower\n"))


if __name__ == "__main__":
    if sys.argv[1] == "judge":
        judge([Path(folder) for folder in sys.argv[2:]])
    else:
        slow(float(sys.argv[2]), Path(sys.argv[3]))
