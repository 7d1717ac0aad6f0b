"""Whether the kernels compute what they should on the GPU that is there: every kind of routing, every edge, every weight."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import triton
import triton.language as tl

from . import bench_cases, bench_today, reference, steps, tiles
from .routing import COUNTED, Routing
from .shapes import MINIMAX_M3, Shape
from .weights import LARGEST_NARROW, Weights, unpack_scales
from .widen import widen

TOKENS = (0, 1, 15, 16, 17, 216, 255, 256, 257, 4096)
KINDS = (
    "random",
    "all remote",
    "all on one expert",
    "all local",
    "duplicates",
    "one expert without a row",
    "ids outside of the map",
)
OUTSIDE = (-1, bench_cases.GLOBAL_EXPERTS, 2**31 - 1, -(2**31), 0x40000003)
"""What may stand in rows that only pad a captured graph; the last one is local expert 3 to who looks at its low bits."""
NO_NUMBERS = {
    "NaN": (float("nan"),),
    "Inf": (float("inf"),),
    "-Inf": (float("-inf"),),
    "NaN and Inf": (float("nan"), float("inf")),
}
"""What stands in a token that is no number, in turns."""
SEEDS = 3
SLACK = 1.005
"""How much larger an error may be than that of BF16 grouped products on the same inputs: sums have another order."""
SLACK_SMALL = 1.02
"""The same for a smaller layer, whose error is a mean over fewer values: by chance, two ways of rounding differ more."""


@dataclass(frozen=True)
class Checked:
    """One case."""

    what: str
    error: float
    most: float

    @property
    def passed(self) -> bool:
        """NaN does not."""
        return self.error <= self.most


def must_fit(tile: tiles.Tile, shape: Shape) -> None:
    """Refuse a layer of which a launch would leave columns out. The gate admits one size, which every shipped tile divides.

    Raises:
        ValueError: with the width and the step that does not divide it.
    """
    gates = shape.intermediate if tile.direct else 2 * shape.intermediate
    widths = [
        ("first product's columns", gates, tile.first.block_n),
        ("hidden size", shape.hidden, tile.first.block_k * tile.first.split),
        ("hidden size", shape.hidden, tile.second.block_n),
        ("intermediate size", shape.intermediate, tile.second.block_k * tile.second.split),
    ]
    if not tile.direct:
        widths.append(("hidden size", shape.hidden, tile.combine_columns))
        if not tile.fused:
            widths.append(("intermediate size", shape.intermediate, tile.swiglu_columns))
    for name, width, step in widths:
        if width % step:
            raise ValueError(
                f"the tile for {tile.tokens} tokens takes {step} of the {name} at a time, and {width} is no multiple of it"
            )


def routes(kind: str, tokens: int, of: bench_cases.Layer, seed: int) -> Routing:
    """Of one kind; experts 0 … 15 are local."""
    drawn = torch.Generator().manual_seed(1000 * seed + tokens)
    experts, top_k = of.shape.experts, of.shape.top_k
    ids = torch.rand(tokens, bench_cases.GLOBAL_EXPERTS, generator=drawn).topk(top_k, dim=1).indices
    if kind == "all remote":
        ids = torch.randint(experts, bench_cases.GLOBAL_EXPERTS, ids.shape, generator=drawn)
    elif kind == "all on one expert":
        ids = torch.full_like(ids, 5)
    elif kind == "all local":
        ids = torch.rand(tokens, experts, generator=drawn).topk(top_k, dim=1).indices
    elif kind == "duplicates":
        ids = ids[:, :1].expand(-1, top_k)
        ids = torch.where(torch.arange(top_k) % 2 == 0, ids % experts, ids)
    elif kind == "one expert without a row":
        ids = torch.where(ids == 3, 100, ids)  # noqa: PLR2004 - which one does not matter
    elif kind == "ids outside of the map":
        strange = torch.tensor(OUTSIDE)[torch.randint(len(OUTSIDE), ids.shape, generator=drawn)]
        ids = torch.where(torch.rand(ids.shape, generator=drawn) < 0.5, strange, ids)  # noqa: PLR2004 - half of them
    share = torch.rand(tokens, top_k, generator=drawn).cuda()
    return Routing(share, ids.int().contiguous().cuda(), of.expert_map)


def padded(weights: Weights) -> Weights:
    """The same values in rows that are longer by 128, as ROCm pads them, with poison between."""

    def wider(w: torch.Tensor) -> torch.Tensor:
        poison = 255 if w.dtype == torch.uint8 else float("nan")
        room = torch.full((*w.shape[:2], w.shape[2] + 128), poison, dtype=w.dtype, device=w.device)
        room[..., : w.shape[2]] = w
        return room[..., : w.shape[2]]

    return replace(weights, w1=wider(weights.w1), w2=wider(weights.w2))


def scaled_widely(of: bench_cases.Layer) -> bench_cases.Layer:
    """A layer that differs in a few scales, at the bound of one multiplication and above it."""

    def changed(values: torch.Tensor, packed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scales = unpack_scales(packed)
        scales[:, 7, 1], scales[:, 9, 2] = LARGEST_NARROW, LARGEST_NARROW + 6
        wide = [reference.widen(w, s) for w, s in zip(values, scales, strict=True)]
        return scales, torch.stack(wide)

    packed = of.mxfp8
    (s1, w1), (s2, w2) = (
        changed(values, scales)
        for values, scales in ((packed.w1, packed.s1), (packed.w2, packed.s2))
        if scales is not None
    )
    compressed = Weights.compressed(of.shape, packed.w1, s1, packed.w2, s2)
    return replace(of, bf16=Weights(of.shape, w1, w2), mxfp8=compressed)


def layers(
    of: bench_cases.Layer, tiles_of: dict[str, tiles.Tiles], large: tiles.Tile, most_tokens: int
) -> list[Checked]:
    """Every number of tokens up to the largest with every kind of routing, both variants, into poisoned outputs."""
    found = []
    for tile in (large, *(tile for known in tiles_of.values() for tile in known.tiles)):
        must_fit(tile, of.shape)
    for variant, known in tiles_of.items():
        steps.warm(known.arch, variant, of.of(variant), of.expert_map)  # as a server's first step does
    for tokens in _up_to(most_tokens, TOKENS):
        for kind in KINDS:
            for seed in range(SEEDS if kind == "random" else 1):
                found += _layer(of, tiles_of, large, tokens, (kind, seed))
    found += no_numbers(of, tiles_of, large, most_tokens)
    room = replace(of, bf16=padded(of.bf16), mxfp8=padded(of.mxfp8))
    wide = scaled_widely(of)
    for tokens in _up_to(most_tokens, (2, 17, 64, 256)):
        found += _layer(room, tiles_of, large, tokens, ("random", 9), about=", padded weights")
        found += _layer(wide, tiles_of, large, tokens, ("random", 9), about=", large scales")
    return found


def _up_to(most: int, all_tokens: tuple[int, ...]) -> list[int]:
    return [tokens for tokens in all_tokens if tokens <= most]


def no_numbers(
    of: bench_cases.Layer, tiles_of: dict[str, tiles.Tiles], large: tiles.Tile, most_tokens: int
) -> list[Checked]:
    """NaN and Inf, in activations, in the router's weights and in both, stay in their own tokens: all others are the same to the last bit."""
    found = []
    for tokens in _up_to(most_tokens, (3, 56, 216)):
        routing = routes("random", tokens, of, 0)
        drawn = torch.Generator().manual_seed(tokens)
        x = (torch.randn(tokens, of.shape.hidden, generator=drawn) * 0.5).bfloat16().cuda()
        hit = torch.arange(tokens) % 3 == 0
        for variant, known in tiles_of.items():
            how = (known, variant, large)
            clean = _run(x, of.of(variant), routing, how)
            for name, values in NO_NUMBERS.items():
                poisoned, weights = x.clone(), routing.weights.clone()
                poisoned[hit] = torch.tensor(values).repeat(of.shape.hidden // len(values)).bfloat16().cuda()
                weights[hit] = torch.tensor(values).repeat(of.shape.top_k // len(values)).cuda()
                for where, one, other in (
                    ("activations", poisoned, routing.weights),
                    ("router's weights", x, weights),
                    ("both", poisoned, weights),
                ):
                    out = _run(one, of.of(variant), routing._replace(weights=other), how)
                    wrong = int((clean[~hit].view(torch.int16) != out[~hit].view(torch.int16)).sum())
                    what = f"{variant}, {tokens} tokens, every third {name} in {where}"
                    found.append(Checked(what, wrong, 0))
    return found


def _layer(
    of: bench_cases.Layer,
    tiles_of: dict[str, tiles.Tiles],
    large: tiles.Tile,
    tokens: int,
    routes_of: tuple[str, int],
    *,
    about: str = "",
) -> list[Checked]:
    kind, seed = routes_of
    routing = routes(kind, tokens, of, seed)
    x, exact, most = _expected(of, tokens, routing)
    found = []
    for variant, known in tiles_of.items():
        out = _run(x, of.of(variant), routing, (known, variant, large))
        found.append(
            Checked(f"{variant}, {tokens} tokens, {kind}, seed {seed}{about}", _error(out, exact), most)
        )
    return found


def _expected(
    of: bench_cases.Layer, tokens: int, routing: Routing
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Activations, the layer in float64, and the error of BF16 grouped products."""
    drawn = torch.Generator().manual_seed(tokens)
    x = (torch.randn(tokens, of.shape.hidden, generator=drawn) * 0.5).bfloat16().cuda()
    exact = reference.layer(x, of.bf16.w1, of.bf16.w2, routing, of.shape)
    if tokens == 0:
        return x, exact, 0.0
    out = torch.full_like(x, float("nan"))
    known = torch.where(reference.local_experts(routing) < 0, bench_cases.GLOBAL_EXPERTS - 1, routing.ids)
    today = Routing(routing.weights, known, routing.expert_map)  # vLLM's path wants ids of the map
    bench_today.forward(x, of.bf16, today, out, torch.zeros(len(COUNTED), dtype=torch.int64, device="cuda"))
    slack = SLACK if of.shape.hidden >= MINIMAX_M3.hidden else SLACK_SMALL
    return x, exact, slack * _error(out, exact)


def _run(
    x: torch.Tensor, weights: Weights, routing: Routing, how: tuple[tiles.Tiles, str, tiles.Tile]
) -> torch.Tensor:
    """By graph replay: captured on other routes, so that nothing of them may be left in it.

    By `steps`, as a server runs it; above the bound of BF16, where a server takes vLLM's path, with a tile for large batches.
    """
    known, variant, large = how
    out = torch.full_like(x, float("nan"))
    counter = torch.zeros(len(COUNTED), dtype=torch.int64, device="cuda")
    used = Routing(torch.zeros_like(routing.weights), torch.zeros_like(routing.ids), routing.expert_map)

    def run() -> None:
        if x.shape[0] <= known.tiles[-1].tokens:
            steps.compute(known.arch, variant, weights, x, used, out=out, counter=counter)
        else:
            steps.with_tile(large, known.arch, weights, x, used, out=out, counter=counter)

    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    used.weights.copy_(routing.weights)
    used.ids.copy_(routing.ids)
    out.fill_(float("nan"))
    counter.zero_()
    graph.replay()
    torch.cuda.synchronize()
    if not _counted(x.shape[0], known, large, routing, counter):
        out.fill_(float("nan"))  # a step that does not count itself is wrong
    return out


def _counted(
    tokens: int, known: tiles.Tiles, large: tiles.Tile, routing: Routing, counter: torch.Tensor
) -> bool:
    if tokens == 0:
        return not counter.any()
    alike = steps.alike(tokens, routing.ids.shape[1], routing.experts)
    tile = known.of(alike) if tokens <= known.tiles[-1].tokens else large
    wanted = reference.counted(routing, None if tile.direct else tile.block_m)
    return bool(torch.equal(counter, wanted))


def _error(out: torch.Tensor, exact: torch.Tensor) -> float:
    return float((out.double() - exact).norm()) / (float(exact.norm()) or 1.0)


@triton.jit
def _widened(values, scales, out, WIDE: tl.constexpr, PTX: tl.constexpr):  # noqa: ANN001, ANN202, N803
    row = tl.program_id(0)
    k = tl.arange(0, 256)
    byte = tl.load(scales + row + tl.arange(0, 8)[None, :] * 0)
    made = widen(tl.load(values + k)[None, :], byte, WIDE, PTX, False)  # noqa: FBT003 - a constant of the kernel
    tl.store(out + row * 256 + k[None, :], made)


def every_weight(arch: str) -> list[Checked]:
    """Every pair of a value and a scale that are numbers (the others are refused at load), by each way of widening that a GPU has, to the last bit."""
    values = torch.arange(256, device="cuda").to(torch.uint8)
    numbers = ~((values & 0x7F) == reference.NAN_BYTES[0])
    found = []
    for ptx in (True, False) if arch.startswith("sm") else (False,):
        for wide, last in ((False, LARGEST_NARROW), (True, 254)):
            scales = torch.arange(last + 1, device="cuda").to(torch.uint8)
            out = torch.zeros(last + 1, 256, dtype=torch.bfloat16, device="cuda")
            _widened[(last + 1,)](values, scales, out, WIDE=wide, PTX=ptx)
            wanted = reference.widen(values.expand(last + 1, 256), scales[:, None].expand(-1, 8))
            wrong = int((out[:, numbers].view(torch.int16) != wanted[:, numbers].view(torch.int16)).sum())
            what = f"{254 * (last + 1)} pairs widened{', two multiplications' if wide else ''}{', PTX' if ptx else ''}"
            found.append(Checked(what, wrong, 0))
    return found
