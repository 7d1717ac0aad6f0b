"""What an author claimed of a change, compared with what was found; only what was committed before the sweep counts."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from matrix.errors import HarnessError
from matrix.source import git
from utils.results.changelog import entries as changelog
from utils.results.verdict.outcome import ClaimVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from utils.results.verdict.outcome import Comparison, MetricVerdict

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


def written(path: Path, recipe: str) -> Claims:
    """The claims as they stand in a file; none where it cannot be read, for that is no reason to withhold a verdict."""
    try:
        entries = changelog.read(path.read_bytes()).root.get(recipe, [])
    except (OSError, HarnessError):
        return {}
    return dict(entries[0].expect) if entries else {}


def outcomes(comparison: Comparison, recipe: str, claims: Claims | None, now: Claims) -> list[ClaimVerdict]:
    """What became of each claim.

    Args:
        comparison: the comparison.
        recipe: whose claims they are.
        claims: as committed before the sweep; None where that commit is not here.
        now: as they stand in the file; what is not among the committed ones does not count, and what is gone counts all the same.
    """
    points = {one.point: one.metrics | one.beside for one in comparison.points}
    result = []
    late = (
        "the measured commit is not in this repository"
        if claims is None
        else "it was not committed before the sweep"
    )
    for counts, source in ((True, claims or {}), (False, now)):
        for point, metric, claim in ((p, m, c) for p, named in source.items() for m, c in named.items()):
            name = f"{recipe}/{point}"
            if not counts and (claims or {}).get(point, {}).get(metric) == claim:
                continue
            answer = _outcome(claim, points.get(name, {}), metric) if counts else ("not counted", late)
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
    interval = f"95 % interval {one.low_percent:+z.1f} to {one.high_percent:+z.1f} %"
    return ("holds" if all(ends) else "undecided" if any(ends) else "fails"), interval
