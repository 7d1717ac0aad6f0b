"""What a record says of its machine and its time, compared with itself, with what the batch script wrote outside, and with its other arm."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from utils.node import observed
from utils.results.recompute.same import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from utils.node.record import Phase, Record
    from utils.results.recompute.asked import Asked
    from utils.results.recompute.left import Left

SLACK_S = 1.0
"""Between two readings of a clock that lie close together in the code."""
CLOCK_S = 5.0
"""What the wall clock of a node may be set by during an allocation."""
NEEDED = ("server", "warm-up", "load", "gates")
"""Phases that every record with figures has."""
OF_ALLOCATION = (
    *(
        "hostname",
        "os_release",
        "cpu_model",
        "cores",
        "server_cores",
        "client_cores",
        "memory_bytes",
        "gpu_model",
    ),
    *("gpu_serials", "driver", "partition", "firmware", "clock_mhz", "power_cap_w", "name", "runtime"),
    *("isolation", "load_image"),
    *("numa_balancing", "transparent_hugepage", "tool_notes"),
)
"""Fields of `node` that are the same for all runs of an allocation, for it is one machine."""


def fields(asked: Asked, one: Record) -> dict[str, Any]:
    """The observed key, made anew from the fields that it is of."""
    if one.observed is None and one.status not in {"measured", "invalid"}:
        return {}
    found = observed.Found(one.vllm_version, one.squash_sha256, one.environment, tuple(asked.job.serve.argv))
    made = observed.observed(asked.point, found, one.node)
    return {"observed": made.model_dump(mode="json") if made else None}


def times(asked: Asked, one: Record, left: Left | None) -> Iterator[Difference]:
    """Phases in order and before the record's clock, the load inside of its phase, the server's age from both."""
    known = {phase.name: phase for phase in one.phases}
    for before, after in pairwise(one.phases):
        if before.duration_s < 0 or before.start_s + before.duration_s > after.start_s + SLACK_S:
            yield Difference(f"phases.{before.name}", _span(before), f"before {after.start_s:.3f} s")
    if one.phases and one.phases[-1].start_s + one.phases[-1].duration_s > one.clock.monotonic_s + SLACK_S:
        yield Difference(
            "clock.monotonic_s", f"{one.clock.monotonic_s:.3f}", f"after {_span(one.phases[-1])}"
        )
    if left is None:
        return
    if missing := [name for name in NEEDED if name not in known]:
        yield Difference("phases", ", ".join(known), f"with {missing[0]}")
        return
    if asked.paired and left.compiled_first:
        yield Difference("phases", "loaded twice", "once, as every point of a pair")
    yield from _of_load(one, left, known)


def _of_load(one: Record, left: Left, known: Mapping[str, Phase]) -> Iterator[Difference]:
    call, load = left.call_s, known["load"]
    end = load.start_s + load.duration_s
    if abs(call[0] - load.start_s) > SLACK_S or abs(call[1] - end) > SLACK_S:
        yield Difference(
            "phases.load", _span(load), f"the client's process from {call[0]:.3f} to {call[1]:.3f} s"
        )
    if not end - SLACK_S <= one.clock.monotonic_s <= end + known["gates"].duration_s + CLOCK_S:
        yield Difference("clock.monotonic_s", f"{one.clock.monotonic_s:.3f}", f"just after {end:.3f} s")
    loads, made = sum(phase.name == "load" for phase in one.phases), 2 if left.compiled_first else 1
    if loads != made:
        yield Difference("phases", f"{loads} loads", f"{made} by the raw requests")
    server = known["server"]
    oldest, youngest = load.start_s - server.start_s, load.start_s - server.start_s - server.duration_s
    if not youngest - SLACK_S <= one.server_age_s <= oldest + SLACK_S:
        yield Difference(
            "server_age_s", f"{one.server_age_s:.3f}", f"{youngest:.3f} to {oldest:.3f} by its phases"
        )
    if (
        one.load
        and one.load.warmup_requests / max(one.load.warmup_rate_per_s, 1e-9)
        > known["warm-up"].duration_s + SLACK_S
    ):
        yield Difference(
            "load.warmup_rate_per_s",
            f"{one.load.warmup_rate_per_s:.6g}",
            f"a warm-up of {known['warm-up'].duration_s:.3f} s",
        )


def outside(one: Record, found: Mapping[str, Any]) -> Iterator[Difference]:
    """What the batch script's own check of the node wrote down, where no container reaches.

    Args:
        one: a record.
        found: found.json of its job; empty where there is none.
    """
    node = found.get("node") or {}
    for name in OF_ALLOCATION:
        if name in node and getattr(one.node, name) != node[name]:
            yield Difference(
                f"node.{name}", str(getattr(one.node, name)), f"{node[name]} outside of the container"
            )
    image = (found.get("images") or {}).get(one.image) or {}
    if "sha256" in image and one.squash_sha256 != image["sha256"]:
        yield Difference(
            "squash_sha256", str(one.squash_sha256), f"{image['sha256']} outside of the container"
        )


def among(one: Record, others: Sequence[Record]) -> Iterator[Difference]:
    """What all runs of one allocation share; the base's code is merged, so that its word counts more than the head's.

    Args:
        one: a record.
        others: all records of its allocation, itself too.
    """
    trusted = [other for other in others if other.arm == "base"] or list(others)
    for name in OF_ALLOCATION:
        usual = _usual([getattr(other.node, name) for other in trusted])
        if getattr(one.node, name) != usual:
            yield Difference(
                f"node.{name}", str(getattr(one.node, name)), f"{usual} in other runs of the allocation"
            )
    for name in ("commit", "clean", "harness"):
        usual = _usual([getattr(other.provenance, name) for other in trusted])
        if getattr(one.provenance, name) != usual:
            yield Difference(
                f"provenance.{name}", str(getattr(one.provenance, name)), f"{usual} in other runs"
            )
    if len({other.image for other in (*trusted, one)}) == 1:
        for field in ("squash_sha256", "vllm_version"):
            usual = _usual([getattr(other, field) for other in trusted if getattr(other, field)])
            if getattr(one, field) and getattr(one, field) != usual:
                yield Difference(field, str(getattr(one, field)), f"{usual} in other runs with that image")
    offsets = sorted(other.clock.wall_unix_s - other.clock.monotonic_s for other in trusted)
    off = one.clock.wall_unix_s - one.clock.monotonic_s - offsets[len(offsets) // 2]
    if abs(off) > CLOCK_S:
        yield Difference(
            "clock.wall_unix_s", f"{one.clock.wall_unix_s:.0f}", f"{off:.0f} s less by other runs"
        )


def _usual(values: Sequence[Any]) -> Any:  # noqa: ANN401 - of any field
    """What most say; of two that are equally many, the first."""
    counted = Counter(map(repr, values))
    return next((value for value in values if repr(value) == counted.most_common(1)[0][0]), None)


def _span(phase: Phase) -> str:
    return f"{phase.start_s:.3f} to {phase.start_s + phase.duration_s:.3f} s"
