"""Figures, gates and status of a record, from its raw requests: by the functions that made them the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from utils.node import again, devices, gates, machine, saturation, window_stats
from utils.node.looked_at import Evidence
from utils.node.vllm import load_result

if TYPE_CHECKING:
    from utils.node.record import Gate, Record
    from utils.results.recompute.asked import Asked
    from utils.results.recompute.left import Left

OF_LOG = frozenset({"server_log", "jit"})
"""Gates whose evidence is the server's log."""
CLAIMED = frozenset({"one_engine"})
"""Gates whose evidence is in no file: the processes of a server that is gone."""


def evidence(asked: Asked, one: Record, left: Left) -> Evidence:
    """All that gates look at; what no file shows is the record's own word."""
    if one.load is None or one.counters is None or one.telemetry is None:
        raise ValueError("a record with figures lacks load, counters or telemetry")
    point, raw = asked.point, left.raw
    drawn = load_result.drawn_lengths(
        point.isl, point.osl, len(raw.start_us), one.load.seed, left.special_tokens
    )
    steady = window_stats.steady(raw, point.concurrency, point.devices)
    said = {gate.name: gate.passed for gate in one.gates}
    return Evidence(
        raw=raw,
        load=one.load,
        drawn_input=drawn[0],
        drawn_output=drawn[1],
        chat=point.chat_template,
        speculative=asked.speculative,
        counters=one.counters,
        telemetry=one.telemetry,
        call_s=left.call_s,
        server_alive=said.get("server_alive", False),
        log_of_load=left.server_log or "",
        log_of_point=left.warm_log or "",
        log_unread=left.log_unread,
        streamed=left.streamed,
        compiled=left.compiled,
        kernel=point.kernel,
        workers=asked.workers,
        marker=tuple(one.marker),
        foreign_most=asked.foreign_most,
        steady_s=(steady.start_s, steady.start_s + steady.duration_s) if steady else None,
        power=one.power,
        warm_failed=left.warm_failed,
        server=one.server,
    )


def fields(asked: Asked, one: Record, left: Left) -> dict[str, Any]:
    """Every field that raw requests and plan decide, as plain values."""
    known = evidence(asked, one, left)
    answers = [_answer(gate, one, left) for gate in gates.judge(known)]
    steady = window_stats.steady(left.raw, asked.point.concurrency, asked.point.devices)
    beside = known.telemetry.machine
    telemetry = known.telemetry.model_dump(mode="json")
    telemetry["client_cpu_share"] = known.telemetry.client_cpu_s / left.raw.duration_s
    return {
        "status": "measured" if all(gate.passed for gate in answers) else "invalid",
        "failure": None,
        "counts": window_stats.counts(left.raw, known.load.requests).model_dump(mode="json"),
        "whole": window_stats.whole(left.raw, asked.point.devices).model_dump(mode="json"),
        "steady": steady.model_dump(mode="json") if steady else None,
        "telemetry": telemetry,
        "derived": list(left.raw.derived),
        "notes": [
            *([again.remark(left.compiled_first)] if left.compiled_first else []),
            *filter(
                None, [saturation.remark(one.server, asked.point.concurrency, known.counters.preemptions)]
            ),
            *gates.notes(known),
            *(machine.remarks(beside) if beside else []),
            *devices.remarks(one.power),
        ],
        "gates": [gate.model_dump(mode="json") for gate in answers],
        "files": left.files.model_dump(mode="json"),
    }


def _answer(gate: Gate, one: Record, left: Left) -> Gate:
    """A gate's answer, or the record's where no file has its evidence."""
    unseen = CLAIMED | (OF_LOG if left.server_log is None else frozenset())
    if gate.name not in unseen:
        return gate
    return next((said for said in one.gates if said.name == gate.name), gate)
