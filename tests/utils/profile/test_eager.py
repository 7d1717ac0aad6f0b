"""Traces without graphs, of several streams, made by hand in torch's layout: each figure is held against one that is counted anew."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.utils.profile.made import DENSE, EXPERTS, MLP, TAIL, Made
from utils.profile.present import layers_line

STEP = "execute_context_0(0)_generation_64(64)"
PATH_US = 28060 / 57
"""A layer's, of the experts."""
ROUTING = {
    "topkGatingSoftmax": 10.0,
    "moe_align_block_size_kernel": 10.0,
    "silu_and_mul_kernel": 20.0,
    "moe_sum_kernel": 12.0,
}


def random_work(random: Random) -> tuple[Made, list[tuple[int, int, int, int, int]]]:
    """Steps of a few kernels on up to three streams: a trace, and of each kernel its step, stream, begin, end and call."""
    made, kernels, host = Made(), [], 0
    streams = [7, 9, 11][: random.randint(1, 3)]
    free = dict.fromkeys(streams, 0)
    for step in range(random.randint(1, 4)):
        begun = host
        for number in range(random.randint(1, 12)):
            host += random.randint(1, 15)
            stream = random.choice(streams) if number else 7
            start = max(free[stream], host + random.randint(1, 8))
            end = start + random.choice([0, *range(1, 25)] if number else [9])
            free[stream] = end + random.randint(0, 3)
            made.kernel(f"k{number % 4}", start, end - start, host, stream=stream)
            kernels.append((step, stream, start, end, host))
        made.step(STEP, begun, host + 1 - begun)
        host += random.randint(2, 40)
    random.shuffle(made.events)
    return made, kernels


@pytest.mark.parametrize("seed", range(60))
def test_each_microsecond_of_several_streams(tmp_path: Path, seed: int) -> None:
    """Busy, overlap, starved and queued of each step, as looking at every microsecond counts them."""
    made, kernels = random_work(Random(seed))  # noqa: S311 - no secret
    found = made.profile(tmp_path)
    did = {one: sum(e - b for _, s, b, e, _ in kernels if s == one) for one in {k[1] for k in kernels}}
    assert found.streams == pytest.approx({str(one): took / 1000 for one, took in did.items()})
    main = next(stream for _, stream, *_ in sorted(kernels, key=lambda k: -did[k[1]]))
    if list(did.values()).count(did[main]) > 1:
        return  # which of two is the main one is the reader's choice
    begins: dict[int, int] = {}
    for step, stream, begin, *_ in kernels:
        if stream == main:
            begins[step] = min(begin, begins.get(step, begin))
    order = sorted(begins, key=lambda one: begins[one])
    ends = [begins[one] for one in order[1:]] + [max(e for step, _, _, e, _ in kernels if step == order[-1])]
    lasting = [(b, e, call) for _, _, b, e, call in kernels if e > b]
    first, last = min(b for b, _, _ in lasting), max(e for _, e, _ in lasting)
    steps = found.phases[0].steps
    assert len(steps) == len(order)
    for figures, one, end in zip(steps, order, ends, strict=True):
        counted = dict.fromkeys(("busy", "overlap", "starved", "queued"), 0)
        for at in range(begins[one], end):
            running = {stream for _, stream, b, e, _ in kernels if b <= at < e}
            counted["busy"] += bool(running)
            counted["overlap"] += len(running) > 1
            if not running and first <= at < last:
                begin = min(b for b, _, _ in lasting if b > at)
                call = next(call for b, e, call in sorted(lasting, key=lambda k: (k[0], -k[1])) if b == begin)
                counted["starved" if at < call else "queued"] += 1
        assert {name: getattr(figures, f"{name}_ms") * 1000 for name in counted} == pytest.approx(
            counted, abs=1e-6
        )


def served(made: Made, at: float, launch: str) -> float:
    """A step of 3 dense and 57 sparse layers, each kernel launched alone; shared experts on a stream of their own, a copy on a third."""
    host, done = at, at
    product = (PATH_US - sum(ROUTING.values())) / 2

    def kernel(name: str, dur: float, stream: int = 7, begin: float = 0.0) -> None:
        nonlocal host, done
        host += 3
        start = max(done if stream == 7 else begin, host + 4)
        made.on_device(name, start, dur, made.launch(host, launch, 2), stream=stream)
        if stream == 7:
            done = start + dur + 0.5

    for layer in range(60):
        for name in DENSE:
            kernel(name, 15)
        for name in MLP if layer < 3 else ():
            kernel(name, 30)
        begin = done
        for name in EXPERTS if layer >= 3 else ():
            kernel(name, ROUTING.get(name, product))
            if name == EXPERTS[0]:
                made.add("cuda_runtime", "cudaStreamWaitEvent", host + 2.2, 0.5)
                kernel("nvjet_shared_gate_up", 60, 9, begin)
                kernel("act_and_mul_kernel", 10, 9, begin + 62)
                kernel("nvjet_shared_down", 40, 9, begin + 75)
    for name in TAIL:
        kernel(name, 20)
    made.step(STEP, at, host + 1 - at)
    kernel("Memcpy DtoH (Device -> Pinned)", 2, 17, done)
    return done


@pytest.mark.parametrize("launch", ["cudaLaunchKernel", "cuLaunchKernelEx", "hipModuleLaunchKernel"])
def test_57_layers_beside_shared_experts(tmp_path: Path, launch: str) -> None:
    """The experts' path is what its own stream did; what ran beside it is overlap, and no part of it."""
    made, at = Made(), 1000.0
    for _ in range(3):
        at = served(made, at, launch) - 100
    Random(1).shuffle(made.events)  # noqa: S311 - no secret
    decode = made.profile(tmp_path).phases[0]
    assert decode.layers is not None
    assert "57 sparse layers, expert path 28.06 ms" in layers_line(decode.layers)
    assert (decode.layers.layers, decode.layers.alike, len(decode.steps)) == (60, 3, 3)
    assert [one.overlap_ms for one in decode.steps] == pytest.approx([57 * 0.109] * 3, abs=0.005)
    assert sum(one.calls for one in decode.kernels) == 60 * 7 + 3 * 3 + 57 * 9 + 3 + 1
