"""How fast `profile` reads a gigabyte, and what memory it takes, beside `json.load` of a tenth of it.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/profile_trace.py

Two made traces, laid out as torch writes them: one of a GPU (operators, launches, kernels, a stack's frames), one without.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
GB = 1_000_000_000
REPEATS = 3
KERNELS = (
    "reshape_and_cache_kernel",
    "kernel_unified_attention_2d",
    "Cijk_Ailk_Bljk_BBS_BH",
    "fused_moe_kernel",
)
LAYERS = 60
EVENT = (
    '  {{\n    "ph": "X", "cat": "{cat}", "name": "{name}", "pid": {pid}, "tid": {tid},\n'
    '    "ts": {ts:.3f}, "dur": {dur:.3f},\n    "args": {{\n      {args}\n    }}\n  }}'
)
ON_DEVICE = (
    '"External id": {n}, "queued": 0, "device": 0, "context": 1,\n      "stream": 7, "correlation": {n},\n      '
    '"registers per thread": 128,\n      "shared memory": 49152,\n      "blocks per SM": 1.939394,\n      "warps per SM": 7.757576,\n'
    '      "grid": [256, 1, 1],\n      "block": [128, 1, 1],\n      "est. achieved occupancy %": 12'
)
RUN = (
    "import resource, sys, time; start = time.perf_counter(); exec(sys.argv[1]); "
    "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)"
)


def events(*, device: bool) -> Iterator[str]:
    """One after the other, without an end."""
    at, number = 4.8e12, 0
    for step in itertools.count():
        layers = [name for _ in range(LAYERS) for name in KERNELS]
        note = f"execute_context_0(0)_generation_{step % 7 + 1}({step % 7 + 1})"
        yield EVENT.format(
            cat="user_annotation",
            name=note,
            pid=9,
            tid=9,
            ts=at,
            dur=9.0 * len(layers),
            args='"External id": 1',
        )
        for name in layers:
            at, number = at + 10, number + 1
            for depth in range(1 if device else 4):
                args = f'"External id": {number}, "Record function id": 0, "Ev Idx": {number}'
                yield EVENT.format(
                    cat="cpu_op",
                    name=f"aten::op{depth}_{name}",
                    pid=9,
                    tid=9,
                    ts=at + depth,
                    dur=8 - 2 * depth,
                    args=args,
                )
            if device:
                args = f'"External id": {number}, "cbid": 211, "correlation": {number}'
                yield EVENT.format(
                    cat="cuda_runtime", name="cudaLaunchKernel", pid=9, tid=9, ts=at + 2, dur=3, args=args
                )
                yield EVENT.format(
                    cat="kernel",
                    name=name,
                    pid=0,
                    tid=7,
                    ts=at + 40,
                    dur=8.5,
                    args=ON_DEVICE.format(n=number),
                )


def made(path: Path, size: int, *, device: bool) -> Path:
    """A trace of about so many bytes."""
    written, source = 0, events(device=device)
    with path.open("w") as file:
        file.write(
            '{\n  "schemaVersion": 1,\n  "distributedInfo": {"rank": 0, "world_size": 1},\n  "traceEvents": [\n'
        )
        while written < size:
            text = ",\n".join(itertools.islice(source, 1000))
            file.write(text + ("\n" if written + len(text) >= size else ",\n"))
            written += len(text)
        file.write('  ],\n  "traceName": "made"\n}\n')
    return path


def cost(program: str) -> tuple[float, float]:
    """Seconds and peak MB of a program in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, peak = done.stdout.split("\n")[-2].split()
    return float(seconds), float(peak)


def main() -> None:
    """Print each figure."""
    with tempfile.TemporaryDirectory() as name:
        for kind, device in (("GPU", True), ("no GPU", False)):
            small = made(Path(name) / "small.json", GB // 10, device=device)
            large = made(Path(name) / "large.json", GB, device=device)
            yardstick = f"import json\nwith open({str(small)!r}) as file: json.load(file)"
            profile = "import os, utils.cli.main as m\nsys.stdout = open(os.devnull, 'w')\nm.main(['profile', {!r}, '--format', 'json'])\nsys.stdout = sys.__stdout__"
            plain, mine = [], []
            for _ in range(REPEATS):
                plain.append(cost(yardstick))
                mine.append(cost(profile.format(str(large))))
            seconds, peak = (statistics.median(one[i] for one in mine) for i in (0, 1))
            base_s, base_mb = (statistics.median(one[i] for one in plain) for i in (0, 1))
            lasted = ", ".join(f"{one[0]:.1f}" for one in mine)
            print(json.dumps({"trace": kind, "gb": large.stat().st_size / GB}))
            print(
                f"  profile:           {seconds:6.1f} s ({lasted}), {peak:5.0f} MB at most; limits 60 s, 500 MB"
            )
            print(
                f"  json.load of 0.1:  {base_s:6.1f} s, {base_mb:5.0f} MB; the same of 1 GB would be ten times that"
            )
            print(
                f"  ratio:             {seconds / base_s / 10:6.2f} of its time, {peak / base_mb / 10:.3f} of its memory"
            )


if __name__ == "__main__":
    main()
