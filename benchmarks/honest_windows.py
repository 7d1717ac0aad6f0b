"""What gates say of honest loads, and what `run` adds to a point, from records of real runs on a quiet machine.

    for n in 1 2 3 4 5 6; do ./servematrix run qwen3moe-tiny-cpu-vllm --runs 2 --out results/honest-$n; done
    PYTHONPATH=. .environments/dev/bin/python benchmarks/honest_windows.py results/honest-*

Each point of a run is a window. The upper bound is the exact binomial one (Clopper and Pearson 1934) at 95 %.
"""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from pathlib import Path

from scipy.stats import beta

from utils.results.collect import collect


def main(folders: list[Path]) -> None:
    """Print gates that were raised, notes, and the time between phases."""
    records = [one for one in collect(folders) if one.whole]
    raised = Counter(gate.name for one in records for gate in one.gates if not gate.passed)
    bad = sum(one.status != "measured" for one in records)
    bound = float(beta.ppf(0.95, bad + 1, len(records) - bad)) if bad < len(records) else 1.0
    print(f"{len(records)} windows, {bad} with a gate: at most {100 * bound:.1f} % (95 %, one-sided)")
    for name, count in raised.most_common():
        print(f"  {name}: {count}")
    print(f"{sum(bool(one.notes) for one in records)} with a note")
    added = []
    for one in records:
        phases = {phase.name: phase for phase in one.phases}
        warm = phases["warm-up"]
        between = phases["load"].start_s - warm.start_s - warm.duration_s
        added.append(between + phases["gates"].duration_s)
    print(f"added to a point: median {statistics.median(added):.3f} s, most {max(added):.3f} s")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
