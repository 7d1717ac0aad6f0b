"""What goes on beside layers that are checked: a thread that asks the marker, and one whose stream computes."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from . import marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANSWER_S = 60.0
"""An answer of the marker that takes longer is none."""


@dataclass
class Turns:
    """Of something that is done over and over."""

    done: int = 0
    raised: list[Exception] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Then there are no more."""
        return bool(self.raised)


@contextlib.contextmanager
def over_and_over(turn: Callable[[int], None]) -> Iterator[Turns]:
    """Do something meanwhile, in a thread of its own, with the number of the turn. What it raises is raised here, or noted beside what was."""
    stop, turns = threading.Event(), Turns()

    def run() -> None:
        try:
            while not stop.is_set():
                turn(turns.done)
                turns.done += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who waits shall know it
            turns.raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield turns
    except Exception as error:
        stop.set()
        thread.join()
        for other in turns.raised:
            error.add_note(f"meanwhile, in another thread: {other!r}")
        raise
    finally:
        stop.set()
        thread.join()
    if turns.raised:
        raise turns.raised[0]


@contextlib.contextmanager
def asking(mine: marker.Marker) -> Iterator[Turns]:
    """The marker is asked for its counters, once more after each answer, by files as a node does it."""
    before = os.environ.get(marker.FOLDER)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[marker.FOLDER] = folder
        try:
            mine.listen()
            with over_and_over(lambda turn: asked(Path(folder), str(turn))) as turns:
                yield turns
        finally:
            os.environ.pop(marker.FOLDER)
            if before is not None:
                os.environ[marker.FOLDER] = before


def asked(folder: Path, word: str) -> None:
    """Ask with a word, and wait for an answer that has counts.

    Raises:
        RuntimeError: the marker could not read them.
        TimeoutError: there was none.
    """
    (folder / "request").write_text(word)
    end = time.monotonic() + ANSWER_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            answer = json.loads((folder / f"answer-{word}-0.json").read_text())
            if "error" in answer or not answer["taken"]:
                raise RuntimeError(f"the marker answered {answer.get('error', 'no steps')}")
            return
        time.sleep(0.01)
    raise TimeoutError(f"the marker did not answer within {ANSWER_S:.0f} s")


@contextlib.contextmanager
def working() -> Iterator[Turns]:
    """A second stream computes, and takes and gives memory."""
    stream = torch.cuda.Stream()
    drawn = torch.Generator().manual_seed(0)
    with torch.cuda.stream(stream):
        a = torch.randn(2048, 2048, device="cuda", dtype=torch.bfloat16)

    def work(_: int) -> None:
        with torch.cuda.stream(stream):
            for size in torch.randint(1, 2**22, (8,), generator=drawn).tolist():
                torch.full((size,), float("nan"), device="cuda")
                a @ a
            stream.synchronize()

    with over_and_over(work) as turns:
        yield turns
