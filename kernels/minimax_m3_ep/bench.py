"""Checks, times, sweeps and tunes the kernels on the GPU that is there, and writes what it found.

    python -m kernels.minimax_m3_ep.bench --out result.json
    python -m kernels.minimax_m3_ep.bench --parts times --tokens 1 64 256 --variants mxfp8
    python -m kernels.minimax_m3_ep.bench --parts tune --tokens 64 --seconds 120
    python -m kernels.minimax_m3_ep.bench --parts check --hidden 1024 --intermediate 512 --most-tokens 64  # for slow tools
    python -m kernels.minimax_m3_ep.bench --parts beside --seconds 60

One layer of MiniMax-M3 with EP8, or another number of experts, CUDA-graph replay, medians. The share is of the read bandwidth measured in the same run:
the bytes of the weights of the experts that a step uses, over that bandwidth, over the time. `today` is what vLLM
does on a gfx942, or with `--today sm90` on an H100 (`bench_today`). Parts: check, times, sweep (blocks of 16, 32, 64 rows), tune, beside (other work on the GPU).
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import triton

from . import (
    VARIANTS,
    bench_beside,
    bench_cases,
    bench_check,
    bench_time,
    bench_today,
    bench_tune,
    card,
    reference,
    steps,
    tiles,
)
from .routing import COUNTED
from .shapes import MINIMAX_M3, Shape
from .tiles import Gemm, Tile

TOKENS = (1, 16, 64, 128, 216, 256)
LARGE = 8192
BF16_LARGE = {
    "sm90": Tile(
        tiles.UNBOUNDED, 128, Gemm(256, 64, 8, 3), Gemm(256, 64, 8, 3), swiglu_rows=8, swiglu_columns=1024
    ),
    "gfx942": Tile(
        tiles.UNBOUNDED, 128, Gemm(128, 64, 8, 2), Gemm(128, 64, 8, 2), swiglu_rows=8, swiglu_columns=1024
    ),
}
"""BF16 grouped products for large batches, which `mxfp8` is compared with there: on sm90 the best tile of a sweep on an
H100; on gfx942 the size of vLLM's default for so many tokens, never run there."""


def tile_of(known: tiles.Tiles, tokens: int, shape: Shape, experts: int = bench_cases.GLOBAL_EXPERTS) -> Tile:
    """The shipped tile, or the one for large batches in BF16; one that leaves columns of the layer out is refused."""
    alike = steps.alike(tokens, MINIMAX_M3.top_k, experts)
    tile = known.of(alike) if alike <= known.tiles[-1].tokens else large_of(shape, known.arch)
    bench_check.must_fit(tile, shape)
    return tile


def large_of(shape: Shape, arch: str) -> Tile:
    """`BF16_LARGE`, also for a layer with fewer columns."""
    tile = BF16_LARGE[arch]
    return dataclasses.replace(tile, swiglu_columns=min(tile.swiglu_columns, shape.intermediate))


def sorted_tile_of(known: tiles.Tiles, tokens: int, experts: int) -> Tile:
    """The shipped tile, or the next one that sorts, where that does not: only those have blocks of rows. The last one above the bound."""
    alike = steps.alike(tokens, MINIMAX_M3.top_k, experts)
    sorting = [tile for tile in known.tiles if not tile.direct]
    return next((tile for tile in sorting if tile.tokens >= alike), sorting[-1])


def times(
    of: bench_cases.Layer,
    known: dict[str, tiles.Tiles],
    all_tokens: list[int],
    reads: float,
    today: str = "gfx942",
) -> list[dict[str, Any]]:
    """Every path at every number of tokens: its time, its error, and what the graph's replays counted.

    Args:
        of: the layer.
        known: tiles of each variant.
        all_tokens: of a step.
        reads: bytes a second.
        today: whose tiles vLLM's path has, of `bench_today`.
    """
    rows = []
    for tokens in all_tokens:
        some = bench_cases.steps(of, tokens)
        tile_by_path = {
            path: tile_of(one, tokens, of.shape, of.expert_map.numel()) for path, one in known.items()
        }
        arch = next(iter(known.values())).arch
        paths = [_Path(of, some, (arch, path), tile) for path, tile in tile_by_path.items()]
        paths.append(_Path(of, some, (today, "today"), None))
        for path, took in zip(paths, bench_time.in_turns([path.run for path in paths]), strict=True):
            row = path.row(tokens, took, reads)
            rows.append(row)
            _say(
                f"{tokens:>6} tokens  {path.name:<12} {row['us']:8.1f} us  {100 * row['share']:5.1f} %  error {row['error']:.2e} "
                f"(rounding {row['error_of_rounding']:.2e})  counted {row['counted']}/{row['expected_count']}"
            )
    return rows


class _Path:
    """One way to compute some steps: a variant with a tile, or what vLLM does today."""

    def __init__(
        self, of: bench_cases.Layer, some: bench_cases.Steps, path: tuple[str, str], tile: Tile | None
    ) -> None:
        self.of, self.steps, self.tile = of, some, tile
        self.arch, self.name = path
        self.outs = [torch.full_like(some.x, float("nan")) for _ in some.routings]
        self.counter = torch.zeros(len(COUNTED), dtype=torch.int64, device="cuda")

    def run(self, index: int) -> None:
        """Compute one of the steps."""
        x, weights = self.steps.x, self.of.of(self.name)
        routing, out = self.steps.routings[index], self.outs[index]
        if self.tile is None:
            bench_today.forward(x, weights, routing, out, self.counter, self.arch)
            return
        steps.with_tile(self.tile, self.arch, weights, x, routing, out=out, counter=self.counter)

    def row(self, tokens: int, took: float, reads: float) -> dict[str, Any]:
        """Of a result, after the steps have run; the largest error of them."""
        errors, limits = [], []
        for routing, out in zip(self.steps.routings, self.outs, strict=True):
            inputs = (self.steps.x, self.of.bf16.w1, self.of.bf16.w2, routing, self.of.shape)
            exact = reference.layer(*inputs)
            size = float(exact.norm()) or 1.0
            errors.append(float((out.double() - exact).norm()) / size)
            rounded = reference.layer(*inputs, exact=False)
            limits.append(float((rounded.double() - exact).norm()) / size)
        read = self.of.bytes(1, self.name) * self.steps.active
        return {
            "tokens": tokens,
            "path": self.name,
            "us": took * 1e6,
            "active_experts": self.steps.active,
            "error": max(errors),
            "error_of_rounding": max(limits),
            "counted": int(self.counter[0]),
            "expected_count": bench_time.CALLS,
            "bytes": read,
            "share": read / reads / took,
        }


def sweep(
    of: bench_cases.Layer, known: dict[str, tiles.Tiles], all_tokens: list[int]
) -> list[dict[str, Any]]:
    """Blocks of 16, 32 and 64 rows, as a table."""
    rows = []
    _say("microseconds with blocks of    16       32       64 rows (-: does not fit the card)")
    for tokens in all_tokens:
        for variant, one in known.items():
            start = sorted_tile_of(one, tokens, of.expert_map.numel())
            found = bench_tune.heights(of, tokens, (one.arch, variant), start)
            rows.append({"tokens": tokens, "variant": variant, "us": found})
            _say(
                f"{tokens:>6} tokens  {variant:<12} "
                + " ".join("       -" if one is None else f"{one:8.1f}" for one in found.values())
            )
    return rows


def check(of: bench_cases.Layer, known: dict[str, tiles.Tiles], most_tokens: int) -> dict[str, Any]:
    """Every case of up to so many tokens, those that fail by name."""
    arch = next(iter(known.values())).arch
    large = large_of(of.shape, arch)
    found = [*bench_check.every_weight(arch), *bench_check.layers(of, known, large, most_tokens)]
    for one in found:
        if not one.passed:
            _say(f"WRONG  {one.what}: {one.error:.3e}, at most {one.most:.3e}")
    failed = [one.what for one in found if not one.passed]
    worst = max((one.error / one.most for one in found if one.most), default=0.0)
    _say(
        f"{len(found) - len(failed)} of {len(found)} cases hold; the worst has {worst:.4f} of the error that is allowed"
    )
    return {
        "cases": len(found),
        "failed": failed,
        "worst_of_allowed": worst,
        "what": [one.what for one in found],
    }


def tune(
    of: bench_cases.Layer, known: dict[str, tiles.Tiles], all_tokens: list[int], limit_s: float
) -> list[dict[str, Any]]:
    """The best tile that was found for each."""
    rows = []
    for tokens in all_tokens:
        for variant, one in known.items():
            start = tile_of(one, tokens, of.shape, of.expert_map.numel())
            _say(f"{tokens} tokens, {variant}, from {start}")
            best, took = bench_tune.tune(of, tokens, (one.arch, variant), start, limit_s=limit_s)
            rows.append(
                {"tokens": tokens, "variant": variant, "us": 1e6 * took, "tile": dataclasses.asdict(best)}
            )
            _say(f"{tokens:>6} tokens  {variant:<12} {1e6 * took:8.1f} us  {best}")
    return rows


def beside(of: bench_cases.Layer, known: dict[str, tiles.Tiles], seconds: float) -> list[dict[str, Any]]:
    """Layers beside other work on the GPU, a row for each variant and number of tokens."""
    rows = []
    for one in bench_beside.beside(of, known, seconds):
        rows.append(dataclasses.asdict(one) | {"passed": one.passed})
        _say(
            f"{one.what}: {one.differing} of {one.steps} steps differ from a quiet run's; meanwhile counters were read {one.reads} times "
            f"and a second stream worked {one.turns} times; counts {'right' if one.counted else 'WRONG'}; "
            f"quiet outputs {'sound' if one.sound else 'NOT SOUND'}"
        )
    return rows


COMPUTING = (
    "activation",
    "align",
    "few",
    "gemm",
    "layer",
    "local",
    "rounding",
    "routing",
    "shapes",
    "weights",
    "widen",
)
"""The modules that compute on the GPU. Which tile a step takes, and whether launches begin early, is decided in `steps`, by `arch`."""


def source_hash() -> str:
    """Of the computing modules and the tiles: what a result is of."""
    folder = Path(__file__).parent
    made = hashlib.sha256()
    for path in [*(folder / f"{name}.py" for name in COMPUTING), *sorted(folder.glob("tiles/*.json"))]:
        made.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return made.hexdigest()[:16]


def main() -> int:
    """Run, print, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("check", "times", "sweep", "tune", "beside")
    parser.add_argument(
        "--parts", nargs="+", default=parts[:3], choices=parts, help="what to do; all but tune and beside"
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[*TOKENS, LARGE], help="how many a step has")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--arch", choices=sorted(BF16_LARGE), help="whose tiles (default: this GPU's)")
    parser.add_argument(
        "--today",
        choices=("gfx942", "sm90"),
        default="gfx942",
        help="whose tiles vLLM's path has (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=120,
        help="of tuning, for each number of tokens and variant; of beside, in all",
    )
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument(
        "--local-experts", type=int, default=MINIMAX_M3.experts, help="on this GPU (default: %(default)s)"
    )
    parser.add_argument(
        "--experts",
        type=int,
        default=bench_cases.GLOBAL_EXPERTS,
        help="of the layer, on all GPUs; check and beside know 128 alone (default: %(default)s)",
    )
    for size in ("hidden", "intermediate"):
        parser.add_argument(
            f"--{size}",
            type=int,
            default=getattr(MINIMAX_M3, size),
            help="of a layer, smaller where a tool is slow (default: %(default)s)",
        )
    parser.add_argument(
        "--most-tokens", type=int, default=tiles.UNBOUNDED, help="leave out checks of more (default: none)"
    )
    arguments = parser.parse_args()
    of_all = [part for part in ("check", "beside") if part in arguments.parts]
    if of_all and arguments.experts != bench_cases.GLOBAL_EXPERTS:
        parser.error(f"{of_all[0]} knows {bench_cases.GLOBAL_EXPERTS} experts alone: take it out of --parts")
    arch = _arch(parser, arguments.arch)
    shape = dataclasses.replace(
        MINIMAX_M3,
        experts=arguments.local_experts,
        hidden=arguments.hidden,
        intermediate=arguments.intermediate,
    )
    of = bench_cases.layer(shape, "cuda", experts=arguments.experts)
    known = {variant: tiles.load(arch, variant) for variant in arguments.variants}
    reads = bench_time.bandwidth()
    small = [tokens for tokens in arguments.tokens if tokens < LARGE]
    found: dict[str, Any] = {
        "schema": 2,
        "kernel": source_hash(),
        "card": torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "arch": arch,
        "today": arguments.today,
        "local_experts": arguments.local_experts,
        "experts": arguments.experts,
        "hidden": shape.hidden,
        "intermediate": shape.intermediate,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "read_gb_per_s": reads / 1e9,
    }
    _say(f"{found['card']}, {found['read_gb_per_s']:.0f} GB/s read, kernel {found['kernel']}")
    if "check" in arguments.parts:
        found["check"] = check(of, known, arguments.most_tokens)
    if "times" in arguments.parts:
        found["rows"] = times(of, known, arguments.tokens, reads, arguments.today)
    if "sweep" in arguments.parts:
        found["sweep"] = sweep(of, known, small)
    if "tune" in arguments.parts:
        found["tuned"] = tune(of, known, arguments.tokens, arguments.seconds)
    if "beside" in arguments.parts:
        found["beside"] = beside(of, known, arguments.seconds)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    good = (
        not found.get("check", {}).get("failed")
        and all(one["passed"] for one in found.get("beside", []))
        and all(
            row["error"] <= 1.05 * row["error_of_rounding"] and row["counted"] == row["expected_count"]
            for row in found.get("rows", [])
        )
    )
    return 0 if good else 1


def _arch(parser: argparse.ArgumentParser, asked: str | None) -> str:
    """Whose tiles are used; ends the program where there is no GPU, or one that cannot run them."""
    if not torch.cuda.is_available():
        parser.error("torch sees no GPU, and this measures on one")
    gpu = card.arch(rocm=torch.version.hip is not None)
    arch = asked or gpu
    if arch not in BF16_LARGE:
        fitting = [one for one in BF16_LARGE if one.startswith("gfx") or gpu.startswith("sm")]
        parser.error(f"no tiles for {gpu}, which this GPU is: name others with --arch ({', '.join(fitting)})")
    if arch.startswith("sm") and not gpu.startswith("sm"):
        parser.error(f"tiles of {arch} use NVIDIA's instructions, and this GPU is a {gpu}: leave out --arch")
    return arch


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
