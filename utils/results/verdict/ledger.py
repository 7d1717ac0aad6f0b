"""The A/A ledger: how much runs of the very same thing differ, which is where every verdict begins.

One line of JSON a difference: runs with equal observed keys in one allocation, in logs. A server start is the unit, so
that the points of one pair of servers count as one degree of freedom of their class.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal

from matrix.errors import Exit, HarnessError, Place, Problem
from matrix.metrics import JUDGED, WITH_NOISE
from utils.results.verdict import metrics
from utils.results.verdict.alarms import alarms
from utils.results.verdict.contrasts import contrasts
from utils.results.verdict.ledger_lines import ENDS, FREE, LEGACY, Difference, Line, Reset, bounded, parsed
from utils.results.verdict.pooling import CLIP, NEEDED, Pool, Pools, class_of
from utils.results.verdict.spread import Calibration, Spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from utils.node.record import Record

__all__ = [
    "NEEDED",
    "Calibration",
    "Ledger",
    "Spread",
    "class_of",
    "device_of",
    "differences",
    "read",
    "text",
    "written",
]

LEVEL_DF = 8.0
"""Degrees of freedom that a fresh ledger has at most for today's level: months differ by more than its own scatter says."""
FRESH_DAYS, HALVED_DAYS = 30, 60
LEAST_DF = 2.0

SET_ASIDE = "the allocation is set aside until a person accepts it"
COUNTED = f"it counts, each difference cut at {CLIP:g} times the usual scatter"

Issuer = Literal["sweep", "pushed", "nightly", "local"]
"""Who measured: a pull request's sweep, the default branch's own sweep or night, a person."""


def device_of(record: Record) -> str:
    """What the noise belongs to."""
    return record.node.gpu_model or record.node.cpu_model


def day_of(record: Record) -> str:
    """On which it was measured."""
    return datetime.fromtimestamp(record.clock.wall_unix_s, UTC).strftime("%Y-%m-%d")


def trusted(df: float, last: str, day: str) -> float:
    """Degrees of freedom of a ledger's level, by how long ago its newest line is."""
    age = max(0, (date.fromisoformat(day) - date.fromisoformat(last)).days) if day and last else 0
    most = LEVEL_DF * math.exp2(-max(0, age - FRESH_DAYS) / HALVED_DAYS)
    return min(df, max(most, LEAST_DF))


class Ledger:
    """All lines, pooled."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.lines = list(lines)
        self.pools = Pools()
        for line in self.lines:
            if isinstance(line, Reset):
                self.pools.forget(line)
            elif not line.held:
                self.pools.count(line)

    @property
    def classes(self) -> dict[tuple[str, str, str, str], Pool]:
        """Device, driver, class, metric -> what is known."""
        return self.pools.classes

    @property
    def points(self) -> dict[tuple[str, str, str, str], Pool]:
        """Device, driver, point, metric -> what is known."""
        return self.pools.points

    @property
    def class_by_point(self) -> dict[str, str]:
        """Of every point that counts."""
        return self.pools.class_by_point

    @property
    def held(self) -> dict[str, str]:
        """Allocations that an alarm holds out -> the alarm."""
        return {line.allocation: f"{line.day}: {line.held}" for line in self.differences if line.held}

    @property
    def differences(self) -> list[Difference]:
        """The lines that are no reset."""
        return [line for line in self.lines if isinstance(line, Difference)]

    def spread(
        self,
        device: str,
        driver: str,
        point: str,
        concurrency: int,
        metric: str,
        *,
        recipe: str = "",
        model: str = "",
        day: str = "",
    ) -> Spread:
        """What is known of a point's noise: its own where it has enough, else what its recipe, model and class lend."""
        recipe = recipe or point.split("/", maxsplit=1)[0]
        found = self.pools.spread((device, driver), point, metric, (model, recipe, concurrency), day)
        return replace(found, df=trusted(found.df, found.last_day, day))

    def with_records(
        self, records: Sequence[Record], issuer: Issuer = "local"
    ) -> tuple[Ledger, list[Difference], list[str]]:
        """This ledger and what records add to it: the new ledger, the new lines, and alarms about them.

        Lines that are louder than chance count, up to a bound; lines that are quieter are set aside until a person accepts them.
        """
        known = {(one.allocation, one.point) for one in self.differences}
        new = [one for one in differences(records, issuer) if (one.allocation, one.point) not in known]
        told: list[str] = []
        made: list[Difference] = []
        for allocation in dict.fromkeys(one.allocation for one in new):
            batch = [one for one in new if one.allocation == allocation]
            found = alarms([*_since_reset(self.lines), *made], batch)
            if found:
                quiet = [one.text for one in found if one.kind == "quieter"]
                told += [f"{one.text}; {SET_ASIDE if quiet else COUNTED}" for one in found]
                marks = {"held": quiet[0]} if quiet else {"alarm": found[0].text}
                batch = [one.model_copy(update=marks) for one in batch]
            made += batch
        return Ledger([*self.lines, *made]), made, told

    def without(self, allocations: set[str]) -> Ledger:
        """What other allocations tell: nothing is compared with itself."""
        if not any(line.allocation in allocations for line in self.differences):
            return self
        return Ledger(
            line for line in self.lines if isinstance(line, Reset) or line.allocation not in allocations
        )

    def accepting(self, allocation: str) -> Ledger:
        """The ledger with an allocation's held lines counted."""
        return Ledger(
            line.model_copy(update={"held": ""})
            if isinstance(line, Difference) and line.allocation == allocation
            else line
            for line in self.lines
        )


def _since_reset(lines: Sequence[Line]) -> list[Difference]:
    found: list[Difference] = []
    for line in lines:
        if isinstance(line, Reset):
            found = [
                one for one in found if one.device != line.device or line.driver not in {None, one.driver}
            ]
        else:
            found.append(line)
    return found


def read(path: Path) -> Ledger:
    """The ledger of a file; an empty one where there is none.

    Raises:
        HarnessError: LEDGER_INVALID with the line that is none.
    """
    try:
        text = written(path)
    except FileNotFoundError:
        return Ledger()
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(
            Exit.LEDGER_INVALID,
            f"{path} cannot be read ({error}); make it readable, or give another one with --ledger",
        ) from error
    lines: list[Line] = []
    for number, line in enumerate(text, 1):
        try:
            lines.append(parsed(line))
        except ValueError as error:
            first = str(error).splitlines()[0]
            raise HarnessError(
                Exit.LEDGER_INVALID,
                "",
                [
                    Problem(
                        Place(str(path), number, 1),
                        f"not a line of a ledger: {first}; take it out, or restore the file",
                    )
                ],
            ) from error
    return Ledger(lines)


def written(path: Path) -> list[str]:
    """The lines of a ledger's file. A line feed alone ends one: names and reasons may hold other marks that Unicode ends lines with."""
    with path.open(encoding="utf-8") as file:
        return list(file)


def text(ledger: Ledger) -> str:
    """The file's content."""
    return "".join(f"{line.model_dump_json()}\n" for line in ledger.lines)


def differences(records: Sequence[Record], issuer: Issuer = "local") -> list[Difference]:
    """Of measured runs of one point in one allocation: contrasts in which neither what differs in the key nor a steady drift has a part.

    Where there are too few runs for one, as of the two of a base, their difference.

    Args:
        records: of any runs.
        issuer: who measured. Of a pull request's sweep the base's runs count alone: its head is nobody's code yet, and must not
            change what another verdict reads.
    """
    if issuer == "sweep":
        records = [record for record in records if record.arm == "base"]
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "measured" and record.observed:
            groups[record.allocation, record.point].append(record)
    found = []
    for same in groups.values():
        same.sort(key=lambda record: record.run_index)
        found += _contrasts(same, issuer)
    return sorted(found, key=lambda one: (one.day, one.allocation, one.runs, one.point))


def _contrasts(runs: list[Record], issuer: Issuer) -> list[Difference]:
    keys = [run.observed.key for run in runs if run.observed]
    names = list(dict.fromkeys(keys))
    free, _ = contrasts(tuple(names.index(key) for key in keys), tuple(run.run_index for run in runs))
    if free:
        return [
            _line(runs, [math.sqrt(2) * w for w in weights], runs[i : i + 2], FREE, issuer)
            for i, weights in enumerate(free)
        ]
    pairs = [[run for run, key in zip(runs, keys, strict=True) if key == name] for name in names]
    return [
        _line(
            two, [-1.0, 1.0], two, ENDS if two[1].run_index - two[0].run_index > 1 else "neighbours", issuer
        )
        for pair in pairs
        for two in [pair[:2]]
        if len(two) == 2  # noqa: PLR2004 - a pair
    ]


def _line(
    runs: list[Record], weights: Sequence[float], about: list[Record], contrast: str, issuer: Issuer
) -> Difference:
    values: dict[str, float | None] = {}
    for metric in WITH_NOISE:
        known = [metrics.judged(run, metric) for run in runs]
        if metric not in JUDGED and not all(known):
            continue
        contrasted = sum(w * math.log(value) for w, value in zip(weights, known, strict=True) if value)
        values[metric] = round(bounded(contrasted), 6) if all(known) else None
    one, last = about[0], runs[-1]
    return Difference(
        day=day_of(last),
        device=device_of(one),
        driver=one.node.driver or "",
        point=one.point,
        model=one.model,
        recipe=one.recipe or one.point.split("/")[0],
        concurrency=one.load.concurrency if one.load else 1,
        key=one.observed.key if one.observed else "",
        allocation=one.allocation,
        runs=(about[0].run_index, about[-1].run_index),
        arm=one.arm if len({run.arm for run in runs}) == 1 else LEGACY,
        issuer=issuer,
        contrast=contrast,
        image=one.image,
        node=one.node.name or one.node.hostname,
        values=values,
    )
