"""What an author claimed of a change, held against what was found; only what was committed before the sweep counts."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from matrix.errors import HarnessError
from matrix.source import git
from utils.results import changelog
from utils.results.comparison import ClaimVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from utils.results.comparison import Comparison, MetricVerdict

Claims = dict[str, dict[str, str]]
"""Point without its recipe -> metric -> claim such as `<= -2%`."""


def committed(root: Path, commit: str, recipe: str) -> Claims | None:
    """The claims of a recipe's newest entry as it stood in the commit that was measured; None where that cannot be read."""
    try:
        content = git(root, "cat-file", "blob", f"{commit}:{changelog.FILE}")
        entries = changelog.read(content).root.get(recipe, [])
    except HarnessError:
        return None
    return dict(entries[0].expect) if entries and entries[0].is_stub else {}


def outcomes(found: Comparison, recipe: str, claims: Claims | None, now: Claims) -> list[ClaimVerdict]:
    """What became of each claim.

    Args:
        found: the comparison.
        recipe: whose claims they are.
        claims: as committed before the sweep; None where that commit is not here.
        now: as they stand in the file; those that differ do not count.
    """
    points = {one.point: one.metrics for one in found.points}
    result = []
    for point, named in (now or claims or {}).items():
        for metric, claim in named.items():
            name = f"{recipe}/{point}"
            if claims is None:
                answer = ("not counted", "the measured commit is not in this repository")
            elif claims.get(point, {}).get(metric) != claim:
                answer = ("not counted", "it was not committed before the sweep")
            else:
                answer = _outcome(claim, points.get(name, {}), metric)
            result.append(
                ClaimVerdict.model_validate(
                    {"point": name, "metric": metric, "claim": claim, "outcome": answer[0], "why": answer[1]}
                )
            )
    return result


def _outcome(claim: str, metrics: Mapping[Any, MetricVerdict], metric: str) -> tuple[str, str]:
    """Holds where the whole interval does, fails where none of it does."""
    one = metrics.get(metric)
    if one is None:
        return "undecided", "it was not judged" if metrics else "the point was not compared"
    if one.low_percent is None or one.high_percent is None:
        return "undecided", one.why or "it has no interval"
    sign, bound = claim.split(" ")
    holds = {"<=": operator.le, ">=": operator.ge}[sign]
    ends = [holds(end, float(bound.removesuffix("%"))) for end in (one.low_percent, one.high_percent)]
    interval = f"95 % interval {one.low_percent:+.1f} to {one.high_percent:+.1f} %"
    return ("holds" if all(ends) else "undecided" if any(ends) else "fails"), interval
