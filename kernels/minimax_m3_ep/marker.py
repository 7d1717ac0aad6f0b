"""Counts of steps on each path, with their numbers of tokens, taken inside the executed path and read on demand.

A layer's row of counters lies where the layer computes. On this package's path the layer's launches add to it (the last
the step, the sort its routes), on vLLM's path one addition stands behind the layer; both are on the device, so that a captured graph counts whenever it is
replayed. Nothing reads them until somebody asks: a thread of each worker looks for the file `request` in the folder that
SERVEMATRIX_KERNEL_MARKER names, and answers with `answer-<word in the request>-<rank>.json` beside it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .routing import COUNTED

FOLDER = "SERVEMATRIX_KERNEL_MARKER"
POLL_S = 0.2
SETTLE_S = 3.0
"""How long layers may differ before the answer says so."""
EXACT = 1024
"""Numbers of tokens that are counted one by one; above, by the next power of two."""
SLOTS = EXACT + 1 + 22


def slot(tokens: int) -> int:
    """Where steps of so many tokens are counted."""
    return tokens if tokens <= EXACT else EXACT + (tokens - 1).bit_length() - EXACT.bit_length() + 1


def most_tokens(slot: int) -> int:
    """The most tokens of a step that is counted there."""
    return slot if slot <= EXACT else EXACT << (slot - EXACT)


@dataclass
class Row:
    """A layer's counters."""

    counts: torch.Tensor
    """[SLOTS, 5] int64 on the layer's device: of steps on this package's path `routing.COUNTED`; steps on vLLM's."""
    refused: str | None
    """Why the layer can never take this package's path."""
    counts_fallback: bool
    """Of the layers that vLLM treats alike only the first adds, because there an addition is a launch of its own."""

    def taken(self, tokens: int) -> torch.Tensor:
        """The counters of a step on this package's path, [4]: its launches add to them."""
        return self.counts[slot(tokens), : len(COUNTED)]

    def fell_back(self, tokens: int) -> None:
        """Count a step that took vLLM's path."""
        if self.counts_fallback:
            self.counts[slot(tokens), len(COUNTED)].add_(1)


@dataclass
class Marker:
    """Of one worker."""

    rows: list[Row] = field(default_factory=list)
    about: dict[str, object] = field(default_factory=dict)
    """What each answer says besides: kernel, variant, bound."""
    listening: bool = False

    def join(self, device: torch.device, refused: str | None) -> Row:
        """The counters of one more layer."""
        counts = torch.zeros(SLOTS, len(COUNTED) + 1, dtype=torch.int64, device=device)
        row = Row(counts, refused, self._is_first(refused))
        self.rows.append(row)
        return row

    def refuse(self, row: Row, reason: str) -> None:
        """A layer that was to take this package's path cannot, now that its weights are known."""
        row.counts_fallback = self._is_first(reason)
        row.refused = reason

    def _is_first(self, refused: str | None) -> bool:
        return all(row.refused != refused for row in self.rows)

    def answer(self) -> dict[str, object]:
        """What was counted so far, by number of tokens.

        `taken` are the steps that every layer took on this package's path, `taken_most` those that some layer did: they
        differ where layers part ways, and for a moment within a step, so that they are looked at again.
        """
        end = time.monotonic() + SETTLE_S
        while True:
            taken, most, fallback, routed = self._counted()
            if taken == most or time.monotonic() > end:
                break
            time.sleep(POLL_S)
        refused = Counter(row.refused for row in self.rows if row.refused is not None)
        layers = {"gated": sum(row.refused is None for row in self.rows), "refused": dict(refused)}
        return {
            "schema": 1,
            "worker": _rank(),
            **self.about,
            "layers": layers,
            "taken": taken,
            "taken_most": most,
            "fallback": fallback,
            "routed": routed,
        }

    def _counted(
        self,
    ) -> tuple[dict[int, int], dict[int, int], dict[int, int], dict[int, dict[str, int]]]:
        own = [row.counts[:, : len(COUNTED)] for row in self.rows if row.refused is None]
        others = [row.counts[:, len(COUNTED)] for row in self.rows if row.counts_fallback]
        all_own = torch.stack(own).cpu() if own else None
        return (
            _steps(all_own[..., 0].min(dim=0).values) if all_own is not None else {},
            _steps(all_own[..., 0].max(dim=0).values) if all_own is not None else {},
            _steps(torch.stack(others).max(dim=0).values) if others else {},
            _routed(all_own.sum(dim=0)) if all_own is not None else {},
        )

    def listen(self) -> None:
        """Answer requests from now on, unless nobody asks for it or it is done already."""
        folder = os.environ.get(FOLDER)
        if folder and not self.listening:
            self.listening = True
            threading.Thread(
                target=self._serve, args=(Path(folder),), name="kernel-marker", daemon=True
            ).start()

    def _serve(self, folder: Path) -> None:
        answered = ""
        while True:
            time.sleep(POLL_S)
            try:
                asked = (folder / "request").read_text().strip()
            except OSError:
                continue
            if asked and asked != answered:
                self._write(folder, asked)
                answered = asked

    def _write(self, folder: Path, asked: str) -> None:
        try:
            text = json.dumps(_beside_the_load(self.answer, self.rows))
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who asks shall read it
            text = json.dumps({"schema": 1, "worker": _rank(), "error": repr(error)})
        whole = folder / f"answer-{asked}-{_rank()}.json"
        part = whole.with_suffix(".part")
        try:
            part.write_text(text)
            part.replace(whole)
        except OSError as error:
            sys.stderr.write(f"kernel marker: {error}\n")


MARKER = Marker()
"""This process's."""


def _beside_the_load(answer: Any, rows: list[Row]) -> dict[str, object]:  # noqa: ANN401
    """Read on a stream of its own, so that nothing waits for the steps of the load."""
    device = rows[0].counts.device if rows else torch.device("cpu")
    if device.type == "cpu":
        return answer()
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.Stream(device)):
        return answer()


def _steps(counts: torch.Tensor) -> dict[int, int]:
    return {most_tokens(index): count for index, count in enumerate(counts.tolist()) if count}


def _routed(counts: torch.Tensor) -> dict[int, dict[str, int]]:
    """Sums over layers by number of tokens; [SLOTS, 4] on the host."""
    return {
        most_tokens(index): dict(zip(COUNTED[1:], counts[index, 1:].tolist(), strict=True))
        for index in counts[:, 0].nonzero().flatten().tolist()
    }


def _rank() -> int:
    distributed = torch.distributed
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
