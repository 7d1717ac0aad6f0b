"""All flags and variables of a point, so that what means the same is written the same, has one key, and starts one server."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from matrix.vllm import canonical, mappings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matrix.vllm.vocabulary import Vocabulary

AS_A_FLAG = {
    "attention-config.backend": "attention-backend",
    "compilation-config.cudagraph_capture_sizes": "cudagraph-capture-sizes",
    "compilation-config.max_cudagraph_capture_size": "max-cudagraph-capture-size",
    "kernel-config.enable_flashinfer_autotune": "enable-flashinfer-autotune",
    "kernel-config.linear_backend": "linear-backend",
    "kernel-config.moe_backend": "moe-backend",
    "kernel-config.sparse_indexer_topk_backend": "sparse-indexer-topk-backend",
}
"""Part of a mapping -> the flag that vLLM lays there."""
AS_A_PART = {
    "spec-method": "speculative-config.method",
    "spec-model": "speculative-config.model",
    "spec-tokens": "speculative-config.num_speculative_tokens",
}
"""The other way: flags of a thing that is mostly written as a mapping."""
ELSEWHERE = {"attention-config.backend": ("CUTLASS_MSA", "TRITON_MSA")}
"""Values of a part that the flag does not have: there they choose one kernel alone, and as a flag the backend of every layer."""
NOTHING_IN_IT = {
    *(
        "additional-config",
        "attention-config",
        "aux-output-config",
        "compilation-config",
        "ec-manager-config",
    ),
    *("eplb-config", "fault-tolerance-config", "hf-overrides", "ir-op-priority", "kernel-config"),
    *("limit-mm-per-prompt", "media-io-kwargs", "model-class-overrides", "model-loader-extra-config"),
    *("override-generation-config", "profiler-config", "structured-outputs-config"),
}
"""Flags of which an empty mapping is what vLLM takes anyway; of others it turns something on, such as engram-config."""
ONE_THING = AS_A_FLAG | {part: flag for flag, part in AS_A_PART.items()}
"""Every part that has a flag of its own."""


def flags(vocabulary: Vocabulary | None, said: Mapping[str, object]) -> dict[str, object]:
    """Flags by name, each in its one spelling, and without those that say nothing.

    Args:
        vocabulary: of the server's vLLM, or None where nobody knows it; then only dotted names are looked at.
        said: as a recipe has them; None takes one away.
    """
    found = {
        own_name(vocabulary, name): value
        for name, value in said.items()
        if value is not None and not (isinstance(value, str) and _is_nothing(vocabulary, name, value))
    }
    found = {name: _mapping(vocabulary, name, value) for name, value in found.items()}
    found = mappings.joined(vocabulary, {_as_a_part(name, found): value for name, value in found.items()})
    for name in list(found):
        value = canonical.canonical(vocabulary, name, found[name]) if vocabulary else found[name]
        if isinstance(value, dict):
            found |= _hoisted(vocabulary, name, value, found)
        else:
            found[name] = value
    plain = [
        mappings.split(name, cast("mappings.Said", value)) if isinstance(value, dict) else (name, value)
        for name, value in found.items()
        if value is not None and not (value == {} and name in NOTHING_IN_IT)
    ]
    return dict(sorted(plain))


def texts(vocabulary: Vocabulary | None, plain: Mapping[str, object]) -> dict[str, str | bool | list[str]]:
    """Flags as the command line has them, after `flags`."""

    def is_list(name: str) -> bool:
        flag = vocabulary.flag(name) if vocabulary else None
        return flag is not None and flag.type == "list"

    return {name: canonical.flag_text(value, words=is_list(name)) for name, value in plain.items()}


def defaults(vocabulary: Vocabulary | None, plain: Mapping[str, object]) -> set[str]:
    """Flags that are left out of the key: a recipe that says them and one that does not have the same server."""
    if vocabulary is None:
        return set()
    return {name for name, value in plain.items() if canonical.is_default(vocabulary, name, value)}


def variables(vocabulary: Vocabulary | None, said: Mapping[str, str | None]) -> dict[str, str]:
    """Variables by name, in one spelling each; None takes one away."""
    known = vocabulary.file.env if vocabulary else {}
    return {
        name: canonical.of_variable(known[name], text) if name in known else text
        for name, text in sorted(said.items())
        if text is not None
    }


def own_name(vocabulary: Vocabulary | None, name: str) -> str:
    """The flag's own name for another spelling of it."""
    whole, dot, part = name.partition(".")
    return (vocabulary.names.get(whole, whole) if vocabulary else whole) + dot + part


def _is_nothing(vocabulary: Vocabulary | None, name: str, value: str) -> bool:
    flag = vocabulary.flag(name) if vocabulary else None
    return flag is not None and canonical.is_nothing(flag, value)


def _mapping(vocabulary: Vocabulary | None, name: str, value: object) -> object:
    """A mapping for its JSON, before parts are laid into it."""
    flag = vocabulary.flag(name) if vocabulary else None
    made = canonical.mapping(value) if flag is None or flag.type == "json" else value
    return made if isinstance(made, dict) else value


def _as_a_part(name: str, beside: Mapping[str, object]) -> str:
    part = AS_A_PART.get(name, name)
    return part if isinstance(beside.get(part.partition(".")[0], {}), dict) else name


def _hoisted(
    vocabulary: Vocabulary | None, name: str, value: mappings.Said, beside: Mapping[str, object]
) -> dict[str, object]:
    """A JSON flag with its parts in one spelling, and as flags those that are flags, too; of a version's own words only."""
    flag = vocabulary.flag(name) if vocabulary else None
    if flag is None or vocabulary is None:
        return {name: value}
    kept = mappings.fitted(flag, name, value)
    found: dict[str, object] = {name: kept}
    for part in list(kept):
        whole = f"{name}.{part}"
        other = AS_A_FLAG.get(whole, "")
        stays = kept[part] is None or kept[part] == [] or kept[part] in ELSEWHERE.get(whole, ())
        if other not in beside and vocabulary.exact and vocabulary.flag(other) and not stays:
            found[other] = canonical.canonical(vocabulary, other, kept.pop(part))
    return found
