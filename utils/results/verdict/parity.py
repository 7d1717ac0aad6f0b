"""Whether a change answers as its base does: a failed parity makes all of it invalid, whatever its speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.results.verdict.outcome import TaskVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from utils.node.record import Accuracy, Record
    from utils.results.verdict.matching import Pair

LONGEST = 240


def failed(both: Sequence[Pair]) -> str:
    """Why a change's answers are not its base's; empty where none is known to differ.

    The base's later runs are tested as the head's are. Where one of them fails, the base differs from itself by more than its batches
    explain, and nothing follows from the head's.
    """
    for pair in both:
        records = _records(pair)
        for kind, name in [
            *(("parity", name) for name in _names(records)),
            *(("task", name) for name in _names(records, "task")),
        ]:
            base, head = (_of(records, arm, name, kind) for arm in ("base", "head"))
            wrong = [one for one in head if one.verdict == "failed"]
            if wrong and not any(one.verdict == "failed" for one in base):
                return f"its answers are not the base's ({pair.point}, {name}: {wrong[0].why})"[:LONGEST]
    return ""


def notes(both: Sequence[Pair]) -> list[str]:
    """What was tested and passed, in one line; and of what was not, why."""
    passed, silent = 0, []
    for pair in both:
        records = _records(pair)
        if not _of(records, "head"):
            silent.append(f"{pair.point}: no run of the head has answers to compare")
        for name in _names(records):
            base, head = (_of(records, arm, name) for arm in ("base", "head"))
            if any(one.verdict == "failed" for one in base):
                silent.append(f"{pair.point}, {name}: the base's answers differ from its own ({_why(base)})")
            elif untested := [one for one in [*head, *base] if one.verdict == "not tested"]:
                silent.append(f"{pair.point}, {name}: {untested[0].why}")
            elif head and all(one.verdict == "passed" for one in head):
                passed += 1
    checks = f"{passed} check{'' if passed == 1 else 's'}"
    whose = f"{len(both)} point{'' if len(both) == 1 else 's'}"
    found = [f"answers are the base's: {checks} passed, of {whose}"] if passed else []
    said = {f"{name} {one.verdict}: {one.why}" for pair in both for name, one in tasks(pair).items()}
    found += sorted(said)
    if silent:
        more = f" (and {len(silent) - 1} more)" if len(silent) > 1 else ""
        found.append(f"whether answers are the base's was not tested: {silent[0]}{more}"[: 2 * LONGEST])
    return found


def tasks(pair: Pair) -> dict[str, TaskVerdict]:
    """Task -> what became of it, of the head's runs; the worst counts."""
    found: dict[str, TaskVerdict] = {}
    order = ("failed", "passed", "not tested")
    for name in _names(_records(pair), "task"):
        head = sorted(_of(_records(pair), "head", name, "task"), key=lambda one: order.index(one.verdict))
        if head:
            scores = [head[0].figures.get(key) for key in ("base_score", "score")]
            base, mine = (None if score is None else 100 * score for score in scores)
            found[name] = TaskVerdict(verdict=head[0].verdict, base=base, head=mine, why=head[0].why)
    return found


def _records(pair: Pair) -> list[Record]:
    return [*pair.first.all, *(pair.again.all if pair.again else [])]


def _names(records: Iterable[Record], kind: str = "parity") -> list[str]:
    return list(dict.fromkeys(one.name for record in records for one in record.accuracy if one.kind == kind))


def _why(found: Sequence[Accuracy]) -> str:
    return next((one.why for one in found if one.verdict == "failed"), "")


def _of(records: Iterable[Record], arm: str, name: str = "", kind: str = "parity") -> list[Accuracy]:
    """Of an arm: of one name, or of all."""
    return [
        one
        for record in records
        if record.arm == arm
        for one in record.accuracy
        if one.kind == kind and name in {"", one.name}
    ]
