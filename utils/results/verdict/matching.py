"""Records of two sides matched by point; what may not be compared is refused."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from matrix import key
from matrix.errors import Exit, HarnessError
from utils.results.verdict import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record

LONGEST = 200
"""Letters of a reason; the record has all of it."""
FOLLOWS = {
    "image": ("observed.vllm", "observed.squash_sha256", "observed.load_image"),
    "locked": ("observed.vllm",),
}
"""What a node finds otherwise because a part of the key is another one."""


@dataclass(frozen=True, slots=True)
class Runs:
    """A point's runs of both arms in one block."""

    base: list[Record]
    head: list[Record]

    @property
    def all(self) -> list[Record]:
        """Of both."""
        return [*self.base, *self.head]


@dataclass(frozen=True, slots=True)
class Pair:
    """A point on both sides."""

    point: str
    first: Runs
    again: Runs | None
    """The block that confirms."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Two sides laid beside each other."""

    both: list[Pair]
    new: list[str]
    gone: list[str]


def arms(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """The two sides of a run with `--pair`.

    Raises:
        HarnessError: NOT_COMPARABLE where only one arm was measured.
    """
    base = [record for record in records if record.arm == "base"]
    head = [record for record in records if record.arm == "head"]
    if not base or not head:
        found = "the base" if base else "the head"
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"these records have runs of {found} alone; give two folders, or measure with --pair",
        )
    return base, head


def match(base: Sequence[Record], head: Sequence[Record], vary: Sequence[str] = ()) -> Matched:
    """Match two record sets.

    Args:
        base: records of one side.
        head: records of the other.
        vary: parts of the key that are meant to differ besides what the records' plan names: dotted, or a name above.

    Raises:
        HarnessError: NOT_COMPARABLE if more differs than is named, or less.
    """
    one, other = _by_point(base), _by_point(head)
    shared = [point for point in one if point in other]
    seen: set[str] = set()
    both = []
    for point in shared:
        _refuse_other_lists(point, one[point], other[point])
        seen |= _refuse_other_differences(point, one[point], other[point], vary)
        blocks = {
            block: Runs(
                [r for r in one[point] if r.block == block], [r for r in other[point] if r.block == block]
            )
            for block in (1, 2)
        }
        again = blocks[2] if blocks[2].base and blocks[2].head else None
        both.append(Pair(point, blocks[1], again))
    if shared and (missing := [name for name in vary if name not in seen]):
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"--vary names {', '.join(missing)}, in which both sides are equal; leave it out",
        )
    return Matched(
        both,
        new=[point for point in other if point not in one],
        gone=[point for point in one if point not in other],
    )


def invalid(runs: Runs) -> str:
    """Why a block counts for nothing; empty where it counts."""
    for record in runs.all:
        if record.status != "measured" or record.whole is None:
            return f"run {record.run_index + 1} ({record.arm}): {reason(record)}"
    if not runs.base or not runs.head:
        return "one side of this block is missing"
    return ""


def other_machine(first: Runs, again: Runs) -> str:
    """In what the block that confirms ran elsewhere, so that the ledger's noise is not its own; empty where it did not."""
    for name in ("gpu_model", "cpu_model", "driver"):
        values = {str(getattr(record.node, name)) for record in (*first.all, *again.all)}
        if len(values) > 1:
            return f"its {name.replace('_', ' ')} is another one: {', '.join(sorted(values))}"
    return ""


def unfit(runs: Runs) -> str:
    """Why runs of two arms tell nothing of noise: other allocations, or an order that drift could look like; empty where they do."""
    allocations = {record.allocation for record in runs.all}
    if len(allocations) > 1:
        return f"the arms were measured in {len(allocations)} allocations; nodes differ by more than most changes: use run --pair"
    places = [sum(record.run_index for record in side) / len(side) for side in (runs.base, runs.head)]
    if len(runs.base) != len(runs.head) or places[0] != places[1]:
        order = " ".join(record.arm[0].upper() for record in sorted(runs.all, key=lambda one: one.run_index))
        return f"the order of runs ({order}) is not balanced against drift"
    return ""


def reason(record: Record) -> str:
    """Why a record counts for nothing."""
    text = "; ".join(f"{gate.name}: {gate.found}" for gate in record.gates if not gate.passed)
    if record.failure:
        text = f"{record.failure.reason}: {record.failure.message}"
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def whole_means(runs: Runs) -> dict[str, tuple[float, float, float]]:
    """Published figures: base, head, and head over base in percent less 100."""
    one, other = metrics.whole(runs.base), metrics.whole(runs.head)
    return {
        name: (one[name], other[name], 100 * (other[name] / one[name] - 1)) for name in one if name in other
    }


def _by_point(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    seen: set[tuple[str, str, str, int]] = set()
    for record in records:
        known = found.setdefault(record.point, [])
        run = (record.point, record.allocation, record.arm, record.run_index)
        if run in seen:
            raise HarnessError(
                Exit.NOT_COMPARABLE,
                f"{record.point} of run {record.run_index + 1} was given twice on one side; name each folder once",
            )
        seen.add(run)
        if known and known[0].key != record.key:
            raise HarnessError(
                Exit.NOT_COMPARABLE,
                f"one side has {record.point} with two keys, {known[0].key} and {record.key}; name one run's folder",
            )
        known.append(record)
    return found


def _refuse_other_differences(
    point: str, base: list[Record], head: list[Record], vary: Sequence[str]
) -> set[str]:
    """The names of `vary` that do differ. Observed keys are compared where a server told its version on both sides."""
    planned = {name for record in (*base, *head) for name in record.vary}
    allowed = {*planned, *vary}
    allowed |= {more for name in allowed for more in FOLLOWS.get(name.split(".")[0], ())}
    seen: set[str] = set()
    for block in (
        1,
        2,
    ):  # another block may have run on another machine: that is told, and no reason to refuse the first
        one, other = (_parts([r for r in side if r.block == block]) for side in (base, head))
        for before, after in product(one, other):
            differing = key.differences(before, after)
            if not ("observed" in before and "observed" in after):
                differing = [part for part in differing if not _covers("observed", part)]
            unnamed = [part for part in differing if not any(_covers(name, part) for name in allowed)]
            if unnamed:
                raise HarnessError(
                    Exit.NOT_COMPARABLE,
                    f"{point}: the two sides also differ in {', '.join(unnamed)}; measure them alike, "
                    f"or name the difference: {' '.join(f'--vary {part}' for part in unnamed)}",
                )
            seen |= {name for name in vary for part in differing if _covers(name, part)}
    return seen


def _parts(records: list[Record]) -> list[dict[str, object]]:
    """The distinct parts of a side's runs: one, unless nodes found different things."""
    found: dict[str, dict[str, object]] = {}
    for record in records:
        known = record.observed.key if record.observed else record.key
        found.setdefault(known, record.observed.parts if record.observed else record.parts)
    return list(found.values())


def _refuse_other_lists(point: str, base: list[Record], head: list[Record]) -> None:
    """A point's numbers depend on what its server did before; servers are compared only with equal lists of points."""
    for block in (1, 2):
        lists = {
            tuple(record.points_before): side
            for side, records in (("base", base), ("head", head))
            for record in records
            if record.block == block
        }
        if len(lists) > 1:
            counts = " and ".join(str(len(before)) for before in lists)
            raise HarnessError(
                Exit.NOT_COMPARABLE,
                f"{point} came after {counts} points on servers of the two sides, not after the same ones; "
                "measure both sides with the same selection",
            )


def _covers(name: str, part: str) -> bool:
    return part == name or part.startswith(f"{name}.")
