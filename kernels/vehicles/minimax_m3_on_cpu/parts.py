"""Operators of the model in torch, in float32 inside."""

from __future__ import annotations

import torch


def _normed(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    wide = x.float()
    wide = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return (wide * (1 + weight.float())).to(x.dtype)


def gemma_rmsnorm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root-mean-square norm with Gemma's weight, which is stored less one."""
    return _normed(x, weight, eps)


def gemma_fused_add_rmsnorm(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float
) -> None:
    """Residual becomes x + residual, x its norm, both in place."""
    residual.add_(x)
    x.copy_(_normed(residual, weight, eps))


def qknorm_rope(
    qkv: torch.Tensor,
    q_weight: torch.Tensor,
    k_weight: torch.Tensor,
    cos_sin: torch.Tensor,
    positions: torch.Tensor,
    heads: int,
    kv_heads: int,
    rotary: int,
    eps: float,
    **_: object,
) -> None:
    """Norm queries and keys a head at a time, and rotate their first `rotary` values (halves, as NeoX does), in place.

    Args:
        qkv: [tokens, (heads + 2 * kv_heads) * width].
        q_weight: [width] of the queries' norm.
        k_weight: of the keys'.
        cos_sin: [positions, rotary], cosines before sines.
        positions: [tokens].
        heads: of queries.
        kv_heads: of keys.
        rotary: how many values of a head are rotated.
        eps: of the norms.
    """
    tokens, width = qkv.shape[0], q_weight.shape[0]
    cos, sin = cos_sin[positions].float()[:, None, :].chunk(2, dim=-1)
    first = 0
    for count, weight in ((heads, q_weight), (kv_heads, k_weight)):
        part = qkv[:, first : first + count * width].view(tokens, count, width)
        normed = _normed(part, weight, eps).float()
        left, right = normed[..., : rotary // 2], normed[..., rotary // 2 : rotary]
        turned = torch.cat([left * cos - right * sin, right * cos + left * sin, normed[..., rotary:]], dim=-1)
        part.copy_(turned.to(part.dtype))
        first += count * width
