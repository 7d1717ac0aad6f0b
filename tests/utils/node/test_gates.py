"""Every gate passes on a good load and fails on a record that breaks it, alone where the rest can hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matrix.plan import KernelChoice
from utils.node import gates, gates_of_pace, stationarity
from utils.node.completion import Streamed
from utils.node.gates_words import JIT, trouble
from utils.node.looked_at import Evidence
from utils.node.record import Counters, Load, MachineLoad, Power, ServerWindow, Summary, Telemetry
from utils.node.requests_raw import RawLoad
from utils.node.vllm.load_result import drawn_lengths

C, N, SEED = 4, 40, 11


def good() -> Evidence:
    """A closed loop of 40 requests at 4, drawn from a seed."""
    inputs, outputs = drawn_lengths(128, 64, N, SEED, 0)
    itl = [np.full(o - 1, 5000) for o in outputs]
    latency = np.array([20_000 + row.sum() for row in itl])
    free, start = [0] * C, []
    for one in latency:
        slot = int(np.argmin(free))
        start.append(free[slot])
        free[slot] += int(one)
    raw = RawLoad(
        start_us=np.array(start),
        ttft_us=np.full(N, 20_000),
        latency_us=latency,
        input_len=inputs,
        output_len=outputs,
        itl_us=itl,
        errors=[""] * N,
        first_start_s=100.0,
        duration_s=max(free) / 1e6 + 0.001,
        completed=N,
        failed=0,
        reported={
            "total_input_tokens": float(inputs.sum()),
            "total_output_tokens": float(outputs.sum()),
            "mean_ttft_ms": 20.0,
            "mean_tpot_ms": 5.0,
            "mean_e2el_ms": float(latency.mean()) / 1000,
        },
    )
    load = Load(
        isl=128, osl=64, input_low=104, input_high=128, output_low=52, output_high=64, concurrency=C, requests=N, seed=SEED,
        warmup_requests=8, warmup_seed=12, warmup_rate_per_s=1.0, warmup_argv=[], argv=[],
    )  # fmt: skip
    counters = Counters(
        prompt_tokens=int(inputs.sum()),
        generation_tokens=int(outputs.sum()),
        preemptions=0,
        prefix_cache_hits=0,
        requests_succeeded=N,
    )
    telemetry = Telemetry(client_cpu_s=0.1, client_cpu_share=0.1, server_rss_peak_bytes=1)
    return Evidence(raw, load, inputs, outputs, chat=False, speculative=False, counters=counters, telemetry=telemetry, call_s=(99.0, 100.0 + 3 * raw.duration_s), server_alive=True, log_of_load="INFO fine")  # fmt: skip


def failing(evidence: Evidence) -> list[str]:
    return [gate.name for gate in gates.judge(evidence) if not gate.passed]


def raw(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(
        e,
        raw=replace(
            e.raw, **{name: value(e.raw) if callable(value) else value for name, value in changes.items()}
        ),
    )


def counters(**changes: int) -> Callable[[Evidence], Evidence]:
    return lambda e: replace(e, counters=e.counters.model_copy(update=changes))


def plus(column: str, row: int, value: int) -> Callable[[RawLoad], np.ndarray]:
    def change(load: RawLoad) -> np.ndarray:
        values: np.ndarray = getattr(load, column).copy()
        values[row] += value
        return values

    return change


def longer_gap(load: RawLoad) -> list[np.ndarray]:
    rows = [row.copy() for row in load.itl_us]
    rows[7][3] += 2000
    return rows


def merged(load: RawLoad) -> list[np.ndarray]:
    return [np.concatenate((row[:-20], [row[-20:].sum()])) for row in load.itl_us]


def early(e: Evidence, of_ten: int) -> Evidence:
    """Some requests have an empty answer 15 ms before their first token."""
    ms = np.array([15_000 * (i % 10 < of_ten) for i in range(len(e.raw.itl_us))])
    itls = [np.concatenate(([row[0] + one], row[1:])) for one, row in zip(ms, e.raw.itl_us, strict=True)]
    return replace(e, raw=replace(e.raw, itl_us=itls, ttft_us=e.raw.ttft_us - ms))


def on_another_clock(clock: Callable[[np.ndarray], np.ndarray]) -> Callable[[Evidence], Evidence]:
    """The same load, where what happened at t happened at clock(t); in microseconds."""

    def change(e: Evidence) -> Evidence:
        load = e.raw
        tokens = [
            clock(begin + np.concatenate(([0], np.cumsum(row)))).astype(np.int64)
            for begin, row in zip(load.start_us + load.ttft_us, load.itl_us, strict=True)
        ]
        start = clock(load.start_us).astype(np.int64)
        changed = replace(
            load,
            start_us=start,
            ttft_us=np.array([one[0] for one in tokens]) - start,
            latency_us=np.array([one[-1] for one in tokens]) - start,
            itl_us=[np.diff(one) for one in tokens],
            duration_s=float(max(one[-1] for one in tokens)) / 1e6 + 0.001,
        )
        return replace(
            e, raw=changed, call_s=(99.0, 200.0), steady_s=(0.0, changed.duration_s), foreign_most=0.2
        )

    return change


def at_another_pace(e: Evidence, times: float, of: slice) -> Evidence:
    """Some requests get their answers at another pace, and nobody else does; each slot's next request waits for its end."""
    rows = set(range(N)[of])
    itls = [np.rint(row / times).astype(np.int64) if i in rows else row for i, row in enumerate(e.raw.itl_us)]
    latency = np.array([20_000 + row.sum() for row in itls])
    free, start = [0] * C, []
    for one in latency:
        slot = int(np.argmin(free))
        start.append(free[slot])
        free[slot] += int(one)
    changed = replace(
        e.raw, itl_us=itls, latency_us=latency, start_us=np.array(start), duration_s=max(free) / 1e6
    )
    return replace(e, raw=changed, call_s=(99.0, 200.0))


def collected(load: RawLoad, size: int) -> list[np.ndarray]:
    """Answers are handed on in heaps of a size; the last ones come when they came."""
    rows = []
    for row in load.itl_us:
        times = np.cumsum(row)
        heap = np.minimum((np.arange(len(row)) // size + 1) * size - 1, len(row) - 1)
        rows.append(np.diff(np.concatenate(([0], times[heap]))))
    return rows


def doubled(load: RawLoad) -> list[np.ndarray]:
    """Half way between two tokens comes an empty answer."""
    return [np.repeat(row // 2, 2) for row in load.itl_us]


def said(
    n: int = N, queue: float = 0.001, prefill: float = 0.015, decode: float = 0.2, **more: Any
) -> ServerWindow:
    """What an engine says of how long requests were in it, in seconds."""
    parts = {"queue_s": queue, "prefill_s": prefill, "decode_s": decode}
    return ServerWindow(**{name: Summary(n=n, mean=mean, std=0.0) for name, mean in parts.items()}, **more)


def by_engine(*counts: int) -> Callable[[Evidence], Evidence]:
    """What each engine finished."""
    return lambda e: replace(e, server=said(engines={str(i): one for i, one in enumerate(counts)}))


BREAKS: dict[str, tuple[Callable[[Evidence], Evidence], set[str]]] = {
    "a request failed": (raw(completed=N - 1, failed=1), {"requests_complete", "server_counts"}),
    "a row is missing": (lambda e: replace(e, load=e.load.model_copy(update={"requests": N + 1})), {"requests_complete"}),
    "an output is short": (raw(output_len=plus("output_len", 3, -1)), {"output_lengths", "server_counts"}),
    "another seed's draw": (lambda e: replace(e, drawn_output=drawn_lengths(128, 64, N, SEED + 1, 0)[1]), {"output_lengths"}),
    "prompts are longer": (raw(input_len=lambda load: load.input_len + 5), {"input_lengths", "server_counts", "reported_means"}),
    "the server generated more": (counters(generation_tokens=1), {"server_counts"}),
    "the server saw other requests": (counters(requests_succeeded=N + 1), {"server_counts"}),
    "a gap is not in the latency": (raw(itl_us=longer_gap), {"itl_sum"}),
    "a latency is not in the gaps": (raw(latency_us=plus("latency_us", 5, 1500)), {"itl_sum"}),
    "tokens came in pairs": (raw(itl_us=merged), {"chunks"}),
    "the duration is too long": (raw(duration_s=lambda load: load.duration_s * 1.2), {"span", "littles_law"}),
    "the duration is too short": (raw(duration_s=lambda load: load.duration_s * 0.9), {"span", "littles_law"}),
    "half of the loop was idle": (raw(start_us=lambda load: load.start_us * 2, duration_s=lambda load: load.duration_s * 2), {"littles_law"}),
    "the times are of another hour": (raw(first_start_s=3700.0), {"node_clock"}),
    "every time is stretched": (lambda e: replace(e, call_s=(99.9, 100.0 + e.raw.duration_s / 2)), {"node_clock"}),
    "the client's mean is another file's": (raw(reported=lambda load: load.reported | {"mean_ttft_ms": 21.0}), {"reported_means"}),
    "nobody got a token for six seconds": (on_another_clock(lambda t: np.where(t > 1_000_000, t + 6_000_000, t)), {"silence", "evenness"}),
    "a stall in each part of the load": (on_another_clock(lambda t: t + 1_000_000 * (t // 250_000)), {"silence"}),
    "a slow first wave": (lambda e: replace(on_another_clock(lambda t: np.where(t < 280_000, 6 * t, t + 1_400_000))(e), steady_s=(1.8, 4.2)), {"evenness"}),
    "the server became slower and slower": (on_another_clock(lambda t: t + t.astype(float) ** 2 / 1e6), {"evenness"}),
    "prompts were sent before": (counters(prefix_cache_hits=1), {"prefix_cache"}),
    "a preemption storm": (counters(preemptions=5), {"preemptions"}),
    "the client was busy": (lambda e: replace(e, telemetry=e.telemetry.model_copy(update={"client_cpu_share": 0.61})), {"client_limited"}),
    "others used the cores": (lambda e: replace(e, foreign_most=0.2, telemetry=e.telemetry.model_copy(update={"machine": MachineLoad(foreign_share=0.3)})), {"machine_busy"}),
    "the hypervisor took them": (lambda e: replace(e, foreign_most=0.2, telemetry=e.telemetry.model_copy(update={"machine": MachineLoad(foreign_share=0.0, steal_share=0.2)})), {"machine_busy"}),
    "all waited for memory": (lambda e: replace(e, foreign_most=0.2, telemetry=e.telemetry.model_copy(update={"machine": MachineLoad(foreign_share=0.0, memory_stall_share=0.2)})), {"machine_busy"}),
    "others used the devices": (lambda e: replace(e, telemetry=e.telemetry.model_copy(update={"machine": MachineLoad(foreign_gpu_processes=["4711 python3"])})), {"devices_own"}),
    "heat lowered their clocks": (lambda e: replace(e, power=Power(meter="nvidia-smi", throttled=["hardware thermal", "power cap"], slowed_share=0.2)), {"devices_own"}),
    "the server died": (lambda e: replace(e, server_alive=False), {"server_alive"}),
    "the server logged a traceback": (lambda e: replace(e, log_of_load="x\nTraceback (most recent call last):\n"), {"server_log"}),
    "the server logged one in the warm-up": (lambda e: replace(e, log_of_point="x\nTraceback (most recent call last):\n"), {"server_log"}),
    "the server logged one in a load behind a warm-up that filled the log": (lambda e: replace(e, log_of_point="INFO much\n", log_of_load="Traceback (most recent call last):\n", log_unread=1), {"server_log"}),
    "a worker was restarted": (lambda e: replace(e, log_of_point="INFO 11-26 10:00:00 [core.py:1] worker 0 was restarted\n"), {"server_log"}),
    "the server logged an error": (lambda e: replace(e, log_of_point="(EngineCore pid=7) ERROR 11-26 10:00:00 [core.py:1] no words known\n"), {"server_log"}),
    "another engine answered": (lambda e: replace(e, engine_changes=("process 7 (VLLM::EngineCore) is gone",)), {"one_engine"}),
    "the first streamed answer is empty": (lambda e: replace(e, streamed=Streamed([0, 1, 2], 3)), {"stream"}),
    "tokens are counted and not streamed": (lambda e: replace(e, streamed=Streamed([1] * 23, 24)), {"stream"}),
    "several tokens come in the first answer": (lambda e: replace(e, streamed=Streamed([4] + [1] * 20, 24)), {"stream"}),
    "nothing is streamed": (lambda e: replace(e, streamed=Streamed()), {"stream"}),
    "an empty answer makes TTFT": (raw(itl_us=lambda load: [np.concatenate(([row[0] + 15_000], row[1:])) for row in load.itl_us], ttft_us=lambda load: load.ttft_us - 15_000, reported=lambda load: load.reported | {"mean_ttft_ms": 5.0, "mean_tpot_ms": float(((load.latency_us - load.ttft_us + 15_000) / (load.output_len - 1)).mean()) / 1000}), {"first_token"}),
    "an empty answer makes TTFT of four requests in ten": (lambda e: early(e, 4), {"first_token"}),
    "something was compiled": (
        lambda e: replace(e, log_of_load="Triton JIT compile during inference: fn. This causes a latency spike; consider"),
        {"jit"},
    ),
    "something was compiled without a word": (lambda e: replace(e, compiled=("triton/x/fn.hsaco",)), {"jit"}),
    "a kernel was asked for and nobody answered": (
        lambda e: replace(e, kernel=KernelChoice(name="k", variant="", expect="taken", files="")),
        {"kernel_path"},
    ),
    "a stall of 0.2 s in each part of the load": (on_another_clock(lambda t: t + 200_000 * (t // 250_000)), {"short_stalls"}),
    "a quarter of the requests gets its tokens eight times as fast": (lambda e: at_another_pace(e, 8.0, slice(3, None, 4)), {"same_pace"}),
    "a quarter of the connections is four times slower": (lambda e: at_another_pace(e, 0.25, slice(3, None, 4)), {"same_pace"}),
    "answers are collected and handed on by eight": (lambda e: replace(raw(itl_us=lambda load: collected(load, 8))(e), foreign_most=0.2), {"one_by_one", "first_token"}),
    "an empty answer after each token": (raw(itl_us=doubled), {"chunks"}),
    "all answers come at the end": (lambda e: replace(raw(itl_us=lambda load: [row * 0 + 20 for row in load.itl_us], ttft_us=lambda load: load.latency_us - 20 * (load.output_len - 1))(e), foreign_most=0.2), {"one_by_one", "reported_means"}),
    "a first answer before the engine has a token": (lambda e: replace(e, server=said(prefill=0.022)), {"engine_times"}),
    "the client's clock runs at half of its speed": (lambda e: replace(e, server=said(queue=0.0, prefill=0.018, decode=0.6)), {"engine_times"}),
    "one of two engines does nothing": (by_engine(N, 0), {"every_engine"}),
}  # fmt: skip


def test_tokens_are_put_in_order_once_for_all_gates_and_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two million of them take a quarter of a second each time, in which the devices wait."""
    calls = []
    plain = stationarity.arrivals

    def counted(load: RawLoad) -> np.ndarray:
        calls.append(load)
        return plain(load)

    monkeypatch.setattr(stationarity, "arrivals", counted)
    evidence = replace(good(), steady_s=(0.0, 1.0))
    gates.judge(evidence)
    gates.notes(evidence)
    assert len(calls) == 1


def test_a_good_load_passes_every_gate() -> None:
    """The load that the breaks are made in is a good one."""
    assert failing(good()) == []


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_load_fails_its_gate(name: str) -> None:
    """Each break is named by its gate, and by no gate that it does not touch."""
    change, wanted = BREAKS[name]
    assert wanted <= set(failing(change(good()))) <= wanted | {"span", "reported_means", "chunks"}


@pytest.mark.parametrize(("of_ten", "noted", "refused"), [(2, 0, 0), (3, 1, 0), (4, 0, 1)])
def test_empty_answers_in_some_requests_are_a_note_and_in_more_a_failure(
    of_ten: int, noted: int, refused: int
) -> None:
    """A median sees none of them, and the mean that is published is of all."""
    found = early(good(), of_ten)
    assert [any("may have been empty" in note for note in gates.notes(found))] == [bool(noted)]
    assert ("first_token" in failing(found)) == bool(refused)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: at_another_pace(e, 8.0, slice(3, None, 40)), "more than one pace: 1 of 40 requests over 2 times as fast"),
        (raw(itl_us=lambda load: [collected(load, 4)[0], *load.itl_us[1:4], *collected(load, 4)[4:8], *load.itl_us[8:]]), "came at one moment"),
        (lambda e: replace(e, warm_failed=3), "3 of 8 requests of the warm-up failed"),
        (lambda e: replace(e, server=said(decode=0.05)), "of latency was outside of the engine"),
        (on_another_clock(lambda t: t + 150_000 * (t // 1_500_000)), "of the load in short stalls"),
        (lambda e: replace(e, log_unread=2_000_000_000), "2,000,000,000 bytes of the server's log were not looked at"),
        (lambda e: replace(e, log_unread=7), "7 bytes of the server's log were not looked at"),
        (by_engine(32, 8), "unequal shares: engine 0 finished 32, engine 1 finished 8"),
    ],
)  # fmt: skip
def test_less_of_it_is_a_note(change: Callable[[Evidence], Evidence], words: str) -> None:
    """And no gate refuses it."""
    found = change(good())
    assert not {gate.__name__ for gate in gates_of_pace.GATES} & set(failing(found))
    assert any(words in note for note in gates.notes(found))


def test_every_gate_has_a_break() -> None:
    """A gate without a test that fails it would be an ornament."""
    assert {gate for _, broken in BREAKS.values() for gate in broken} == {
        gate.__name__ for gate in gates.GATES
    }


def test_a_chat_template_may_add_the_same_tokens_to_each_prompt() -> None:
    """One offset for all, and no other one."""
    added = raw(input_len=lambda load: load.input_len + 40)(good())
    assert "input_lengths" not in failing(replace(added, chat=True))
    assert "input_lengths" in failing(added)


def test_a_long_last_request_is_a_drain_and_an_idle_loop_is_not() -> None:
    """The bound gives way only as far as the load's own latencies explain."""
    e = good()
    raw_load = e.raw
    last = int(raw_load.start_us.argmax())
    latency = raw_load.latency_us.copy()
    latency[last] *= 3
    duration = float((raw_load.start_us + latency).max()) / 1e6
    assert "littles_law" not in failing(
        replace(e, raw=replace(raw_load, latency_us=latency, duration_s=duration))
    )
    assert "littles_law" in failing(
        replace(e, raw=replace(raw_load, latency_us=latency, duration_s=duration * 1.05))
    )


def test_speculative_decoding_may_merge_tokens() -> None:
    """Several tokens an answer are the point of it."""
    assert "chunks" not in failing(replace(raw(itl_us=merged)(good()), speculative=True))


@pytest.mark.parametrize(
    "line",
    [
        "[aiter] finish build [module_moe_ck2stages], cost 38.41238912s",
        "INFO [backends.py:872] torch.compile takes 12.5 s in total",
        "flashinfer.jit: Building JIT ops: norm",
        "TileLang begins to compile kernel `gemm` with `out_idx=None`",
        "Capturing CUDA graphs (PIECEWISE):   4%",
        "[aiter] build [module_moe_asm] under /x/build",
        "[aiter] waiting for baton release at /x/lock",
        "WARNING [jit_monitor.py:20] Triton kernel JIT compilation during inference: _fwd",
        "INFO [monitor.py:34] torch.compile took 10.1 s in total",
        "INFO [gpu_model_runner.py:1] Graph capturing finished in 20 secs, took 1.2 GiB",
        "TileLang: compiling kernel foo",
        "[Autotuner]: Autotuning process starts ...",
        "AUTOTUNE mm(64x128, 128x32)",
        "DeepGEMM JIT compiles sm90_fp8_gemm",
    ],
)
def test_whoever_compiles_is_seen(line: str) -> None:
    """By the words of each compiler."""
    assert JIT.search(f"(Worker_TP3 pid=611) {line}\n")


def test_loading_what_was_compiled_before_is_no_compilation() -> None:
    """AITER's modules come from its cache, and a MoE layer says which file of tiles it takes."""
    for line in (
        "[aiter] import [module_moe_sorting] under /usr/lib/aiter/jit/module_moe_sorting.so",
        "INFO [fused_moe.py:1] Using default MoE config. Performance might be sub-optimal!",
    ):
        assert not JIT.search(f"{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "\x1b[1;36m(EngineCore_DP0 pid=7)\x1b[0;0m ERROR 11-26 10:00:00 [core.py:1] no words known",
        "2026-11-26 10:00:00,123 - vllm - ERROR - no words known",
        "[2026-11-26 10:00:00,123] ERROR in app: no words known",
        "[rank0]:[E1126 10:00:00.123456789 ProcessGroupNCCL.cpp:632] [Rank 0] Watchdog caught collective operation timeout",
        "E1126 10:00:00.12 1234 x.cc:1] no words known",
        "terminate called after throwing an instance of 'std::runtime_error'",
        "Exception in thread Thread-7 (run):",
        "Process SpawnProcess-1:",
        "Task exception was never retrieved",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB",
        "Memory access fault by GPU node-5 (Agent handle: 0x55) on address 0x7f. Reason: Unknown.",
        "WARNING [executor.py:1] Worker proc VllmWorker-0 died unexpectedly",
        "INFO 11-26 10:00:00 [core.py:58] Initializing a V1 LLM engine (v0.32.0) with config: x",
        "INFO:     Started server process [4711]",
        "INFO:     Application startup complete.",
        "double free or corruption (out)",
    ],
)
def test_trouble_is_seen_whatever_its_words(line: str) -> None:
    """Of Python, C++, the GPU's software, and of an engine that begins again."""
    assert trouble(f"INFO fine\n{line}\n")


def test_a_log_of_a_good_load_is_no_trouble() -> None:
    """Counts of errors, warnings, and a server's own lines."""
    for line in (
        "Error counts: 0",
        "INFO 11-26 10:00:00 [loggers.py:1] Engine 000: Avg prompt throughput: 1.0 tokens/s, Running: 4 reqs",
        "WARNING 11-26 10:00:00 [x.py:1] nothing that is wrong",
        '(APIServer pid=7) INFO:     127.0.0.1:4711 - "POST /v1/completions HTTP/1.1" 200 OK',
    ):
        assert not trouble(f"{line}\n")


def test_a_log_is_read_in_little_time() -> None:
    """A prompt in one line of 200,000 letters, and as many requests as a large point has: 24 s for 32,000 letters once."""
    served = '(APIServer pid=7) INFO:     127.0.0.1:4711 - "POST /v1/completions HTTP/1.1" 200 OK\n'
    log = f"INFO prompt: {'ab cd ' * 35_000}\n" + served * 5000 + "[1 " * 50_000 + "\n" + "(a" * 50_000
    began = time.process_time()
    assert not trouble(log)
    assert time.process_time() - began < 2


def test_a_few_tokens_in_each_first_answer_are_a_note() -> None:
    """Three of 256 tokens are little, and TTFT is another one in every request; some that come together by chance are none."""

    def short(rows: int) -> Callable[[RawLoad], list[np.ndarray]]:
        return lambda load: [row[1:] if number < rows else row for number, row in enumerate(load.itl_us)]

    many = raw(output_len=lambda load: load.output_len + 300, itl_us=lambda load: [
        np.concatenate((row, np.full(300, 5000))) for row in load.itl_us
    ])(good())  # fmt: skip
    assert gates.notes(many) == []
    assert "no streamed answer of their own" in gates.notes(raw(itl_us=short(N))(many))[0]
    assert gates.notes(raw(itl_us=short(N // 2))(many)) == []
