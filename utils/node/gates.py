"""Gates: checks of one run that need no history. A failed one makes the record invalid, by name.

The identities hold for any closed loop of requests, so that a swapped or cut result breaks at least one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils.node import completion, gates_of_machine, gates_of_pace, marker, stationarity, tokens, window_stats
from utils.node.gates_of_machine import SHARED
from utils.node.gates_words import compilation, trouble
from utils.node.record import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from utils.node.looked_at import Evidence

CHUNKS_LEAST = 0.9  # a busy machine merges a few (0.5 % seen at 5 ms a token), which moves ITL alone
ITL_SLACK_US = 1000
INPUT_SLACK = 0.005
CHAT_TOKENS_MOST = 512
SPAN_SLACK = 0.03
SPAN_SLACK_S = 0.25
CLOCK_SLACK_S = 0.05
LITTLE_DRAIN = 0.3
LITTLE_SLACK = 0.01
LITTLE_MOST = 1.005
REPORTED_SLACK = 0.002
PREEMPTIONS_PER_REQUEST = 0.1


def requests_complete(e: Evidence) -> Gate:
    """Every request completed, and as many as were asked for."""
    raw, asked = e.raw, e.load.requests
    good = raw.completed == asked == len(raw.errors) and raw.failed == 0 and bool(raw.ok.all())
    return _gate(
        "requests_complete",
        good,
        f"{raw.completed} of {asked} completed, {raw.failed} failed, {len(raw.errors)} rows",
    )


def output_lengths(e: Evidence) -> Gate:
    """Each request produced exactly the tokens that the seed's own draw asks for."""
    if len(e.raw.output_len) != len(e.drawn_output):
        return _gate("output_lengths", False, f"{len(e.raw.output_len)} rows, {len(e.drawn_output)} drawn")  # noqa: FBT003
    off = int((e.raw.output_len != e.drawn_output).sum())
    found = f"{off} of {len(e.drawn_output)} requests differ from the draw of seed {e.load.seed}"
    return _gate(
        "output_lengths", off == 0, f"{found}; {e.raw.output_len.sum()} tokens, {e.drawn_output.sum()} drawn"
    )


def input_lengths(e: Evidence) -> Gate:
    """Prompts have the drawn lengths: exactly one offset for a chat template, else half a percent in all for tokenizers that drift."""
    if len(e.raw.input_len) != len(e.drawn_input):
        return _gate("input_lengths", False, f"{len(e.raw.input_len)} rows, {len(e.drawn_input)} drawn")  # noqa: FBT003
    off = e.raw.input_len - e.drawn_input
    if e.chat:
        off = off - min(CHAT_TOKENS_MOST, max(0, int(np.median(off))))
    share = float(np.abs(off).sum() / max(1, e.drawn_input.sum()))
    return _gate(
        "input_lengths",
        share <= INPUT_SLACK,
        f"{100 * share:.3f} % of the drawn prompt tokens are off, at most {100 * INPUT_SLACK} %",
    )


def server_counts(e: Evidence) -> Gate:
    """The server counted the same tokens and requests as the client."""
    ok = e.raw.ok
    sides = {
        "generation tokens": (e.counters.generation_tokens, int(e.raw.output_len[ok].sum())),
        "prompt tokens": (e.counters.prompt_tokens, int(e.raw.input_len[ok].sum())),
        "requests": (e.counters.requests_succeeded, e.raw.completed),
    }
    found = ", ".join(
        f"{name} {server} by the server and {client} by the client"
        for name, (server, client) in sides.items()
    )
    return _gate("server_counts", all(server == client for server, client in sides.values()), found)


def itl_sum(e: Evidence) -> Gate:
    """The times between tokens add up to latency minus time to first token, in every request; says nothing where the client reports no latency."""
    if "latencies" in e.raw.derived:
        return _gate(
            "itl_sum",
            passed=True,
            found="this client reports no latencies; they are TTFT and the times between tokens",
        )
    sums = np.array([row.sum() for row in e.raw.itl_us], dtype=np.int64)
    rounding = np.array([len(row) for row in e.raw.itl_us], dtype=np.int64)
    gap = np.abs(sums - (e.raw.latency_us - e.raw.ttft_us)) - rounding
    worst = int(gap[e.raw.ok].max(initial=0))
    return _gate(
        "itl_sum",
        worst <= ITL_SLACK_US,
        f"off by at most {max(0, worst) / 1000:.3f} ms, {ITL_SLACK_US / 1000:.0f} ms allowed",
    )


def chunks(e: Evidence) -> Gate:
    """At least nine streamed answers for ten tokens, or ITL means something else, which is not asked of speculative decoding; and no more answers than tokens, but for one in each chat, which names the role."""
    ok = e.raw.ok
    many = int(e.raw.output_len[ok].sum())
    streamed = sum(len(row) + 1 for row, good in zip(e.raw.itl_us, ok, strict=True) if good)
    most = many + int(e.chat) * int(ok.sum())
    least = 0.0 if e.speculative else CHUNKS_LEAST * many
    own = int(tokens.answers(e.raw, chat=e.chat)[ok].sum())
    roles = f", {streamed - own} of them with a chat's role" if e.chat else ""
    return _gate(
        "chunks", streamed <= most and own >= least, f"{streamed} streamed answers for {many} tokens{roles}"
    )


def stream(e: Evidence) -> Gate:
    """In a streamed completion that the node reads itself, each answer brings the tokens that count, and the first one brings one."""
    why = completion.problem(e.streamed, speculative=e.speculative)
    known = sum(n is not None for n in e.streamed.tokens)
    return _gate(
        "stream", not why, why or f"{known} of {len(e.streamed.tokens)} answers had ids of their tokens"
    )


def first_token(e: Evidence) -> Gate:
    """The second answer does not come 2.5 times later than others do and later than the first did, in the middle or in three of ten requests: then the first one was empty."""
    found = tokens.first(e.raw)
    if found is None:
        return _gate("first_token", passed=True, found="too few requests of several tokens to say")
    return _gate("first_token", e.speculative or not found.is_empty, found.words)


def span(e: Evidence) -> Gate:
    """From the first start to the last token is the duration that throughput is divided by."""
    seconds = float(e.raw.end_us.max(initial=0)) / 1e6
    slack = max(SPAN_SLACK_S, SPAN_SLACK * e.raw.duration_s)
    good = seconds - 0.01 <= e.raw.duration_s <= seconds + slack
    return _gate(
        "span",
        good,
        f"requests span {seconds:.3f} s, the client says {e.raw.duration_s:.3f} s, {slack:.3f} s may lie between",
    )


def node_clock(e: Evidence) -> Gate:
    """The client's times lie between the start and the end of its process, on the node's own clock."""
    first, last = e.raw.first_start_s, e.raw.first_start_s + e.raw.duration_s
    start, end = e.call_s
    found = f"load from {first - start:.3f} s to {last - start:.3f} s of a call of {end - start:.3f} s"
    return _gate("node_clock", start <= first and last <= end + CLOCK_SLACK_S, found)


def littles_law(e: Evidence) -> Gate:
    """Requests x mean latency / concurrency is the duration, less an idle drain: within [1 - 0.3 c/N, 1], or the drain's own share."""
    c, n = e.load.concurrency, max(1, len(e.raw.latency_us))
    filled = float(e.raw.latency_us.sum()) / 1e6 / c / max(e.raw.duration_s, 1e-9)
    least = min(1 - LITTLE_DRAIN * c / n, window_stats.filled_by_a_full_loop(e.raw, c) - LITTLE_SLACK)
    return _gate(
        "littles_law", least <= filled <= LITTLE_MOST, f"{filled:.4f}, wanted {least:.4f} to {LITTLE_MOST}"
    )


def silence(e: Evidence) -> Gate:
    """No stall: the longest time without a token to anybody is within five times what is usual in this load, and 5 s of it, and all stalls are within a tenth of the load; short ones are a note."""
    found = e.quiet
    if found is None:
        return _gate("silence", passed=True, found="too few tokens to say what is usual")
    return _gate("silence", not found.is_stall, found.words)


def short_stalls(e: Evidence) -> Gate:
    """Stalls of 50 ms and more, each five times as long as is usual in its place, took at most a tenth of the load in all; from a twentieth on it is a note, and no more where the cluster shares its machine. `silence` names longer ones."""
    share = e.quiet.brief_share if e.quiet and not e.quiet.is_stall else 0.0
    good = share <= stationarity.LOST_MOST or e.foreign_most >= SHARED
    return _gate(
        "short_stalls",
        good,
        f"{100 * share:.1f} % of the load in short stalls, at most {100 * stationarity.LOST_MOST:.0f} %",
    )


def evenness(e: Evidence) -> Gate:
    """Thirds of the steady window have throughputs within half of their mean, and a slow first wave took at most a tenth of the load; from 15 % and 3 % on it is a note, and no more where the cluster shares its machine."""
    found = e.course
    if found is None:
        return _gate("evenness", passed=True, found="too few tokens in a steady window to say")
    return _gate("evenness", not found.is_wrong or e.foreign_most >= SHARED, found.words)


def reported_means(e: Evidence) -> Gate:
    """The client's own totals and means are those of its rows."""
    raw, ok = e.raw, e.raw.ok
    many = ok & (raw.output_len > 1)
    tpot = (raw.latency_us[many] - raw.ttft_us[many]) / np.maximum(1, raw.output_len[many] - 1)
    ours = {
        "total_input_tokens": float(raw.input_len[ok].sum()),
        "total_output_tokens": float(raw.output_len[ok].sum()),
        "mean_ttft_ms": float(raw.ttft_us[ok].mean()) / 1000,
        "mean_e2el_ms": float(raw.latency_us[ok].mean()) / 1000,
        "mean_tpot_ms": float(tpot.mean()) / 1000 if len(tpot) else 0.0,
    }
    ours = {name: value for name, value in ours.items() if name in raw.reported}
    worst = max(ours, key=lambda name: abs(ours[name] - raw.reported[name]) / max(abs(ours[name]), 1e-9))
    off = abs(ours[worst] - raw.reported[worst]) / max(abs(ours[worst]), 1e-9)
    return _gate(
        "reported_means",
        off <= REPORTED_SLACK,
        f"{worst}: {ours[worst]:.6g} from the rows, {raw.reported[worst]:.6g} reported",
    )


def prefix_cache(e: Evidence) -> Gate:
    """Random prompts hit no prefix cache; a hit means that prompts were sent before."""
    hits = e.counters.prefix_cache_hits
    return _gate(
        "prefix_cache", hits == 0, f"{hits} tokens of {e.counters.prompt_tokens} came from the prefix cache"
    )


def preemptions(e: Evidence) -> Gate:
    """Fewer than one preemption in ten requests; more is a storm, and measures the storm."""
    most = PREEMPTIONS_PER_REQUEST * e.load.requests
    return _gate(
        "preemptions", e.counters.preemptions <= most, f"{e.counters.preemptions}, at most {most:.0f}"
    )


def server_alive(e: Evidence) -> Gate:
    """The server's main process runs after the load."""
    return _gate("server_alive", e.server_alive, "it runs" if e.server_alive else "it ended")


def one_engine(e: Evidence) -> Gate:
    """From the server's readiness on its processes and its start time are the same, and no counter went back."""
    return _gate("one_engine", not e.engine_changes, "; ".join(e.engine_changes)[:300] or "it is the same")


def server_log(e: Evidence) -> Gate:
    """The server logged no error, no traceback and no restart, from the warm-up on."""
    logs = [e.log_of_point, e.log_of_load]
    if e.log_of_point.endswith(e.log_of_load):  # else it was too long to look at as a whole
        logs.pop()
    found = next(filter(None, map(trouble, logs)), "")
    return _gate("server_log", not found, f"found {found[:200]!r}" if found else "nothing of it")


def jit(e: Evidence) -> Gate:
    """Nothing was compiled inside the load's window."""
    found = compilation(e.log_of_load, e.compiled)
    return _gate("jit", not found, found or "no compilation")


def kernel_path(e: Evidence) -> Gate:
    """The kernel's own counts, from inside of the executed path, are what the point expects."""
    if e.kernel is None:
        return _gate("kernel_path", True, "no kernel is asked for")  # noqa: FBT003
    return _gate("kernel_path", *marker.judge(e.kernel, e.workers, list(e.marker)))


GATES: tuple[Callable[[Evidence], Gate], ...] = (
    requests_complete,
    output_lengths,
    input_lengths,
    server_counts,
    itl_sum,
    chunks,
    stream,
    first_token,
    span,
    node_clock,
    littles_law,
    silence,
    evenness,
    reported_means,
    prefix_cache,
    preemptions,
    *gates_of_machine.GATES,
    server_alive,
    one_engine,
    server_log,
    jit,
    kernel_path,
    short_stalls,
    *gates_of_pace.GATES,
)


def notes(evidence: Evidence) -> list[str]:
    """What a reader of the figures should know, and no gate refuses."""
    found = []
    if evidence.warm_failed:
        found.append(
            f"{evidence.warm_failed} of {evidence.load.warmup_requests} requests of the warm-up failed: the server may not have been warm"
        )
    if evidence.log_unread:
        found.append(
            f"{evidence.log_unread:,} bytes of the server's log were not looked at: it wrote too much in warm-up and load"
        )
    if not evidence.speculative and tokens.are_merged(evidence.raw, chat=evidence.chat):
        share = tokens.merged(evidence.raw, chat=evidence.chat)
        found.append(f"{100 * share:.1f} % of the output tokens had no streamed answer of their own")
    first = None if evidence.speculative else tokens.first(evidence.raw)
    if first and first.is_early and not first.is_empty:
        found.append(f"the first answer of {first.early} of {first.rows} requests may have been empty")
    quiet = evidence.quiet
    if quiet and quiet.is_hiccup and not quiet.is_stall:
        found.append(quiet.words)
    elif (
        quiet
        and quiet.brief_share > stationarity.BRIEF_NOTE
        and not quiet.is_stall
        and short_stalls(evidence).passed
    ):
        found.append(short_stalls(evidence).found)
    course = evidence.course
    if course and course.is_uneven and evenness(evidence).passed:
        found.append(f"throughput was not even over the steady window: {course.words}")
    return [*found, *gates_of_pace.notes(evidence)]


def judge(evidence: Evidence) -> list[Gate]:
    """Every gate's answer."""
    return [gate(evidence) for gate in GATES]


def _gate(name: str, passed: bool, found: str) -> Gate:  # noqa: FBT001 - always a comparison, read beside it
    return Gate(name=name, passed=bool(passed), found=found)
