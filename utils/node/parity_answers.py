"""What servers answered to the parity probe, as files; and one run's answers compared with the base's. Pure but for reading.

The base's first run leaves its answers in the job's folder; each other run leaves its own beside its record, so that whoever judges can
compare them again.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from utils.node import parity
from utils.node.parity import Step

if TYPE_CHECKING:
    from utils.node.parity import Answer
    from utils.node.record import Accuracy

OWN = "answers.json.gz"
"""In a point's folder."""
MOST = 100_000_000
"""Bytes that are read, unpacked, some thousands of requests at once: JSON takes up to 25 times as much. What is longer is cut, and no JSON any more."""


def of_base(point: str) -> str:
    """Name of the file in a job's folder with what the base answered at a point."""
    return f"parity-{point.split('/')[1]}.json.gz"


@dataclass(frozen=True, slots=True)
class Heard:
    """What one server said."""

    decoded: list[Answer]
    """At the point's concurrency."""
    scored: list[list[float]]
    """The base's answers, as given texts."""
    in_other_batch: list[Answer]
    """Of the base alone: the noise of another batch."""
    scored_in_other_batch: list[list[float]]


def compared(heard: Heard, base: Heard, concurrency: int) -> list[Accuracy]:
    """A run's decode and prefill against the base's, each by what the base differs from itself by."""
    own = [parity.drift(a, b) for a, b in zip(base.in_other_batch, base.decoded, strict=True)]
    far = [parity.drift(a, b) for a, b in zip(heard.decoded, base.decoded, strict=True)]
    return [
        parity.compared(f"decode at {concurrency}", far, own),
        parity.scored("prefill", heard.scored, base.scored, base.scored_in_other_batch),
    ]


def packed(heard: Heard) -> bytes:
    """As a file."""

    def steps(answers: list[Answer]) -> list[list[list[Any]]]:
        return [[[one.token, one.logprob, list(one.top.items())] for one in answer] for answer in answers]

    plain = {
        "decoded": steps(heard.decoded),
        "in_other_batch": steps(heard.in_other_batch),
        "scored": heard.scored,
        "scored_in_other_batch": heard.scored_in_other_batch,
    }
    return gzip.compress(json.dumps(plain).encode(), mtime=0)


def read(content: bytes) -> Heard:
    """From a file.

    Raises:
        ValueError: it is cut, too large, or not what `packed` makes.
    """
    try:
        with gzip.open(io.BytesIO(content)) as file:
            body = json.loads(file.read(MOST))
        return Heard(
            decoded=_answers(body["decoded"]),
            scored=[list(map(float, row)) for row in body["scored"]],
            in_other_batch=_answers(body["in_other_batch"]),
            scored_in_other_batch=[list(map(float, row)) for row in body["scored_in_other_batch"]],
        )
    except (
        ValueError,
        OSError,
        EOFError,
        zlib.error,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise ValueError(f"answers of the parity probe cannot be read: {error!r}") from error


def _answers(rows: list[Any]) -> list[Answer]:
    return [
        tuple(
            Step(int(token), float(logprob), {int(i): float(v) for i, v in top})
            for token, logprob, top in row
        )
        for row in rows
    ]
