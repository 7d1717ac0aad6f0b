"""One record against all that is known without it: its plan, its raw requests, its allocation. What says otherwise is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matrix.errors import WORTH_ANOTHER_TRY, Exit
from utils.node import devices
from utils.node.record import Failure
from utils.results.recompute import answers, figures, left, machine, power, same, witness
from utils.results.recompute import asked as plan_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from utils.node.record import Record
    from utils.results.recompute.asked import Asked
    from utils.results.recompute.same import Difference

WITH_FIGURES = frozenset({"measured", "invalid"})
SHOWN = 3
"""Fields that a reason names."""
_NOTHING: dict[str, object] = {
    **dict.fromkeys(
        ("counts", "whole", "steady", "counters", "telemetry", "power", "server", "files", "load")
    ),
    **{name: [] for name in ("marker", "accuracy", "derived", "notes", "gates")},
}
"""What a record without figures says of figures."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of it."""

    differences: list[Difference]
    """Every field of a record that says otherwise than its sources; none for an honest one."""
    seen: power.Outside | None = None
    """What the meter outside of the container saw over the load."""


def look(
    one: Record, folder: Path, asked: Asked, others: Sequence[Record], found: Mapping[str, Any]
) -> Looked:
    """Compare a record with its sources.

    Args:
        one: the record, as it was left.
        folder: with its raw files.
        asked: its place in the plan.
        others: all records of its allocation.
        found: what was written outside of the container, or nothing.
    """
    said = one.model_dump(mode="json")
    made = plan_side.fields(asked, one) | machine.fields(asked, one)
    beside, seen, unseen = None, None, list[same.Difference]()
    if one.status in WITH_FIGURES:
        try:
            beside = left.read(folder)
            made |= figures.fields(asked, one, beside)
            seen = power.outside(one, beside.raw, folder, found)
            unseen = [
                *witness.differences(beside.raw, witness.read(witness.file_of(folder))),
                *power.differences(one, seen),
                *answers.differences(one, folder, asked.point),
            ]
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
            RecursionError,
            OverflowError,
        ) as error:
            why = f"unreadable: {type(error).__name__}: {error}"
            return Looked([same.Difference("files", "raw requests", why)])
    else:
        made |= _NOTHING | {"failure": _failure(one)}
    differing = [
        *same.differences(said, made),
        *place(one, folder),
        *machine.times(asked, one, beside),
        *unseen,
        *machine.outside(one, found),
        *machine.among(one, others),
    ]
    return Looked(differing, seen)


def place(one: Record, folder: Path) -> Iterator[Difference]:
    """The run's folder, which was made outside of the container, and is all that a run can write to."""
    run, short = f"run-{one.run_index}-{one.arm}", one.point.split("/")[1]
    if folder.parent.name != run:
        yield same.Difference("run_index, arm", run, f"in {folder.parent.name}")
    if folder.name != short:
        yield same.Difference("point", short, f"in {folder.name}")


def refused(one: Record, found: Sequence[Difference]) -> Record:
    """The record as one that counts for nothing: no figure, no gate, and the reason with the fields."""
    more = f"; {len(found) - SHOWN} more fields" if len(found) > SHOWN else ""
    words = "; ".join(map(str, found[:SHOWN])) + more
    words = words.encode(errors="replace").decode()  # of a guest's file, which may name half of a letter
    failure = Failure.of(Exit.RECORD_FORGED, f"forged: {words}", [])
    return one.model_copy(update=_NOTHING | {"status": "failed", "failure": failure, "observed": None})


def accepted(one: Record, seen: power.Outside | None = None) -> Record:
    """The record with the judge's word that its figures are those of its raw requests, and with power as the host's meter saw it."""
    if one.status not in WITH_FIGURES:
        return one
    update: dict[str, object] = {"figures": "recomputed"}
    if seen is not None:
        rest = [note for note in one.notes if note not in devices.remarks(one.power)]
        update |= {"power": seen.power, "notes": [*rest, *devices.remarks(seen.power)]}
    return one.model_copy(update=update)


def _failure(one: Record) -> dict[str, Any] | None:
    """Why there are no figures: whose reason is an exit code's name, and says by itself whether another try is worth it."""
    codes = {code.name: code in WORTH_ANOTHER_TRY for code in Exit}
    if one.failure is None or one.failure.reason not in codes:
        return {"reason": "the name of an exit code"}
    return one.failure.model_dump(mode="json") | {"retry": codes[one.failure.reason]}
