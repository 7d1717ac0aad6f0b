"""The parity probe of a run: after its last point, on the server that runs anyway, at each point's own concurrency.

The first run of an allocation is the base's. It leaves what it answered where the other runs of the job find it; each of them compares its
own answers with that, and with what the base differs from itself by in another batch. So the base's later runs are tested as the head's are.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from matrix.protocol import seed
from utils.node import files, parity
from utils.node.exceptions import RunFailed
from utils.node.parity import Step
from utils.node.record import Accuracy
from utils.node.vllm import marker, probe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matrix.plan import Point
    from utils.node.parity import Answer
    from utils.node.vllm.server import Server

PROMPTS_LEAST = 16
SCORED_MOST = 64
FILE = "parity-{}.json.gz"


@dataclass(frozen=True, slots=True)
class Heard:
    """What one server said."""

    decoded: list[Answer]
    """At the point's concurrency."""
    in_other_batch: list[Answer]
    scored: list[list[float]]
    """The base's answers, as given texts."""
    scored_in_other_batch: list[list[float]]


def probe_run(
    server: Server, points: Sequence[Point], shared: Path, asked: Path | None
) -> dict[str, list[Accuracy]]:
    """Probe a server; what it says of each point.

    Args:
        server: that still runs.
        points: of the job.
        shared: the job's folder, where the base's answers are or will be.
        asked: the folder where a kernel's workers are asked what they counted.

    Returns:
        Point -> decode and prefill, compared with the base; empty for the run that the others are compared with.
    """
    found: dict[str, list[Accuracy]] = {}
    for point in points:
        path = shared / FILE.format(point.id.split("/")[1])
        try:
            found[point.id] = _point(server, point, path, asked)
        except (RunFailed, ValueError, KeyError, TypeError) as error:
            found[point.id] = [_silent(point, error, answered=path.exists())]
    return {name: one for name, one in found.items() if one}


def _silent(point: Point, error: Exception, *, answered: bool) -> Accuracy:
    """No answer: a failure where the base did answer the same, for a server may refuse to write what is not a number."""
    why = (
        f"{'the base answered, and this server did not' if answered else 'the probe had no answer'}: {error}"
    )
    verdict: Literal["failed", "not tested"] = "failed" if answered else "not tested"
    return Accuracy(kind="parity", name=f"decode at {point.concurrency}", verdict=verdict, why=why[:300])


def _point(server: Server, point: Point, path: Path, asked: Path | None) -> list[Accuracy]:
    reference = _read(path)
    before = _counted(point, asked, "parity-before")
    count = max(point.concurrency, PROMPTS_LEAST)
    wanted = probe.prompts(server.model, count, seed(point.id, "parity"))
    decoded = probe.answers(server, wanted, point.concurrency)
    path_taken, why = _path_taken(point, before, _counted(point, asked, "parity-after"))
    other = max(1, point.concurrency // 2) if point.concurrency > 1 else 2
    texts = [
        [*prompt, *(step.token for step in answer)]
        for prompt, answer in zip(wanted, reference.decoded if reference else decoded, strict=True)
    ][:SCORED_MOST]
    in_order = probe.scores(server, texts, point.concurrency)
    if reference is None:
        heard = Heard(
            decoded, probe.answers(server, wanted, other), in_order, probe.scores(server, texts, other)
        )
        files.write_whole(path, gzip.compress(json.dumps(_plain(heard)).encode()))
        return []
    own = [parity.drift(a, b) for a, b in zip(reference.in_other_batch, reference.decoded, strict=True)]
    far = [parity.drift(a, b) for a, b in zip(decoded, reference.decoded, strict=True)]
    decode = parity.compared(f"decode at {point.concurrency}", far, own)
    if not path_taken and decode.verdict == "passed":
        decode = decode.model_copy(
            update={"verdict": "not tested", "why": f"the kernel's path over the probe: {why}"}
        )
    return [
        decode,
        parity.scored("prefill", in_order, reference.scored, reference.scored_in_other_batch),
    ]


def _counted(point: Point, asked: Path | None, when: str) -> list[Any]:
    if point.kernel is None or asked is None:
        return []
    return marker.ask(asked, f"{when}-{point.id.split('/')[1]}", marker.workers(point))


def _path_taken(point: Point, before: list[Any], after: list[Any]) -> tuple[bool, str]:
    """Whether the kernel's counts over the probe are what the point expects; without a kernel there is nothing to take."""
    if point.kernel is None:
        return True, ""
    return marker.judge(point.kernel, marker.workers(point), marker.over(before, after))


def _plain(heard: Heard) -> dict[str, Any]:
    def steps(answers: list[Answer]) -> list[list[list[Any]]]:
        return [[[one.token, one.logprob, list(one.top.items())] for one in answer] for answer in answers]

    return {
        "decoded": steps(heard.decoded),
        "in_other_batch": steps(heard.in_other_batch),
        "scored": heard.scored,
        "scored_in_other_batch": heard.scored_in_other_batch,
    }


def _read(path: Path) -> Heard | None:
    """What the base left; None where it has not been here yet."""
    try:
        body = json.loads(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        return None

    def answers(name: str) -> list[Answer]:
        return [
            tuple(
                Step(int(token), float(logprob), {int(i): float(v) for i, v in top})
                for token, logprob, top in answer
            )
            for answer in body[name]
        ]

    return Heard(
        answers("decoded"),
        answers("in_other_batch"),
        [list(map(float, row)) for row in body["scored"]],
        [list(map(float, row)) for row in body["scored_in_other_batch"]],
    )
