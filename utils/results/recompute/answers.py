"""A run's parity, made anew from what it and the base answered; the base's answers lie where no run that came later could write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.node import parity_answers
from utils.results.recompute import same
from utils.results.recompute.left import bounded
from utils.results.recompute.same import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matrix.plan import Point
    from utils.node.parity_answers import Heard
    from utils.node.record import Accuracy, Record

MOST = 60_000_000
"""Bytes of a file, packed."""


def differences(one: Record, folder: Path, point: Point) -> Iterator[Difference]:
    """Where a record says that its answers are nearer to the base's than they are.

    A record may say less than its answers do: nothing, that its kernel's path was not taken, or that the server did not answer.

    Args:
        one: a record with figures.
        folder: the point's, with what it answered.
        point: in the plan.
    """
    task = point.accuracy.task if point.accuracy else ""
    for each in one.accuracy:
        if each.kind == "task" and each.name != task:
            yield Difference(f"accuracy.{each.name}", f"a task, {each.verdict}", "none of the recipe's")
    said = {each.name: each for each in one.accuracy if each.kind == "parity"}
    mine = _heard(folder / parity_answers.OWN)
    try:
        base = _heard(folder.parent.parent / parity_answers.of_base(one.point))
    except ValueError:  # it was cut on its way: nothing follows from it, for any run
        base = None
    if mine is None or base is None:
        for each in said.values():
            if each.verdict == "passed":
                gone = f"without {parity_answers.OWN if mine is None else 'answers of the base'}"
                yield Difference(f"accuracy.{each.name}", each.verdict, gone)
        return
    for made in parity_answers.compared(mine, base, point.concurrency):
        yield from _said(said.pop(made.name, None), made)
    for each in said.values():
        yield Difference(f"accuracy.{each.name}", each.verdict, "nothing that was asked")


def _said(said: Accuracy | None, made: Accuracy) -> Iterator[Difference]:
    less = said is None or said.verdict == "not tested"
    if less and made.verdict == "passed":
        return  # its run ended before it was said, or its kernel's path was not taken
    if said is None:
        yield Difference(f"accuracy.{made.name}", "nothing", made.verdict)
    else:
        fields = {f"accuracy.{made.name}": each.model_dump(mode="json") for each in (said,)}
        yield from same.differences(fields, {f"accuracy.{made.name}": made.model_dump(mode="json")})


def _heard(path: Path) -> Heard | None:
    try:
        content = bounded(path, MOST)
    except FileNotFoundError:
        return None
    return parity_answers.read(content)
