"""The local experts' weights: BF16, or the checkpoint's E4M3 bytes with their E8M0 scales."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from . import reference
from .shapes import GROUP, Shape

LARGEST_NARROW = 134
"""The largest scale byte for which widening takes one multiplication."""


@dataclass(frozen=True)
class Weights:
    """Of the local experts."""

    shape: Shape
    w1: torch.Tensor
    """[experts, 2 * intermediate, hidden]: BF16, or E4M3 bytes."""
    w2: torch.Tensor
    """[experts, hidden, intermediate]."""
    s1: torch.Tensor | None = None
    """E8M0 bytes of w1 as `pack_scales` lays them; None for BF16."""
    s2: torch.Tensor | None = None
    wide: bool = False
    """Some scale is so large that widening takes two multiplications."""

    @classmethod
    def compressed(
        cls, shape: Shape, w1: torch.Tensor, s1: torch.Tensor, w2: torch.Tensor, s2: torch.Tensor
    ) -> Weights:
        """From a checkpoint's bytes and its scales [experts, N, K / 32]; the bytes stay where they are."""
        wide = any(int(s.view(torch.uint8).max()) > LARGEST_NARROW for s in (s1, s2))
        return cls(shape, w1.view(torch.uint8), w2.view(torch.uint8), pack_scales(s1), pack_scales(s2), wide)

    def widened(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Compressed weights in BF16, for a CPU."""
        assert self.s1 is not None  # noqa: S101 - they are compressed
        assert self.s2 is not None  # noqa: S101
        parts = (self.w1, self.s1), (self.w2, self.s2)
        first, second = (reference.widen(values, unpack_scales(scales)) for values, scales in parts)
        return first, second


def pack_scales(scales: torch.Tensor) -> torch.Tensor:
    """[experts, N, K / 32] to [experts, K / 256, N, 8], so that what a tile needs of them lies together."""
    experts, n, groups = scales.shape
    together = together_of(groups * GROUP)
    packed = scales.view(torch.uint8).reshape(experts, n, groups // together, together)
    return packed.transpose(1, 2).contiguous()


def unpack_scales(packed: torch.Tensor) -> torch.Tensor:
    """[experts, N, K / 32] again."""
    return packed.transpose(1, 2).flatten(2).contiguous()


def together_of(k: int) -> int:
    """How many scale bytes of a row lie together."""
    groups = k // GROUP
    return next(size for size in (8, 4, 2, 1) if groups % size == 0)
