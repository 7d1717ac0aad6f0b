"""Whether layers compute the same in a server's company, to the last bit.

Several layers run, in a graph and without one, while a second stream computes and takes and frees memory, and while a thread asks the
marker for its counters, as a node does around a load. Between the layers are launches of others, which ours let begin early.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from . import bench_cases, bench_check, marker, steps, tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .routing import Routing

LAYERS = 6
TOKENS = (56, 216)
KINDS = ("random", "ids outside of the map", "all remote")
"""Of routes, which replays take in turns."""
IN_A_ROW = 4
"""Replays that nothing waits between."""
ANSWER_S = 60.0
"""An answer of the marker that takes longer is none."""


@dataclass(frozen=True)
class Found:
    """Of one variant and number of tokens."""

    what: str
    steps: int
    """Of each layer: in replays of the graph, `IN_A_ROW` between two looks, and without it."""
    looks: int
    """At an output."""
    differing: int
    """How many were not the quiet run's."""
    reads: int
    """Answers of the marker meanwhile."""
    counted: bool
    """Whether its last answer has every step of every layer."""

    @property
    def passed(self) -> bool:
        """In company, and as without it."""
        return bool(self.looks and self.reads and self.counted and not self.differing)


def beside(of: bench_cases.Layer, known: dict[str, tiles.Tiles], seconds: float) -> list[Found]:
    """Each variant at each number of tokens, for so long all together."""
    each = seconds / len(known) / len(TOKENS)
    return [_one(of, one, variant, tokens, each) for variant, one in known.items() for tokens in TOKENS]


def _one(of: bench_cases.Layer, known: tiles.Tiles, variant: str, tokens: int, seconds: float) -> Found:
    steps.warm(known.arch, variant, of.of(variant), of.expert_map)
    mine = marker.Marker()
    graph = _Layers(of, known, variant, tokens, mine)
    routings = [bench_check.routes(kind, tokens, of, 0) for kind in KINDS]
    quiet = [graph.replayed(routing, 1).clone() for routing in routings]
    looks, differing, end = 0, 0, time.monotonic() + seconds
    with _asking(mine) as reads, _working():
        while time.monotonic() < end or (not reads and time.monotonic() < end + ANSWER_S):
            index = looks % len(KINDS)
            for found in (graph.replayed(routings[index], IN_A_ROW), graph.launched(routings[index])):
                differing += not same(found, quiet[index])
                looks += 1
    torch.cuda.synchronize()
    return Found(
        f"{variant}, {tokens} tokens, {LAYERS} layers",
        graph.steps,
        looks,
        differing,
        len(reads),
        counted(mine.answer(), tokens, graph.steps),
    )


class _Layers:
    """Some layers in one graph, each on what the one before made of its tokens."""

    def __init__(
        self, of: bench_cases.Layer, known: tiles.Tiles, variant: str, tokens: int, mine: marker.Marker
    ) -> None:
        drawn = torch.Generator().manual_seed(tokens)
        x = (torch.randn(tokens, of.shape.hidden, generator=drawn) * 0.5).bfloat16().cuda()
        rows = [mine.join(of.expert_map.device, None) for _ in range(LAYERS)]
        self.routing = bench_check.routes("all local", tokens, of, 0)

        def run() -> torch.Tensor:
            made = x
            for row in rows:
                out = torch.empty_like(made)  # memory that later layers get again
                steps.compute(
                    known.arch,
                    variant,
                    of.of(variant),
                    made,
                    self.routing,
                    out=out,
                    counter=row.taken(tokens),
                )
                made = torch.nn.functional.rms_norm(out.float(), (of.shape.hidden,), eps=1e-6).bfloat16()
            return made

        self.run = run
        self.run()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.out = self.run()
        self.steps = 1

    def replayed(self, routing: Routing, times: int) -> torch.Tensor:
        """The last layer's output on these routes, once the last of so many replays has ended."""
        self._route(routing)
        for _ in range(times):
            self.graph.replay()
        self.steps += times
        torch.cuda.current_stream().synchronize()
        return self.out

    def launched(self, routing: Routing) -> torch.Tensor:
        """The same without the graph, in memory that held no numbers."""
        self._route(routing)
        torch.full((2**24,), float("nan"), device="cuda")
        out = self.run()
        self.steps += 1
        torch.cuda.current_stream().synchronize()
        return out

    def _route(self, routing: Routing) -> None:
        self.routing.weights.copy_(routing.weights)
        self.routing.ids.copy_(routing.ids)


def same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """To the last bit."""
    return bool(torch.equal(found.view(torch.int16), wanted.view(torch.int16)))


def counted(answer: dict[str, object], tokens: int, wanted: int) -> bool:
    """Whether every layer took all steps, and none of another size."""
    return answer["taken"] == answer["taken_most"] == {tokens: wanted}


@contextlib.contextmanager
def _asking(mine: marker.Marker) -> Iterator[list[dict[str, object]]]:
    """The marker's answers, which a thread asks for one after the other by the way that a node takes."""
    answers: list[dict[str, object]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        _thread(lambda: answers.append(_asked(Path(folder), answers))),
    ):
        os.environ[marker.FOLDER] = folder
        mine.listen()
        try:
            yield answers
        finally:
            del os.environ[marker.FOLDER]


def _asked(folder: Path, before: list[dict[str, object]]) -> dict[str, object]:
    word, end = str(len(before)), time.monotonic() + ANSWER_S
    (folder / "request").write_text(word)
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            answer: dict[str, object] = json.loads((folder / f"answer-{word}-0.json").read_text())
            if "error" in answer:
                raise RuntimeError(answer["error"])
            return answer
        time.sleep(0.01)
    raise TimeoutError(f"the marker did not answer within {ANSWER_S:.0f} s")


@contextlib.contextmanager
def _working() -> Iterator[None]:
    """A second stream that computes, and gives memory with poison back to the allocator."""
    stream = torch.cuda.Stream()
    drawn = torch.Generator().manual_seed(0)
    with torch.cuda.stream(stream):
        a = torch.randn(2048, 2048, device="cuda", dtype=torch.bfloat16)

    def work() -> None:
        with torch.cuda.stream(stream):
            for size in torch.randint(1, 2**22, (8,), generator=drawn).tolist():
                torch.full((size,), float("nan"), device="cuda")
                a @ a
            stream.synchronize()

    with _thread(work):
        yield


@contextlib.contextmanager
def _thread(turn: Callable[[], None]) -> Iterator[None]:
    """Something that is done over and over meanwhile; what it raises is raised here."""
    stop = threading.Event()
    raised: list[Exception] = []

    def turns() -> None:
        try:
            while not stop.is_set():
                turn()
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who waits shall know it
            raised.append(error)

    thread = threading.Thread(target=turns, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if raised:
        raise raised[0]
