"""A kernel's marker: what its workers counted over a load, and whether that is what the point expects.

The kernel's side of it: each worker looks for the file `request` in the folder that SERVEMATRIX_KERNEL_MARKER names, and
answers with `answer-<the word in it>-<rank>.json`: `worker`, `kernel`, `variant`, `bound` (the most tokens of a step that
the kernel takes), `layers` (`gated`, and `refused` by reason), and the steps counted so far by number of tokens: `taken`
(on the kernel's path, by every layer), `taken_most` (by some layer) and `fallback` (on the engine's own); what the steps on the kernel's
path computed, by number of tokens (`routed`), and `local_experts`; or an `error`.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from typing import TYPE_CHECKING

from utils.node.kernel_counts import Marker

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.plan import KernelChoice, Point

FOLDER = "SERVEMATRIX_KERNEL_MARKER"
"""Tells a server's workers where they are asked and answer."""
ANSWER_S = 20.0
LARGEST = 5_000_000
"""Bytes of an answer that are read: counts of some thousand sizes have a tenth of that."""
MARKED_ONE_BY_ONE = 1024
"""Numbers of tokens that a kernel counts one by one; above, a number stands for several."""


def make(scratch: Path) -> Path:
    """The marker's folder of a run."""
    folder = scratch / "marker"
    folder.mkdir(exist_ok=True)
    return folder


def workers(point: Point) -> int:
    """How many processes of a server hold a part of the model."""
    return point.devices


def ask(folder: Path, word: str, expected: int) -> list[Marker]:
    """What each worker counted so far; fewer answers than expected if some do not come.

    Args:
        folder: of the run's marker.
        word: a new one for every question.
        expected: number of workers.
    """
    _put(folder / "request", f"{word}\n".encode())
    end = time.monotonic() + ANSWER_S
    while True:
        found = sorted(folder.glob(f"answer-{word}-*.json"))
        if len(found) >= expected or time.monotonic() > end:
            return [_read(path) for path in found]
        time.sleep(0.02)


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all, in a folder of the server's: a link that it put there is replaced, not followed."""
    private = path.with_name(f".{path.name}")
    private.unlink(missing_ok=True)
    with os.fdopen(
        os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb"
    ) as file:
        file.write(content)
    private.replace(path)


def _read(path: Path) -> Marker:
    try:
        body = json.loads(_content(path))
        if body.pop("schema") != 1:
            return Marker(worker=-1, error=f"{path.name}: not an answer of version 1")
        return Marker.model_validate(body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Marker(worker=-1, error=f"{path.name}: {error}")


def _content(path: Path) -> bytes:
    """Of a file that a server's side wrote: no link is followed, no pipe waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return file.read(LARGEST)


def over(before: list[Marker], after: list[Marker]) -> list[Marker]:
    """What was counted between two questions, by worker."""
    first = {one.worker: one for one in before}
    return [one.since(first.get(one.worker)) for one in after]


def judge(kernel: KernelChoice, expected: int, found: list[Marker]) -> tuple[bool, str]:
    """Whether the counts are what the point expects, and what they were.

    `taken`: every layer of every worker took the kernel's path, in every step that is not larger than the kernel's bound.
    `fallback`: every worker counted steps, and none of them was taken by any layer.
    """
    if wrong := _incomplete(kernel, expected, found):
        return False, wrong
    least = min(found, key=lambda one: sum(one.taken.values()))
    taken, fallback = sum(least.taken.values()), sum(least.fallback.values())
    words = f"taken in {taken} of {taken + fallback} steps{_sizes(least.taken)} on each of {expected} workers"
    if kernel.expect == "fallback":
        most = max(sum(one.taken_most.values()) for one in found)
        if most:
            return False, f"taken in {most} steps, and `expect: fallback` wants none"
        silent = any(not one.fallback for one in found)
        return (
            not silent,
            f"{words}; a worker counted no step at all, which proves nothing" if silent else words,
        )
    if wrong := _not_taken(found):
        why = next((f" ({reason})" for one in found for reason in one.layers.refused), "")
        words = words if taken else f"never taken{why}; {fallback} steps{_sizes(least.fallback)} fell back"
        return False, f"{words}; {wrong}" if taken else words
    return True, words + _routes(found)


def _not_taken(found: list[Marker]) -> str | None:
    """Why it is not so that every layer of every worker took the path in every step up to the bound, and in at least one."""
    for one in found:
        if not one.taken:
            return "a worker never took it"
        if one.layers.refused:
            return f"but some layers never: {next(iter(one.layers.refused))}"
        if one.bound is None or not one.layers.gated:
            return "but the kernel's answer names no bound, or no layers, and so proves nothing"
        if one.taken != one.taken_most:
            apart = {n: one.taken_most[n] - one.taken.get(n, 0) for n in one.taken_most}
            return f"but in {sum(apart.values())} steps some layers did not take it"
        missed = {tokens: n for tokens, n in one.fallback.items() if tokens <= one.bound}
        if missed:
            return f"but {sum(missed.values())} steps within the bound{_sizes(missed)} fell back"
    return None


def _routes(found: list[Marker]) -> str:
    """Local routes and rows an expert of the steps that were most frequent, a layer in the mean.

    Of the busiest worker, for which the others wait: that with the most blocks, or routes where nothing counts blocks.
    """
    counts = Counter[int]()
    for one in found:
        counts.update(one.taken)
    tokens = max(counts, key=lambda size: counts[size])
    complete = all(one.local_experts and one.taken.get(tokens) and tokens in one.routed for one in found)
    if tokens > MARKED_ONE_BY_ONE or not complete:
        return ""

    def each(one: Marker) -> tuple[float, float]:
        """Blocks and routes of a layer in a step."""
        times = one.taken[tokens] * one.layers.gated
        return one.routed[tokens].blocks / times, one.routed[tokens].local / times

    busiest = max(found, key=each)
    rows, routed = each(busiest)[1], busiest.routed[tokens]
    layer = "a layer" if len(found) == 1 else "a layer of the busiest worker"
    words = f"; of {tokens} tokens {layer} computed {rows:.1f} routes, {rows / (busiest.local_experts or 1):.2f} rows an expert"
    return (
        f"{words}, in {routed.blocks / routed.experts:.2f} blocks an expert in use"
        if routed.experts
        else words
    )


def _incomplete(kernel: KernelChoice, expected: int, found: list[Marker]) -> str | None:
    """Why the answers prove nothing."""
    if wrong := next((one.error for one in found if one.error), None):
        return f"a worker failed to answer: {wrong}"
    if (there := len({one.worker for one in found})) != expected:
        return f"{there} of {expected} workers answered; was the kernel loaded? The server's log says"
    for one in found:
        if (one.kernel, one.variant) != (kernel.name, kernel.variant):
            return (
                f"{one.kernel} in variant {one.variant!r} answered, not {kernel.name} in {kernel.variant!r}"
            )
    return None


def _sizes(steps: dict[int, int]) -> str:
    if not steps:
        return ""
    low, high = min(steps), max(steps)
    return f" of {low} tokens" if low == high else f" of {low} to {high} tokens"
