"""A kernel's marker, against what a point expects."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from matrix.plan import KernelChoice
from utils.node import marker
from utils.node.kernel_counts import Layers, Marker, Routed

CHOICE = KernelChoice(name="fast-moe", variant="one", expect="taken", files="x")


def answer(worker: int, **changes: Any) -> Marker:
    """A worker whose layers take the kernel's path up to 64 tokens."""
    usual = {"worker": worker, "kernel": "fast-moe", "variant": "one", "bound": 64, "layers": Layers(gated=3)}
    taken = {"taken": {1: 90, 4: 5}, "taken_most": {1: 90, 4: 5}}
    return Marker(**usual | taken | {"fallback": {100: 5}} | changes)


REFUSED = {
    "taken": {},
    "taken_most": {},
    "fallback": {1: 95, 100: 5},
    "layers": Layers(refused={"experts: 4, wanted 8": 3}),
}
ROUTED = {"local_experts": 16, "taken": {1: 2, 216: 10}, "taken_most": {1: 2, 216: 10}, "bound": 256, "fallback": {},
          "routed": {1: Routed(local=3), 216: Routed(local=3240, experts=480, blocks=504)}}  # fmt: skip
"""Ten steps of 216 tokens in three layers: 864 routes each, of which 108 are local."""
CASES: dict[str, tuple[str, list[Marker], bool, str]] = {
    "taken": ("taken", [answer(0), answer(1)], True, "taken in 95 of 100 steps of 1 to 4 tokens on each of 2 workers"),
    "taken, with its routes": ("taken", [answer(0, **ROUTED), answer(1, **ROUTED)], True, "; of 216 tokens a layer of the busiest worker computed 108.0 routes, 6.75 rows an expert, in 1.05 blocks an expert in use"),
    "the busier worker's routes": ("taken", [answer(0, **ROUTED), answer(1, **ROUTED | {"routed": {216: Routed(local=3000, experts=480, blocks=600)}})], True, "of the busiest worker computed 100.0 routes, 6.25 rows an expert, in 1.25 blocks"),
    "the busier worker's routes, without blocks": ("taken", [answer(n, **ROUTED | {"routed": {216: Routed(local=3240 + 360 * n)}}) for n in (0, 1)], True, "of the busiest worker computed 120.0 routes, 7.50 rows an expert"),
    "its routes without blocks": ("taken", [answer(n, **ROUTED | {"routed": {216: Routed(local=3240)}}) for n in (0, 1)], True, "108.0 routes, 6.75 rows an expert"),
    "never taken": ("taken", [answer(0, **REFUSED), answer(1, **REFUSED)], False, "never taken (experts: 4, wanted 8); 100 steps"),
    "one worker never took it": ("taken", [answer(0), answer(1, taken={})], False, "never taken; 5 steps of 100 tokens fell back"),
    "a small step fell back": ("taken", [answer(0), answer(1, fallback={64: 1})], False, "1 steps within the bound of 64 tokens fell back"),
    "a layer never": ("taken", [answer(0), answer(1, layers=Layers(gated=2, refused={"NaN": 1}))], False, "some layers never: NaN"),
    "one layer fell back at times": ("taken", [answer(0), answer(1, taken={1: 2, 4: 5})], False, "in 88 steps some layers did not"),
    "no bound": ("taken", [answer(0), answer(1, bound=None)], False, "names no bound"),
    "no layers": ("taken", [answer(0), answer(1, layers=Layers())], False, "no layers"),
    "a worker is missing": ("taken", [answer(0)], False, "1 of 2 workers answered"),
    "the same worker twice": ("taken", [answer(0), answer(0)], False, "1 of 2 workers answered"),
    "nobody answered": ("fallback", [], False, "0 of 2 workers answered"),
    "a worker could not tell": ("taken", [answer(0), answer(1, error="boom")], False, "failed to answer: boom"),
    "another kernel": ("taken", [answer(0), answer(1, kernel="slow-moe")], False, "slow-moe in variant 'one' answered"),
    "another variant": ("fallback", [answer(0), answer(1, variant="two")], False, "not fast-moe in 'one'"),
    "fallback": ("fallback", [answer(0, **REFUSED), answer(1, **REFUSED)], True, "taken in 0 of 100 steps"),
    "fallback, but one layer took it": ("fallback", [answer(0, **REFUSED), answer(1, taken={})], False, "taken in 95 steps"),
    "fallback, but nothing was counted": ("fallback", [answer(0, **REFUSED), answer(1, **REFUSED | {"fallback": {}})], False, "counted no step at all"),
    "fallback, but taken": ("fallback", [answer(0, **REFUSED), answer(1)], False, "taken in 95 steps, and `expect: fallback` wants none"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_gate(name: str) -> None:
    """An EP point that says `never taken` is invalid, and a TP point that says `taken`, too."""
    expect, found, good, words = CASES[name]
    passed, said = marker.judge(CHOICE.model_copy(update={"expect": expect}), 2, found)
    assert (passed, words in said) == (good, True), said


def test_a_worker_without_routes() -> None:
    """Who is the busiest cannot be said then."""
    passed, said = marker.judge(CHOICE, 2, [answer(0, **ROUTED), answer(1, **ROUTED | {"routed": {}})])
    assert passed
    assert "computed" not in said


def test_of_one_worker_nobody_is_the_busiest() -> None:
    """One GPU that has all experts."""
    passed, said = marker.judge(CHOICE, 1, [answer(0, **ROUTED)])
    assert passed
    assert "; of 216 tokens a layer computed 108.0 routes, 6.75 rows an expert, in 1.05 blocks" in said


def test_counts_over_a_load() -> None:
    """What was counted before the load does not count, and a worker that was silent then proves nothing."""
    before = [answer(0, taken={1: 90}, fallback={100: 5})]
    found = marker.over(before, [answer(0), answer(1)])
    assert (found[0].taken, found[0].fallback, found[0].error) == ({4: 5}, {}, None)
    assert found[1].error == "it did not answer before the load"


def test_routes_over_a_load() -> None:
    """What was computed before the load is not of it."""
    before = answer(0, routed={1: Routed(local=5), 64: Routed(local=10, experts=2, blocks=2)})
    after = answer(
        0, routed={1: Routed(local=5), 8: Routed(local=4), 64: Routed(local=31, experts=5, blocks=6)}
    )
    (found,) = marker.over([before], [after])
    assert found.routed == {8: Routed(local=4), 64: Routed(local=21, experts=3, blocks=4)}


def test_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers answer one after another; those that do not come are missed, and what is no answer is told."""
    folder = marker.make(tmp_path)
    monkeypatch.setattr(marker, "ANSWER_S", 1.0)
    body = {"schema": 1, "worker": 0, "kernel": "fast-moe", "taken": {"3": 2}}

    def workers() -> None:
        while not (folder / "request").exists():
            time.sleep(0.01)
        (folder / "answer-one-0.json").write_text(json.dumps(body))
        time.sleep(0.1)
        (folder / "answer-one-1.json").write_text(json.dumps(body | {"schema": 2, "worker": 1}))

    thread = threading.Thread(target=workers)
    thread.start()
    first, second = marker.ask(folder, "one", 2)
    thread.join()
    assert first.taken == {3: 2}
    assert "not an answer of version 1" in str(second.error)
    assert marker.ask(folder, "two", 2) == []


@pytest.mark.hostile
@pytest.mark.parametrize("harm", ["link", "pipe", "deep", "list", "folder"])
def test_what_a_server_puts_in_the_markers_folder_harms_nothing_else(tmp_path: Path, harm: str) -> None:
    """The folder is the server's: a link there is not followed, and an answer that is none is an error of that worker."""
    other, folder = tmp_path / "record.json", marker.make(tmp_path)
    other.write_text("kept")
    for name in ("request", ".request"):
        (folder / name).symlink_to(other)
    path = folder / "answer-w-0.json"
    if harm == "link":
        path.symlink_to(other)
    elif harm == "pipe":
        os.mkfifo(path)
    elif harm == "folder":
        path.mkdir()
    else:
        path.write_text("[" * 100_000 if harm == "deep" else "[1]")
    (found,) = marker.ask(folder, "w", 1)
    assert (found.error or "").startswith("answer-w-0.json: ")
    assert other.read_text() == "kept"
    assert (folder / "request").read_text() == "w\n"
