"""Where each field of a record comes from: the table of docs/trust.md, and what the mutation test goes by."""

from __future__ import annotations

from typing import Literal

Word = Literal["recomputed", "compared", "replaced", "outside", "recorded", "claimed"]
MEANING: dict[Word, str] = {
    "recomputed": "computed again by the judging job from the raw requests and the plan; a record that says otherwise is refused",
    "compared": "compared with another source; a record that says otherwise is refused",
    "replaced": "written by the judging job from the plan, the sweep and what was sampled outside of the container, whatever the record says",
    "outside": "written by the batch script or the harness outside of the container; a record that says otherwise is refused where that is there",
    "recorded": "written by the recorder outside of the arm's container, in an image that the change did not choose; where it runs in the arm's own, only the arm says so",
    "claimed": "only the arm says so",
}

FIELDS: dict[str, tuple[Word, str]] = {
    "schema_version": ("recomputed", "the reader's own version"),
    "point": ("compared", "the plan"),
    "key": ("compared", "the plan"),
    "parts": ("compared", "the plan"),
    "vary": ("replaced", "the plan"),
    "observed": ("recomputed", "the plan's key with node, image and the server's version"),
    "status": ("recomputed", "all gates"),
    "failure": ("recorded", "its text; a reason is an exit code's name, and `retry` follows from it"),
    "job": ("compared", "the plan"),
    "recipe": ("compared", "the plan"),
    "rules": ("replaced", "the plan, which has them from the base revision"),
    "block": ("compared", "the plan"),
    "allocation": ("replaced", "a name of the sweep's run and attempt"),
    "arm": ("compared", "the plan, and the run's folder"),
    "run_index": ("compared", "the plan, and the run's folder"),
    "position": ("compared", "the plan"),
    "points_before": ("compared", "the plan"),
    "points_in_run": ("compared", "the plan; of a block that confirms, the other arm"),
    "server_age_s": ("recorded", "within what its phases allow"),
    "devices": ("compared", "the plan"),
    "precision": ("compared", "the plan"),
    "image": ("compared", "the plan"),
    "squash_sha256": ("outside", "found.json, and the other runs with that image"),
    "model": ("compared", "the plan"),
    "provenance": ("compared", "the base arm of the allocation, for the harness"),
    "provenance.tree_commit": ("replaced", "the sweep's own commits"),
    "provenance.tree_clean": ("replaced", "a sweep's checkouts are clean"),
    "vllm_version": (
        "compared",
        "the other runs with that image; of an image of the pull request's own, only the arm says so",
    ),
    "serve_argv": ("compared", "the plan"),
    "serve_argv.0": ("recorded", "the program's path; it and the port are the node's choice"),
    "serve_env": ("compared", "the plan"),
    "node": ("outside", "found.json where the batch script wrote it; else the base arm of the allocation"),
    "clock": ("compared", "the base arm of the allocation, and the phases"),
    "phases": ("recorded", "in order, before the clock, and with the client's process in its place"),
    "load": ("compared", "the plan; the number of requests with the allocation's first run"),
    "load.warmup_rate_per_s": (
        "recorded",
        "no faster than the warm-up's phase allows; in the first run it gives the number of requests",
    ),
    "counts": ("recomputed", "the raw requests"),
    "whole": ("recomputed", "the raw requests"),
    "steady": ("recomputed", "the raw requests"),
    "counters": (
        "compared",
        "the client's counts (gates `server_counts`, `prefix_cache`, `preemptions`); of a job on a cluster the raw requests also with what the server said outside of the container",
    ),
    "telemetry": (
        "recorded",
        "its gates are recomputed from it; the client's share follows from its seconds; its memory and processor time only the server says",
    ),
    "marker": ("claimed", "the kernel's own counts; the gate `kernel_path` is recomputed from them"),
    "power": (
        "replaced",
        "the samples of the host's meter, of a job on a cluster; a record that hides lowered clocks or foreign processes is refused",
    ),
    "server": ("claimed", "the server's own metrics"),
    "accuracy": (
        "claimed",
        "parity is recomputed from the answers of both, and a record that says more is refused; what was answered, and a task's score, only the arm says",
    ),
    "caches": ("recorded", "a list of what was given to it; what its canary compiled is the arm's own"),
    "environment": ("compared", "the plan's image; `own` makes a record that nobody reuses"),
    "derived": ("recomputed", "the raw requests"),
    "figures": ("recomputed", "written by the judging job alone"),
    "traces": ("claimed", "a profile's, which is no measurement: none is judged"),
    "notes": ("recomputed", "the raw requests, the telemetry, the server's log and its own metrics"),
    "gates": (
        "recomputed",
        "raw requests, plan and the server's log; `server_alive` and `one_engine` only the record says",
    ),
    "files": ("recomputed", "the files' bytes"),
}
"""Every field, and what is otherwise inside of one -> where it comes from, and what it is checked with."""


def word(place: str) -> Word:
    """Whose word a value is, by the longest name in the table that leads to it.

    Args:
        place: dotted, such as `load.warmup_rate_per_s`.
    """
    steps = place.split(".")
    names = (".".join(steps[:n]) for n in range(len(steps), 0, -1))
    return next(FIELDS[name][0] for name in names if name in FIELDS)
