"""What a layer computes, in torch: in float64 to measure errors by, and with the roundings to BF16 that the kernels make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .shapes import GROUP, Shape

if TYPE_CHECKING:
    from .routing import Routing

NAN_BYTES = (0x7F, 0xFF)
"""E4M3 bytes that are no number."""
NAN_SCALE = 255
"""The E8M0 byte that is none."""


def widen(values: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """E4M3 bytes [..., K] with E8M0 bytes [..., K / 32]: value * 2^(scale - 127), rounded once to `dtype`.

    NaN, and any value under the scale 255, give NaN.
    """
    value = values.view(torch.float8_e4m3fn).to(torch.float64)
    factor = torch.exp2(scales.to(torch.float64) - 127)
    factor = torch.where(scales == NAN_SCALE, torch.nan, factor)
    wide = value.unflatten(-1, (-1, GROUP)) * factor.unsqueeze(-1)
    return wide.flatten(-2).to(dtype)


def swiglu(h: torch.Tensor, shape: Shape) -> torch.Tensor:
    """SwiGLU-OAI on halves that are not interleaved, gate before up, in the precision of `h`."""
    gate, up = h.chunk(2, dim=-1)
    gate = gate.clamp(max=shape.limit)
    up = up.clamp(-shape.limit, shape.limit)
    return (up + shape.beta) * gate * torch.sigmoid(shape.alpha * gate)


def local_experts(routing: Routing) -> torch.Tensor:
    """The local expert of each route, or -1; an id outside of the map is remote."""
    known = (routing.ids >= 0) & (routing.ids < routing.experts)
    return torch.where(known, routing.expert_map[torch.where(known, routing.ids, 0).long()], -1)


def counted(routing: Routing, block_m: int | None) -> torch.Tensor:
    """What a step adds to its counters, [4] int64 (`routing.COUNTED`), with blocks of so many rows, or without any sorting."""
    local = local_experts(routing)
    found = local[local >= 0].long()
    rows = torch.bincount(found) if block_m else found.new_zeros(0)
    parts = (1, len(found), int((rows > 0).sum()), int((-(-rows // (block_m or 1))).sum()))
    return torch.tensor(parts, dtype=torch.int64, device=routing.ids.device)


def layer(
    x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, routing: Routing, shape: Shape, *, exact: bool = True
) -> torch.Tensor:
    """The sum over a token's local routes of weight * expert(x); zero for a token without any.

    Args:
        x: [tokens, hidden].
        w1: [experts, 2 * intermediate, hidden].
        w2: [experts, hidden, intermediate].
        routing: of the tokens.
        shape: of the layer.
        exact: in float64 throughout; else float32 sums, rounded to BF16 where the kernels round, in their order.
    """
    precise = torch.float64 if exact else torch.float32
    rounded = precise if exact else torch.bfloat16
    routed = torch.zeros(*routing.ids.shape, x.shape[1], dtype=precise, device=x.device)
    local = local_experts(routing)
    for expert in range(shape.experts):
        token, k = (local == expert).nonzero(as_tuple=True)
        if len(token) == 0:
            continue
        h = (x[token].to(precise) @ w1[expert].to(precise).T).to(rounded)
        a = swiglu(h.to(precise), shape).to(rounded)
        y = a.to(precise) @ w2[expert].to(precise).T * routing.weights[token, k].to(precise)[:, None]
        routed[token, k] = y.to(rounded).to(precise)
    return routed.sum(dim=1).to(rounded)
