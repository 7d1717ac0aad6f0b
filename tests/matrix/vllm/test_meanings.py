"""What means the same has one key and starts one server, whichever way a person writes it; what means something else has another key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from matrix.vllm import canonical, env_mistakes, meanings
from matrix.vllm.canonical import flag_text
from matrix.vllm.vocabulary import Vocabulary, versions
from tests.matrix.vllm.test_recipe_check import ENV, FLAGS, IMAGE, cells

if TYPE_CHECKING:
    from matrix.expand import Cell

NIGHTLY = "ghcr.io/acme/serving:nightly"
EQUAL = [
    ("max-num-batched-tokens: 16k", "max-num-batched-tokens: 16000"),
    ("max-num-batched-tokens: 8K", "max-num-batched-tokens: 8192"),
    ("max-num-batched-tokens: 1.5k", "max-num-batched-tokens: '1500'"),
    ("attention-backend: triton_attn", "attention-backend: TRITON_ATTN"),
    ("max-num-seqs: '256'", "max-num-seqs: 256"),
    ("block-size: '32 '", "block-size: 32"),
    ("gpu-memory-utilization: 0.90", "gpu-memory-utilization: '0.9'"),
    ("gpu-memory-utilization: 9e-1", "gpu-memory-utilization: 0.9"),
    ("device-memory-utilization: 0.9", "gpu-memory-utilization: 0.9"),
    ("gpu-memory-utilization: 0.92", ""),
    ("cpu-offload-gb: 0", ""),
    ("mm-processor-cache-gb: 4", "mm-processor-cache-gb: '4.0'"),
    ("mm-processor-cache-gb: 4", ""),
    ("trust-remote-code: false", ""),
    ("enforce-eager: false", "tokenizer-mode: auto"),
    ("dtype: auto", ""),
    ("kv-cache-dtype: auto", ""),
    ("optimization-level: '2'", ""),
    ("optimization-level: '3'", "optimization-level: 3"),
    ("quantization: None", ""),
    ("quantization: ''", ""),
    ("max-num-seqs: None", ""),
    ("tool-call-parser: None", ""),
    ("speculative-config: None", ""),
    ("compilation-config: {}", ""),
    ("compilation-config: {mode: 3, cudagraph_num_of_warmups: 1}", "compilation-config: {cudagraph_num_of_warmups: 1, mode: 3}"),
    ("compilation-config.mode: 3", "compilation-config: {mode: 3}"),
    ("compilation-config.mode: '3'", "compilation-config: {mode: '3'}"),
    ("compilation-config.mode: 3", "compilation-config: {mode: vllm_compile}"),
    ("compilation-config.cudagraph_mode: full", "compilation-config: {cudagraph_mode: FULL}"),
    ("compilation-config.cudagraph_mode: Full_Decode_Only", "compilation-config: {cudagraph_mode: FULL_DECODE_ONLY}"),
    ("compilation-config.mode: 3, compilation-config.cudagraph_mode: NONE", "compilation-config: {cudagraph_mode: none, mode: 3}"),
    ("compilation-config.pass_config.fuse_attn_quant: 1", "compilation-config: {pass_config: {fuse_attn_quant: true}}"),
    ("compilation-config.pass_config: {fuse_attn_quant: true}", "compilation-config: {pass_config: {fuse_attn_quant: 'True'}}"),
    ("attention-config: {indexer_kv_dtype: FP8}", "attention-config.indexer_kv_dtype: fp8"),
    ("attention-config: {backend: triton_attn}", "attention-backend: TRITON_ATTN"),
    ("attention-config.backend: TRITON_ATTN", "attention-backend: TRITON_ATTN"),
    ("kernel-config: {moe_backend: triton}", "moe-backend: triton"),
    ("kernel-config.moe_backend: auto", ""),
    ("kernel-config: {enable_flashinfer_autotune: false}", "enable-flashinfer-autotune: false"),
    ("compilation-config: {mode: 3, cudagraph_capture_sizes: [1, 2]}", "compilation-config.mode: 3, cudagraph-capture-sizes: [1, '2']"),
    ("compilation-config: {max_cudagraph_capture_size: 64}", "max-cudagraph-capture-size: 64"),
    ("spec-method: ngram, spec-tokens: 3", "speculative-config: {method: ngram, num_speculative_tokens: '3'}"),
    ("speculative-config.method: NGRAM, speculative-config.num_speculative_tokens: 3", "speculative-config: {method: ngram, num_speculative_tokens: 3}"),
    ("speculative-config: '{\"num_speculative_tokens\": 3, \"method\": \"ngram\"}'", "speculative-config: {method: ngram, num_speculative_tokens: 3}"),
    ("compilation-config: '{\"mode\": 3}'", "compilation-config.mode: 3"),
    ("speculative-config: '{\"method\": \"ngram\"}', spec-tokens: 3", "speculative-config: {method: ngram, num_speculative_tokens: 3}"),
    ("speculative-config.method: ngram, speculative-config.revision: '3'", "speculative-config: {method: ngram, revision: '3'}"),
    ("kv-events-config.endpoint: 1k", "kv-events-config: {endpoint: 1k}"),
    ("cudagraph-capture-sizes: 8", "cudagraph-capture-sizes: [8]"),
    ("hf-overrides: '{\"a\": 1, \"b\": 2}'", "hf-overrides: {b: 2, a: 1}"),
    ("hf-overrides: {a: {b: 1}}", "hf-overrides.a.b: 1"),
    ("limit-mm-per-prompt: {image: 2}", "limit-mm-per-prompt.image: 2"),
    ("hf-overrides.a: 'null'", "hf-overrides: {a: null}"),
    ("hf-overrides.a: '1_000'", "hf-overrides: {a: 1000}"),
    ("kv-events-config.replay_endpoint: 'null'", "kv-events-config: {replay_endpoint: null}"),
    ("kv-events-config.endpoint: '\"x\"'", "kv-events-config: {endpoint: x}"),
    ("compilation-config.dynamic_shapes_config.type: backed", "compilation-config: {dynamic_shapes_config: {type: backed}}"),
    ("compilation-config: {cudagraph_capture_sizes: []}", "compilation-config.cudagraph_capture_sizes: '[]'"),
    ("attention-config: {backend: triton_msa}", "attention-config.backend: TRITON_MSA"),
]  # fmt: skip
"""Flags of one meaning; an empty text is none at all."""
OTHER = [
    ("compilation-config.mode: 3", "compilation-config.mode: 0"),
    ("compilation-config: {mode: 3}", ""),
    ("compilation-config: {mode: 3}", "compilation-config: {mode: 3, cudagraph_mode: FULL}"),
    ("compilation-config: {cudagraph_mode: FULL}", "compilation-config: {cudagraph_mode: FULL_DECODE_ONLY}"),
    ("compilation-config: {pass_config: {fuse_attn_quant: true}}", "compilation-config: {pass_config: {fuse_attn_quant: false}}"),
    ("attention-config: {backend: ROCM_ATTN}", "attention-backend: TRITON_ATTN"),
    ("max-num-batched-tokens: 8k", "max-num-batched-tokens: 8K"),
    ("gpu-memory-utilization: 0.92", "gpu-memory-utilization: 0.91"),
    ("async-scheduling: false", ""),
    ("kv-cache-dtype: auto", "kv-cache-dtype: fp8"),
    ("optimization-level: 2", "optimization-level: 3"),
    ("prefix-cache-retention-interval: None", ""),
    ("hf-overrides: {a: '1'}", "hf-overrides: {a: 1}"),
    ("hf-overrides: {a: x}", "hf-overrides: {a: X}"),
    ("hf-overrides: {a.b: 1}", "hf-overrides: {a: {b: 1}}"),
    ("cudagraph-capture-sizes: [8]", "cudagraph-capture-sizes: [8, 16]"),
    ("compilation-config: {mode: null}", "compilation-config: {mode: 0}"),
    ("compilation-config: {cudagraph_mode: null}", "compilation-config: {cudagraph_mode: NONE}"),
    ("attention-config: {backend: TRITON_MSA}", "attention-backend: TRITON_MSA"),
    ("attention-config: {backend: CUTLASS_MSA}", "attention-backend: CUTLASS_MSA"),
    ("engram-config: {}", ""),
    ("kv-events-config: {}", ""),
    ("hf-overrides: {a: null}", "hf-overrides: {a: None}"),
    ("hf-overrides: {a: '1_000'}", "hf-overrides: {a: 1000}"),
    ("kv-events-config: {replay_endpoint: 'null'}", "kv-events-config: {replay_endpoint: null}"),
    ("ignore-patterns: None", ""),
    ("ignore-patterns: ''", ""),
]  # fmt: skip
"""Near to each other, and not one meaning."""
SAME_ENV = [
    ('VLLM_ROCM_USE_AITER: "1"', "VLLM_ROCM_USE_AITER: 'True'"),
    ('VLLM_ROCM_USE_AITER: "1"', "VLLM_ROCM_USE_AITER: 'true'"),
    ('VLLM_ROCM_USE_AITER: "1"', "VLLM_ROCM_USE_AITER: 'TRUE'"),
    ('VLLM_ROCM_USE_AITER: "0"', "VLLM_ROCM_USE_AITER: 'False'"),
    ('VLLM_ROCM_USE_AITER: "0"', "VLLM_ROCM_USE_AITER: 'off'"),
    ('VLLM_USE_BREAKABLE_CUDAGRAPH: "0"', "VLLM_USE_BREAKABLE_CUDAGRAPH: 'false'"),
    ('VLLM_ENGINE_READY_TIMEOUT_S: "3600"', "VLLM_ENGINE_READY_TIMEOUT_S: '03600'"),
    ("VLLM_LOGGING_LEVEL: DEBUG", "VLLM_LOGGING_LEVEL: debug"),
    ("VLLM_GDN_DECODE_KERNEL: triton", "VLLM_GDN_DECODE_KERNEL: TRITON"),
    ('VLLM_ENGINE_READY_TIMEOUT_S: "600"', "VLLM_ENGINE_READY_TIMEOUT_S: ' 600'"),
]
OTHER_ENV = [
    ('VLLM_ROCM_USE_AITER: "1"', 'VLLM_ROCM_USE_AITER: "0"'),
    ('VLLM_ENGINE_READY_TIMEOUT_S: "600"', 'VLLM_ENGINE_READY_TIMEOUT_S: "601"'),
    ('VLLM_USE_FLASHINFER_SAMPLER: "0"', 'NOT_VLLMS: "0"'),
    ('NOT_VLLMS: "1"', "NOT_VLLMS: 'true'"),
]


SPACED = [
    ("VLLM_ROCM_USE_AITER", "1 "),
    ("VLLM_DISABLE_PYNCCL", "1 "),
    ("VLLM_MARLIN_USE_ATOMIC_ADD", " 0"),
    ("VLLM_LOGGING_LEVEL", " INFO"),
    ("VLLM_TRITON_USE_TD", "off"),
    ("VLLM_FLOAT32_MATMUL_PRECISION", "HIGH"),
]
"""Texts that vLLM reads as something else than a person does."""


def _cell(root: Path, new: str, image: str = IMAGE) -> Cell:
    (cell,) = cells(root, f"{IMAGE}\ncluster: c\nserve:\n  {FLAGS}", f"{image}\ncluster: c\nserve:\n  {new}")
    return cell


def _flags(text: str) -> str:
    return f"flags: {{{text}}}"


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_flags_have_one_key_and_one_command_line(tmp_path: Path, one: str, other: str) -> None:
    """The command line differs at most in defaults that are said."""
    a, b = (_cell(tmp_path, _flags(text)) for text in (one, other))
    assert a.key == b.key
    if one and other and "enforce-eager" not in one:
        assert a.flags == b.flags


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_other_flags_have_another_key(tmp_path: Path, one: str, other: str) -> None:
    """Also where they look alike."""
    assert _cell(tmp_path, _flags(one)).key != _cell(tmp_path, _flags(other)).key


@pytest.mark.parametrize(("one", "other"), SAME_ENV)
def test_equal_variables_have_one_key(tmp_path: Path, one: str, other: str) -> None:
    """By what this vLLM does with their texts."""
    a, b = (_cell(tmp_path, ENV % text) for text in (one, other))
    assert (a.key, a.env) == (b.key, b.env)


@pytest.mark.parametrize(("one", "other"), OTHER_ENV)
def test_other_variables_have_another_key(tmp_path: Path, one: str, other: str) -> None:
    """Nobody knows how another program reads its own."""
    assert _cell(tmp_path, ENV % one).key != _cell(tmp_path, ENV % other).key


@pytest.mark.parametrize(("name", "text"), SPACED)
def test_a_text_that_vllm_reads_otherwise_stays_and_is_refused(name: str, text: str) -> None:
    """A space is a part of it to vLLM, and of one switch only 0 is off: another spelling would start another server."""
    words = Vocabulary.of("0.32.0")
    assert meanings.variables(words, {name: text}) == {name: text}
    assert env_mistakes.of_variable(words, name, text)


def test_words_of_the_nearest_version_move_nothing_between_flags() -> None:
    """Whether an unknown vLLM has the flag of a part is not known."""
    said: dict[str, object] = {"attention-config.backend": "TRITON_ATTN"}
    assert meanings.flags(Vocabulary.of("0.32.9"), said) == said
    assert meanings.flags(Vocabulary.of("0.32.0"), said) == {"attention-backend": "TRITON_ATTN"}


def test_no_number_is_written_as_a_dotted_name() -> None:
    """VLLM's parser takes -1.0 for a flag with a part."""
    plain = meanings.flags(Vocabulary.of("0.32.0"), {"kv-offloading-size": -1, "cpu-offload-gb": "2"})
    assert {name: flag_text(value) for name, value in plain.items()} == {
        "kv-offloading-size": "-1",
        "cpu-offload-gb": "2.0",
    }


def test_a_variable_that_is_set_is_no_variable_that_is_not(tmp_path: Path) -> None:
    """Also to its default: vLLM asks of some whether they are set."""
    assert _cell(tmp_path, ENV % 'VLLM_ENGINE_READY_TIMEOUT_S: "600"').key != _cell(tmp_path, "flags: {}").key


def test_a_rule_that_says_the_same_is_no_other_point(tmp_path: Path) -> None:
    """Dotted in `when`, or as a mapping; None there takes away as null does."""
    rule = "flags: {block-size: 16}\n  when: [{concurrency: 1, flags: {%s}}]"
    whole, dotted = (_cell(tmp_path, rule % text) for text in ("compilation-config: {mode: 3}", "compilation-config.mode: 3"))  # fmt: skip
    assert whole.key == dotted.key
    assert _cell(tmp_path, rule % "block-size: None").key == _cell(tmp_path, "flags: {}").key


def test_a_mapping_and_its_dotted_name_are_one_for_an_unknown_vllm_too(tmp_path: Path) -> None:
    """Every version reads dotted names so; more is not known of its flags."""
    a, b, c = (
        _cell(tmp_path, _flags(text), NIGHTLY)
        for text in ("compilation-config: {mode: 3}", "compilation-config.mode: 3", "compilation-config.mode: VLLM_COMPILE")
    )  # fmt: skip
    assert a.key == b.key
    assert b.key != c.key


def test_a_recipes_own_mapping_is_left_as_it_is() -> None:
    """One rule's part does not stay for the next point."""
    said: dict[str, object] = {"hf-overrides": {"a": {"b": 1}}, "hf-overrides.a.c": 2}
    assert meanings.flags(None, said) == {"hf-overrides": {"a": {"b": 1, "c": 2}}}
    assert said == {"hf-overrides": {"a": {"b": 1}}, "hf-overrides.a.c": 2}


@pytest.mark.parametrize("version", versions())
def test_flags_of_one_thing_are_in_every_version(version: str) -> None:
    """The table of parts that are flags, too, holds for all that is known."""
    known = Vocabulary.of(version).file.flags
    for part, name in meanings.ONE_THING.items():
        whole, _, inner = part.partition(".")
        assert (inner in known[whole].fields) == (name in known)


@pytest.mark.parametrize("version", versions())
def test_what_is_canonical_stays_so(version: str) -> None:
    """Every default and choice that vLLM names, and every text of a switch."""
    words = Vocabulary.of(version)
    for name, flag in words.file.flags.items():
        for value in (*flag.choices, flag.default):
            once = canonical.canonical(words, name, value)
            assert canonical.canonical(words, name, once) == once
            assert flag.type == "list" or value in {once, "None"}, name
    for variable in words.file.env.values():
        for text in (*variable.on, *variable.choices, "0"):
            once = canonical.of_variable(variable, text)
            assert canonical.of_variable(variable, once) == once
            if variable.on:
                assert (once in variable.on) == (text in variable.on)
