"""Names of flags in a recipe: those that a point or the harness sets, those that would hide what is served, and how they are spelt."""

from __future__ import annotations

import re

OWNED_FLAGS = {
    "tensor-parallel-size": "tp in search",
    "pipeline-parallel-size": "pp in search",
    "data-parallel-size": "dp in search",
    "enable-expert-parallel": "ep in search",
    "decode-context-parallel-size": "dcp in search",
    "prefill-context-parallel-size": "pcp in search",
    "max-model-len": "max-model-len of the recipe or the workload",
    "model": "model of the recipe",
    "revision": "revision of the recipe",
    "host": "the harness",
    "port": "port of the cluster",
}
"""What a point or the harness sets, and where a recipe says it instead."""
REFUSED_FLAGS = {"config", "uds", "served-model-name", "api-key", "tokenizer", "root-path"}
_NAME = r"[a-z][a-z0-9-]*(\.[a-z0-9_-]+)*"
IN_SEARCH = {"tp", "pp", "dp", "ep", "dcp", "pcp"}
"""Short names of parallel sizes, as a row of `search` has them."""


def check(name: str) -> str:
    """A flag's name that a recipe may set.

    Raises:
        ValueError: with what to write, or who sets it.
    """
    if (short := name.strip("-").lower()) in IN_SEARCH:
        raise ValueError(f"the flag {name!r} is set by {short} in search; take it out here")
    if level := re.fullmatch(r"-?O\.?([0-3]?)", name):
        raise ValueError(f"write optimization-level: {level[1] or 'N'} instead of {name!r}")
    if owner := OWNED_FLAGS.get(name.replace("_", "-")):
        raise ValueError(f"the flag {name!r} is set by {owner}; take it out here")
    if name.startswith("no-"):
        raise ValueError(f"write {name.removeprefix('no-')}: false instead of {name!r}")
    hidden = len(name) > 1 and any(
        flag.startswith(name) for flag in (*REFUSED_FLAGS, "ssl-")
    )  # vLLM takes `served-m` for `served-model-name`
    if hidden or name.startswith("ssl-"):
        raise ValueError(
            f"the flag {name!r} would hide from the key, or from the client, what is served; take it out"
        )
    if owner := next((owner for flag, owner in OWNED_FLAGS.items() if flag.startswith(name)), None):
        raise ValueError(f"the flag {name!r} reads as one that is set by {owner}; take it out here")
    if not re.fullmatch(_NAME, name):
        whole, dot, part = name.strip().partition(".")
        apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", whole.strip("-"))  # maxNumSeqs
        meant = re.sub(r"[_\s]+", "-", apart.lower()) + dot + part
        as_vllm = "write it as vLLM does, without the dashes in front"
        hint = f"write {meant}" if re.fullmatch(_NAME, meant) else as_vllm
        raise ValueError(f"{name!r} is not a flag's name; {hint}")
    return name
