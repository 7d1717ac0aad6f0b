"""Finds tiles: from the one that is known, one parameter at a time, as long as something gets faster."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from . import bench_cases, bench_time
from . import steps as launches
from .routing import COUNTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tiles import Gemm, Tile

GAIN = 0.997
"""What a candidate must need of the best one's time: less of a difference is noise."""
REPLAYS = 7
CHOICES: dict[str, tuple[Any, ...]] = {
    "block_n": (32, 64, 128, 256),
    "block_k": (64, 128, 256, 512),
    "warps": (4, 8),
    "stages": (2, 3, 4, 5),
    "split": (1, 2, 3, 4),
    "swap": (False, True),
    "prefetch": (0, 1, 2),
}
OF_FEW: dict[str, tuple[Any, ...]] = {
    "block_n": (4, 8, 16, 32),
    "block_k": (256, 512, 1024),
    "warps": (1, 2, 4),
    "stages": (1, 2, 3, 4),
}
LAUNCHES: dict[str, tuple[int, ...]] = {
    "swiglu_rows": (2, 4, 8, 16),
    "swiglu_columns": (128, 256, 512, 1024),
    "combine_columns": (256, 512, 1024, 2048),
}
HEIGHTS = (16, 32, 64, 128, 256)


def seconds(
    of: bench_cases.Layer, steps: bench_cases.Steps, path: tuple[str, str], tile: Tile, replays: int = REPLAYS
) -> float:
    """Time of a step; infinite for a tile that does not fit the card or the shape.

    Args:
        of: the layer.
        steps: on which it is timed.
        path: whose tiles these are, such as gfx942, and the variant.
        tile: of the step.
        replays: of a graph.
    """
    arch, variant = path
    outs = [torch.empty_like(steps.x) for _ in steps.routings]
    counter = torch.zeros(len(COUNTED), dtype=torch.int64, device="cuda")
    weights = of.of(variant)

    def run(index: int) -> None:
        launches.with_tile(
            tile, arch, weights, steps.x, steps.routings[index], out=outs[index], counter=counter
        )

    try:
        return bench_time.seconds(run, replays)
    except Exception as error:  # noqa: BLE001 - a compiler may refuse a tile in any way, and the next one may be good
        sys.stdout.write(
            f"    {tile.block_m} {tile.first}: {str(error).splitlines()[0][:80] if str(error) else error!r}\n"
        )
        torch.cuda.synchronize()
        return float("inf")


def fits(tile: Tile, hidden: int, intermediate: int) -> bool:
    """Whether both products divide into the tile."""
    for gemm, n, k in ((tile.first, 2 * intermediate, hidden), (tile.second, hidden, intermediate)):
        if n % gemm.block_n or k % (gemm.block_k * gemm.split):
            return False
    return True


def neighbours(tile: Tile, *, heights: bool) -> Iterator[Tile]:
    """Tiles that differ in one thing."""
    for name, values in (OF_FEW if tile.direct else CHOICES).items():
        for value in values:
            for both in (
                {"first": tile.first, "second": tile.second},
                {"first": tile.first},
                {"second": tile.second},
            ):
                changed: dict[str, Gemm] = {
                    which: replace(gemm, **{name: value}) for which, gemm in both.items()
                }
                if not (tile.fused and changed.get("first", tile.first).split > 1):
                    yield replace(tile, **changed)  # type: ignore[arg-type] # only products are changed here
    if tile.direct:
        return
    if tile.first.split == 1:
        yield replace(tile, fused=not tile.fused)
    for name, columns in LAUNCHES.items():
        for value in columns:
            yield replace(tile, **{name: value})  # type: ignore[arg-type] # only figures are changed here
    if heights:
        for height in HEIGHTS:
            yield replace(tile, block_m=height)


def tune(
    of: bench_cases.Layer, tokens: int, path: tuple[str, str], start: Tile, *, limit_s: float
) -> tuple[Tile, float]:
    """The fastest tile that was found in the time that is given, and its seconds."""
    steps = bench_cases.steps(of, tokens)
    heights = start.block_m > 16  # noqa: PLR2004 - a decode step fills no more than one block of 16 an expert
    best, least = start, seconds(of, steps, path, start)
    seen, end, improved = {start}, time.monotonic() + limit_s, True
    while improved:
        improved = False
        for tile in list(neighbours(best, heights=heights)):
            early = path[0].startswith("sm") or not (tile.first.prefetch or tile.second.prefetch)
            if tile in seen or not early or not fits(tile, of.shape.hidden, of.shape.intermediate):
                continue
            if time.monotonic() > end:
                return best, least
            seen.add(tile)
            took = seconds(of, steps, path, tile)
            if (
                took < GAIN * least
                and (took := seconds(of, steps, path, tile, bench_time.REPLAYS)) < GAIN * least
            ):
                best, least, improved = tile, took, True
                sys.stdout.write(f"    {1e6 * took:8.1f} us  {tile}\n")
                sys.stdout.flush()
                break
    return best, least


def heights(of: bench_cases.Layer, tokens: int, path: tuple[str, str], tile: Tile) -> dict[int, float | None]:
    """Microseconds with blocks of 16, 32 and 64 rows, all else equal; None where the tile does not fit the card."""
    steps = bench_cases.steps(of, tokens)
    found = {}
    for height in (16, 32, 64):
        took = seconds(of, steps, path, replace(tile, block_m=height), bench_time.REPLAYS)
        found[height] = 1e6 * took if math.isfinite(took) else None
    return found
