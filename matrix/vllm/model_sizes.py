"""How many weights a model has, and how much a token's keys and values are, from the words of its config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matrix import memory, tree

if TYPE_CHECKING:
    from matrix.source import Source

TYPES = ("minimax_m3_text", "qwen3_moe")
"""Kinds of models whose layers are counted here; others are not known."""
STORED = {None: "BF16", "mxfp8": "MXFP8"}
"""How weights are kept, by the quantization that config.json names."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a model; weights are counted without norms and other small things, so that they are the least."""

    stored: str
    """How its weights are kept: BF16, MXFP8."""
    experts: int
    """Weights of all experts of all layers, shared ones not among them."""
    linears: int
    """Of attention, dense layers and shared experts."""
    embeddings: int
    """Of the table of words and the last layer, which are kept in BF16."""
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    index_layers: int = 0
    """Layers with a cache of an indexer beside keys and values."""
    index_dim: int = 0


def of(source: Source, model: str) -> Sizes | str:
    """A model's sizes, or why they are not known: a clause.

    Args:
        source: of the recipes, which may carry the model's config.json.
        model: as the recipe says it.
    """
    if not tree.is_carried(model):
        if known := memory.known().models.get(model):
            return _counted(known.config, known.stored)
        return f"no sizes of {model}"
    path = f"{model}/config.json"
    try:
        config = json.loads(source.read(path)) if path in source.files(model) else {}
    except (ValueError, RecursionError):
        config = {}
    if not isinstance(config, dict) or config.get("model_type") not in TYPES:
        return f"no sizes of {model}"
    kept = config.get("quantization_config")
    method = kept.get("quant_method") if isinstance(kept, dict) else kept
    if config.get("torch_dtype") != "bfloat16" or method not in STORED:
        return f"{model} is not kept in {' or '.join(STORED.values())}"
    try:
        return _counted(config, STORED[method])
    except (KeyError, TypeError, ValueError):
        return f"{path} does not say all sizes"


def _counted(config: dict[str, Any], stored: str) -> Sizes:
    """Raises KeyError, TypeError or ValueError for a file that does not say it all."""
    hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
    heads, kv_heads, head_dim = (
        int(config[name]) for name in ("num_attention_heads", "num_key_value_heads", "head_dim")
    )
    sparse = _sparse_layers(config, layers)
    experts = int(config.get("num_local_experts", config.get("num_experts", 0)))
    wide = int(config.get("moe_intermediate_size", config["intermediate_size"]))
    dense = int(config.get("dense_intermediate_size", config["intermediate_size"]))
    shared = int(config.get("n_shared_experts", 0)) * int(config.get("shared_intermediate_size", wide))
    index = config.get("sparse_attention_config", {})
    mlp = 3 * hidden
    attention = layers * 2 * hidden * head_dim * (heads + kv_heads)
    tables = 1 if config.get("tie_word_embeddings") else 2
    return Sizes(
        stored=stored,
        experts=sparse * experts * mlp * wide,
        linears=attention + (layers - sparse) * mlp * dense + sparse * mlp * shared,
        embeddings=tables * int(config["vocab_size"]) * hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        index_layers=int(config.get("index_layers", sum(index.get("sparse_attention_freq", ())))),
        index_dim=int(config.get("index_dim", index.get("sparse_index_dim", 0))),
    )


def _sparse_layers(config: dict[str, Any], layers: int) -> int:
    """Layers with experts."""
    if "sparse_layers" in config:
        return int(config["sparse_layers"])
    if "moe_layer_freq" in config:
        return sum(map(bool, config["moe_layer_freq"]))
    step, dense = int(config.get("decoder_sparse_step", 1)), set(config.get("mlp_only_layers", ()))
    return sum(1 for number in range(layers) if number not in dense and (number + 1) % step == 0)
