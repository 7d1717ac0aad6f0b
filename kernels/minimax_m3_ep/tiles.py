"""Which tile each kernel uses for how many tokens: data, one file a GPU, with who measured it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "tiles"
UNBOUNDED = 1 << 30


@dataclass(frozen=True)
class Gemm:
    """Of one of the two products."""

    block_n: int
    block_k: int
    warps: int
    stages: int
    split: int = 1
    """Parts of K, each a program of its own."""
    swap: bool = False
    """Weights times activations instead of activations times weights."""
    prefetch: int = 0
    """Of the second product on NVIDIA: tiles of weights that are asked for before its activations are there."""


@dataclass(frozen=True)
class Tile:
    """Of a layer, for up to `tokens` tokens."""

    tokens: int
    """`UNBOUNDED` where the file says null."""
    block_m: int
    first: Gemm
    second: Gemm
    direct: bool = False
    """Nothing is sorted, and no matrix instruction is used (`few`): for a handful of tokens."""
    fused: bool = False
    """SwiGLU within the first product instead of in a launch of its own."""
    swiglu_rows: int = 4
    swiglu_columns: int = 256
    combine_columns: int = 1024

    def __post_init__(self) -> None:
        """Hold what the kernels take for granted.

        Raises:
            ValueError: parts of K have no SwiGLU before they are summed.
        """
        if self.fused and self.first.split > 1:
            raise ValueError("a fused first product cannot be split along K")


@dataclass(frozen=True)
class Tiles:
    """Of one variant on one GPU."""

    arch: str
    """The compiler's name, such as gfx942 or sm90."""
    measured: str
    """By whom, where and when."""
    tiles: tuple[Tile, ...]
    """By rising number of tokens."""

    def of(self, tokens: int) -> Tile:
        """The tile for a number of tokens.

        Raises:
            ValueError: for more tokens than the file knows.
        """
        for tile in self.tiles:
            if tokens <= tile.tokens:
                return tile
        raise ValueError(
            f"{tokens} tokens are more than the {self.tiles[-1].tokens} that {self.arch}.json has tiles for"
        )


@cache
def load(arch: str, variant: str) -> Tiles:
    """Read a GPU's file.

    Raises:
        ValueError: with what there is, for a GPU or a variant that has none.
    """
    path = FOLDER / f"{arch}.json"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in FOLDER.glob("*.json")))
        raise ValueError(f"no tiles for {arch}: {path.name} is missing; there are {known}")
    content = json.loads(path.read_text())
    if variant not in content["variants"]:
        raise ValueError(f"{path.name} has no tiles for {variant}; it has {', '.join(content['variants'])}")
    part = content["variants"][variant]
    tiles = sorted((_tile(one) for one in part["tiles"]), key=lambda tile: tile.tokens)
    return Tiles(arch, part["measured"], tuple(tiles))


def _tile(row: dict[str, Any]) -> Tile:
    row = row | {"tokens": UNBOUNDED if row["tokens"] is None else row["tokens"]}
    return Tile(**{**row, "first": Gemm(**row["first"]), "second": Gemm(**row["second"])})
