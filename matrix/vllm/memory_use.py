"""What a vLLM server takes of each GPU's memory: weights as the GPU holds them, and keys and values beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matrix.memory import GIB, Memory, Room, known
from matrix.vllm.vocabulary import Vocabulary, version_in, versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matrix.cluster import Devices
    from matrix.recipe import Search
    from matrix.vllm.model_sizes import Sizes

BYTES = {"BF16": 2.0, "MXFP8": 1 + 1 / 32}
"""Of a weight; MXFP8 has a scale of a byte for 32 of them."""
UTILIZATION = "gpu-memory-utilization"
OTHER_WEIGHTS = ("quantization", "hf-overrides", "cpu-offload-gb", "offload-backend", "offload-group-size")
"""Flags with which weights are another size, or are elsewhere."""
WIDENS = "VLLM_MXFP8_EMULATION_DEQUANT_AT_LOAD"
"""Turned off, linear layers stay as they are stored where their product is emulated; experts do not ask for it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A point's server, as far as memory goes."""

    devices: Devices
    search: Search
    image: str
    flags: Mapping[str, str | bool | list[str]]
    env: Mapping[str, str]
    kernel: Mapping[str, str] | None
    max_model_len: int


def of(sizes: Sizes | str, asked: Asked) -> Room:
    """What is known of a point's memory, with its kernel and without it."""
    has_gpus = asked.devices.kind != "cpu"
    gpu_gib = asked.devices.memory_gib or (
        known().gpus[asked.devices.model].gib if asked.devices.model in known().gpus else None
    )
    if not has_gpus:
        return Room()
    if isinstance(sizes, str):
        return Room(unknown=sizes)
    if gpu_gib is None:
        return Room(unknown=f"no size of {asked.devices.model} (devices.memory_gib)")
    if other := [name for name in OTHER_WEIGHTS if name in asked.flags]:
        return Room(unknown=f"{other[0]} changes it")
    bare = (
        _judged(sizes, replace(asked, kernel=None), gpu_gib, "without its kernel ") if asked.kernel else None
    )
    return replace(_judged(sizes, asked, gpu_gib, ""), bare=bare)


def _judged(sizes: Sizes, asked: Asked, gpu_gib: float, subject: str) -> Room:
    memory = _memory(sizes, asked, gpu_gib)
    if memory.fits:
        return Room(memory)
    context = f", {memory.request_gib:.1f} for one request of {asked.max_model_len} tokens"
    need = memory.weights_gib + memory.request_gib
    why = (
        f"{subject}needs at least {need:.1f} GiB a GPU: weights {memory.weights_gib:.1f} ({memory.parts})"
        f"{context if memory.request_gib else ''}; of the {gpu_gib:g} GiB of one {asked.devices.model} vLLM takes "
        f"{memory.usable_gib:.1f} ({UTILIZATION} {memory.usable_gib / gpu_gib:g})"
    )
    ways = _ways(sizes, asked, gpu_gib, with_kernels=not subject)
    return Room(memory, refusal=f"{why}; {' or '.join(ways) or 'it needs larger GPUs, or more of them'}")


def _ways(sizes: Sizes, asked: Asked, gpu_gib: float, *, with_kernels: bool) -> list[str]:
    """What to change so that it fits, with what it takes then."""
    found = []
    for name, variants in known().kept.items() if with_kernels else ():
        for variant, stored in variants.items():
            kept = replace(asked, kernel={"name": name, "variant": variant})
            now = _memory(sizes, kept, gpu_gib)
            if (
                stored == sizes.stored
                and now.experts_as == stored != _memory(sizes, asked, gpu_gib).experts_as
                and now.fits
            ):
                found.append(
                    f"keep experts in {stored} (kernel {name}, variant {variant}: {now.weights_gib:.1f})"
                )
    search = asked.search
    tp = 2 * search.tp
    while tp * search.pp * search.dp * search.pcp <= asked.devices.count and sizes.heads % tp == 0:
        ep = tp * search.dp if search.ep > 1 else 1
        now = _memory(sizes, replace(asked, search=search.model_copy(update={"tp": tp, "ep": ep})), gpu_gib)
        if now.fits:
            found.append(
                f"spread it over more GPUs (tp: {tp}{f', ep: {ep}' if ep > 1 else ''}: {now.weights_gib:.1f})"
            )
            break
        tp *= 2
    return found


def _memory(sizes: Sizes, asked: Asked, gpu_gib: float) -> Memory:
    search, arch = asked.search, asked.devices.arch
    widened = arch in known().widened.get(sizes.stored, ())
    keeps = asked.kernel is not None and search.ep > 1 and _kept(asked.kernel) == sizes.stored
    experts_as = "BF16" if widened and not keeps else sizes.stored
    linears_as = "BF16" if widened and asked.env.get(WIDENS, "1") in {"1", "true", "True"} else sizes.stored
    experts = sizes.experts * BYTES[experts_as] / (search.tp * search.dp * search.pcp * search.pp)
    rest = (sizes.linears * BYTES[linears_as] + sizes.embeddings * BYTES["BF16"]) / (search.tp * search.pp)
    usable = gpu_gib * _utilization(asked)
    token = _token_bytes(sizes, asked)
    free = max(0.0, usable * GIB - experts - rest)
    return Memory(
        experts_gib=experts / GIB,
        experts_as=experts_as if sizes.experts else "",
        rest_gib=rest / GIB,
        gpu_gib=gpu_gib,
        usable_gib=usable,
        kv_tokens=int(free / token) if token else None,
        request_gib=token * asked.max_model_len / GIB if token else 0.0,
    )


def _kept(kernel: Mapping[str, str]) -> str | None:
    return known().kept.get(kernel["name"], {}).get(kernel["variant"])


def _utilization(asked: Asked) -> float:
    """Of a GPU's memory; all of it where a flag gives bytes in its place."""
    if any(name.startswith("kv-cache-memory") for name in asked.flags):
        return 1.0
    flag = Vocabulary.of(version_in(asked.image) or versions()[-1]).flag(UTILIZATION)
    names = [UTILIZATION, *(flag.aliases if flag else ())]
    said = next((asked.flags[name] for name in names if name in asked.flags), flag.default if flag else None)
    try:
        return float(str(said))
    except ValueError:  # of an image that does not say its version, whose flags nobody checks
        return 1.0


def _token_bytes(sizes: Sizes, asked: Asked) -> float | None:
    """Keys and values of a token on one GPU; None for a type whose size is not known here."""
    kind = str(asked.flags.get("kv-cache-dtype", "auto"))
    each = 1 if kind.startswith("fp8") else 2 if kind in {"auto", "bfloat16", "float16"} else None
    if each is None:
        return None
    search = asked.search
    heads = max(1, sizes.kv_heads // search.tp)
    narrow = any("indexer" in f"{name} {text}" and "fp8" in str(text) for name, text in asked.flags.items())
    index = sizes.index_layers * sizes.index_dim * (1 if narrow else 2)
    return (sizes.layers * 2 * heads * sizes.head_dim * each + index) / (search.pp * search.dcp)
