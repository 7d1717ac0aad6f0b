from __future__ import annotations

from pathlib import Path

import pytest

from tests.utils.profile.made import EXPERTS, LONG, Made, model
from utils.profile.figures import Layers
from utils.profile.present import layers_line
from utils.profile.rules import UNKNOWN, shipped

STEP = "execute_context_0(0)_generation_4(4)"
PATH_US = sum(LONG.get(name, 10.0) for name in EXPERTS)


def found(folder: Path, *, graph: bool = True) -> Layers:
    made, at = Made(), 0.0
    for _ in range(3):
        made.step(STEP, at, 40)
        at = model(made, at + 5, graph=graph) + 60
    layers = made.profile(folder).phases[0].layers
    assert layers is not None
    return layers


@pytest.mark.parametrize("graph", [True, False])
def test_57_sparse_and_3_dense_layers(tmp_path: Path, graph: bool) -> None:  # noqa: FBT001 - a case
    """With the experts' path from the router to the sum over experts, the activation between two products too."""
    layers = found(tmp_path, graph=graph)
    assert (layers.layers, layers.sparse, layers.alike, layers.steps) == (60, 57, 3, 3)
    assert layers.expert_ms == pytest.approx(57 * PATH_US / 1000)
    assert layers.expert_span_ms == pytest.approx(57 * (PATH_US + len(EXPERTS) - 1) / 1000)
    assert "57 sparse layers, expert path 13.68 ms" in layers_line(layers)
    assert layers_line(layers).endswith("3 dense layers")


def test_kinds_of_layers(tmp_path: Path) -> None:
    """By the order of their kernels; the last one holds what follows it too."""
    kinds = [(one.layers, one.kernels, one.sparse, one.last) for one in found(tmp_path).kinds]
    assert kinds[0] == (56, 13, True, False)
    assert sum(one[0] for one in kinds) == 60
    assert kinds[-1][3]
    assert sum(one[0] for one in kinds if one[2]) == 57


def test_experts_on_a_second_stream(tmp_path: Path) -> None:
    """A shared expert beside the routed ones is not of their path."""
    made = Made()
    for number in range(2):
        at = number * 1000.0
        made.step(STEP, at, 40)
        for layer in range(3):
            begin = at + 100 + 200 * layer
            made.kernel("reshape_and_cache", begin, 10, at + 1)
            made.kernel("nvjet_qkv", begin + 20, 10, at + 2)
            made.kernel("fused_moe_kernel", begin + 50, 40, at + 3)
            made.kernel("nvjet_shared", begin + 50, 30, at + 4, stream=9)
            made.kernel("moe_sum", begin + 95, 5, at + 5)
    layers = made.profile(tmp_path).phases[0].layers
    assert layers is not None
    assert (layers.layers, layers.sparse) == (3, 3)
    assert layers.expert_ms == pytest.approx(3 * 0.045)


def test_layers_that_no_rule_knows(tmp_path: Path) -> None:
    """By the number of times that most names come; and it is said."""
    made = Made()
    made.step(STEP, 0, 40)
    for layer in range(6):
        for place, name in enumerate(("zig", "zag", "zog")):
            made.kernel(name, 100 + 100 * layer + 20 * place, 10, 1)
    layers = made.profile(tmp_path).phases[0].layers
    assert layers is not None
    assert (layers.layers, layers.sparse) == (6, 0)
    assert "`zig`" in layers.how


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Cijk_Ailk_Bljk_BBS_BH_MT128x128x64", "gemm"),
        ("void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16>", "gemm"),
        ("nvjet_tst_64x8_64x16_4x1_v_bz_TNT", "gemm"),
        ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "collective"),
        ("void vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>", "collective"),
        ("qr_all_reduce_kernel", "collective"),
        ("fused_moe_kernel", "experts"),
        ("_ZN5aiter16fmoe_bf16_g1u1E", "experts"),
        ("kernel_moe_gemm", "experts"),
        ("void vllm::moe::topkGatingSoftmax<8, 128>", "experts' routing"),
        ("void vllm::moe::moe_align_block_size_kernel<int>", "experts' routing"),
        ("grouped", "experts of minimax-m3-ep"),
        ("down_sum", "experts of minimax-m3-ep"),
        ("kernel_unified_attention_2d", "attention"),
        ("paged_attention_ll4mi_QKV_mfma16_kernel", "attention"),
        ("void vllm::reshape_and_cache_flash_kernel<bf16>", "kv cache"),
        ("fused_minimax_m3_qknorm_rope_kv_insert", "kv cache"),
        ("void vllm::rotary_embedding_kernel<bf16, true>", "rope"),
        ("triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0", "norm"),
        ("void vllm::rms_norm_kernel<bf16>", "norm"),
        ("void vllm::act_and_mul_kernel<silu>", "activation"),
        ("void vllm::scaled_fp8_quant_kernel<bf16>", "quantise"),
        ("_gumbel_sample_kernel", "sampling"),
        ("_temperature_kernel", "sampling"),
        ("_bincount_kernel", "sampling"),
        ("reduce_segments", "attention"),
        ("_fwd_grouped_kernel_stage1", "attention"),
        ("void flashinfer::BatchPrefillWithRaggedKVCacheKernel<true>", "attention"),
        ("void flashinfer::VariableLengthMergeStatesKernel<2>", "attention"),
        ("void flashinfer::sampling::TopPSamplingFromProbKernel<1024>", "sampling"),
        ("void flashinfer::AppendPagedKVCacheKernel<128>", "kv cache"),
        ("void flashinfer::BatchQKApplyRotaryPosIdsCosSinCacheKernel<true>", "rope"),
        ("void flashinfer::activation::act_and_mul_kernel<silu>", "activation"),
        ("void flashinfer::norm::RMSNormKernel<8u>", "norm"),
        ("Memcpy DtoH (Device -> Pinned)", "copy"),
        ("CopyDeviceToDevice", "copy"),
        ("triton_poi_fused_add_1", "other"),
        ("_C::cpu_fused_moe", "experts"),
        ("_C::cpu_attention_with_kv_cache", "attention"),
        ("my_new_kernel", UNKNOWN),
    ],
)
def test_families(name: str, family: str) -> None:
    """Names of CUDA and ROCm, of libraries, of Triton and of this repository's kernel."""
    assert shipped().family(name) == family
