"""What is shown of one point when somebody opens it: where its figures come from, and how to make them again."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from matrix.metrics import METRICS
from matrix.secrets import names_a_secret, redacted
from utils.report import left, timeline
from utils.report.grouped import SPEED
from utils.report.numbers import three
from utils.show.log import clean

if TYPE_CHECKING:
    from utils.node.record import Record
    from utils.report.grouped import Point


def panel(
    point: Point, *, drawn: bool, full: bool = False, paired: left.Paired | None = None
) -> dict[str, Any]:
    """Plain values, all of them texts: a title and parts, each of a `kind` that the page's script knows.

    Args:
        point: which.
        drawn: whether its first run was drawn over its time.
        full: whether as many points as a page draws were drawn before it.
        paired: traces of pairs that were profiled after a verdict.
    """
    record, folder = point.records[0], point.folders[0]
    _, lines = left.log_tail(folder)
    heads = ["run", "status", *(metric.heading for metric in METRICS.values()), "requests"]
    gates = [[gate.name, "passed" if gate.passed else "failed", clean(gate.found)] for gate in record.gates]
    commands = [[label, clean(redacted(text))] for label, text in _commands(record) if text]
    traces: dict[str, str] = {}
    for one, place in zip(point.records, point.folders, strict=True):
        traces |= dict.fromkeys(left.profiles(place, one.traces), "")
        traces |= dict.fromkeys(
            left.of_pair(paired or {}, place, point.point, point.arm), "after the verdict"
        )
    profiles = [[label, f"./servematrix profile {shlex.quote(path)}"] for path, label in traces.items()]
    time = f"t{point.number}" if drawn else ""
    undrawn = (
        f"The page draws the first {timeline.POINTS} points alone; a report of fewer results draws this one."
        if full
        else "No raw requests are beside its record."
    )
    return {
        "title": f"{point.point} ({point.arm})",
        "parts": [
            {"heading": "Runs", "kind": "table", "heads": heads, "lines": [_run(one) for one in point.records]},
            {"heading": "Where it comes from", "kind": "facts", "lines": [[label, clean(redacted(str(text)))] for label, text in _facts(point) if text]},
            {"heading": "The first run over its time", "kind": "picture", "id": time, "lines": [time] if time else [], "empty": undrawn},
            {"heading": "Gates", "kind": "table", "heads": ["gate", "result", "what was found"], "lines": gates, "empty": "No gate was reached."},
            {"heading": "Commands", "kind": "commands", "lines": commands, "empty": "No command was started."},
            {"heading": "End of the server's log", "kind": "log", "lines": lines, "empty": "No log is beside its record."},
            {"heading": "Profile", "kind": "commands", "lines": profiles, "empty": "No trace was taken."},
        ],
    }  # fmt: skip


def _run(record: Record) -> list[str]:
    from matrix.metrics import figures  # noqa: PLC0415 - a name that is local here

    known = figures(record)
    cells = [three(known[name]) if name in known else "-" for name in METRICS]
    return [
        str(record.run_index + 1),
        record.status,
        *cells,
        str(record.counts.completed) if record.counts else "-",
    ]


def _facts(point: Point) -> list[tuple[str, object]]:
    one = point.records[0]
    wall = datetime.fromtimestamp(one.clock.wall_unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    speed = point.figures.get(SPEED)
    return [
        ("why it has no figures", one.failure.message.splitlines()[0] if one.failure else ""),
        ("what its figures need", "; ".join(one.notes)),
        ("speed of a user", f"{three(speed.mean)} tok/s/user" if speed else ""),
        ("measured", wall),
        (
            "commit",
            one.provenance.tree_commit + ("" if one.provenance.tree_clean else ", with uncommitted changes"),
        ),
        ("key", one.key),
        ("observed key", one.observed.key if one.observed else ""),
        ("image", one.image),
        ("vLLM", one.vllm_version),
        ("model", f"{one.model}, {one.precision}"),
        ("device", f"{one.devices} x {point.device}"),
        ("driver", one.node.driver),
        ("node", f"{one.node.name or one.node.hostname}, {one.node.cpu_model}, {one.node.cores} cores"),
        ("allocation", one.allocation),
        (
            "figures",
            "recomputed from the raw requests"
            if one.figures == "recomputed"
            else "as the node computed them",
        ),
        ("harness", one.provenance.harness),
        ("folder", point.folders[0]),
    ]


def _commands(record: Record) -> list[tuple[str, str]]:
    environment = " ".join(
        f"{name}={'***' if names_a_secret(name) else shlex.quote(value)}"
        for name, value in sorted(record.serve_env.items())
    )
    vllm = record.serve_argv[0] if record.serve_argv else "vllm"
    load = record.load
    return [
        ("server", f"{environment} {shlex.join(record.serve_argv)}".strip()),
        ("warm-up", shlex.join([vllm, *load.warmup_argv]) if load else ""),
        ("load", shlex.join([vllm, *load.argv]) if load else ""),
        ("again", f"git checkout {record.provenance.tree_commit} && ./servematrix run {record.point}"),
    ]
