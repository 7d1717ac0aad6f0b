"""Traces in the layout that torch writes, made by hand so that every figure of them is known. None is of a real GPU."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.profile.analyse import Analysis, analysis
from utils.profile.figures import Profile
from utils.profile.trace import Bounds

HOST, DEVICE = 900, 0


@dataclass
class Made:
    """A trace that grows; times in microseconds."""

    events: list[dict[str, Any]] = field(default_factory=list)
    correlation: int = 0

    def add(
        self, cat: str, name: str, ts: float, dur: float, *, pid: int = HOST, tid: int = HOST, **args: Any
    ) -> None:
        """Any complete event."""
        self.events.append(
            {"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args}
        )

    def step(self, name: str, ts: float, dur: float) -> None:
        """An annotation on the host's side."""
        self.add("user_annotation", name, ts, dur)

    def launch(self, ts: float, name: str = "cudaLaunchKernel", dur: float = 1) -> int:
        """A call of the host, and its correlation."""
        self.correlation += 1
        self.add("cuda_runtime", name, ts, dur, correlation=self.correlation)
        return self.correlation

    def on_device(
        self,
        name: str,
        ts: float,
        dur: float,
        correlation: int | None,
        *,
        stream: int = 7,
        cat: str = "kernel",
        device: int = DEVICE,
    ) -> None:
        """A kernel, or a copy."""
        args = {"device": device, "stream": stream}
        if correlation is not None:
            args["correlation"] = correlation
        self.add(cat, name, ts, dur, pid=device, tid=stream, **args)

    def kernel(self, name: str, ts: float, dur: float, launched: float, stream: int = 7) -> None:
        """A kernel with a launch of its own."""
        self.on_device(name, ts, dur, self.launch(launched), stream=stream)

    def text(self, **meta: Any) -> str:
        """As a file."""
        return json.dumps(
            {"schemaVersion": 1, **meta, "traceEvents": self.events, "traceName": "made"}, indent=1
        )

    def write(self, path: Path, **meta: Any) -> Path:
        """Packed, if its name says so."""
        text = self.text(**meta).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return path

    def analysis(self, folder: Path, **meta: Any) -> Analysis:
        """Of it as a file."""
        return analysis(self.write(folder / "made.json", **meta), bounds=Bounds(1.0))

    def profile(self, folder: Path, **meta: Any) -> Profile:
        """Of it as a file."""
        return self.analysis(folder, **meta).profile()


DENSE = (
    "triton_red_fused_rsqrt_0",
    "nvjet_qkv",
    "rope_kernel",
    "reshape_and_cache_flash_kernel",
    "flash_fwd_kernel",
    "nvjet_o",
    "rms_norm_kernel",
)
MLP = ("nvjet_gate_up", "act_and_mul_kernel", "nvjet_down")
EXPERTS = (
    "topkGatingSoftmax",
    "moe_align_block_size_kernel",
    "fused_moe_kernel",
    "silu_and_mul_kernel",
    "fused_moe_kernel",
    "moe_sum_kernel",
)
TAIL = ("rms_norm_kernel", "nvjet_lm_head", "gumbel_sample_kernel")
LONG = {"fused_moe_kernel": 100.0}


def model(
    made: Made, at: float, *, dense: int = 3, sparse: int = 57, graph: bool = True, factor: float = 1
) -> float:
    """A step of a model with dense and then sparse layers, launched at `at`; each kernel 10 us or `LONG`, 1 us apart.

    Returns:
        When it ends.
    """
    correlation = made.launch(at, "cudaGraphLaunch") if graph else None
    names = [*(DENSE + MLP) * dense, *(DENSE + EXPERTS) * sparse, *TAIL]
    at += 50
    for name in names:
        dur = LONG.get(name, 10.0) * (factor if name in LONG else 1)
        made.on_device(name, at, dur, correlation if graph else made.launch(at - 40))
        at += dur + 1
    return at
