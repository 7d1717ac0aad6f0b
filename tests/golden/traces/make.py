"""Make the small traces of this folder, each with torch's own totals beside it.

    PYTHONPATH=. PYTHON_WITH_TORCH tests/golden/traces/make.py --name h100 [--out FOLDER]

With a GPU three: `NAME-eager`, `NAME-graph` (a captured graph a step) and `NAME-streams` (two streams); else one, `NAME-host`.
A step is four layers, of which three have experts: names of kernels are torch's, so that the rules know few layers of it.
"""

from __future__ import annotations

import argparse
import gzip
import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 4
SIZE = 512
ABOUT = {"host_name", "traceName", "deviceProperties", "trace_id"}
"""Of the machine, or of one moment."""


def layer(x: torch.Tensor, weight: torch.Tensor, side: Any) -> torch.Tensor:
    """A product, and with a second stream another beside it."""
    other = None
    if side is not None:
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            other = (x @ weight).softmax(-1)
    x = torch.nn.functional.silu(torch.nn.functional.layer_norm(x @ weight, (SIZE,)))
    if other is not None:
        torch.cuda.current_stream().wait_stream(side)
        x = x + other
    return x


def step_of(kind: str, device: str) -> Callable[[], None]:
    """What one step does."""
    x, weight = (torch.randn(SIZE, SIZE, device=device) for _ in range(2))
    side = torch.cuda.Stream() if kind == "streams" else None

    def plain() -> None:
        y = x
        for _ in range(4):
            y = layer(y, weight, side)
        y.argmax(-1).cpu()

    plain()
    if kind != "graph":
        return plain
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = x
        for _ in range(4):
            y = layer(y, weight, None)

    def replayed() -> None:
        graph.replay()
        y.argmax(-1).cpu()

    return replayed


def totals(averages: Any, device: str) -> dict[str, Any]:
    """What key_averages adds up: each row's own milliseconds, and those of annotations apart."""
    on_device = device != "cpu"
    rows, notes = {}, 0.0
    for one in averages:
        own = (one.self_device_time_total if on_device else one.self_cpu_time_total) / 1000
        if on_device and one.device_type == torch.autograd.DeviceType.CPU:
            continue  # the time of what an operator launched, which the kernels' own rows have too
        if one.key.startswith("execute_"):
            notes += own
        elif own:
            rows[one.key] = own
    return {"torch": torch.__version__, "device": device, "annotations_ms": notes, "rows": rows}


def write(folder: Path, name: str, kind: str, device: str) -> None:
    """One trace."""
    step = step_of(kind, device)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device != "cpu" else [])]
    with torch.no_grad() if kind != "graph" else nullcontext(), profile(activities=activities) as profiled:
        for number in range(STEPS):
            phase = "context_1(64)_generation_0(0)" if not number else "context_0(0)_generation_4(4)"
            with record_function(f"execute_{phase}"):
                step()
        if device != "cpu":
            torch.cuda.synchronize()
    whole = folder / f"{name}-{kind}.json"
    profiled.export_chrome_trace(str(whole))
    found = {key: value for key, value in json.loads(whole.read_text()).items() if key not in ABOUT}
    whole.unlink()
    packed = gzip.compress(json.dumps(found, separators=(",", ":")).encode(), mtime=0)
    (folder / f"{name}-{kind}.pt.trace.json.gz").write_bytes(packed)
    told = totals(profiled.key_averages(), device)
    (folder / f"{name}-{kind}.totals.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Make what this machine can."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
        write(arguments.out, arguments.name, "host", "cpu")
        return
    for kind in ("eager", "graph", "streams"):
        write(arguments.out, arguments.name, kind, "cuda")


if __name__ == "__main__":
    main()
