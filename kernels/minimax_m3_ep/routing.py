"""Which experts each token chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

COUNTED = ("steps", "local", "experts", "blocks")
"""What a step on this package's path adds to its counters: one, its local routes, the experts that have a row, and the
blocks that these rows fill. A step that is not sorted (`few`) has neither of the last two."""


class Routing(NamedTuple):
    """Of one step on one rank."""

    weights: torch.Tensor
    """The router's, [tokens, top_k] float32."""
    ids: torch.Tensor
    """Global experts, [tokens, top_k] int32."""
    expert_map: torch.Tensor
    """Global expert -> local one, or -1, int32."""

    @property
    def experts(self) -> int:
        """Global ones: entries of the map."""
        return self.expert_map.shape[0]
