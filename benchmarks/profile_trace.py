"""How fast `profile` reads a gigabyte, and what memory it takes, beside `json.load` of a tenth of it.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/profile_trace.py

Made traces, laid out as torch writes them: one of a GPU (operators, launches, kernels), one without. Then the same of both as
densely as JSON can be written, with nothing that is not read: twice as many events that count in each gigabyte.
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
DENSE = '{{"ph":"X","cat":"{cat}","name":"{name}","pid":{pid},"tid":{tid},"ts":{ts:.3f},"dur":{dur:g}{args}}}'
RUN = (
    "import resource, sys, time; start = time.perf_counter(); exec(sys.argv[1]); "
    "used = resource.getrusage(resource.RUSAGE_SELF); "
    "print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)"
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


def dense(*, device: bool) -> Iterator[str]:
    """The same work on two streams, or one thread: what is read of each event, and no more."""
    at, number = 4.8e12, 0
    for step in itertools.count():
        note = f"execute_context_0(0)_generation_{step % 7 + 1}({step % 7 + 1})"
        yield DENSE.format(cat="user_annotation", name=note, pid=9, tid=9, ts=at, dur=2160, args="")
        for name in [name for _ in range(LAYERS) for name in KERNELS]:
            at, number = at + 10, number + 1
            if device:
                call = f',"args":{{"correlation":{number}}}'
                yield DENSE.format(
                    cat="cuda_runtime", name="cudaLaunchKernel", pid=9, tid=9, ts=at + 2, dur=3, args=call
                )
                stream = 7 + (number % 5 == 0)
                ran = f',"args":{{"device":0,"stream":{stream},"correlation":{number}}}'
                yield DENSE.format(cat="kernel", name=name, pid=0, tid=stream, ts=at + 40, dur=8.5, args=ran)
                continue
            for depth in range(4):
                yield DENSE.format(
                    cat="cpu_op",
                    name=f"aten::op{depth}_{name}",
                    pid=9,
                    tid=9,
                    ts=at + depth,
                    dur=8 - 2 * depth,
                    args="",
                )


def made(path: Path, size: int, *, device: bool, densely: bool = False) -> Path:
    """A trace of about so many bytes."""
    written, source = 0, dense(device=device) if densely else events(device=device)
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


def cost(program: str) -> tuple[float, float, float]:
    """Seconds, seconds of a processor and peak MB of a program in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, busy, peak = map(float, done.stdout.split("\n")[-2].split())
    return seconds, busy, peak


def main() -> None:
    """Print each figure."""
    with tempfile.TemporaryDirectory() as name:
        for densely, device in itertools.product((False, True), (True, False)):
            kind = ("dense, " if densely else "") + ("GPU" if device else "no GPU")
            small = made(Path(name) / "small.json", GB // 10, device=device, densely=densely)
            large = made(Path(name) / "large.json", GB, device=device, densely=densely)
            yardstick = f"import json\nwith open({str(small)!r}) as file: json.load(file)"
            profile = "import os, utils.cli.main as m\nsys.stdout = open(os.devnull, 'w')\nm.main(['profile', {!r}, '--format', 'json'])\nsys.stdout = sys.__stdout__"
            plain, mine = [], []
            for _ in range(REPEATS):
                plain.append(cost(yardstick))
                mine.append(cost(profile.format(str(large))))
            seconds, busy, peak = (statistics.median(one[i] for one in mine) for i in range(3))
            _, base_s, base_mb = (statistics.median(one[i] for one in plain) for i in range(3))
            lasted = ", ".join(f"{one[0]:.1f}" for one in mine)
            print(json.dumps({"trace": kind, "gb": large.stat().st_size / GB}))
            print(
                f"  profile:           {seconds:6.1f} s ({lasted}), {busy:.1f} s of a processor, {peak:5.0f} MB at most; limits 60 s, 500 MB"
            )
            print(
                f"  json.load of 0.1:  {base_s:6.1f} s of a processor, {base_mb:5.0f} MB; the same of 1 GB would be ten times that"
            )
            print(
                f"  ratio:             {busy / base_s / 10:6.2f} of its time, {peak / base_mb / 10:.3f} of its memory"
            )


if __name__ == "__main__":
    main()
