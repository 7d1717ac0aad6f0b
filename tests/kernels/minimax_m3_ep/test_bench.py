"""The benchmark's committed results: of this code, whole, and what the docs say."""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kernels.minimax_m3_ep import bench, bench_cases, bench_check, bench_time, bench_today, card, layer, tiles
from kernels.minimax_m3_ep.routing import COUNTED
from kernels.minimax_m3_ep.shapes import MINIMAX_M3
from tests.kernels.minimax_m3_ep import cases

FOLDER = Path(bench.__file__).parent / "results"


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """The latest one of an H100."""
    found: dict[str, Any] = json.loads(max(FOLDER.glob("*h100*.json")).read_text())
    return found


def test_they_are_of_this_code(result: dict[str, Any]) -> None:
    """A change of what computes wants a new measurement."""
    assert result["kernel"] == bench.source_hash()
    assert "H100" in result["card"]


def test_every_case_held(result: dict[str, Any]) -> None:
    """Every number of tokens with every kind of routing, padded weights, every pair of a value and a scale."""
    assert result["check"]["failed"] == []
    for tokens in bench_check.TOKENS:
        for kind in bench_check.KINDS:
            for variant in ("compact-bf16", "mxfp8"):
                assert f"{variant}, {tokens} tokens, {kind}, seed 0" in result["check"]["what"]
    assert sum("pairs widened" in what for what in result["check"]["what"]) == 4


def test_every_replay_counted(result: dict[str, Any]) -> None:
    """The marker's counter goes up in each replay of a captured graph."""
    assert all(row["counted"] == row["expected_count"] > 0 for row in result["rows"])
    assert all(row["error"] <= 1.05 * row["error_of_rounding"] for row in result["rows"])


def test_docs_show_its_figures(result: dict[str, Any]) -> None:
    """The table in docs/kernel.md is this file's."""
    text = (Path(__file__).parents[3] / "docs/kernel.md").read_text()
    by = {(row["tokens"], row["path"]): row for row in result["rows"]}
    for tokens in bench.TOKENS:
        plain, packed, today = (by[tokens, path] for path in ("compact-bf16", "mxfp8", "today"))
        cells = [
            str(tokens), f"{plain['us']:.1f}", f"{100 * plain['share']:.1f} %", f"{packed['us']:.1f}",
            f"{100 * packed['share']:.1f} %", f"{plain['us'] / packed['us']:.2f}x", f"{today['us']:.1f}",
            f"{today['us'] / plain['us']:.2f}x", f"{today['us'] / packed['us']:.2f}x",
        ]  # fmt: skip
        assert f"| {' | '.join(cells)} |" in text


@pytest.mark.parametrize("arch", ["gfx942", "sm90"])
def test_todays_tiles_are_vllms_own(monkeypatch: pytest.MonkeyPatch, arch: str) -> None:
    """The path that is reproduced uses what the real vLLM's defaults give on ROCm, and on CUDA."""
    from vllm.model_executor.layers.fused_moe.fused_moe import get_default_config

    from tests.kernels.minimax_m3_ep import fakes

    if arch == "sm90":
        fakes.on_hopper(monkeypatch)
    else:
        fakes.on(monkeypatch, arch)
    for tokens in (1, 16, 32, 33, 64, 65, 96, 97, 128, 129, 256, 512, 513, 2048, 8192):
        config = get_default_config(tokens, 16, 3072, 6144, 4, None)
        tile = bench_today.tile_of(tokens, 16, arch)
        assert config == {
            "BLOCK_SIZE_M": tile.block_m, "BLOCK_SIZE_N": tile.block_n, "BLOCK_SIZE_K": tile.block_k,
            "GROUP_SIZE_M": tile.group_m, "SPLIT_K": 1, "num_warps": tile.warps, "num_stages": tile.stages,
        }  # fmt: skip


@pytest.mark.parametrize("arch", ["gfx942", "sm90"])
def test_every_number_of_tokens_has_a_tile(arch: str) -> None:
    """Up to the bound for BF16 weights, without one for compressed ones, whose layer has no other path."""
    for tokens in (1, 16, 256):
        assert tiles.load(arch, "compact-bf16").of(tokens).block_m == 16
        assert tiles.load(arch, "mxfp8").of(tokens).block_m == 16
    assert tiles.load(arch, "mxfp8").of(1_000_000)
    with pytest.raises(ValueError, match="257 tokens are more than the 256"):
        tiles.load(arch, "compact-bf16").of(257)


SMALL = replace(MINIMAX_M3, hidden=1024, intermediate=512)
"""What docs and slow tools use: `--hidden 1024 --intermediate 512`."""


@pytest.mark.parametrize("shape", [MINIMAX_M3, SMALL])
@pytest.mark.parametrize("arch", ["gfx942", "sm90"])
@pytest.mark.parametrize("variant", ["compact-bf16", "mxfp8"])
def test_every_shipped_tile_divides_the_layer(arch: str, variant: str, shape: Any) -> None:
    """Else a launch would leave columns out and nothing would say so."""
    for tile in tiles.load(arch, variant).tiles:
        bench_check.must_fit(tile, shape)


def test_a_tile_that_leaves_columns_out_is_refused() -> None:
    """On an H100 a layer with 512 of them was computed without its SwiGLU, and every number of it was wrong."""
    with pytest.raises(ValueError, match="takes 1024 of the intermediate size at a time, and 512 is no"):
        bench_check.must_fit(bench.BF16_LARGE["sm90"], SMALL)
    assert bench.tile_of(tiles.load("sm90", "compact-bf16"), bench.LARGE, SMALL).swiglu_columns == 512
    assert (
        bench.tile_of(tiles.load("sm90", "compact-bf16"), bench.LARGE, MINIMAX_M3) == bench.BF16_LARGE["sm90"]
    )


def test_a_sweep_starts_from_the_tile_that_a_server_would_take() -> None:
    """64 tokens of a layer with 64 experts fill as many rows as 128 of one with 128."""
    known = tiles.load("sm90", "mxfp8")
    assert bench.sorted_tile_of(known, 64, 64) == known.of(128)
    assert bench.sorted_tile_of(known, 64, 128) == known.of(64)
    assert (
        bench.sorted_tile_of(tiles.load("sm90", "compact-bf16"), 256, 64).tokens == 256
    )  # none for so many rows


class _Launches:
    """Stands for a kernel, and notes whether it is asked for NVIDIA's instructions."""

    def __init__(self, asked: list[bool]) -> None:
        self.asked = asked

    def __getitem__(self, _: object) -> Any:
        return lambda *_, PTX, **__: self.asked.append(PTX)


def _on_cpu(make: Any) -> Any:
    return lambda *size, **how: make(*size, **how | {"device": "cpu"})


class TestOnAnMI300X:
    """The benchmark there: what it launches has neither PTX nor early launches, which do not compile for gfx942."""

    def test_no_instruction_of_nvidias(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of what is timed, swept and tuned, by the name of the tiles."""
        asked = []
        monkeypatch.setattr(layer, "forward", lambda *_, pdl, ptx, **__: asked.append((pdl, ptx)))
        monkeypatch.setattr(bench_time, "seconds", lambda run, *_: run(0) or 1.0)
        monkeypatch.setattr(bench_time, "in_turns", lambda runs: [run(0) or 1.0 for run in runs])
        monkeypatch.setattr(bench_today, "forward", lambda *_: None)
        monkeypatch.setattr(
            bench._Path,
            "row",
            lambda *_: dict.fromkeys(
                ("us", "share", "error", "error_of_rounding", "counted", "expected_count"), 0
            ),
        )
        monkeypatch.setattr(torch, "zeros", _on_cpu(torch.zeros))
        of = bench_cases.layer(replace(MINIMAX_M3, hidden=1024, intermediate=512), "cpu")
        for arch, wanted in (("gfx942", False), ("sm90", True)):
            known = {variant: tiles.load(arch, variant) for variant in ("compact-bf16", "mxfp8")}
            bench.times(of, known, [64, bench.LARGE], 1e12)
            bench.sweep(of, known, [64])
            bench.tune(of, known, [64], 0)
            how = (known["compact-bf16"], "compact-bf16", bench.large_of(of.shape, arch))
            for tokens in (64, bench.LARGE):
                x = torch.zeros(tokens, of.shape.hidden, dtype=torch.bfloat16)
                routing = bench_cases.steps(of, tokens).routings[0]
                with contextlib.suppress(RuntimeError, AssertionError):  # after its first call it wants a GPU
                    bench_check._run(x, of.bf16, routing, how)
            assert set(asked) == {(wanted, wanted)}
            asked.clear()

    def test_widening_by_ptx_is_not_checked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is NVIDIA's."""
        asked: list[bool] = []
        monkeypatch.setattr(bench_check, "_widened", _Launches(asked))
        monkeypatch.setattr(torch, "arange", _on_cpu(torch.arange))
        monkeypatch.setattr(torch, "zeros", _on_cpu(torch.zeros))
        bench_check.every_weight("gfx942")
        assert asked == [False, False]
        bench_check.every_weight("sm90")
        assert asked == [False, False, True, True, False, False]

    def test_its_tiles_are_taken(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """By the GPU's own name; another's are refused with what to do."""
        parser = argparse.ArgumentParser()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        for gpu in ("gfx942", "sm90", "sm100"):
            monkeypatch.setattr(card, "arch", lambda gpu=gpu, **_: gpu)
            if gpu == "sm100":
                with pytest.raises(SystemExit):
                    bench._arch(parser, None)
                assert "no tiles for sm100" in capsys.readouterr().err
            else:
                assert bench._arch(parser, None) == gpu
        monkeypatch.setattr(card, "arch", lambda **_: "gfx942")
        with pytest.raises(SystemExit):
            bench._arch(parser, "sm90")
        assert "this GPU is a gfx942: leave out --arch" in capsys.readouterr().err


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line and no traceback."""
    monkeypatch.setattr("sys.argv", ["bench"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        bench.main()
    assert "torch sees no GPU" in capsys.readouterr().err


def test_todays_path_computes_small_layers_too() -> None:
    """It is what errors are compared with: columns that it left out were no numbers, and each case then failed.

    That it writes them all is seen here; what they are only a GPU says (the interpreter multiplies BF16 in another way).
    """
    case = cases.make(3, kind="local", shape=replace(cases.SMALL, hidden=256, intermediate=128))
    out = torch.full_like(case.x, float("nan"))
    bench_today.forward(case.x, case.bf16, case.routing, out, torch.zeros(len(COUNTED), dtype=torch.int64))
    assert not out.isnan().any()
