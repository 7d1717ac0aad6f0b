"""An official recipe's layers, on a small file of our own in the official form, and the facts that are in the tree."""

from __future__ import annotations

import pytest

from matrix.errors import HarnessError
from matrix.source import Folder
from matrix.vllm.official import document, facts, layers
from matrix.vllm.official.facts import Facts, Origin
from tests.conftest import ROOT

FILE = """\
meta: {title: Made up, date_added: 2026-01-02, date_updated: 2026-02-03}
model:
  model_id: org/Model
  docker_image: {nvidia: "org/cuda:1", amd: "org/rocm:1"}
  base_args: ["--block-size", "128", "--max_num_seqs=64"]
  base_env: {BASE: "1", WINS: base}
features:
  tools: {description: d, args: ["--tool-call-parser", "p"]}
  draft:
    default_mode: long
    modes:
      short: {args: ["--speculative-config", '{"n": 1}']}
      long: {args: ["--speculative-config", '{"n": 3}'], hardware_overrides: {amd: {args: ["--speculative-config", '{"n": 2}']}}}
      other: {args: ["--x"], variants: [default]}
opt_in_features: [draft]
variants:
  default: {precision: bf16, vram_minimum_gb: 100}
  small:
    model_id: org/Model-FP8
    vram_minimum_gb: 300
    extra_args: ["--attention_config.kv", "fp8", "--block-size", "64"]
    hardware_overrides:
      mi300x: {docker_image: "docker pull org/rocm:nightly", extra_args: ["--no-enable-x", "--late", "exact"], extra_env: {WINS: exact}}
      amd: {extra_args: ["--late", "generation"]}
compatible_strategies: [single_node_tp, single_node_tep, multi_node_tp]
hardware_overrides:
  amd: {extra_args: ["--async-scheduling", "--late", "recipe"], extra_env: {WINS: generation}}
  nvidia: {extra_env: {BRAND: "1"}}
strategy_overrides:
  single_node_tep: {extra_args: ["--only-tep"]}
  pd_cluster: {prefill: {nodes: 1}}
guide: Words.
"""


def resolved(text: str = FILE, model: str = "org/Model-FP8", gpu: str = "MI300X") -> Facts:
    """Facts of the file on a node of eight."""
    read, unclear = document.read(text.encode(), "m.yaml")
    assert not unclear
    return layers.resolve(read, model, layers.gpu(gpu), 8, Origin(path="m.yaml", date="2026-02-03"))


def test_later_layers_win() -> None:
    """Base, variant, its GPU, then the generation: of the recipe, then of the variant."""
    found = resolved()
    assert found.flags == {
        "block-size": "64",
        "max-num-seqs": "64",
        "attention-config.kv": "fp8",
        "enable-x": False,
        "late": "generation",
        "async-scheduling": True,
    }
    assert found.env == {"BASE": "1", "WINS": "generation"}
    assert (found.variant, found.gpu, found.image) == ("small", "mi300x", "org/rocm:nightly")
    assert {name: one.flags for name, one in found.layouts.items()} == {
        "tp8": {},
        "tp8-ep8": {"only-tep": True},
    }


def test_a_layouts_own_generation_takes_the_place_of_both_others() -> None:
    """As at the official site."""
    text = FILE.replace(
        'extra_args: ["--only-tep"]', 'hardware_overrides: {amd: {extra_args: ["--late", "layout"]}}'
    )
    found = resolved(text)
    assert found.layouts["tp8-ep8"].flags == {"late": "layout"}
    assert found.layouts["tp8"].flags == {"late": "generation", "async-scheduling": True}


def test_another_checkpoint_and_brand() -> None:
    """A small checkpoint fits one GPU; a brand's layer serves all of its generations."""
    found = resolved(model="org/Model", gpu="H200")
    assert list(found.layouts) == ["tp1", "tp8-ep8"]
    assert found.env == {"BASE": "1", "WINS": "base", "BRAND": "1"}
    assert found.image == "org/cuda:1"
    assert found.flags["block-size"] == "128"


def test_features_and_their_modes() -> None:
    """What is on by default, and the hardware's own arguments in the place of others."""
    found = resolved()
    assert {name: one.default for name, one in found.features.items()} == {
        "tools": True,
        "draft.short": False,
        "draft.long": False,
    }
    assert found.features["draft.long"].flags == {"speculative-config": '{"n": 2}'}
    assert "tool-call-parser" in found.resolved("tp8", None).flags
    assert "tool-call-parser" not in found.resolved("tp8", ["draft.short"]).flags
    assert found.resolved("tp8-ep8", []).flags["only-tep"] is True


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("guide: Words.", "guides: Words.", "m.yaml:32:1: 'guides' is not known here"),
        ('extra_args: ["--only-tep"]', "extra_argz: []", "'extra_argz' is not known here"),
        ("model: {", "model: {", ""),
    ],
)
def test_what_is_not_known_is_reported_at_its_place(old: str, new: str, told: str) -> None:
    """Never passed over; words for people are known, and so are layouts of several nodes."""
    _, unclear = document.read(FILE.replace(old, new).encode(), "m.yaml")
    assert len(unclear) == bool(told)
    assert told in "".join(map(str, unclear))


@pytest.mark.parametrize(
    ("model", "gpu", "told"),
    [
        ("org/Modell", "MI300X", "did you mean 'org/Model'?"),
        ("org/Model", "MI200", "no official recipe can be resolved for 'MI200'"),
    ],
)
def test_what_it_is_not_about(model: str, gpu: str, told: str) -> None:
    """A checkpoint or a GPU that it does not have."""
    with pytest.raises(HarnessError, match=r".") as error:
        resolved(model=model, gpu=gpu)
    assert told in str(error.value)


def test_another_form_is_refused_with_its_place() -> None:
    """Such as a text in the place of a list."""
    with pytest.raises(HarnessError, match="known here") as error:
        document.read(FILE.replace('["--only-tep"]', "--only-tep").encode(), "m.yaml")
    assert "m.yaml:30:21: 'extra_args' wants a list" in str(error.value)


def test_the_facts_of_minimax_m3_on_mi300x() -> None:
    """The resolved set of 2026-08-03, and a file that says the same when it is written again."""
    source = Folder(ROOT)
    found = facts.load(source, "minimax-m3-mxfp8-mi300x")
    assert found.resolved("tp8", []).flags == {
        "block-size": "128",
        "attention-config.indexer_kv_dtype": "fp8",
        "language-model-only": True,
        "async-scheduling": True,
        "max-num-batched-tokens": "16384",
        "attention-backend": "TRITON_ATTN",
    }
    assert found.resolved("tp8-ep8", []).env == {
        "VLLM_USE_BREAKABLE_CUDAGRAPH": "0",
        "VLLM_ROCM_USE_AITER": "1",
        "VLLM_ROCM_USE_AITER_MHA": "0",
        "VLLM_ROCM_USE_AITER_MOE": "1",
        "VLLM_ROCM_USE_AITER_FUSION_SHARED_EXPERTS": "1",
        "TORCH_BLAS_PREFER_HIPBLASLT": "1",
        "NCCL_MIN_NCHANNELS": "112",
        "GPU_MAX_HW_QUEUES": "2",
        "VLLM_ENGINE_READY_TIMEOUT_S": "3600",
    }
    assert facts.text(found) == source.read(facts.path("minimax-m3-mxfp8-mi300x")).decode()
