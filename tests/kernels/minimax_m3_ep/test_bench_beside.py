"""The benchmark's part that runs layers beside other work. It is for a GPU; here its layers are computed in torch and its graph is a call."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from kernels.minimax_m3_ep import bench_beside, bench_cases, bench_company, marker, reference, steps, tiles
from kernels.minimax_m3_ep.bench_beside import Found
from kernels.minimax_m3_ep.shapes import MINIMAX_M3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = Found("mxfp8, 56 tokens", steps=104, differing=0, reads=3, turns=9, counted=True, sound=True)
SMALL = replace(MINIMAX_M3, hidden=1024, intermediate=512)


@pytest.mark.parametrize(
    "bad",
    [{"steps": 0}, {"differing": 1}, {"reads": 0}, {"turns": 0}, {"counted": False}, {"sound": False}],
)
def test_it_passes_only_beside_work_and_unchanged(bad: dict[str, Any]) -> None:
    """A run in which nothing was read, done, looked at or counted shows nothing."""
    assert GOOD.passed
    assert not replace(GOOD, **bad).passed


def test_one_bit_is_a_difference() -> None:
    """Also where both are no number, and a zero has another sign."""
    some = torch.tensor([1.0, 0.0, float("nan")]).bfloat16()
    assert bench_beside.same(some, some.clone())
    assert not bench_beside.same(some, torch.tensor([1.0, -0.0, float("nan")]).bfloat16())


def test_outputs_that_show_nothing_are_not_sound() -> None:
    """Alike whatever the routes are, or no numbers."""
    one, other = torch.ones(2, 3).bfloat16(), torch.zeros(2, 3).bfloat16()
    assert bench_beside.sound([one, other])
    assert not bench_beside.sound([one, other, one.clone()])
    assert not bench_beside.sound([one, torch.full((2, 3), float("inf")).bfloat16()])


def test_the_norm_between_layers() -> None:
    """A layer's output and its input together, also where the width is no power of two."""
    x, residual = (torch.randn(3, 96).bfloat16() for _ in range(2))
    wanted = torch.nn.functional.rms_norm(x.float() + residual.float(), (96,), eps=1e-6)
    assert torch.allclose(bench_beside.norm(x, residual, pdl=False).float(), wanted, atol=0.02)


class _Graph:
    """Stands for a CUDA graph: what was captured runs again."""

    def __init__(self, made: list[bench_beside.Layers]) -> None:
        self.made = made

    def replay(self) -> None:
        (layers,) = self.made
        layers.out.copy_(layers._run())


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Layers in torch, one after the other. `fault` gets the number of the call, the output and the counter."""
    asked: dict[str, Any] = {"fault": lambda *_: None, "calls": 0}
    made: list[bench_beside.Layers] = []
    begin = bench_beside.Layers.__init__

    def began(self: bench_beside.Layers, *arguments: Any) -> None:
        made[:] = [self]
        before = asked["calls"]
        begin(self, *arguments)
        captured = asked["calls"] - before - bench_beside.LAYERS
        assert captured == bench_beside.LAYERS  # a capture computes nothing, so neither does it count
        for row, adds in zip(self.rows, self.adds[0], strict=True):
            row.taken(self.tokens).sub_(adds)

    def compute(*given: Any, out: torch.Tensor, counter: torch.Tensor) -> None:
        x, routing = given[-2:]
        out.copy_(reference.layer(x, asked["of"].bf16.w1, asked["of"].bf16.w2, routing, SMALL, exact=False))
        counter.add_(reference.counted(routing, 16))
        asked["calls"] += 1
        asked["fault"](asked["calls"], out, counter)

    @contextlib.contextmanager
    def quiet() -> Iterator[bench_company.Turns]:
        yield bench_company.Turns(done=1)

    monkeypatch.setattr(bench_beside.Layers, "__init__", began)
    monkeypatch.setattr(steps, "compute", compute)
    monkeypatch.setattr(steps, "warm", lambda *_: None)
    monkeypatch.setattr(bench_beside, "working", quiet)
    monkeypatch.setattr(bench_beside, "norm", lambda out, made, **_: (out.float() + made).tanh().bfloat16())
    monkeypatch.setattr(bench_beside, "TOKENS", (5,))
    monkeypatch.setattr(bench_beside, "LAYERS", 3)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    for name in ("synchronize", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda: torch.cuda)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: _Graph(made))
    monkeypatch.setattr(torch.cuda, "graph", lambda _: contextlib.nullcontext())
    with torch.no_grad():
        asked["of"] = bench_cases.layer(SMALL, "cpu")
        yield asked


def _found(asked: dict[str, Any]) -> Found:
    (found,) = bench_beside.beside(asked["of"], {"compact-bf16": tiles.load("sm90", "compact-bf16")}, 0.0)
    return found


def test_layers_that_do_the_same_pass(on_cpu: dict[str, Any]) -> None:
    """With graph and without, on routes that take turns, every step counted with its routes."""
    found = _found(on_cpu)
    assert found.passed, found
    assert found.steps >= bench_beside.IN_A_ROW


def test_a_layer_in_the_middle_that_differs_once_is_seen(on_cpu: dict[str, Any]) -> None:
    """One bit of one token, in one step, long after the quiet run."""

    def fault(call: int, out: torch.Tensor, _: torch.Tensor) -> None:
        if call == 3 * 9 + 2:  # the second of three layers
            out.view(torch.int16)[2, 7] ^= 1

    on_cpu["fault"] = fault
    found = _found(on_cpu)
    assert found.differing == 1
    assert not found.passed


def test_every_second_layer_takes_memory_that_held_nan(
    on_cpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the others nothing stands but the norm, so that launches begin early there."""
    filled: list[float] = []
    full = torch.full

    def noted(size: tuple[int, ...], value: float, **how: Any) -> torch.Tensor:
        filled.append(value)
        return full(size, value, **how)

    monkeypatch.setattr(torch, "full", noted)
    found = _found(on_cpu)
    runs = on_cpu["calls"] // bench_beside.LAYERS
    assert found.passed
    assert len([value for value in filled if value != value]) == runs * 10  # noqa: PLR0124 - NaN


def test_a_route_that_is_not_counted_is_seen(on_cpu: dict[str, Any]) -> None:
    """In one layer of one step."""
    on_cpu["fault"] = lambda call, _, counter: counter[1].sub_(int(call == 3 * 9 + 2))
    found = _found(on_cpu)
    assert not found.counted
    assert not found.passed


def test_the_marker_is_asked_by_the_way_that_a_node_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By files, from the marker's own thread, one after the other; the variable is as it was."""
    monkeypatch.setenv(marker.FOLDER, "/elsewhere")
    mine = marker.Marker()
    mine.join(torch.device("cpu"), None).taken(56)[0] = 8
    with bench_company.asking(mine) as answers:
        end = time.monotonic() + 30
        while answers.done < 2 and time.monotonic() < end:
            time.sleep(0.05)
    assert answers.done >= 2
    assert os.environ[marker.FOLDER] == "/elsewhere"


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"error": "illegal memory access", "taken": {}}, "illegal memory access"), ({"taken": {}}, "no steps")],
)
def test_an_answer_without_counts_is_none(tmp_path: Path, answer: dict[str, Any], said: str) -> None:
    """What the worker's thread could not read is not passed over."""
    (tmp_path / "answer-0-0.json").write_text(json.dumps(answer))
    with pytest.raises(RuntimeError, match=f"the marker answered {said}"):
        bench_company.asked(tmp_path, "0")


def _beside_a_thread_that_fails(body: Exception | None = None) -> None:
    def fails(_: int) -> None:
        raise MemoryError("no memory")

    with bench_company.over_and_over(fails) as turns:
        while not turns.failed:
            time.sleep(0.01)
        if body is not None:
            raise body


def test_what_a_thread_raises_is_raised() -> None:
    """A second stream that fails is no company."""
    with pytest.raises(MemoryError, match="no memory"):
        _beside_a_thread_that_fails()


def test_what_a_thread_raises_is_noted_beside_another_error() -> None:
    """An illegal memory access shows everywhere at once; the thread's own words may say more."""
    threads = threading.active_count()
    with pytest.raises(ValueError, match="the body's own") as caught:
        _beside_a_thread_that_fails(ValueError("the body's own"))
    assert caught.value.__notes__ == ["meanwhile, in another thread: MemoryError('no memory')"]
    assert threading.active_count() == threads
