"""Records whose numbers are GENERATED, by a seeded draw on the frame of a real one: for pages that need many. They measure nothing."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from utils.node import record, record_file
from utils.node.record import Record

FRAME = ROOT / "kernels/minimax_m3_ep/results/2026-11-26-h100-server/head/c64/record.json"
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64, 128)
DAY_S = 86_400.0


def generated(
    count: int, *, seed: int = 1, recipes: int = 4, arms: tuple[str, ...] = ("base", "head"), runs: int = 2,
    power: bool = True, status: str = "",
) -> list[Record]:  # fmt: skip
    """So many records: recipes of several concurrencies, two arms with runs each, day after day.

    Args:
        count: how many.
        seed: of the draw.
        recipes: how many names.
        arms: which there are.
        runs: of an arm and point.
        power: whether they have power.
        status: of all of them; empty means that one in fifty is invalid, and one failed.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    frame = record_file.read(FRAME)
    found = []
    for number in range(count):
        run, rest = number % runs, number // runs
        arm, rest = arms[rest % len(arms)], rest // len(arms)
        concurrency, rest = CONCURRENCIES[rest % len(CONCURRENCIES)], rest // len(CONCURRENCIES)
        recipe, day = rest % recipes, rest // recipes
        said = status or (
            "invalid" if draw.random() < 0.02 else "failed" if draw.random() < 0.02 else "measured"
        )
        place = {
            "recipe": f"generated-{recipe}",
            "concurrency": concurrency,
            "arm": arm,
            "run": run,
            "day": day,
        }
        found.append(_one(frame, draw, place, status=said, power=power))
    return found


def _one(frame: Record, draw: random.Random, place: dict[str, Any], *, status: str, power: bool) -> Record:
    recipe, concurrency, arm, run, day = place.values()
    tpot = 0.008 * (1 + concurrency / 40) * draw.gauss(1, 0.01) * (0.97 if arm == "head" else 1.0)
    tput = 620 * concurrency**0.75 * 0.008 / tpot * (1 + int(recipe[-1]) / 20) * (1.05 if day > 20 else 1.0)
    window = _window(frame, tput, tpot, 0.05 * (1 + concurrency / 30) * draw.gauss(1, 0.03))
    good = status == "measured"
    content: dict[str, Any] = frame.model_dump() | {
        "point": f"{recipe}/1k1k-tp1-c{concurrency}",
        "key": f"k1:{int(recipe[-1]):04x}{concurrency:04x}{int(arm == 'head'):04x}0000",
        "arm": arm,
        "vary": [],
        "run_index": run,
        "allocation": f"generated-{day}",
        "status": status,
        "failure": {"reason": "SERVER_DIED", "message": "generated: the server ended"}
        if status == "failed"
        else None,
        "whole": window if status != "failed" else None,
        "steady": window if good else None,
        "load": frame.load.model_dump() | {"concurrency": concurrency, "isl": 1024, "osl": 1024}
        if frame.load
        else None,
        "power": {
            "meter": "generated",
            "mean_w_per_device": 350 + 250 * concurrency / 128,
            "joules_per_token": 600 / tput,
        }
        if power
        else None,
    }
    content["clock"] = {"monotonic_s": 1.0, "wall_unix_s": frame.clock.wall_unix_s + day * DAY_S + run}
    content["gates"] = (
        content["gates"] if good else [{"name": "jit", "passed": False, "found": "generated: 3 compilations"}]
    )
    content["notes"] = ["the numbers of this record are generated"]
    return Record.model_validate(content)


def _window(frame: Record, tput: float, tpot: float, ttft: float) -> dict[str, Any]:
    assert frame.whole
    content = frame.whole.model_dump()
    content |= {"total_tok_per_s_per_device": tput, "output_tok_per_s_per_device": tput / 2}
    content["ttft_s"] |= {"mean": ttft, "p50": ttft}
    content["tpot_s"] |= {"mean": tpot, "p50": tpot}
    content["e2el_s"] |= {"mean": ttft + 1024 * tpot}
    return content


def write(records: list[Record], folder: Path) -> list[tuple[Record, Path]]:
    """Into folders as a run leaves them."""
    placed = []
    for number, one in enumerate(records):
        place = folder / one.allocation / f"{number}"
        record_file.save(one, place)
        placed.append((one, place))
    return placed


if __name__ == "__main__":
    write(generated(int(sys.argv[2])), Path(sys.argv[1]))
    sys.stdout.write(f"{sys.argv[2]} records with generated numbers ({record.FILE}) in {sys.argv[1]}\n")
