"""How fast the harness itself is: each figure beside a yardstick of the same run, because machines are noisy.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/figures.py            # plan, help, changelog check
    PYTHONPATH=. .environments/dev/bin/python benchmarks/figures.py results/X  # and compare, and what a run added to each of its points

The yardstick is `python -c pass`, started as often: a slow machine is slow in both.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from utils.node.record_file import read

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 7
RECIPE = """\
model: org/model-{number}
precision: fp8
image: registry/image:{number}
cluster: mi300x-amd
serve:
  flags: {{block-size: 128, enable-prefix-caching: false, attention-backend: TRITON_ATTN}}
  when:
  - {{isl: ">=4096", concurrency: ">=16", flags: {{max-num-batched-tokens: 32768}}}}
workloads:
"""
FIGURES = (
    '{key: "k1:3fa13fa13fa13fa1", tput: 1000.1, ttft: 40.12, tpot: 150.37, power: 700, '
    "vs: {tput: +3.4%, ttft: -2.6%, tpot: -3.2%}, n: 2+2, verdict: {tpot: improvement}}"
)
WORKLOAD = (
    "- {{isl: {isl}, osl: 1024, search: [{{tp: 8, concurrency: 1..512}}, {{tp: 4, concurrency: 1..512}}]}}\n"
)


def generated_tree(root: Path) -> Path:
    """100 recipes of 100 points."""
    folder = root / "recipes"
    folder.mkdir()
    for number in range(100):
        text = RECIPE.format(number=number) + "".join(WORKLOAD.format(isl=1024 * (i + 1)) for i in range(5))
        (folder / f"generated-{number}.yaml").write_text(text)
    return root


def generated_changelog(path: Path) -> Path:
    """10,000 point lines in 10 entries."""
    lines = ["r:\n"]
    for entry in range(10):
        commit = "a" * 40
        lines.append(f"- pr: {100 - entry}\n  title: T\n  why: [w]\n  date: 2026-01-{28 - entry}\n")
        lines.append(f"  head: {{commit: {commit}, image: i, vllm: v1, device: d}}\n  points:\n")
        lines += [f"    8k1k-tp8-ep8-c{point + 1}: {FIGURES}\n" for point in range(1000)]
    path.write_text("".join(lines))
    return path


def generated_records(root: Path, like: Path) -> Path:
    """Records of 1,000 points, four runs each in the order B H H B, 20 points a job, after the first one below a folder."""
    first = json.loads(next(like.rglob("record.json")).read_bytes())
    for point in range(1000):
        for run, arm in enumerate(("base", "head", "head", "base")):
            job = f"j{point // 20}"
            one = first | {"point": f"r/128x64-tp1-c{point + 1}", "arm": arm, "run_index": run, "job": job}
            one |= {"allocation": job, "points_before": []}
            folder = root / job / f"run-{run}-{arm}" / f"128x64-tp1-c{point + 1}"
            folder.mkdir(parents=True)
            (folder / "record.json").write_text(json.dumps(one, indent=1))
    return root


def seconds(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    took = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr.decode())
    return took


def overhead(folder: Path) -> list[float]:
    """What a run added to each point beside the client's calls and the server: gates, records, and the time between phases."""
    sys.path.insert(0, str(ROOT))

    records = sorted(
        (read(path) for path in folder.rglob("record.json")),
        key=lambda one: (one.allocation, one.run_index, one.position),
    )
    added: list[float] = []
    end_s = 0.0
    for one in records:
        phases = {phase.name: phase for phase in one.phases}
        begin_s = end_s if one.position else phases["warm-up"].start_s
        end_s = one.clock.monotonic_s
        added.append(end_s - begin_s - phases["warm-up"].duration_s - phases["load"].duration_s)
    return added


def main() -> None:
    """Print each figure's median, its limit, and its ratio to the yardstick."""
    tool = str(ROOT / "servematrix")
    with tempfile.TemporaryDirectory() as name:
        tree, log = generated_tree(Path(name)), generated_changelog(Path(name) / "log.yaml")
        measured = {
            "yardstick: python -c pass": (None, [str(ROOT / ".venv/bin/python"), "-I", "-c", "pass"]),
            "servematrix --help": (0.2, [tool, "--help"]),
            "plan of 10,000 points, ids": (1.0, [tool, "plan", "--tree", str(tree), "--format", "ids"]),
            "plan of 10,000 points, json": (1.0, [tool, "plan", "--tree", str(tree), "--format", "json"]),
            "changelog check, 10,000 point lines": (2.0, [tool, "changelog", "check", "--file", str(log)]),
        }
        if len(sys.argv) > 1:
            records, ledger = generated_records(Path(name) / "records", Path(sys.argv[1])), f"{name}/l.jsonl"
            seconds([tool, "ledger", "add", str(records), "--ledger", ledger])
            compare = [tool, "compare", str(records), "--ledger", ledger]
            measured["compare, 1,000 points x 4 runs"] = (3.0, compare)
        times: dict[str, list[float]] = {figure: [] for figure in measured}
        for repeat in range(REPEATS + 1):
            for figure, (_, command) in measured.items():
                took = seconds(command)
                if repeat:
                    times[figure].append(took)
    yardstick = statistics.median(next(iter(times.values())))
    for figure, values in times.items():
        median, limit = statistics.median(values), measured[figure][0]
        bound = f"limit {limit} s" if limit else ""
        print(
            f"{figure:<38} {median:.3f} s  ({min(values):.3f} to {max(values):.3f})  {median / yardstick:6.1f} x  {bound}"
        )
    if len(sys.argv) > 1:
        added = overhead(Path(sys.argv[1]))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        print(f"{'the largest of these (compare)':<38} {peak:.0f} MB at most, limit 500 MB")
        print(
            f"{'run adds to a point':<38} {statistics.median(added):.3f} s  ({min(added):.3f} to {max(added):.3f})  limit 1.0 s"
        )


if __name__ == "__main__":
    main()
