"""The kernels against the reference in float64, interpreted on a CPU: every routing, every edge of a block."""

from __future__ import annotations

import itertools

import pytest
import torch

from kernels.minimax_m3_ep import bench_check, reference
from kernels.minimax_m3_ep.routing import Routing
from kernels.minimax_m3_ep.weights import LARGEST_NARROW, Weights
from tests.kernels.minimax_m3_ep import cases
from tests.kernels.minimax_m3_ep.cases import TILES, Case, error, make

VARIANTS = ("bf16", "mxfp8")


def weights(case: Case, variant: str) -> Weights:
    return case.bf16 if variant == "bf16" else case.mxfp8


def held(case: Case, variant: str, tile: str = "plain") -> None:
    """The error is that of rounding to BF16 where the kernels round; the layer counted once, with its routes."""
    out, counted = case.run(weights(case, variant), TILES[tile])
    exact = case.expected()
    assert error(out, exact) <= 1.1 * error(case.expected(exact=False), exact) + 1e-9
    known = TILES[tile]
    assert counted == reference.counted(case.routing, None if known.direct else known.block_m).tolist()
    assert counted[0] == 1


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tokens", [1, 15, 16, 17, 33])
def test_numbers_of_tokens_around_a_block(variant: str, tokens: int) -> None:
    """One, one less than a block, a block, one more."""
    held(make(tokens, seed=tokens), variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("tokens", "tile"), [(216, "plain"), (255, "high"), (256, "swapped"), (257, "high"), (1100, "high")]
)
def test_numbers_of_tokens_of_real_steps(variant: str, tokens: int, tile: str) -> None:
    """A full decode step, the bound and its neighbours, a prompt; the sort in one chunk, and in several."""
    held(make(tokens, seed=tokens), variant, tile)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["remote", "one", "local", "none-on-some", "outside"])
def test_every_kind_of_routing(variant: str, kind: str) -> None:
    """All remote, all on one expert, all local, duplicates in a token's top-k with experts that get no row."""
    held(make(19, kind=kind, seed=7), variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tile", TILES)
def test_every_tile_computes_the_same(variant: str, tile: str) -> None:
    """Swapped, split along K, high blocks, a block a route."""
    held(make(9, seed=3), variant, tile)


@pytest.mark.parametrize("seed", range(4))
def test_seeds(seed: int) -> None:
    """Other weights, other routes."""
    held(make(24, seed=100 + seed), "mxfp8")


def test_all_remote_gives_zeros() -> None:
    """Rows that nobody computes are written all the same."""
    case = make(5, kind="remote")
    out, _ = case.run(case.bf16, TILES["plain"])
    assert torch.equal(out, torch.zeros_like(out))


def test_an_id_outside_of_the_map_is_remote() -> None:
    """A token whose ids are all outside gets zero, by the kernels and by the reference."""
    case = make(6, kind="local")
    case.routing.ids[2] = torch.tensor([-1, cases.GLOBAL, 2**31 - 1, -(2**31)], dtype=torch.int32)
    for tile in TILES.values():
        out, _ = case.run(case.bf16, tile)
        assert not out[2].any()
    assert not case.expected()[2].any()


POISONED = [
    *((tile, "both", "NaN and Inf") for tile in TILES),
    *itertools.product(
        ("plain", "direct"), ("activations", "router's weights", "both"), ("NaN", "Inf", "-Inf")
    ),
]


@pytest.mark.filterwarnings(
    "ignore:(invalid value|overflow) encountered:RuntimeWarning"
)  # numpy's, of what is meant
@pytest.mark.parametrize(("tile", "where", "name"), POISONED)
def test_no_number_stays_in_its_token(tile: str, where: str, name: str) -> None:
    """NaN and Inf in activations, in the router's weights and in both change no other token's bits."""
    values = bench_check.NO_NUMBERS[name]
    case = make(6, kind="random", seed=2)
    clean, _ = case.run(case.bf16, TILES[tile])
    if where != "router's weights":
        case.x[::3] = torch.tensor(values).repeat(cases.SMALL.hidden // len(values)).bfloat16()
    if where != "activations":
        case.routing.weights[::3] = torch.tensor(values).repeat(cases.SMALL.top_k // len(values))
    poisoned, _ = case.run(case.bf16, TILES[tile])
    kept = torch.arange(6) % 3 != 0
    assert torch.equal(clean[kept].view(torch.int16), poisoned[kept].view(torch.int16))


def test_no_token_launches_nothing() -> None:
    """Nor does it count."""
    case = make(0)
    for variant, tile in itertools.product(VARIANTS, TILES):
        out, counted = case.run(weights(case, variant), TILES[tile])
        assert out.shape == (0, case.shape.hidden)
        assert counted == [0, 0, 0, 0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tile", ["plain", "direct", "fused"])
def test_padded_weights_are_read_by_their_strides(variant: str, tile: str) -> None:
    """What stands behind a row is not the next one."""
    held(make(17, pad=16), variant, tile)


@pytest.mark.filterwarnings(
    "ignore:overflow encountered in exp:RuntimeWarning"
)  # NumPy says so; infinity is what SwiGLU wants
@pytest.mark.parametrize("tile", ["plain", "direct", "fused, swapped"])
@pytest.mark.parametrize("large", [LARGEST_NARROW, LARGEST_NARROW + 1, 140])
def test_large_scales_take_two_multiplications(tile: str, large: int) -> None:
    """The largest scale of a layer decides; a wrong choice would be no number at all."""
    case = make(9, seed=4, large=large)
    assert case.mxfp8.wide == (large > LARGEST_NARROW)
    held(case, "mxfp8", tile)


def test_both_variants_compute_the_same_products() -> None:
    """A widened weight is the weight; the interpreter's sums differ by their order."""
    case = make(20, seed=11)
    for tile in TILES.values():
        assert error(case.run(case.mxfp8, tile)[0], case.run(case.bf16, tile)[0]) < 5e-4


def test_routes_are_counted() -> None:
    """By hand: five tokens with 19 routes on this rank, to three experts, one of which has 17 rows in two blocks."""
    ids = torch.tensor([[0] * 4] * 4 + [[0, 1, 2, 7]], dtype=torch.int32)
    expert_map = torch.tensor([2, 0, -1, -1, -1, -1, -1, 1], dtype=torch.int32)
    routing = Routing(torch.ones(5, 4), ids, expert_map)
    assert reference.counted(routing, 16).tolist() == [1, 19, 3, 4]
    assert reference.counted(routing, None).tolist() == [1, 19, 0, 0]


def test_a_chunk_is_not_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes beyond one chunk of the counting sort go on where it ended."""
    monkeypatch.setattr("kernels.minimax_m3_ep.layer.CHUNK", 16)
    held(make(37, kind="local", seed=5), "bf16")


def test_blocks_are_bounded_for_every_routing() -> None:
    """The grid holds the work of any routing, and is no larger than one unfilled block an expert more than needed."""
    shape = cases.SMALL
    for tokens in range(70):
        worst = shape.blocks(tokens, 16)
        routes = shape.routes(tokens)
        assert worst >= -(-routes // 16), "all on one expert"
        most = sum(
            max(1, -(-(routes - shape.experts + 1) // 16)) if e == 0 else 1 for e in range(shape.experts)
        )
        assert worst >= min(routes, most), "one full, one row on each other"
        assert worst <= routes // 16 + shape.experts
