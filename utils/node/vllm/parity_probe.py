"""The parity probe of a run: after its last point, on the server that runs anyway, at each point's own concurrency.

The first run of an allocation is the base's. It leaves what it answered where the other runs of the job find it; each of them compares its
own answers with that, and with what the base differs from itself by in another batch. So the base's later runs are tested as the head's are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from matrix.protocol import seed
from utils.node import files, marker, parity_answers
from utils.node.exceptions import RunFailed
from utils.node.parity_answers import OWN, Heard
from utils.node.record import Accuracy
from utils.node.vllm import probe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matrix.plan import Point
    from utils.node.vllm.server import Server

PROMPTS_LEAST = 16
SCORED_MOST = 64


@dataclass(frozen=True, slots=True)
class Where:
    """A run's place among the runs of its job."""

    folder: Path
    """The run's own, with a folder a point."""
    shared: Path
    """The job's, where the base's answers are or will be."""
    first: bool
    """Whether it may be what the others are compared with: a run of the base, where there is one."""


def probe_run(
    server: Server, points: Sequence[Point], where: Where, asked: Path | None = None
) -> dict[str, list[Accuracy]]:
    """Probe a server; what it says of each point.

    Args:
        server: that still runs.
        points: of the job.
        where: the run's place.
        asked: the folder where a kernel's workers are asked what they counted.

    Returns:
        Point -> decode and prefill, compared with the base; empty for the run that the others are compared with.
    """
    found: dict[str, list[Accuracy]] = {}
    for point in points:
        path = where.shared / parity_answers.of_base(point.id)
        base: Heard | None = None
        try:
            if path.exists():
                base = parity_answers.read(path.read_bytes())
            found[point.id] = _point(server, point, where, asked, base)
        except (RunFailed, ValueError, KeyError, TypeError) as error:
            found[point.id] = [_silent(point, error, answered=base is not None)]
    return {name: one for name, one in found.items() if one}


def _silent(point: Point, error: Exception, *, answered: bool) -> Accuracy:
    """No answer: a failure where the base did answer the same, for a server may refuse to write what is not a number."""
    why = (
        f"{'the base answered, and this server did not' if answered else 'the probe had no answer'}: {error}"
    )
    verdict: Literal["failed", "not tested"] = "failed" if answered else "not tested"
    return Accuracy(kind="parity", name=f"decode at {point.concurrency}", verdict=verdict, why=why[:300])


def _point(
    server: Server, point: Point, where: Where, asked: Path | None, base: Heard | None
) -> list[Accuracy]:
    if base is None and not where.first:
        raise ValueError("the base left no answers to compare with")
    before = _counted(point, asked, "parity-before")
    count = max(point.concurrency, PROMPTS_LEAST)
    wanted = probe.prompts(server.model, count, seed(point.id, "parity"))
    decoded = probe.answers(server, wanted, point.concurrency)
    path_taken, why = _path_taken(point, before, _counted(point, asked, "parity-after"))
    other = max(1, point.concurrency // 2) if point.concurrency > 1 else 2
    texts = [
        [*prompt, *(step.token for step in answer)]
        for prompt, answer in zip(wanted, base.decoded if base else decoded, strict=True)
    ][:SCORED_MOST]
    scored = probe.scores(server, texts, point.concurrency)
    if base is None:
        noise = probe.answers(server, wanted, other), probe.scores(server, texts, other)
        path = where.shared / parity_answers.of_base(point.id)
        files.write_whole(path, parity_answers.packed(Heard(decoded, scored, *noise)))
        return []
    heard = Heard(decoded, scored, [], [])
    files.write_whole(where.folder / point.id.split("/")[1] / OWN, parity_answers.packed(heard))
    decode, prefill = parity_answers.compared(heard, base, point.concurrency)
    if not path_taken and decode.verdict == "passed":
        untested = {"verdict": "not tested", "why": f"the kernel's path over the probe: {why}"}
        decode = decode.model_copy(update=untested)
    return [decode, prefill]


def _counted(point: Point, asked: Path | None, when: str) -> list[Any]:
    if point.kernel is None or asked is None:
        return []
    return marker.ask(asked, f"{when}-{point.id.split('/')[1]}", marker.workers(point))


def _path_taken(point: Point, before: list[Any], after: list[Any]) -> tuple[bool, str]:
    """Whether the kernel's counts over the probe are what the point expects; without a kernel there is nothing to take."""
    if point.kernel is None:
        return True, ""
    return marker.judge(point.kernel, marker.workers(point), marker.over(before, after))
