"""How people spell images, models, flags and keys that they know from other tools: each is refused with what to write instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from matrix.errors import HarnessError
from tests.matrix.vllm.test_recipe_check import CLUSTER, ENV, FLAGS, IMAGE, cells

HEX = "a1" * 32
MODEL, ROW, PRECISION = "model: org/model", "concurrency: 1", "precision: bf16"
BAD = {
    "docker's colon": (IMAGE, f"docker:{IMAGE}", f"3:1: write '{IMAGE}', without docker:"),
    "a protocol and the hub": (IMAGE, "docker://docker.io/vllm/vllm-openai:v0.32.0", "write 'vllm/vllm-openai:v0.32.0', without docker://"),
    "a user": (IMAGE, '"docker://me@nvcr.io#nvidia/vllm:1"', "write 'nvcr.io/nvidia/vllm:1'"),
    "a user of NVIDIA's pages": (IMAGE, '"docker://$oauthtoken@nvcr.io#nvidia/vllm:1"', "3:1: write 'nvcr.io/nvidia/vllm:1': who asks"),
    "a user without a protocol": (IMAGE, '"me@nvcr.io#nvidia/vllm:1"', "write 'nvcr.io/nvidia/vllm:1': who asks"),
    "a user before a port": (IMAGE, f"me@localhost:5000/x/y:1@sha256:{HEX}", f"write 'localhost:5000/x/y:1@sha256:{HEX}': who asks"),
    "a file with a blank": (IMAGE, "/data/my x.sqsh", "give the file a name without one"),
    "an archive with a blank": (IMAGE, '"archive:my x"', "give the file a name without one"),
    "a mark in a tag": (IMAGE, '"a/b:1#x"', "'a/b:1#x' has a # where none can be"),
    "a port that is none": (IMAGE, "ghcr.io:99999/a/b:1", "'ghcr.io:99999' is no registry: ports go up to 65535"),
    "a loud protocol": (IMAGE, f"DOCKER://{IMAGE}", f"write '{IMAGE}', without docker://"),
    "a tool and enroot's mark": (IMAGE, '"docker://nvcr.io#nvidia/vllm:1"', "write 'nvcr.io/nvidia/vllm:1'"),
    "podman's storage": (IMAGE, "containers-storage:x/y:1", "write 'x/y:1', without containers-storage:"),
    "a registry's address": (IMAGE, "https://ghcr.io/a/b:1", "is an address; write 'ghcr.io/a/b:1'"),
    "a page of the hub": (IMAGE, "https://hub.docker.com/r/vllm/vllm-openai", "write vllm/vllm-openai:TAG"),
    "a page without https": (IMAGE, "hub.docker.com/r/vllm/vllm-openai:v1", "write vllm/vllm-openai:v1"),
    "the hub's own name": (IMAGE, f"docker.io/{IMAGE}", f"write '{IMAGE}', without docker.io"),
    "the hub's other name": (IMAGE, "index.docker.io/library/ubuntu:24.04", "write 'ubuntu:24.04'"),
    "the hub's folder": (IMAGE, "library/ubuntu:24.04", "write 'ubuntu:24.04', without library/"),
    "a registry in capitals": (IMAGE, "Quay.io/x/y:1", "write quay.io/x/y:1"),
    "a file beside": (IMAGE, "./x.sqsh", "is a file; write archive:x.sqsh"),
    "a file at home": (IMAGE, "~/x.sqsh", "is a file; write archive:x.sqsh"),
    "another container's file": (IMAGE, "img.sif", "is a file; write archive:img.sif"),
    "an archive in a folder": (IMAGE, "archive:/x/y.sqsh", "the name of a file below the cluster's paths.archives, without folders"),
    "an archive above": (IMAGE, "archive:../y.sqsh", "without folders"),
    "an archive without a name": (IMAGE, '"archive:"', "without folders"),
    "an archive of no place": (IMAGE, "archive:y.sqsh", "c has no paths.archives"),
    "a tag behind an at sign": (IMAGE, "vllm/vllm-openai@v0.32.0", "write vllm/vllm-openai:v0.32.0"),
    "a digest in capitals": (IMAGE, f"vllm/vllm@SHA256:{HEX.upper()}", f"write vllm/vllm@sha256:{HEX}"),
    "a digest behind a colon": (IMAGE, f"vllm/vllm:sha256:{HEX}", f"write vllm/vllm@sha256:{HEX}"),
    "a digest alone": (IMAGE, f'"sha256:{HEX}"', "a digest alone names no image"),
    "digits alone": (IMAGE, HEX, "a digest alone names no image"),
    "a command": (IMAGE, f"docker pull {IMAGE}", f"write '{IMAGE}', without docker pull"),
    "a loud address": (IMAGE, "HTTPS://ghcr.io/a/b:1", "is an address; write 'ghcr.io/a/b:1'"),
    "a blank behind": (IMAGE, f'"{IMAGE} "', f"write '{IMAGE}'"),
    "a variable": (IMAGE, "vllm/vllm:$TAG", "$TAG in 'vllm/vllm:$TAG' is not expanded"),
    "a template": (IMAGE, '"vllm/vllm:{{tag}}"', "is not expanded"),
    "a range of packages": (IMAGE, "vllm>=0.32.0", "write vllm==0.32.0"),
    "a package of no version": (IMAGE, "vllm==nightly", "'nightly' is no version of a package; write vllm==0.32.0 or the like"),
    "half a version": (IMAGE, "vllm==0.31", "write vllm==0.31.0"),
    "a version's letter": (IMAGE, "vllm==v0.32.0", "write vllm==0.32.0"),
    "a model's page": (MODEL, "model: https://huggingface.co/org/model", "1:1: write 'org/model'"),
    "a model's protocol": (MODEL, "model: hf://org/model", "write 'org/model'"),
    "a model at a branch": (MODEL, "model: org/model@main", "write model: org/model and revision: main"),
    "a model's slash": (MODEL, "model: org/model/", "write 'org/model'"),
    "a model below another": (MODEL, "model: a/b/c", "is no model's name"),
    "a model at home": (MODEL, "model: ~/x", "is no whole path"),
    "8 bits for 4": (f"{MODEL}\n{PRECISION}", "model: org/M-NVFP4\nprecision: fp8", "2:1: precision fp8 cannot be: the weights are NVFP4; write nvfp4"),
    "4 bits for 8": (f"{MODEL}\n{PRECISION}", "model: org/M-FP8\nprecision: int4", "the weights are FP8; write fp8"),
    "8 bits for 16": (f"{MODEL}\n{PRECISION}", "model: org/M-BF16\nprecision: fp8", "the weights are BF16; write bf16"),
    "narrowed at load": (FLAGS, "flags: {quantization: fp8}", "precision bf16 cannot be: the weights are fp8"),
    "a precision of no name": (PRECISION, "precision: fp9", "precision fp9 is none that is known; did you mean 'fp8'?"),
    "a short name of search": (FLAGS, "flags: {tp: 8}", "6:11: the flag 'tp' is set by tp in search"),
    "a short name with its dash": (FLAGS, "flags: {-dcp: 2}", "the flag '-dcp' is set by dcp in search"),
    "experts": (FLAGS, "flags: {ep: 8}", "the flag 'ep' is set by ep in search"),
    "a level": (FLAGS, "flags: {O3: true}", "write optimization-level: 3 instead of 'O3'"),
    "an underscore before the dot": (FLAGS, "flags: {compilation_config.mode: 3}", "write compilation-config.mode"),
    "per cent": (FLAGS, "flags: {gpu-memory-utilization: 90%}", "write 0.9"),
    "per cent without the sign": (FLAGS, "flags: {gpu-memory-utilization: 95}", "write 0.95"),
    "a comma": (FLAGS, 'flags: {gpu-memory-utilization: "0,9"}', "write 0.9"),
    "thousands": (FLAGS, 'flags: {max-num-batched-tokens: "16,384"}', "write 16384"),
    "another's type": (FLAGS, "flags: {dtype: bf16}", "did you mean 'bfloat16'?"),
    "a choice in capitals": (FLAGS, "flags: {dtype: BFLOAT16}", "did you mean 'bfloat16'?"),
    "a flag of the past": (FLAGS, "flags: {swap-space: 4}", "vLLM 0.32.0 has no flag 'swap-space'; take it out"),
    "a flag that moved": (FLAGS, "flags: {guided-decoding-backend: x}", "write structured-outputs-config: {backend: …}"),
    "a device by hand": (FLAGS, "flags: {device: cuda}", "vLLM 0.32.0 has no flag 'device'; take it out"),
    "a part of the past": (FLAGS, "flags: {compilation-config: {level: 3}}", "has no part 'level'; write mode"),
    "a variable of the past": (FLAGS, ENV % 'VLLM_USE_FLASHINFER_MOE_FP4: "1"', "does not read VLLM_USE_FLASHINFER_MOE_FP4; use the flag moe-backend"),
    "a variable that became a part": (FLAGS, ENV % 'VLLM_USE_TRTLLM_ATTENTION: "0"', "use attention-config: {use_trtllm_attention: …}"),
    "nothing taken away": (FLAGS, "flags: {seed: null}", "6:11: null takes seed away, and nothing has set it"),
    "nothing taken away by a rule": ("serve:\n", "serve:\n  when: [{concurrency: 1, env: {A: null}}]\n", "null takes A away"),
    "deep JSON": (FLAGS, f"flags: {{hf-overrides: '{'[' * 2_000}'}}", "JSON nested more than 32 deep"),
    "deep JSON in a mapping": (FLAGS, f"flags: {{hf-overrides: {{a: '{'[' * 2_000}'}}}}", "JSON nested more than 32 deep"),
    "deep JSON of a part": (FLAGS, f"flags: {{hf-overrides.a: '{'[' * 2_000}'}}", "JSON nested more than 32 deep"),
    "deep JSON of a variable": (FLAGS, f"env: {{VLLM_HUMMING_ONLINE_QUANT_CONFIG: '{'[' * 2_000}'}}", "JSON nested more than 32 deep"),
    "thousands of digits": (FLAGS, f"flags: {{max-num-seqs: '{'9' * 5_000}'}}", "a number of 4,000 digits or more"),
    "thousands of digits of a variable": (FLAGS, f"env: {{VLLM_ENGINE_READY_TIMEOUT_S: '{'9' * 5_000}'}}", "a number of 4,000 digits or more"),
    "a whole file": (FLAGS, f"flags: {{chat-template: {'x' * 20_000}}}", "20,000 letters, and at most 16,384"),
    "a home in a variable": (FLAGS, ENV % "HF_HOME: $HOME/hub", "6:9: $HOME in '$HOME/hub' is not expanded"),
    "a variable in small letters": (FLAGS, ENV % 'vllm_rocm_use_aiter: "1"', "write VLLM_ROCM_USE_AITER"),
    "other GPUs": (FLAGS, ENV % 'ROCR_VISIBLE_DEVICES: "0"', "6:9: ROCR_VISIBLE_DEVICES: the launcher says which GPUs a server has"),
    "a cache for all runs": (FLAGS, ENV % "TRITON_CACHE_DIR: /x", "TRITON_CACHE_DIR: runs would share what they compile"),
    "a place that the harness sets": (FLAGS, ENV % "TMPDIR: /x", "TMPDIR is set by the harness"),
    "code that is loaded before": (FLAGS, ENV % "LD_AUDIT: /x", "LD_AUDIT is set by the harness"),
    "a reason of no words": (FLAGS, 'flags: {enable-lora: true}\nbecause: {enable-lora: " "}', "If it is meant, say why"),
    "a token in a description": ("cluster: c", "cluster: c\ndescription: hf_abcdefghijklmnopqrstuv", "5:1: description looks like a secret"),
    "flags in the wrong place": ("cluster: c", "cluster: c\nflags: {seed: 1}", "5:1: unknown key 'flags'; write serve: {flags: {…}}"),
    "another tool's range": (ROW, f"{ROW}, conc-end: 4", "unknown key 'conc-end'; write concurrency: 4..256"),
    "vLLM's name for tp": (ROW, f"{ROW}, tensor-parallel-size: 8", "unknown key 'tensor-parallel-size'; write tp"),
    "a key in capitals": (ROW, f"{ROW}, TP: 8", "unknown key 'TP'; write tp"),
    "an owner without @": ("cluster: c", "cluster: c\nowners: [bob]", "write @NAME of a person, or @ORG/TEAM"),
}  # fmt: skip
BEYOND_A_SCHEMA = {
    "an archive of no place": "the cluster file's",
    "a port that is none": "the size of a number in a text",
    "8 bits for 4": "two keys that contradict",
    "4 bits for 8": "two keys that contradict",
    "8 bits for 16": "two keys that contradict",
    "narrowed at load": "two keys that contradict",
    "a precision of no name": "a model may come with a new one",
    "nothing taken away": "what other files and keys have set",
    "nothing taken away by a rule": "what other files and keys have set",
    "a part of the past": "parts of a flag",
    "a variable in small letters": "names of other programs have them",
    "a whole file": "a length at any depth",
    "deep JSON": "what is in a text",
    "deep JSON in a mapping": "what is in a text",
    "deep JSON of a part": "what is in a text",
    "deep JSON of a variable": "what is in a text",
    "thousands of digits": "what is in a text",
    "thousands of digits of a variable": "what is in a text",
    "a token in a description": "a text for people, at any key",
    "a reason of no words": "one reason of many",
}
"""What `check` says and the editor's schema cannot."""


@pytest.mark.parametrize("case", BAD)
def test_what_other_tools_write_gets_our_spelling(tmp_path: Path, case: str) -> None:
    """At its place; a secret is never shown."""
    old, new, wanted = BAD[case]
    with pytest.raises(HarnessError) as caught:
        cells(tmp_path, old, new)
    text = str(caught.value)
    assert wanted in text
    assert "abcdefghij" not in text


@pytest.mark.parametrize(
    "case", [name for name, (old, _, told) in BAD.items() if old == IMAGE and "write '" in told]
)
def test_what_is_said_to_write_is_taken(tmp_path: Path, case: str) -> None:
    """Nobody is told twice of one image."""
    written = re.search("write '([^']+)'", BAD[case][2])
    assert written
    assert cells(tmp_path, IMAGE, written[1])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (IMAGE, "docker:24.0"),
        (IMAGE, "localhost:5000/x/y:1"),
        (IMAGE, "reg:5000/x:1"),
        (MODEL, "model: /models/a/b"),
        (MODEL, "model: gpt2"),
        (MODEL, "model: s3://bucket/a/b"),
        (f"{MODEL}\n{PRECISION}", "model: org/M-MXFP8\nprecision: mxfp8"),
        (f"{MODEL}\n{PRECISION}", "model: org/M-MXFP6\nprecision: mxfp6"),
        (f"{MODEL}\n{PRECISION}", "model: org/M-BF16\nprecision: fp8\nvehicle: null"),
        (FLAGS, 'env: {A: "1"}\n  when: [{concurrency: 1, env: {A: null}}]'),
        (FLAGS, "flags: {block-size: 16}\n  when: [{concurrency: 1, flags: {block-size: null}}]"),
    ],
)
def test_what_is_meant_so_is_taken(tmp_path: Path, old: str, new: str) -> None:
    """Near the mistakes, and none."""
    if "vehicle" in new:  # a wide model, narrowed at load
        new = new.replace("\nvehicle: null", "")
        old, new = f"{old}\nimage: {IMAGE}\ncluster: c\nserve:\n  {FLAGS}", f"{new}\nimage: {IMAGE}\ncluster: c\nserve:\n  flags: {{quantization: fp8}}"  # fmt: skip
    assert cells(tmp_path, old, new)


@pytest.mark.parametrize("flags", ["tokenizer-mode: fast", "block-size: 127"])
def test_what_vllm_may_take_and_probably_does_not_is_noted(tmp_path: Path, flags: str) -> None:
    """A plugin may bring a word, and a backend of its own another block."""
    (cell,) = cells(tmp_path, FLAGS, f"flags: {{{flags}}}")
    assert flags.split(":", maxsplit=1)[0] in cell.notes[0]


def test_a_variable_of_the_cluster_can_be_taken_away(tmp_path: Path) -> None:
    """Null in `env` is for what the cluster sets."""
    (cell,) = cells(tmp_path, FLAGS, ENV % "A: null", f'{CLUSTER}env: {{A: "1", B: "2"}}\n')
    assert cell.env == {"B": "2"}
