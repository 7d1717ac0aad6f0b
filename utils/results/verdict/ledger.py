"""The A/A ledger: how much runs of the very same thing differ, which is what every verdict is compared with.

One line of JSON a difference: two runs with equal observed keys in one allocation, in logs. A server start is the unit, so
that the points of one pair of servers count as one degree of freedom of their class.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from matrix.errors import Exit, HarnessError, Place, Problem
from matrix.metrics import JUDGED, METRICS, WITH_NOISE
from utils.results.verdict import metrics
from utils.results.verdict.ledger_lines import Difference, Line, Reset, line_of
from utils.results.verdict.variances import Prior, prior

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from utils.node.record import Record

NEEDED = 8
"""Differences without which nothing is judged."""
ALARM_P = 0.001
"""A batch that is as much louder than the ledger this rarely by chance raises an alarm."""
CLASSES = ((8, "c1-8"), (64, "c9-64"), (math.inf, "c65+"))
"""Concurrency up to -> the class that shares its noise."""


Calibration = Literal["own", "borrowed", "none"]
Issuer = Literal["sweep", "pushed", "nightly", "local"]
"""Who measured: a pull request's sweep, the default branch's own sweep or night, a person."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How much one run's metric varies."""

    sd: float
    """Standard deviation of a run, in logs."""
    df: int
    """Pairs of servers behind it."""
    calibration: Calibration
    """`own` of the point, `borrowed` from its class, `none` where both have too few."""


def class_of(concurrency: int) -> str:
    """The class of points whose noise is pooled."""
    return next(name for limit, name in CLASSES if concurrency <= limit)


def device_of(record: Record) -> str:
    """What the noise belongs to."""
    return record.node.gpu_model or record.node.cpu_model


@dataclass(slots=True)
class _Pool:
    """Squared differences by pair of servers."""

    squares: dict[tuple[str, tuple[int, int]], tuple[float, int]] = field(default_factory=dict)
    """Sum over points, and how many."""
    sum: float = 0.0
    """Of each pair's mean."""

    def add(self, line: Difference, value: float) -> None:
        where = (line.allocation, line.runs)
        total, n = self.squares.get(where, (0.0, 0))
        self.sum += (total + value * value) / (n + 1) - (total / n if n else 0.0)
        self.squares[where] = (total + value * value, n + 1)

    @property
    def df(self) -> int:
        return len(self.squares)

    @property
    def variance(self) -> float:
        """Of one run: a difference has twice that."""
        return max(self.sum, 0.0) / len(self.squares) / 2


Scope = tuple[str, str, str, str]
"""Device, driver, point or class, metric."""


def moderated(own: _Pool, shared: _Pool, common: Prior | None) -> Spread:
    """A point's own variance, drawn toward its class's the more the points of the class are alike."""
    variance, df = own.variance, float(own.df)
    if common is not None:
        variance, df = common.drawn(variance, own.df)
    return Spread(math.sqrt(variance), int(min(df, max(shared.df, own.df))), "own")


class Ledger:
    """All lines, pooled."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.lines = list(lines)
        self.classes: dict[Scope, _Pool] = defaultdict(_Pool)
        self.points: dict[Scope, _Pool] = defaultdict(_Pool)
        self.class_by_point: dict[str, str] = {}
        self.priors: dict[Scope, Prior | None] = {}
        for line in self.lines:
            self._count(line) if isinstance(line, Difference) else self._forget(line)

    def _count(self, line: Difference) -> None:
        if line.held:
            return
        self.priors.clear()
        self.class_by_point[line.point] = class_of(line.concurrency)
        for metric in WITH_NOISE:
            value = line.values.get(metric)
            if value is not None:
                here = (line.device, line.driver)
                self.classes[*here, class_of(line.concurrency), metric].add(line, value)
                self.points[*here, line.point, metric].add(line, value)

    def _forget(self, reset: Reset) -> None:
        self.priors.clear()
        for pools in (self.classes, self.points):
            for where in [one for one in pools if one[0] == reset.device and reset.driver in {None, one[1]}]:
                del pools[where]

    @property
    def held(self) -> dict[str, str]:
        """Allocations that an alarm holds out -> the alarm."""
        return {line.allocation: f"{line.day}: {line.held}" for line in self.differences if line.held}

    @property
    def differences(self) -> list[Difference]:
        """The lines that are no reset."""
        return [line for line in self.lines if isinstance(line, Difference)]

    def spread(self, device: str, driver: str, point: str, concurrency: int, metric: str) -> Spread:
        """What is known of a point's noise: its own where it has enough, else its class's."""
        here: Scope = (device, driver, class_of(concurrency), metric)
        own, shared = self.points.get((device, driver, point, metric)), self.classes.get(here)
        if own and shared and own.df >= NEEDED:
            return moderated(own, shared, self._prior(here))
        if shared and shared.df >= NEEDED:
            return Spread(math.sqrt(shared.variance), shared.df, "borrowed")
        return Spread(math.nan, shared.df if shared else 0, "none")

    def _prior(self, where: Scope) -> Prior | None:
        """What the points of a class have in common, once for each class."""
        if where not in self.priors:
            device, driver, name, metric = where
            pools = [
                pool
                for (d, v, point, m), pool in self.points.items()
                if (d, v, m) == (device, driver, metric) and self.class_by_point[point] == name
            ]
            self.priors[where] = prior([(pool.variance, pool.df) for pool in pools if pool.df >= NEEDED])
        return self.priors[where]

    def with_records(
        self, records: Sequence[Record], issuer: Issuer = "local"
    ) -> tuple[Ledger, list[Difference], list[str]]:
        """This ledger and what records add to it: the new ledger, the new lines, and alarms about them."""
        known = {(one.allocation, one.point, one.runs) for one in self.differences}
        new = [
            one for one in differences(records, issuer) if (one.allocation, one.point, one.runs) not in known
        ]
        told: list[str] = []
        for allocation in dict.fromkeys(one.allocation for one in new):
            batch = [one for one in new if one.allocation == allocation]
            if loud := alarms(self, batch):
                told += loud
                new = [
                    one.model_copy(update={"held": loud[0]}) if one.allocation == allocation else one
                    for one in new
                ]
        return Ledger([*self.lines, *new]), new, told

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


def read(path: Path) -> Ledger:
    """The ledger of a file; an empty one where there is none.

    Raises:
        HarnessError: LEDGER_INVALID with the line that is none.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Ledger()
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(Exit.LEDGER_INVALID, f"{path}: {error}") from error
    lines: list[Line] = []
    for number, written in enumerate(text.splitlines(), 1):
        try:
            lines.append(line_of(json.loads(written)))
        except (ValueError, TypeError, AttributeError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise HarnessError(
                Exit.LEDGER_INVALID,
                "",
                [Problem(Place(str(path), number, 1), f"not a line of a ledger: {first}")],
            ) from error
    return Ledger(lines)


def text(ledger: Ledger) -> str:
    """The file's content."""
    return "".join(f"{line.model_dump_json()}\n" for line in ledger.lines)


def differences(records: Sequence[Record], issuer: Issuer = "local") -> list[Difference]:
    """Of measured runs with equal observed keys in one allocation: neighbours in pairs, each run once.

    Args:
        records: of any runs.
        issuer: who measured. Of a pull request's sweep the base's runs count alone: its head is nobody's code yet, and must not
            change what another verdict reads.
    """
    if issuer == "sweep":
        records = [record for record in records if record.arm == "base"]
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "measured" and record.observed:
            groups[record.allocation, record.point, record.observed.key].append(record)
    found = []
    for same in groups.values():
        same.sort(key=lambda record: record.run_index)
        found += [_difference(one, other, issuer) for one, other in zip(same[::2], same[1::2], strict=False)]
    return sorted(found, key=lambda one: (one.day, one.allocation, one.runs, one.point))


def _difference(one: Record, other: Record, issuer: Issuer) -> Difference:
    values: dict[str, float | None] = {}
    for metric in WITH_NOISE:
        before, after = metrics.judged(one, metric), metrics.judged(other, metric)
        if metric in JUDGED or (before and after):
            values[metric] = round(math.log(after / before), 6) if before and after else None
    return Difference(
        day=datetime.fromtimestamp(other.clock.wall_unix_s, UTC).strftime("%Y-%m-%d"),
        device=device_of(one),
        driver=one.node.driver or "",
        point=one.point,
        model=one.model,
        recipe=one.recipe or one.point.split("/")[0],
        concurrency=one.load.concurrency if one.load else 1,
        key=one.observed.key if one.observed else "",
        allocation=one.allocation,
        runs=(one.run_index, other.run_index),
        arm=one.arm if one.arm == other.arm else "legacy",
        issuer=issuer,
        contrast="neighbours",
        image=one.image,
        node=one.node.name or one.node.hostname,
        values=values,
    )


def alarms(before: Ledger, new: Sequence[Difference]) -> list[str]:
    """Where new differences are louder than those before by more than chance: on a new image or node, or for no reason known.

    An F test of the mean squares, a class and metric at a time.
    """
    from scipy import special  # noqa: PLC0415 - slow to import

    batch = Ledger(new)
    told = []
    for (device, driver, name, metric), pool in batch.classes.items():
        old = before.classes.get((device, driver, name, metric))
        if metric not in JUDGED or old is None or old.df < NEEDED or not old.variance:
            continue
        if special.fdtrc(pool.df, old.df, pool.variance / old.variance) < ALARM_P:
            about = [one for one in new if class_of(one.concurrency) == name and one.device == device]
            nodes, images = ({getattr(one, what) for one in about} for what in ("node", "image"))
            told.append(
                f"{METRICS[metric].about} of {name} on {device} varies by {100 * math.sqrt(pool.variance):.2f} % a run, "
                f"and by {100 * math.sqrt(old.variance):.2f} % before ({', '.join(sorted(nodes))}; {', '.join(sorted(images))})"
            )
    return told
