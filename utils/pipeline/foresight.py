"""What a plan with two arms can find out, said before it costs anything."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from matrix import estimate
from matrix.metrics import HEADLINE
from utils.results.verdict import detectable
from utils.results.verdict.ledger import LEVEL_DF
from utils.results.verdict.spread import UNKNOWN, Spread

if TYPE_CHECKING:
    from matrix.plan import Plan, Point
    from utils.results.verdict.ledger import Ledger

CHANGES = (0.02, 0.03, 0.05)
ASSUMED_SD = 0.01
"""Of a run, where no ledger says more."""
ASSUMED_SCATTER = 12.0


def lines(plan: Plan, ledger: Ledger) -> list[str]:
    """Sentences: that nothing differs, and what changes of several sizes need in runs and node-hours."""
    if plan.pair is None or not (paired := [job for job in plan.jobs if job.base]):
        return []
    found = []
    if not any(point.vary for job in paired for point in job.points):
        found.append(
            "nothing differs between the arms: this measures noise (an A/A), fills the ledger, and shows how often a verdict is wrong"
        )
    sizes = [len(job.points) for job in paired]
    points = [point for job in paired for point in job.points]
    spread, source = _noise(points, ledger)
    runs_now = len(paired[0].arms) // 2
    hours = estimate.node_hours(plan)
    need = []
    for change in CHANGES:
        enough = [
            runs
            for runs in detectable.RUNS
            if (
                least := detectable.smallest_seen(spread, points[0].rules.floors[HEADLINE] / 100, runs, sizes)
            )
            and least <= change
        ]
        if enough:
            need.append(
                f"{100 * change:.0f} % with --runs {enough[0]} (about {hours * enough[0] / runs_now:.1f} node-hours)"
            )
        else:
            need.append(f"{100 * change:.0f} % with more than {detectable.RUNS[-1]} runs an arm")
    found.append(
        f"a change of one point in throughput is found four times in five: {', '.join(need)}; {source}"
    )
    return found


def _noise(points: list[Point], ledger: Ledger) -> tuple[Spread, str]:
    """Of the plan's median point: on the device where most is known of it; else as is assumed."""
    machines = Counter((line.device, line.driver) for line in ledger.differences if not line.held)
    for device, driver in (machine for machine, _ in machines.most_common()):
        known = [
            ledger.spread(
                device, driver, one.id, one.concurrency, HEADLINE, recipe=one.recipe, model=one.model
            )
            for one in points
        ]
        known = sorted(
            (one for one in known if one != UNKNOWN and one.df == LEVEL_DF), key=lambda one: one.drawn
        )
        if known:
            middle = known[len(known) // 2]
            return middle, f"by the ledger of {device}: {100 * middle.drawn**0.5:.2f} % a run"
    assumed = Spread(ASSUMED_SD, 0.0, "none", scatter=ASSUMED_SCATTER)
    return (
        assumed,
        "the ledger knows nothing of these points, so 1 % a run is assumed, and each sweep judges by its own noise",
    )
