"""Checks and times the kernels on the GPU that is there, and writes what it found.

    python -m kernels.minimax_m3_ep.bench --out result.json
    python -m kernels.minimax_m3_ep.bench --tokens 1 64 256 --variants mxfp8

One layer of MiniMax-M3 with EP8, CUDA-graph replay, medians. The share is of the read bandwidth measured in the same run:
the bytes of the weights of the experts that a step uses, over that bandwidth, over the time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl

from . import VARIANTS, bench_cases, layer, reference, tiles
from .shapes import MINIMAX_M3

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENS = (1, 16, 64, 128, 216, 256)
REPLAYS = 15


@triton.jit
def _read(source, sink, size, BLOCK: tl.constexpr):  # noqa: ANN001, ANN202, N803 - Triton types them
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(tl.program_id(0) * BLOCK, size, tl.num_programs(0) * BLOCK):
        total += tl.load(source + start + tl.arange(0, BLOCK))
    tl.store(sink + tl.program_id(0), tl.sum(total))


def bandwidth() -> float:
    """Bytes a second that a kernel reads which does nothing else, over 2 GiB: the best of three medians."""
    source = torch.randn(2**29, device="cuda")
    programs = 16 * torch.cuda.get_device_properties(0).multi_processor_count
    sink = torch.empty(programs, device="cuda")

    def read() -> None:
        _read[(programs,)](source, sink, source.numel(), BLOCK=8192, num_warps=8)

    times = [triton.testing.do_bench(read, warmup=20, rep=100, return_mode="median") for _ in range(3)]
    return source.numel() * 4 / min(times) * 1e3


def seconds(run: Callable[[int], None]) -> float:
    """Median time of a step, from replays of a graph of `bench_cases.SETS` of them."""
    for index in range(bench_cases.SETS):
        run(index)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for index in range(bench_cases.SETS):
            run(index)
    times = []
    for replay in range(REPLAYS + 3):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        if replay >= 3:  # noqa: PLR2004 - the first ones warm up
            times.append(begin.elapsed_time(end) / bench_cases.SETS / 1e3)
    return statistics.median(times)


def measure(of: bench_cases.Layer, tokens: int, variant: str, tile: tiles.Tile) -> dict[str, Any]:
    """Error of every routing, what the graph's replays counted, and the time of a step."""
    steps = bench_cases.steps(of, tokens)
    outs = [torch.full_like(steps.x, float("nan")) for _ in steps.routings]
    counter = torch.zeros(1, dtype=torch.int64, device="cuda")
    weights = of.of(variant)

    def run(index: int) -> None:
        how = {"counter": counter, "tile": tile, "pdl": True, "ptx": True}
        layer.forward(steps.x, weights, steps.routings[index], outs[index], **how)

    took = seconds(run)
    errors, limits = [], []
    for routing, out in zip(steps.routings, outs, strict=True):
        exact = reference.layer(steps.x, of.bf16.w1, of.bf16.w2, routing, of.shape)
        rounded = reference.layer(steps.x, of.bf16.w1, of.bf16.w2, routing, of.shape, exact=False)
        size = float(exact.norm()) or 1.0
        errors.append(float((out.double() - exact).norm()) / size)
        limits.append(float((rounded.double() - exact).norm()) / size)
    return {
        "tokens": tokens,
        "variant": variant,
        "us": took * 1e6,
        "active_experts": steps.active,
        "error": max(errors),
        "error_of_rounding": max(limits),
        "counted": int(counter),
        "expected_count": bench_cases.SETS * (REPLAYS + 4),
        "bytes": of.bytes(1, variant) * steps.active,
        "sha256": [
            hashlib.sha256(out.cpu().view(torch.int16).numpy().tobytes()).hexdigest()[:16] for out in outs
        ],
    }


def source_hash() -> str:
    """Of the kernel's Python files, without tests."""
    folder = Path(__file__).parent
    made = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        made.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return made.hexdigest()[:16]


def main() -> int:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="how many a step has")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--arch", default="sm90", help="whose tiles: a file of tiles/")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    arguments = parser.parse_args()
    of = bench_cases.layer(MINIMAX_M3, "cuda")
    reads = bandwidth()
    rows = []
    for tokens in arguments.tokens:
        for variant in arguments.variants:
            row = measure(of, tokens, variant, tiles.load(arguments.arch, variant).of(tokens))
            row["share"] = row["bytes"] / reads / (row["us"] / 1e6)
            rows.append(row)
            sys.stdout.write(
                f"{tokens:>6} tokens  {variant:<12} {row['us']:8.1f} us  {100 * row['share']:5.1f} %  error {row['error']:.2e} "
                f"(rounding {row['error_of_rounding']:.2e})  counted {row['counted']}/{row['expected_count']}\n"
            )
    found = {
        "schema": 1,
        "kernel": source_hash(),
        "card": torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "read_gb_per_s": reads / 1e9,
        "rows": rows,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    good = all(
        row["error"] <= 1.05 * row["error_of_rounding"] and row["counted"] == row["expected_count"]
        for row in rows
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
