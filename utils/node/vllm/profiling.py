"""A few steps of a running load, profiled by vLLM's own endpoints: bounded, of one rank, and never a measurement.

`--profiler-config` makes a server listen to /start_profile; it changes no compiled graph. How many steps are left out and how many are taken
is said there, for versions whose start takes no words, and again by a start that does (vLLM 0.32 as seen). Every rank writes a trace, and
there is no filter: all but the first rank's are dropped.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from matrix.vllm import versions
from matrix.vllm.vocabulary import version_in
from utils.node.exceptions import RunFailed
from utils.node.record import Gate
from utils.node.vllm.server_metrics import Page, names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matrix.plan import Point
    from utils.node.spec import NodeJob
    from utils.node.vllm.server import Server

Phase = Literal["decode", "prefill"]
STEPS = {"decode": 10, "prefill": 6}
"""That a trace has."""
LEFT_OUT = {"decode": 5, "prefill": 0}
"""Steps after the start that a trace leaves out: the profiler's own first ones; of prefill the first are wanted."""
STOP_S = 10.0
"""Of a version whose start takes no words: it has stopped by itself then, and takes no other start before it is told to stop."""
LOOK_S = 0.5
FULL = 0.9
"""Of the concurrency: from so many that run on, a load is as full as it gets."""
WRITTEN_S = 120.0
MOST_BYTES = 100_000_000
"""Of one trace as it is written, compressed; a larger one is dropped."""
CAPTURES_SINCE = (0, 26)
"""vLLM whose profiler can also trace the capture of graphs, so that kernels of a replay get their names back."""
FOLDER = "profile"
"""Of a run, for its traces."""
TRACE = "*.pt.trace.json.gz"
CAPTURES = "capture_traces"
"""Where vLLM puts those of the capture of graphs: a trace for each size of a batch."""


def flags(folder: Path, image: str, kind: str, phase: Phase) -> list[str]:
    """What a server gets beside its own flags; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {
        "profiler": "torch",
        "torch_profiler_dir": str(folder),
        "torch_profiler_with_stack": False,
        "ignore_frontend": True,
        "delay_iterations": LEFT_OUT[phase],
        "max_iterations": STEPS[phase],
    }
    version = version_in(image)
    if kind != "cpu" and version and tuple(map(int, version.split(".")[:2])) >= CAPTURES_SINCE:
        config["capture_torch_profiler"] = True
    return ["--profiler-config", json.dumps(config)]


def of_server(spec: NodeJob, run: Path) -> list[str]:
    """A run's flags for its server; none where nothing is profiled."""
    if not spec.profile:
        return []
    return flags(run / FOLDER, spec.job.points[0].image, spec.cluster.devices.kind, spec.profile)


def maker(server: Server, spec: NodeJob, run: Path, version: str) -> Callable[[Point], Profiling] | None:
    """Makes the profile of each point of a run; None where nothing is profiled."""
    phase = spec.profile
    if not phase:
        return None
    return lambda point: Profiling(
        server, run / FOLDER, phase, f"{phase}-{point.id.split('/')[1]}", point.concurrency, version
    )


@dataclass(slots=True)
class Profiling:
    """One point's profile; `tick` is called some times a second while its load runs."""

    server: Server
    folder: Path
    phase: Phase
    name: str
    concurrency: int
    version: str
    began_s: float = 0.0
    stopped: bool = False
    refused: bool = False
    """Whether the server did not start it, so that no trace need be waited for."""
    due_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    earlier: frozenset[Path] = frozenset()
    """Traces of the run's points before, where names do not tell them apart."""

    def begin(self) -> None:
        """Before the load: prefill is what comes first."""
        if self.phase == "prefill":
            self._start()

    def tick(self, now_s: float) -> None:
        """During the load: decode is profiled once all requests run and none waits."""
        if self.began_s:
            if not self.counts_steps and not self.stopped and now_s > self.began_s + STOP_S:
                self._stop()
            return
        if now_s < self.due_s:
            return
        self.due_s = now_s + LOOK_S
        page, name = Page.of(self.server.glance()), names(self.version)
        running = page.total(name["num_requests_running"]) or 0
        if running >= FULL * self.concurrency and not page.total(name["num_requests_waiting"]):
            self._start()

    @property
    def counts_steps(self) -> bool:
        """Whether a start says how many steps."""
        row = versions.of(self.version) or versions.newest()
        return "max_iterations" in row.profiler.body

    def finish(self) -> list[Path]:
        """After the load: the traces that are kept, the first rank's; empty, with a note, where there is none."""
        if not self.began_s:
            self.notes.append(
                f"no trace: never did {FULL:.0%} of {self.concurrency} requests run at once; ask for a longer load"
            )
            return []
        if self.refused:
            return []
        if (
            not self.stopped
        ):  # harmless where it stopped by itself; it comes back once every rank has written its trace
            self._stop()
        self._wait(WRITTEN_S)
        return self._kept()

    def _start(self) -> None:
        self.earlier = frozenset(self.folder.glob(TRACE))
        words = {
            "profile_prefix": self.name,
            "delay_iterations": LEFT_OUT[self.phase],
            "max_iterations": STEPS[self.phase],
        }
        try:
            self.server.ask("POST", "/start_profile", words if self.counts_steps else None)
        except RunFailed as error:
            self.notes.append(f"no trace: {error.message}")
            self.stopped = self.refused = True
        self.began_s = time.monotonic()

    def _stop(self) -> None:
        self.stopped = True
        try:
            self.server.ask("POST", "/stop_profile", None, WRITTEN_S)
        except RunFailed as error:
            self.notes.append(f"the profiler did not stop well: {error.message}")

    def _traces(self) -> list[Path]:
        pattern = f"{self.name}*{TRACE[1:]}" if self.counts_steps else TRACE
        return sorted(set(self.folder.glob(pattern)) - self.earlier)

    def _wait(self, limit_s: float) -> bool:
        """Until there is a trace that has stopped growing."""
        end, before = time.monotonic() + limit_s, -1
        while time.monotonic() < end:
            size = sum(path.stat().st_size for path in self._traces())
            if size and size == before:
                return True
            before = size
            time.sleep(0.5)
        return bool(before > 0)

    def _kept(self) -> list[Path]:
        found = self._traces()
        ranks = {
            path: int(match[1]) if (match := re.search(r"rank(\d+)", path.name)) else 0 for path in found
        }
        first = min(ranks.values(), default=0)
        kept = []
        for path, rank in ranks.items():
            size = path.stat().st_size
            if rank != first:
                path.unlink()
            elif size > MOST_BYTES:
                self.notes.append(
                    f"{path.name} has {size / 1e6:.0f} MB, {MOST_BYTES / 1e6:.0f} MB are kept at most: dropped"
                )
                path.unlink()
            else:
                kept.append(path)
        for path in self.folder.glob("*.profiler_out.txt"):
            if (match := re.search(r"rank(\d+)", path.name)) and int(match[1]) != first:
                path.unlink()
        self._bound_captures()
        if not kept and not self.notes:
            self.notes.append(f"no trace: vLLM {self.version} wrote none within {WRITTEN_S:.0f} s")
        return kept

    def _bound_captures(self) -> None:
        """All of them, or none: nobody can say which graph a reader will want."""
        folder = self.folder / CAPTURES
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > MOST_BYTES:
            shutil.rmtree(folder)
            self.notes.append(
                f"traces of the capture of graphs have {size / 1e6:.0f} MB, {MOST_BYTES / 1e6:.0f} MB are kept at most: dropped"
            )


def gate() -> Gate:
    """Makes a record invalid, so that nothing takes its figures for a measurement."""
    return Gate(
        name="not_profiled", passed=False, found="it was profiled, and a profiled run is no measurement"
    )
