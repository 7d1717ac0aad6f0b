"""What a recipe says to its server: mistakes that only a GPU node noticed before, contradictions, secrets, and one key for one meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import HarnessError
from matrix.expand import Cell, expand
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import write
from tests.matrix.vllm import made

RECIPE = """\
model: org/model
precision: bf16
image: vllm/vllm-openai-rocm:v0.32.0
cluster: c
serve:
  flags: {block-size: 16}
workloads:
- {isl: 32, osl: 16, search: [{concurrency: 1}]}
"""
CLUSTER = made.CLUSTER + "env_from: {HIP_VISIBLE_DEVICES: ROCR_VISIBLE_DEVICES}\n"
FLAGS, ENV, IMAGE = "flags: {block-size: 16}", "env: {%s}", "vllm/vllm-openai-rocm:v0.32.0"
BAD = {
    "a letter is missing": (FLAGS, "flags: {max-num-batched-token: 8}", "recipes/r.yaml:6:11: 'max-num-batched-token' is short for 'max-num-batched-tokens'"),
    "a word for a number": (FLAGS, "flags: {block-size: big}", "6:11: 'block-size' takes a whole number above 0"),
    "a misspelt variable": (FLAGS, ENV % 'VLLM_ENGINE_REDY_TIMEOUT_S: "3600"', "6:9: vLLM 0.32.0 does not read VLLM_ENGINE_REDY_TIMEOUT_S; did you mean 'VLLM_ENGINE_READY_TIMEOUT_S'?"),
    "a switch that is no switch": (FLAGS, ENV % 'VLLM_USE_BREAKABLE_CUDAGRAPH: "true"', "VLLM_USE_BREAKABLE_CUDAGRAPH"),
    "a level that Python has not": (FLAGS, ENV % "VLLM_LOGGING_LEVEL: VERBOSE", "6:9: VLLM_LOGGING_LEVEL cannot be 'VERBOSE'"),
    "a bare key of AWS": (FLAGS, f"flags: {{hf-overrides: {{x: {'q9Zt1LmX+0bVfRw8Jd' + 'K3sPnG7hYcUe/5oAiTxB4c'}}}}}", "hf-overrides looks like a secret"),
    "what blinds the gates": (FLAGS, "flags: {disable-log-stats: true}", "the server's counters are off, and gates could not fail; take it out"),
    "half of a pair in capitals": (FLAGS, "flags: {kv-transfer-config: {kv_connector: X, kv_role: KV_PRODUCER}}", "it starts one half of prefill and decode"),
    "a switch that vLLM decides": (FLAGS, ENV % "VLLM_TRITON_USE_TD: 'off'", "takes 'off' for neither on nor off"),
    "a space in a switch": (FLAGS, ENV % "VLLM_DISABLE_PYNCCL: ' 1'", "takes the space in ' 1' for a part of it; take it out"),
    "a space in a choice": (FLAGS, ENV % "VLLM_LOGGING_LEVEL: 'INFO '", "takes the space in 'INFO ' for a part of it"),
    "a log that is off, with two zeros": (FLAGS, ENV % 'VLLM_CONFIGURE_LOGGING: "00"', "the log would not say what was compiled"),
    "half of a pair": (FLAGS, "flags: {kv-transfer-config: {kv_connector: X, kv_role: kv_producer}}", "it starts one half of prefill and decode"),
    "an adapter that nobody asks for": (FLAGS, "flags: {enable-lora: true}", "If it is meant, say why: because: {enable-lora: …}"),
    "a cache that nothing hits": (FLAGS, "flags: {enable-prefix-caching: true}", "because: {enable-prefix-caching: …}"),
    "a part beside the whole": (FLAGS, "flags: {compilation-config: {mode: 3}, compilation-config.cudagraph_mode: NONE}", "6:42: compilation-config is a mapping here, too, and vLLM forgets that where a part is given by itself; write cudagraph_mode into the mapping"),
    "a flag and its part": (FLAGS, "flags: {attention-backend: ROCM_ATTN, attention-config: {backend: TRITON_ATTN}}", "6:41: attention-config.backend and attention-backend are one thing to vLLM; take one of them out"),
    "a word in a list of numbers, as a part": (FLAGS, "flags: {compilation-config: {cudagraph_capture_sizes: [a]}}", "'cudagraph-capture-sizes' takes a whole number"),
    "two names of a flag": (FLAGS, "flags: {gpu-memory-utilization: 0.8, device-memory-utilization: 0.9}", "6:40: device-memory-utilization and gpu-memory-utilization are one thing"),
    "against the cluster": (FLAGS, ENV % 'HIP_VISIBLE_DEVICES: "0"', "6:9: HIP_VISIBLE_DEVICES is set by env_from of c"),
    "a token by its name": (FLAGS, ENV % 'HF_TOKEN: "x"', "6:9: HF_TOKEN looks like a secret"),
    "a token by its look": (FLAGS, ENV % 'HF_HOME: "hf_abcdefghijklmnopqrstuv"', "HF_HOME looks like a secret"),
    "a token in a flag": (FLAGS, 'flags: {hf-overrides: {x: "ghp_abcdefghijklmnopqrstuv"}}', "hf-overrides looks like a secret"),
    "bf16 of FP8 weights": ("org/model", "org/Model-MXFP8", "2:1: precision bf16 cannot be: the weights are MXFP8"),
    "bf16, quantized": (FLAGS, "flags: {quantization: fp8}", "precision bf16 cannot be: the weights are fp8"),
    "a protocol in front": (IMAGE, f"docker://{IMAGE}", f"3:1: write '{IMAGE}', without docker://"),
    "an address": (IMAGE, "https://wheels.vllm.ai/nightly", "is an address; an image is REGISTRY/NAME:TAG"),
    "a file": (IMAGE, "/lustre/img.sqsh", "write archive:img.sqsh"),
    "enroot's spelling": (IMAGE, '"nvcr.io#nvidia/vllm:1"', "write 'nvcr.io/nvidia/vllm:1'"),
    "a short digest": (IMAGE, "vllm/vllm@sha256:abc", "@sha256:abc is no digest"),
    "capital letters": (IMAGE, "VLLM/vllm:1", "small letters only: 'vllm/vllm:1'"),
    "numbers in one text": (FLAGS, "flags: {cudagraph-capture-sizes: '1,2, 4'}", "6:11: 'cudagraph-capture-sizes' takes a list: write [1, 2, 4], not \"1,2, 4\""),
    "a list of numbers as JSON": (FLAGS, "flags: {cudagraph-capture-sizes: '[1, 2]'}", "takes a list: write [1, 2], not"),
    "a list of words as JSON": (FLAGS, "flags: {ignore-patterns: '[\"a*\", \"b\"]'}", "'ignore-patterns' takes a list: write [a*, b], not"),
    "capitals inside of a name": (FLAGS, "flags: {maxNumSeqs: 8}", "'maxNumSeqs' is not a flag's name; write max-num-seqs"),
    "words for a list": (FLAGS, "flags: {compilation-config: {compile_sizes: '1,2,4'}}", "6:11: 'compilation-config.compile_sizes' takes a list, not \"1,2,4\""),
    "a list as text in a mapping": (FLAGS, "flags: {compilation-config: {compile_sizes: '[1, 2]'}}", "6:11: 'compilation-config.compile_sizes' takes a list: write [1, 2] without quotes around it"),
    "a number for a list": (FLAGS, "flags: {compilation-config.compile_sizes: 8}", "'compilation-config.compile_sizes' takes a list, not 8"),
    "a word for a mapping": (FLAGS, "flags: {compilation-config: {pass_config: fuse_norm_quant}}", "'compilation-config.pass_config' takes a mapping, not"),
    "no version": (IMAGE, "vllm/vllm-openai", "names no version; write vllm/vllm-openai:TAG"),
    "an empty tag": (IMAGE, '"vllm/vllm-openai:"', "'' is no tag"),
}  # fmt: skip
BEYOND_A_SCHEMA = {
    "half of a pair": "one value of a part",
    "half of a pair in capitals": "one value of a part",
    "a log that is off, with two zeros": "a number's other spelling",
    "a part beside the whole": "two keys that contradict",
    "a word in a list of numbers, as a part": "a part of a part",
    "a list of words as JSON": "a text may be any word",
    "a list as text in a mapping": "a part of a part",
    "words for a list": "a part of a part",
    "a number for a list": "a part of a part",
    "a word for a mapping": "a part of a part",
    "a flag and its part": "two keys that contradict",
    "two names of a flag": "two keys that contradict",
    "a token in a flag": "a text at any depth",
    "a bare key of AWS": "a text at any depth",
    "bf16 of FP8 weights": "two keys that contradict",
    "bf16, quantized": "two keys that contradict",
}
"""What `check` says and the editor's schema cannot."""


def cells(root: Path, old: str = "", new: str = "", cluster: str = CLUSTER) -> list[Cell]:
    """The points of a recipe with one change."""
    assert old in RECIPE
    write(root / "recipes/r.yaml", RECIPE.replace(old, new, 1) if old else RECIPE)
    write(root / "recipes/clusters/c.yaml", cluster)
    return expand(Tree.of(Folder(root)), "r")


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_found_before_the_queue(tmp_path: Path, case: str) -> None:
    """At its place, with what to write."""
    old, new, wanted = BAD[case]
    with pytest.raises(HarnessError) as caught:
        cells(tmp_path, old, new)
    text = str(caught.value)
    assert wanted in text
    assert "abcdefghij" not in text, "a secret is never shown"


@pytest.mark.parametrize(
    ("name", "value"),
    [("enable-lora", "true"), ("enable-prefix-caching", "true"), ("enable-log-requests", "true")],
)
def test_what_measures_something_else_wants_a_reason(tmp_path: Path, name: str, value: str) -> None:
    """With one it is taken."""
    reason = (
        f"{FLAGS.replace('block-size: 16', f'{name}: {value}')}\nbecause: {{{name}: what it costs when idle}}"
    )
    (cell,) = cells(tmp_path, FLAGS, reason)
    assert cell.flags[name] is True


def test_a_list_becomes_words(tmp_path: Path) -> None:
    """As vLLM's list flags want it."""
    (cell,) = cells(tmp_path, FLAGS, "flags: {cudagraph-capture-sizes: [1, 2, 4]}")
    assert cell.flags["cudagraph-capture-sizes"] == ["1", "2", "4"]


def test_an_unknown_version_is_noted_and_tried(tmp_path: Path) -> None:
    """With the words of the nearest one; nothing is refused on their account."""
    (cell,) = cells(
        tmp_path,
        IMAGE + "\ncluster: c\nserve:\n  " + FLAGS,
        "vllm/vllm-openai-rocm:v0.99.0\ncluster: c\nserve:\n  flags: {block-siz: 16}",
    )
    version, flag = cell.notes
    assert (
        "vLLM 0.99.0 is not known here; its flags, variables and load client are taken for those of 0.33.0"
        in version
    )
    assert "recipes/r.yaml:6:11" in flag
    assert flag.endswith("as of 0.33.0")


def test_an_image_without_a_version_is_noted(tmp_path: Path) -> None:
    """Its flags cannot be checked."""
    (cell,) = cells(tmp_path, IMAGE, "ghcr.io/acme/serving:nightly")
    assert "does not say which vLLM it has" in cell.notes[0]


@pytest.mark.parametrize("image", ["ghcr.io/acme/serving:nightly", "vllm/vllm-openai-rocm:v0.99.0"])
@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ("compilation-config.pass_config.fuse_rope_kvcache: true", "vLLM takes the next word for it"),
        ("cc.pass_config.fuse_rope_kvcache: false", "write cc: {pass_config: {fuse_rope_kvcache: false}}"),
        ("""kv-transfer-config: '{"kv_role": "kv_producer"}'""", "it starts one half of prefill and decode"),
        ("disable-log-stat: true", "disable-log-stats: the server's counters are off"),
    ],
)
def test_what_no_version_bears_is_refused_with_an_unknown_one_too(
    tmp_path: Path, image: str, flags: str, wanted: str
) -> None:
    """A nightly image's server reads its command line as every other one does."""
    old = IMAGE + "\ncluster: c\nserve:\n  " + FLAGS
    with pytest.raises(HarnessError) as caught:
        cells(tmp_path, old, f"{image}\ncluster: c\nserve:\n  flags: {{{flags}}}")
    assert wanted in str(caught.value)


@pytest.mark.parametrize("path", ["/lustre/$USER/squash", "~/squash", "/x/${HOME}/y"])
def test_paths_of_a_cluster_are_whole(tmp_path: Path, path: str) -> None:
    """Nothing but $UID is expanded, and nothing stays literal in a batch script."""
    with pytest.raises(HarnessError, match="is not expanded; only"):
        cells(tmp_path, cluster=CLUSTER.replace("/images", f'"{path}"'))
    assert cells(tmp_path, cluster=CLUSTER.replace("/images", "/raid/$UID/squash"))


def test_a_variant_does_not_answer_for_its_parents_rules(tmp_path: Path) -> None:
    """A rule that none of the variant's points meets is the parent's business."""
    rule = FLAGS + "\n  when: [{isl: 32, flags: {max-num-seqs: 8}}]"
    write(
        tmp_path / "recipes/v.yaml",
        "extends: r\nworkloads:\n- {isl: 64, osl: 16, search: [{concurrency: 1}]}\n",
    )
    assert cells(tmp_path, FLAGS, rule)
    assert expand(Tree.of(Folder(tmp_path)), "v")


def test_a_number_that_python_cannot_write_is_said(tmp_path: Path) -> None:
    """Also without quotes."""
    with pytest.raises(HarnessError) as caught:
        cells(tmp_path, FLAGS, f"flags: {{max-num-seqs: {'9' * 5_000}}}")
    assert "digits" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "wanted"),
    [
        ('VLLM_NO_USAGE_STAT: "1"', "recipes/clusters/c.yaml:7:7: vLLM 0.33.0 does not read VLLM_NO_USAGE_STAT; did you mean"),
        ('VLLM_CONFIGURE_LOGGING: "0"', "recipes/clusters/c.yaml:7:7: VLLM_CONFIGURE_LOGGING: the log would not say"),
        ('VLLM_CONFIGURE_LOGGING: "00"', "recipes/clusters/c.yaml:7:7: VLLM_CONFIGURE_LOGGING: the log would not say"),
        (f'VLLM_HUMMING_ONLINE_QUANT_CONFIG: "{"[" * 2_000}"', "JSON nested more than 32 deep"),
        (f'VLLM_ENGINE_READY_TIMEOUT_S: "{"9" * 5_000}"', "a number of 4,000 digits or more"),
    ],
)  # fmt: skip
def test_a_clusters_variables_are_looked_at(tmp_path: Path, variable: str, wanted: str) -> None:
    """At their place in its file; what some known version reads is taken, for a cluster serves recipes of several."""
    with pytest.raises(HarnessError) as caught:
        cells(tmp_path, cluster=f"{CLUSTER}env: {{{variable}}}\n")
    assert wanted in str(caught.value)
    assert cells(tmp_path, cluster=f'{CLUSTER}env: {{VLLM_ROCM_USE_AITER: "1"}}\n')
