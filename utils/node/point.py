"""One point on a running server: warm-up, load, gates, record."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from matrix.protocol import lengths, seed
from utils.node import (
    again,
    caches,
    devices,
    files,
    gates,
    machine,
    marker,
    process,
    record,
    saturation,
    window_stats,
)
from utils.node.completion import Streamed
from utils.node.looked_at import Evidence
from utils.node.telemetry import Sampler
from utils.node.vllm import engine, invocation, load, load_result, server_metrics
from utils.node.vllm.engine import Engine
from utils.node.vllm.profiling import gate as gate_of_profile
from utils.node.vllm.server import difference, read_counters
from utils.node.vllm.watched import Beside, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from matrix.plan import Point
    from utils.node.events import Emit
    from utils.node.kernel_counts import Marker
    from utils.node.power_meter import PowerMeter
    from utils.node.requests_raw import RawLoad
    from utils.node.vllm.client import Client
    from utils.node.vllm.profiling import Profiling
    from utils.node.vllm.server import Server

SETTLE_S = 3.0


@dataclass(slots=True)
class Phases:
    """Durations on the monotonic clock, in order; each is also an event."""

    emit: Emit
    done: list[record.Phase] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str, text: str = "") -> Iterator[None]:
        """Measure a phase; one that fails is kept too."""
        start = time.monotonic()
        self.emit({"kind": "phase", "name": name, "text": text})
        try:
            yield
        finally:
            took = time.monotonic() - start
            self.done.append(record.Phase(name=name, start_s=start, duration_s=took))
            self.emit({"kind": "done", "name": name, "seconds": took})


@dataclass(slots=True)
class Measured:
    """What a point's measurement adds to the record of its run."""

    fields: dict[str, Any]
    requests: int


MOST_NEW = 20
"""Files of a compile cache that are named."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A server and a client that are ready."""

    server: Server
    client: Client
    special_tokens: int
    speculative: bool
    client_limit_s: float
    emit: Emit
    marker: Path | None = None
    """The folder where a kernel's workers are asked what they counted."""
    cores: Sequence[int] = ()
    """That server and client are pinned to; empty means all."""
    foreign_most: float = 1.0
    """Share of them that others may use."""
    power: PowerMeter | None = None
    """What samples power beside the load."""
    version: str = ""
    """Of the server's vLLM."""
    profile: Callable[[Point], Profiling] | None = None
    """Makes a point's profile, where one is asked for instead of a measurement."""
    streamed: Streamed = field(default_factory=Streamed)
    """A completion that was read answer by answer."""
    home: Path | None = None
    """Of the server, where its compile caches are."""
    engines: list[Engine] = field(default_factory=list)
    """The engine as it was first, and at the last look."""

    @property
    def watched(self) -> Watched:
        """Calls of the client on the server."""
        return Watched(self.server, self.client, self.client_limit_s, self.emit)

    def look(self, page: str, completed: int) -> list[str]:
        """Look at the engine as it is and as its /metrics say after so many requests; why it is not the one that it was."""
        now = Engine.read(self.server.process, page)
        found = engine.changes(self.engines[0], self.engines[-1], now, completed)
        self.engines[1:] = [now]
        return found


@dataclass(frozen=True, slots=True)
class _Warm:
    """A point that is warm, and the load that comes."""

    since: int
    """Where its warm-up begins in the server's log."""
    failed: int
    """Requests of the warm-up that did not complete."""
    call: load.Call
    asked: record.Load


@dataclass(slots=True)
class _Loaded:
    """A load that was judged."""

    raw: RawLoad
    beside: dict[str, Any]
    """What else gates looked at, for whoever judges again."""
    fields: dict[str, Any]
    """Of the record."""


def measure(
    bench: Bench, point: Point, folder: Path, phases: Phases, *, count: int | None, again_until_s: float
) -> Measured:
    """Warm up, load, judge; load once more where something was compiled in the load.

    Args:
        bench: server and client.
        point: what to measure.
        folder: the point's own folder, which exists.
        phases: collects durations.
        count: requests to measure, where an earlier run of the allocation has fixed it.
        again_until_s: when a second load must be over (`again.until`).

    Raises:
        RunFailed: when there is nothing to judge.
    """
    server = bench.server
    warm_from = server.log_size()
    if not bench.client.is_ready:  # it was started anew after a call that went wrong
        with phases.phase("client"):
            bench.client.wait_ready()
    warmup = invocation.warmup(point, server.model, server.port, str(folder))
    with phases.phase("warm-up", f"{warmup.requests} requests"):
        warm, _ = bench.watched.call(warmup, folder, None)
    rate = warm.completed / max(warm.duration_s, 1e-3)
    call = invocation.measured(point, server.model, server.port, str(folder), rate_per_s=rate, count=count)
    ready = _Warm(warm_from, warm.failed, call, _asked(point, call, warmup, rate))
    begun = time.monotonic()
    made = _loaded(bench, point, ready, folder, phases, completed=warm.completed)
    found = again.compiled(made.fields["gates"])
    now = time.monotonic()
    if found and now + (now - begun) <= again_until_s:
        bench.emit(
            {
                "kind": "note",
                "text": f"{point.id}: jit: {found}; it is loaded once more, and the second load counts",
            }
        )
        _raw_files(made.raw, made.beside, folder, again.FIRST)
        (folder / call.log_name).replace(folder / f"{again.FIRST}log")
        first = {name: made.beside[name] for name in ("server_log", "compiled")} | {"found": found}
        made = _loaded(bench, point, ready, folder, phases, completed=0, which="again-")
        made.beside["first_load"] = first
        made.fields["notes"].insert(0, again.remark(found))
    return Measured(made.fields | {"files": _raw_files(made.raw, made.beside, folder)}, call.requests)


def _loaded(
    bench: Bench, point: Point, warm: _Warm, folder: Path, phases: Phases, *, completed: int, which: str = ""
) -> _Loaded:
    """One load of a warm server, with all that is taken around it, judged.

    Args:
        bench: server and client.
        point: what to measure.
        warm: its warm-up, and the load.
        folder: the point's own.
        phases: collects durations.
        completed: requests since the server's last page was looked at.
        which: of two loads, for the kernel's marker, whose questions have words of their own.
    """
    server, call = bench.server, warm.call
    age = time.monotonic() - server.started_s
    sampler = Sampler(server.process.rss_bytes)
    mark = bench.power.samples.mark() if bench.power else 0
    counted_before = _marked(bench, point, f"{which}before")
    compiled = caches.compiled(bench.home) if bench.home else frozenset()
    others, ours = machine.read(), _ours_s(server)
    page_before, log_from = (
        _settled(server, bench.engines[-1].counters, completed),
        server.log_size(),
    )
    changed = bench.look(page_before, completed)
    before, looks = read_counters(page_before), server_metrics.Looks()
    profiling = bench.profile(point) if bench.profile else None
    with phases.phase("load", f"{call.requests} requests at {point.concurrency}"):
        if profiling:
            profiling.begin()
        raw, ended = bench.watched.call(call, folder, Beside(sampler, looks, profiling))
    traces = profiling.finish() if profiling else []
    beside = machine.between(others, machine.read(), _ours_s(server) - ours, bench.cores)
    with phases.phase("gates"):
        page_after = _settled(server, before, raw.completed)
        counters = difference(read_counters(page_after), before)
        counted = (
            _marked(bench, point, f"{which}after") if counted_before else []
        )  # who was silent then proves nothing now
        marked = marker.over(counted_before, counted)
        window = (raw.first_start_s, raw.first_start_s + raw.duration_s)
        drawn = load_result.drawn_lengths(
            point.isl, point.osl, call.requests, call.seed, bench.special_tokens
        )
        steady = window_stats.steady(raw, point.concurrency, point.devices)
        counts = window_stats.counts(raw, call.requests)
        said = server_metrics.window(
            bench.version,
            server_metrics.Page.of(page_before),
            server_metrics.Page.of(page_after),
            looks,
            server_metrics.Load(point.concurrency, raw.duration_s, _on_the_clock(raw, steady)),
        )
        drew = bench.power.over(mark, window, point, counts) if bench.power else None
        if bench.power:
            seen = bench.power.others(mark, window)
            beside = beside.model_copy(update={"foreign_gpu_processes": seen})
        log_of_load, log_of_point = server.text(log_from), server.text(warm.since)
        beside_raw: dict[str, Any] = {
            "call_s": [ended.started_s, ended.ended_s],
            "special_tokens": bench.special_tokens,
            "server_log": [log_from, len(log_of_load)],
            "warm_log": [warm.since, len(log_of_point)],
            "log_unread": server.unread(warm.since, log_from),
            "streamed": asdict(bench.streamed),
            "warm_failed": warm.failed,
            "compiled": sorted(caches.compiled(bench.home) - compiled)[:MOST_NEW] if bench.home else [],
        }
        evidence = Evidence(
            raw=raw,
            load=warm.asked,
            drawn_input=drawn[0],
            drawn_output=drawn[1],
            chat=point.chat_template,
            speculative=bench.speculative,
            counters=counters,
            telemetry=sampler.over(*window, ended.cpu_s).model_copy(update={"machine": beside}),
            foreign_most=bench.foreign_most,
            call_s=(ended.started_s, ended.ended_s),
            server_alive=server.alive,
            log_of_load=log_of_load,
            log_of_point=log_of_point,
            log_unread=beside_raw["log_unread"],
            streamed=bench.streamed,
            compiled=tuple(beside_raw["compiled"]),
            engine_changes=tuple(dict.fromkeys([*changed, *bench.look(page_after, 0)])),
            kernel=point.kernel,
            workers=marker.workers(point),
            marker=tuple(marked),
            steady_s=(steady.start_s, steady.start_s + steady.duration_s) if steady else None,
            power=drew,
            warm_failed=warm.failed,
            server=said,
        )
        answers = [*gates.judge(evidence), *([gate_of_profile()] if profiling else [])]
    fields = {
        "status": "measured" if all(gate.passed for gate in answers) else "invalid",
        "load": warm.asked,
        "counts": counts,
        "whole": window_stats.whole(raw, point.devices),
        "steady": steady,
        "notes": [
            *(profiling.notes if profiling else []),
            *filter(None, [saturation.remark(said, point.concurrency, counters.preemptions)]),
            *gates.notes(evidence),
            *machine.remarks(beside),
            *devices.remarks(drew),
        ],
        "traces": [f"{path.parent.name}/{path.name}" for path in traces],
        "counters": counters,
        "telemetry": evidence.telemetry,
        "power": drew,
        "server": said,
        "derived": list(raw.derived),
        "marker": marked,
        "gates": answers,
        "server_age_s": age,
    }
    return _Loaded(raw, beside_raw, fields)


def _ours_s(server: Server) -> float:
    """Processor seconds of this program and of the server, with all that they started."""
    return process.tree_cpu_seconds(os.getpid()) + server.process.cpu_elsewhere_s()


def _on_the_clock(raw: RawLoad, steady: record.Window | None) -> tuple[float, float] | None:
    """The steady window on the monotonic clock."""
    if steady is None:
        return None
    begin = raw.first_start_s + steady.start_s
    return begin, begin + steady.duration_s


def _marked(bench: Bench, point: Point, when: str) -> list[Marker]:
    """What the kernel's workers counted so far; nothing where no kernel is asked for."""
    if point.kernel is None or bench.marker is None:
        return []
    return marker.ask(bench.marker, f"{when}-{point.id.split('/')[1]}", marker.workers(point))


def _settled(server: Server, before: record.Counters, completed: int) -> str:
    """The page /metrics once its counters have caught up with the client; they lag by a moment, and those that went back are another engine's."""
    end = time.monotonic() + SETTLE_S
    while True:
        page = server.metrics()
        done = read_counters(page).requests_succeeded - before.requests_succeeded
        if done >= completed or done < 0 or time.monotonic() > end:
            return page
        time.sleep(0.01)


def _asked(point: Point, call: load.Call, warmup: load.Call, rate: float) -> record.Load:
    prompt, output = lengths(point.isl), lengths(point.osl)
    return record.Load(
        isl=point.isl,
        osl=point.osl,
        input_low=prompt.low,
        input_high=prompt.high,
        output_low=output.low,
        output_high=output.high,
        concurrency=point.concurrency,
        requests=call.requests,
        seed=call.seed,
        warmup_requests=warmup.requests,
        warmup_seed=seed(point.id, "warm-up"),
        warmup_rate_per_s=rate,
        warmup_argv=load.argv(warmup),
        argv=load.argv(call),
    )


def _raw_files(raw: RawLoad, beside: dict[str, Any], folder: Path, before: str = "") -> record.Files:
    """The raw load and what else gates looked at, so that whoever has the files can judge anew.

    Args:
        raw: the load.
        beside: when the client's process ran, the tokenizer's special tokens, where load and warm-up are in the server's log
            (first byte, number of letters) and how much of it nobody read, what one streamed completion held, requests of the warm-up that failed, what was new
            in the compile caches, and of the first of two loads what was compiled and where it is in the log.
        folder: where they go.
        before: begins their names.
    """
    rows, rows_hash = files.packed(raw.request_columns() | {"node": beside})
    itls, itls_hash = files.packed(raw.itl_columns())
    files.write_whole(folder / f"{before}requests.json.gz", rows)
    files.write_whole(folder / f"{before}itl.json.gz", itls)
    return record.Files(
        requests=f"{before}requests.json.gz",
        requests_sha256=rows_hash,
        requests_bytes=len(rows),
        itls=f"{before}itl.json.gz",
        itls_sha256=itls_hash,
        itls_bytes=len(itls),
    )
