"""The layers of an official recipe, laid over each other for one checkpoint and GPU: facts.

The order is that of the official site's code (src/lib/command-synthesis.js of vllm-project/recipes at 8959cf6), because the YAML itself
does not say it: base, variant, variant on this GPU, layout, then the hardware's generation (for the recipe, then for the variant; a
layout's own takes the place of both), layout on this GPU, features. Of two that say the same flag or variable the later one wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from matrix.errors import Exit, HarnessError, did_you_mean
from matrix.vllm.official.document import Strategy, Variant
from matrix.vllm.official.facts import Facts, Feature, Layer, Origin, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matrix.vllm.official import document
    from matrix.vllm.official.document import Official, Text, Word

Any_ = TypeVar("Any_")
DEFAULT_IMAGES = {"nvidia": "vllm/vllm-openai", "amd": "vllm/vllm-openai-rocm"}


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the official recipes name it."""

    id: str
    brand: str
    generation: str
    vram_gb: float
    """Of one."""

    @property
    def keys(self) -> tuple[str, ...]:
        """By which a map may name it, the closest first."""
        return (self.id, self.generation, self.brand, "default")


GPUS = {
    one.id: one
    for one in (
        *(Gpu("h100", "nvidia", "hopper", 80), Gpu("h200", "nvidia", "hopper", 141)),
        *(Gpu("b200", "nvidia", "blackwell", 180), Gpu("b300", "nvidia", "blackwell", 268)),
        *(Gpu("gb200", "nvidia", "blackwell", 192), Gpu("gb300", "nvidia", "blackwell", 288)),
        *(
            Gpu("mi300x", "amd", "amd", 192),
            Gpu("mi325x", "amd", "amd", 256),
            Gpu("mi355x", "amd", "amd", 288),
        ),
    )
}
"""Of taxonomy.yaml beside the official recipes, those of a server's kind."""


def gpu(model: str) -> Gpu:
    """By a cluster's `devices.model`.

    Raises:
        HarnessError: USAGE for one that is not known here.
    """
    if found := GPUS.get(model.lower()):
        return found
    hint = did_you_mean(model.lower(), GPUS)
    raise HarnessError(Exit.USAGE, f"no official recipe can be resolved for {model!r}; {hint}")


def resolve(read: Official, model: str, on: Gpu, gpus: int, source: Origin) -> Facts:
    """Facts of one checkpoint on one kind of node.

    Args:
        read: the official file.
        model: the checkpoint's name, which picks the variant.
        on: the GPU.
        gpus: how many a node has.
        source: where the file is from.

    Raises:
        HarnessError: USAGE where the file has no such checkpoint, or not for this GPU.
    """
    named = {name: one.model_id or read.model.model_id for name, one in read.variants.items()}
    variant = next((name for name, one in named.items() if one == model), None)
    if variant is None:
        raise HarnessError(
            Exit.USAGE,
            f"{source.path} is not about {model}; {did_you_mean(model, named.values()) or 'it has no variants'}",
        )
    checkpoint = read.variants[variant]
    if checkpoint.supported_hardware and on.id not in checkpoint.supported_hardware:
        there = ", ".join(checkpoint.supported_hardware)
        raise HarnessError(Exit.USAGE, f"{source.path} has {variant} for {there} alone, not for {on.id}")
    layouts = _layouts(read, checkpoint, on, gpus)
    whole = {name: _of_layout(read, checkpoint, on, strategy) for name, strategy in layouts.items()}
    common = _common(list(whole.values()) or [_of_layout(read, checkpoint, on, Strategy())])
    return Facts(
        source=source,
        model=model,
        variant=variant,
        gpu=on.id,
        gpus=gpus,
        image=_image(read, checkpoint, on),
        flags=common.flags,
        env=common.env,
        features=_features(read, variant, on),
        layouts={name: _rest(one, common) for name, one in whole.items()},
    )


def flags(args: Iterable[Word]) -> dict[str, Value]:
    """Flags of a list such as `--block-size 128 --no-x`; of two alike the later one wins."""
    found: dict[str, list[str]] = {}
    now: list[str] = []
    for word in map(str, args):
        if not re.fullmatch(r"--?[A-Za-z][^\s=]*(=.*)?", word, re.DOTALL):
            now.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        first, dot, rest = name.partition(".")
        name = first.replace("_", "-") + dot + rest
        now = [value] if equals else []
        found.pop(name, None)
        found[name] = now
    return dict(_flag(name, words) for name, words in found.items())


def _flag(name: str, words: Sequence[str]) -> tuple[str, Value]:
    if not words:
        return (name[3:], False) if name.startswith("no-") else (name, True)
    return name, words[0] if len(words) == 1 else list(words)


def _of_layout(read: Official, variant: Variant, on: Gpu, strategy: Strategy) -> Layer:
    exact = variant.hardware_overrides.get(on.id)
    own = _of_generation(strategy.hardware_overrides, on)
    hardware = [own] if own else [_of_generation(one.hardware_overrides, on) for one in (read, variant)]
    parts = [exact, strategy, *hardware, strategy.hardware_overrides.get(on.id)]
    args = [*read.model.base_args, *variant.extra_args]
    env = _texts(read.model.base_env) | _texts(variant.extra_env)
    for part in parts:
        if part:
            args += part.extra_args
            env |= _texts(part.extra_env)
    return Layer(flags=flags(args), env=env)


def _of_generation(overrides: Mapping[str, Any_], on: Gpu) -> Any_ | None:
    return overrides.get(on.generation) or overrides.get(on.brand)


def _layouts(read: Official, variant: Variant, on: Gpu, gpus: int) -> dict[str, Strategy]:
    """Layouts of one node by the name that points have, with what the recipe changes of them."""
    tp = next(
        (
            min(size, gpus)
            for one in (variant, read.strategy_overrides.get("single_node_tp", Strategy()))
            if (size := _keyed(one.tp, on))
        ),
        1 if variant.vram_minimum_gb and variant.vram_minimum_gb <= on.vram_gb else gpus,
    )
    names = {
        "single_node_tp": f"tp{tp}",
        "single_node_tep": f"tp{gpus}-ep{gpus}",
        "single_node_dep": f"tp1-ep{gpus}-dp{gpus}",
    }
    return {
        layout: read.strategy_overrides.get(name, Strategy())
        for name, layout in names.items()
        if name in read.compatible_strategies
    }


def _keyed(value: int | dict[str, int] | None, on: Gpu) -> int | None:
    return _closest(value, on) if isinstance(value, dict) else value


def _closest(values: Mapping[str, Any_], on: Gpu) -> Any_ | None:
    return next((values[key] for key in on.keys if key in values), None)


def _features(read: Official, variant: str, on: Gpu) -> dict[str, Feature]:
    found: dict[str, Feature] = {}
    for name, feature in read.features.items():
        default = name not in read.opt_in_features
        if not feature.modes:
            own = _of_generation(feature.hardware_overrides, on)
            found[name] = Feature(flags=flags((own or feature).args), default=default)
            continue
        modes = {mode: one for mode, one in feature.modes.items() if _is_offered(one, variant, on)}
        wanted = (read.variants[variant].default_modes.get(name), feature.default_mode, *modes)
        first = next((mode for mode in wanted if mode in modes), None)
        for mode, one in modes.items():
            own = _closest(one.hardware_overrides, on)
            there = Feature(flags=flags((own or one).args), default=default and mode == first)
            found[f"{name}.{mode}"] = there
    return found


def _is_offered(mode: document.Mode, variant: str, on: Gpu) -> bool:
    gated = "unsupported" in {mode.hardware.get(on.id), mode.hardware.get(on.generation)}
    return not gated and (not mode.variants or variant in mode.variants)


def _image(read: Official, variant: Variant, on: Gpu) -> str:
    exact = variant.hardware_overrides.get(on.id)
    if exact and isinstance(exact.docker_image, str):
        return exact.docker_image.removeprefix("docker pull ").strip()
    for said in (variant.docker_image, read.model.docker_image):
        if isinstance(said, str) and on.brand == "nvidia":
            return said
        if isinstance(said, dict) and isinstance(named := said.get(on.brand), str):
            return named
    return f"{DEFAULT_IMAGES[on.brand]}:{'nightly' if read.model.nightly_required else 'latest'}"


def _texts(env: Mapping[str, Text]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in env.items()
    }


def _common(layers: Sequence[Layer]) -> Layer:
    """What all of them have alike."""
    first = layers[0]
    return Layer(
        flags={n: v for n, v in first.flags.items() if all(one.flags.get(n) == v for one in layers)},
        env={n: v for n, v in first.env.items() if all(one.env.get(n) == v for one in layers)},
    )


def _rest(layer: Layer, common: Layer) -> Layer:
    return Layer(
        flags={n: v for n, v in layer.flags.items() if n not in common.flags},
        env={n: v for n, v in layer.env.items() if n not in common.env},
    )
