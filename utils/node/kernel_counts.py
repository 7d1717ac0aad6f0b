"""What the workers of a server with a patched kernel counted: steps on each path, and the routes in them."""

from __future__ import annotations

from matrix.schema import Kept


class Layers(Kept):
    """What a kernel makes of a worker's layers when they are loaded."""

    gated: int = 0
    """Those that take its path where a step allows it."""
    refused: dict[str, int] = {}
    """The others, by reason."""


class Routed(Kept):
    """Routes of steps that a kernel computed, summed over steps and layers."""

    local: int = 0
    """Routes to experts of this worker: each is a row of an expert's product."""
    experts: int = 0
    """Experts that had a row; 0 where the kernel sorts nothing."""
    blocks: int = 0
    """Blocks of rows that they filled: as many as `experts` where all rows of an expert fit in one."""

    def since(self, before: Routed) -> Routed:
        """What was counted after an earlier answer."""
        return Routed(
            local=self.local - before.local,
            experts=self.experts - before.experts,
            blocks=self.blocks - before.blocks,
        )


class Marker(Kept):
    """What one worker counted on each path of a patched kernel: steps by number of tokens."""

    worker: int
    kernel: str = ""
    variant: str = ""
    vllm: str = ""
    bound: int | None = None
    """The most tokens of a step that the kernel takes."""
    layers: Layers = Layers()
    taken: dict[int, int] = {}
    """Steps that every layer took on the kernel's path."""
    taken_most: dict[int, int] = {}
    """Steps that some layer did: the same, unless layers part ways."""
    fallback: dict[int, int] = {}
    """Steps on the engine's own path."""
    routed: dict[int, Routed] = {}
    """What the kernel's steps of each number of tokens computed."""
    local_experts: int | None = None
    """Experts of a layer on this worker."""
    error: str | None = None

    def since(self, before: Marker | None) -> Marker:
        """What was counted after an earlier answer of the same worker."""
        if before is None:
            return self.model_copy(update={"error": self.error or "it did not answer before the load"})
        counts = {
            path: {
                tokens: n - earlier.get(tokens, 0) for tokens, n in now.items() if n != earlier.get(tokens, 0)
            }
            for path, now, earlier in (
                ("taken", self.taken, before.taken),
                ("taken_most", self.taken_most, before.taken_most),
                ("fallback", self.fallback, before.fallback),
            )
        }
        nothing = Routed()
        routed = {
            tokens: now.since(before.routed.get(tokens, nothing)) for tokens, now in self.routed.items()
        }
        done = {tokens: one for tokens, one in routed.items() if one != nothing}
        return self.model_copy(update={**counts, "routed": done})
