"""The pair of profiles that a run left beside its records, and the comparison with the reason that they give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.errors import HarnessError
from utils.pipeline.tpot_change import because
from utils.profile import pair

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from utils.profile.figures import Profile
    from utils.results.verdict.outcome import Comparison


def traces(out: Path) -> dict[str, dict[str, Path]]:
    """Point -> arm -> its trace, of the pairs below a results folder."""
    found: dict[str, dict[str, Path]] = {}
    for one, trace in pair.traces(out):
        found.setdefault(one.point, {}).setdefault(one.arm, trace)
    return found


def with_reasons(comparison: Comparison, folders: Iterable[Path]) -> Comparison:
    """A comparison with the reason of each point of which the folders have a pair of profiles; a trace that cannot be read is said."""
    reasons, notes = [], []
    points = {one.point: one for one in comparison.points}
    for folder in folders:
        for point, by_arm in traces(folder).items():
            if point not in points or len(by_arm) < 2:  # noqa: PLR2004 - base and head
                continue
            try:
                base, head = (_profile(by_arm[arm]) for arm in ("base", "head"))
            except HarnessError as error:
                notes.append(f"{point}: its profiles cannot be read: {error}"[:300])
                continue
            reasons.append(because(points[point], base, head))
    if not reasons and not notes:
        return comparison
    return comparison.model_copy(update={"reasons": reasons, "notes": [*comparison.notes, *notes]})


def _profile(path: Path) -> Profile:
    # They import numpy, which takes 150 ms and which few comparisons need.
    from utils.profile.analyse import analysis  # noqa: PLC0415
    from utils.profile.source import MOST_GB  # noqa: PLC0415
    from utils.profile.trace import MOST_EVENTS, Bounds  # noqa: PLC0415

    return analysis(path, bounds=Bounds(MOST_GB, MOST_EVENTS)).profile()
