"""Lasting steps of figures as alerts, each with the state that a person gave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field, RootModel

from matrix import strict_yaml
from matrix.errors import Exit, HarnessError
from matrix.metrics import JUDGED, METRICS
from matrix.schema import Strict, validate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matrix.errors import Problem
    from utils.results.history import Step

State = Literal["new", "seen", "fixed", "invalid"]
FILE = "alerts.yaml"
NOT_BORNE_OUT = "not borne out by what was measured since"
BACK = 0.5
"""Of a step, what a later one must take back for it to count as fixed."""


class Said(Strict):
    """What a person said of an alert."""

    id: str = Field(min_length=1)
    state: State
    why: str = Field(min_length=1)


class Known(RootModel[list[Said]]):
    """The file `alerts.yaml`."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A step for the worse."""

    id: str
    point: str
    step: Step
    state: State
    why: str


def read(path: Path) -> dict[str, Said]:
    """What was said, by the alert's name; nothing where there is no file.

    Raises:
        HarnessError: USAGE with every problem at its place.
    """
    problems: list[Problem] = []
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HarnessError(
            Exit.USAGE, f"{path}: {error.strerror}; it is a file with states of alerts: docs/site.md"
        ) from error
    found = validate(Known, strict_yaml.read(content, path.name), problems)
    if found is None or problems:
        raise HarnessError(Exit.USAGE, "", problems)
    return {one.id: one for one in found.root}


def alerts(steps: Mapping[str, Sequence[Step]], said: Mapping[str, Said]) -> list[Alert]:
    """Steps for the worse of judged metrics, newest first; unless a person said otherwise, one that a later step took back is fixed, and one that later figures do not bear out is invalid."""
    made = []
    for point, found in steps.items():
        for number, step in enumerate(found):
            if step.metric not in JUDGED or METRICS[step.metric].more_is_better is (step.percent > 0):
                continue
            name = f"{point}:{step.metric}:{step.commit[:10]}"
            later = [one for one in found[number + 1 :] if one.metric == step.metric]
            taken_back = any(
                one.percent * step.percent < 0 and abs(one.percent) >= BACK * abs(step.percent)
                for one in later
            )
            known = said.get(name)
            untold: State = "invalid" if step.taken_back else "fixed" if taken_back else "new"
            why = known.why if known else NOT_BORNE_OUT if step.taken_back else ""
            made.append(Alert(name, point, step, known.state if known else untold, why))
    return sorted(made, key=lambda one: one.step.day, reverse=True)
