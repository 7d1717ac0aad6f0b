"""Memory of a GPU: what a point takes of it at the least, what is left, and the sentences of a plan about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from matrix.schema import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path(__file__).resolve().parent / "memory.json"
GIB = 2**30


class Gpu(Value):
    """One kind of GPU."""

    gib: float
    source: str


class Model(Value):
    """A model that the tree does not carry."""

    stored: str
    """How its weights are kept, such as MXFP8."""
    source: str
    config: dict[str, Any]
    """In the words of its config.json."""


class Known(Value):
    """The data file."""

    about: str
    gpus: dict[str, Gpu]
    models: dict[str, Model]
    widened: dict[str, list[str]]
    """How weights are stored -> the compiler's names of GPUs that take them as BF16."""
    kept: dict[str, dict[str, str]]
    """Kernel -> variant -> weights that it leaves as they are stored."""


class Memory(Value):
    """What a point takes of each of its GPUs, in GiB; the least that it can be."""

    experts_gib: float = Field(ge=0, le=10**6)
    experts_as: str
    """Their type on the GPU; empty for a model without experts."""
    rest_gib: float = Field(ge=0, le=10**6)
    """All other weights."""
    gpu_gib: float = Field(ge=0, le=10**6)
    usable_gib: float = Field(ge=0, le=10**6)
    """What the server takes for itself."""
    kv_tokens: int | None = Field(None, ge=0, le=10**12)
    """Tokens whose keys and values fit beside the weights, at the most; None where their size is not known."""
    request_gib: float = Field(0.0, ge=0, le=10**6)
    """Keys and values of the longest request, which a server must have room for."""

    @property
    def weights_gib(self) -> float:
        """Experts and the rest."""
        return self.experts_gib + self.rest_gib

    @property
    def fits(self) -> bool:
        """Whether a server may start."""
        return self.weights_gib + self.request_gib <= self.usable_gib

    @property
    def parts(self) -> str:
        """The sum, for people."""
        experts = f"experts in {self.experts_as} {self.experts_gib:.1f}, rest" if self.experts_as else "all"
        return f"{experts} {self.rest_gib:.1f}"


@dataclass(frozen=True, slots=True)
class Room:
    """What is known of a point's memory."""

    memory: Memory | None = None
    unknown: str = ""
    """What is missing, where it should be known."""
    refusal: str = ""
    """Why no server of the point can start, and what to change; a clause without its subject."""
    bare: Room | None = None
    """The same without the point's kernel."""


@cache
def known() -> Known:
    """Read the data file."""
    return Known.model_validate_json(FILE.read_bytes())


def lines(rooms: Iterable[tuple[str, Room, int, int]]) -> list[str]:
    """Sentences for a plan, each once, in 80 columns.

    Args:
        rooms: of each point: its parallelism as in identifiers, its memory, requests at once, and their tokens if all were at their longest.
    """
    most: dict[tuple[str, str], tuple[int, int]] = {}
    for shape, room, at_once, tokens in rooms:
        alike = _of_weights(shape, room), _of_cache(room)
        most[alike] = max(most.get(alike, (0, 0)), (at_once, tokens), key=lambda one: one[1])
    found = []
    for (weights, cache_), (at_once, tokens) in most.items():
        found += [weights] if weights else []
        found += [f"  {cache_}; c{at_once} needs up to {_count(tokens)}"] if cache_ else []
    return found


def _of_weights(shape: str, room: Room) -> str:
    if room.memory is None:
        return f"memory of a GPU: not known, {room.unknown}" if room.unknown else ""
    has = room.memory
    return f"{shape}: weights take {has.weights_gib:.1f} of {has.gpu_gib:g} GiB a GPU ({has.parts})"


def _of_cache(room: Room) -> str:
    has = room.memory
    if has is None or has.kv_tokens is None:
        return ""
    left = has.usable_gib - has.weights_gib
    return f"left for KV: at most {left:.1f} GiB, {_count(has.kv_tokens)} tokens"


def _count(tokens: int) -> str:
    return f"{tokens / 10**6:.2f} M" if tokens >= 10**6 else f"{tokens / 1000:.0f} k"
