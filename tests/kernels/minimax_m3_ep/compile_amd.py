"""Compiles the kernels for gfx942 with Triton's AMD backend, without such a GPU: one JSON line a kernel on stdout.

Each layout of gfx942 that the gate takes, with its number of local experts, the benchmark's large BF16 tile, and what else the benchmark launches. Any Triton will do;
docs/kernel.md says which were tried:

    PYTHONPATH=. python -m tests.kernels.minimax_m3_ep.compile_amd
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.minimax_m3_ep import (
    VARIANTS,
    bench,
    bench_beside,
    bench_check,
    bench_time,
    bench_today,
    gate,
    layer,
    tiles,
)  # fmt: skip
from kernels.minimax_m3_ep.activation import combine, swiglu
from kernels.minimax_m3_ep.align import compact
from kernels.minimax_m3_ep.gemm import grouped
from kernels.minimax_m3_ep.shapes import Shape
from kernels.minimax_m3_ep.weights import together_of

ARCH = "gfx942"
TARGET = GPUTarget("hip", ARCH, 64)
POINTERS = {
    "x": "bf16", "scales": "u8", "rows": "i32", "block_expert": "i32", "block_rows": "i32", "blocks": "i32",
    "topk_weights": "fp32", "topk_ids": "i32", "expert_map": "i32", "counter": "i64", "h": "bf16", "a": "bf16", "y": "bf16",
    "out": "bf16", "weights": "bf16", "residual": "bf16", "values": "u8", "source": "fp32", "sink": "fp32",
}  # fmt: skip


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of a kernel."""

    name: str
    mfma: int
    """Matrix instructions."""
    spills: int
    """Registers in memory, vector and scalar ones."""
    lds: int
    """Bytes of local memory."""
    registers: int


def compiled(
    name: str, kernel: Any, constants: dict[str, Any], warps: int, stages: int, **types: str
) -> Compiled:
    """One kernel with its constants."""
    known = POINTERS | types
    signature = {
        parameter: "constexpr"
        if parameter in constants
        else f"*{known[parameter]}"
        if parameter in known
        else "i32"
        for parameter in kernel.arg_names
    }
    for parameter in ("alpha", "beta", "limit"):
        if parameter in signature:
            signature[parameter] = "fp32"
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, one in enumerate(signature.values())
        if one not in {"constexpr", "fp32"}
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    built = triton.compile(source, target=TARGET, options={"num_warps": warps, "num_stages": stages})
    text = built.asm["amdgcn"]
    found = {key: int(value) for key, value in re.findall(r"\.(\w+_(?:spill_)?count):\s+(\d+)", text)}
    return Compiled(
        name,
        len(re.findall(r"\bv_mfma_", text)),
        found["vgpr_spill_count"] + found["sgpr_spill_count"],
        built.metadata.shared,
        found["vgpr_count"],
    )


def products(variant: str, shape: Shape, tile: tiles.Tile) -> list[Compiled]:
    """Both products of a tile, also with the large scales of a compressed layer."""
    found = []
    for which, gemm in (("first", tile.first), ("second", tile.second)):
        k = shape.hidden if which == "first" else shape.intermediate
        for wide in (False, True)[: 2 if variant == "mxfp8" else 1]:
            constants = {
                "FIRST": which == "first", "FUSED": which == "first" and tile.fused, "MXFP8": variant == "mxfp8", "WIDE": wide,
                "PTX": False, "SWAP": gemm.swap, "BLOCK_M": tile.block_m, "BLOCK_N": gemm.block_n, "BLOCK_K": gemm.block_k,
                "STEPS": k // gemm.block_k // gemm.split, "SPLIT": gemm.split, "SCALES": together_of(k),
                "STAGES": gemm.stages, "PREFETCH": gemm.prefetch, "PDL": False, "EMULATE": False,
            }  # fmt: skip
            name = f"{variant} of {shape.experts}, {tile.tokens}{' wide' if wide else ''} {which}"
            weights = "u8" if variant == "mxfp8" else "bf16"
            out = "bf16" if gemm.split == 1 else "fp32"
            found.append(
                compiled(name, grouped, constants, gemm.warps, gemm.stages, weights=weights, out=out)
            )
    return found


def others(variant: str, layout: gate.Layout, tile: tiles.Tile) -> list[Compiled]:
    """The launches between and around."""
    shape, experts = layout.shape, layout.global_experts
    common = {"PDL": False, "EMULATE": False}
    name = f"{variant} of {shape.experts}, {tile.tokens}"
    sort = layer.sort_constants(shape, tile)
    warps = sort.pop("num_warps")
    act = {"BLOCK_M": tile.block_m, "ROWS": tile.swiglu_rows, "COLUMNS": tile.swiglu_columns}
    add = {
        "TOP_K": shape.top_k,
        "GLOBAL": experts,
        "COLUMNS": tile.combine_columns,
        "SPLIT": tile.second.split,
    }
    return [
        compiled(f"{name} compact", compact, sort | {"PDL": False, "GLOBAL": experts}, warps, 2),
        compiled(f"{name} swiglu", swiglu, act | common | {"SPLIT": tile.first.split}, 4, 2),
        compiled(f"{name} combine", combine, add | common, 4, 2),
    ]


def of_the_bench(layout: gate.Layout) -> list[Compiled]:
    """What the benchmark launches beside the kernel: vLLM's path at each of its tiles, a widening, a norm, reading."""
    shape, experts = layout.shape, layout.global_experts
    found = []
    for tokens in (*bench.TOKENS, bench.LARGE):
        tile = bench_today.tile_of(tokens, shape.experts, ARCH)
        sizes = {
            "BLOCK_M": tile.block_m,
            "BLOCK_N": tile.block_n,
            "BLOCK_K": tile.block_k,
            "GROUP_M": tile.group_m,
        }
        found += [
            compiled(
                f"today of {shape.experts}, {tokens} {which}",
                bench_today._product,
                sizes | {"FIRST": which == "first"},
                tile.warps,
                tile.stages,
            )
            for which in ("first", "second")
        ]
        chunk = min(4096, max(16, triton.next_power_of_2(shape.routes(tokens))))
        sort = {
            "BLOCK_M": tile.block_m, "CHUNK": chunk, "ONE": chunk >= shape.routes(tokens), "PDL": False,
            "EXPERTS": triton.next_power_of_2(shape.experts), "GLOBAL": experts,
        }  # fmt: skip
        found.append(compiled(f"today of {shape.experts}, {tokens} compact", compact, sort, 4, 2))
    add = {
        "TOP_K": shape.top_k,
        "GLOBAL": experts,
        "COLUMNS": 1024,
        "SPLIT": 1,
        "PDL": False,
        "EMULATE": False,
    }
    found += [
        compiled(f"today of {shape.experts} swiglu", bench_today._swiglu, {"COLUMNS": 1024}, 4, 2),
        compiled(f"today of {shape.experts} combine", combine, add, 4, 2),
    ]
    return found


def of_any_layer() -> list[Compiled]:
    """The benchmark's launches that no layer's size changes."""
    wide = [
        compiled(
            f"widening{' wide' if one else ''}",
            bench_check._widened,
            {"WIDE": one, "PTX": False},
            4,
            2,
            scales="u8",
        )
        for one in (False, True)
    ]
    return [
        *wide,
        compiled("norm", bench_beside._norm, {"BLOCK": 8192, "PDL": False}, 8, 2),
        compiled("reading", bench_time._read, {"BLOCK": 8192}, 8, 2),
    ]


if __name__ == "__main__":
    sys.stderr.write(f"Triton {triton.__version__}\n")
    found: list[Compiled] = []
    for layout in [one for one in gate.LAYOUTS if one.platform == ARCH]:
        for variant in VARIANTS:
            large = [bench.large_of(layout.shape, ARCH)] if variant == "compact-bf16" else []
            for tile in [*tiles.load(ARCH, variant).tiles, *large]:
                found += [*products(variant, layout.shape, tile), *others(variant, layout, tile)]
        found += of_the_bench(layout)
    for one in [*found, *of_any_layer()]:
        sys.stdout.write(json.dumps(one.__dict__) + "\n")
