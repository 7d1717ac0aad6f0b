"""Changes drawn from the SIMULATED server and judged by the whole of `compare`, from records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matrix.plan import BLOCK
from tests.simulation.server import Figures, Load, Noise, run
from utils.node.record import Record, Summary, Window
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import Comparison, Word

CONCURRENCIES = (1, 2, 4, 8, 16, 32)
"""Of the points of each job."""
CHUNK = 50
"""Changes that are simulated together, and share a ledger."""


@dataclass(frozen=True)
class Site:
    """A cluster and its recipe: 24 points in 4 jobs."""

    jobs: int = 4
    noise: Noise = field(default_factory=Noise)
    drift: float = 0.0
    """Over a block, from its first run to its last, in logs; jobs drift up and down in turns."""

    @property
    def points(self) -> list[tuple[int, int]]:
        """Job and concurrency of each point."""
        return [(job, concurrency) for job in range(self.jobs) for concurrency in CONCURRENCIES]


@dataclass(frozen=True)
class Outcome:
    """What was said of one change."""

    words: Mapping[str, set[Word]]
    """Point -> words but `no change seen`."""
    flagged: int
    """Points that stood out in the first block."""


def name(job: int, concurrency: int) -> str:
    """A point's identifier."""
    return f"simulated/64x24-tp{job + 1}-c{concurrency}"


def blocks(
    site: Site, draws: int, runs: int, effects: Mapping[str, float], random: np.random.Generator
) -> dict[str, tuple[Figures, np.ndarray]]:
    """Point -> figures of all runs of all draws, and the shape (draws, runs)."""
    order = np.array([arm == "head" for arm in BLOCK * (runs // 2)])
    places = np.linspace(-0.5, 0.5, len(order))
    found = {}
    for job in range(site.jobs):
        server = random.normal(0, site.noise.restart_sd, (draws, len(order)))
        server = server + site.drift * places * (-1) ** job
        for concurrency in CONCURRENCIES:
            point = name(job, concurrency)
            logs = (
                server + random.normal(0, site.noise.point_sd, server.shape) + order * effects.get(point, 0.0)
            )
            load = Load.drawn(hash((job, concurrency)) % 2**32, concurrency)
            found[point] = (run(load, np.exp(logs).ravel(), site.noise, random), logs)
    return found


def _summary(n: int, mean: float, p50: float) -> Summary:
    return Summary.model_construct(n=n, mean=mean, std=0.0, p50=p50)


def _window(n: int, tput: float, ttft: tuple[float, float], tpot: tuple[float, float], e2el: float) -> Window:
    """Means and medians; what nobody judges is left empty."""
    return Window.model_construct(
        start_s=0.0,
        duration_s=1.0,
        requests=n,
        total_tok_per_s_per_device=tput,
        output_tok_per_s_per_device=tput / 2,
        requests_per_s=1.0,
        ttft_s=_summary(n, *ttft),
        tpot_s=_summary(n, *tpot),
        itl_s=_summary(n, tpot[0], tpot[1]),
        e2el_s=_summary(n, e2el, e2el),
    )


_PARTS: dict[str, Any] = {"model": "simulated", "observed": {"vllm": "simulated"}}


def template(job: int, concurrency: int) -> Record:
    """A record of a point without its figures."""
    return Record.model_validate(
        {
            "point": name(job, concurrency),
            "key": "k1:" + "0" * 16,
            "parts": _PARTS,
            "vary": [],
            "observed": {"key": "k1:" + "1" * 16, "parts": _PARTS, "reusable": True, "why_not": []},
            "status": "measured",
            "failure": None,
            "job": f"simulated.{job}",
            "allocation": "",
            "arm": "head",
            "run_index": 0,
            "position": CONCURRENCIES.index(concurrency),
            "points_before": [name(job, c) for c in CONCURRENCIES[: CONCURRENCIES.index(concurrency)]],
            "points_in_run": [name(job, c) for c in CONCURRENCIES],
            "server_age_s": 1.0,
            "devices": 1,
            "precision": "bf16",
            "image": "simulated",
            "model": "simulated",
            "provenance": {"commit": "a" * 40, "clean": True, "tree_commit": "a" * 40, "tree_clean": True, "harness": "t"},
            "vllm_version": "simulated",
            "serve_argv": [],
            "serve_env": {},
            "node": {"hostname": "n", "os_release": "6", "cpu_model": "simulated", "cores": 2, "server_cores": [0], "client_cores": [1], "memory_bytes": 1, "gpu_model": "SIMULATED", "driver": "1"},
            "clock": {"monotonic_s": 1.0, "wall_unix_s": 1_781_600_000.0},
            "phases": [],
            "load": {"isl": 64, "osl": 24, "input_low": 51, "input_high": 64, "output_low": 19, "output_high": 24, "concurrency": concurrency, "requests": 10 * concurrency, "seed": 0, "warmup_requests": 1, "warmup_seed": 1, "warmup_rate_per_s": 1.0, "warmup_argv": [], "argv": []},
        }
    )  # fmt: skip


def records(
    found: Mapping[str, tuple[Figures, np.ndarray]], site: Site, draw: int, allocation: str, block: int = 1
) -> list[Record]:
    """The records of one draw, in both arms."""
    made = []
    for job, concurrency in site.points:
        figures, logs = found[name(job, concurrency)]
        plain, n = _TEMPLATES[job, concurrency], 10 * concurrency
        for index in range(logs.shape[1]):
            i = draw * logs.shape[1] + index
            steady = _window(
                n,
                float(figures.tput[i]),
                (float(figures.ttft[i]),) * 2,
                (float(figures.tpot[i]),) * 2,
                float(figures.whole_e2el[i]),
            )
            whole = _window(
                n,
                float(figures.whole_tput[i]),
                (float(figures.whole_ttft[i]),) * 2,
                (float(figures.whole_tpot[i]),) * 2,
                float(figures.whole_e2el[i]),
            )
            update = {
                "allocation": f"{allocation}.{job}.{block}",
                "arm": BLOCK[index % 4],
                "run_index": index,
                "block": block,
                "steady": steady,
                "whole": whole,
            }
            made.append(plain.model_copy(update=update))
    return made


_TEMPLATES = {(job, concurrency): template(job, concurrency) for job, concurrency in Site().points}


def filled_ledger(site: Site, sweeps: int, seed: int) -> Ledger:
    """What so many sweeps of nothing against itself leave."""
    random = np.random.default_rng(seed)
    found = blocks(site, sweeps, 2, {}, random)
    ledger = Ledger()
    for sweep in range(sweeps):
        ledger, _, _ = ledger.with_records(records(found, site, sweep, f"ledger-{sweep}"))
    return ledger


def judged(base_and_head: Sequence[Record], ledger: Ledger) -> Comparison:
    """As the command does it."""
    base = [one for one in base_and_head if one.arm == "base"]
    head = [one for one in base_and_head if one.arm == "head"]
    return compare(base, head, ledger)


def changes(
    site: Site,
    draws: int,
    ledger: Ledger,
    seed: int,
    *,
    runs: int = 2,
    effects: Mapping[str, float] | None = None,
) -> Iterator[Outcome]:
    """Draw changes, judge each, confirm what stands out, and tell what was said in the end."""
    random = np.random.default_rng(seed)
    planted = effects or {}
    for begin in range(0, draws, CHUNK):
        count = min(CHUNK, draws - begin)
        first = blocks(site, count, runs, planted, random)
        again = None
        for draw in range(count):
            measured = records(first, site, draw, f"{begin + draw}")
            found = judged(measured, ledger)
            flagged = found.flagged
            if flagged:
                again = again or blocks(site, count, runs, planted, random)
                more = records(again, site, draw, f"{begin + draw}", block=2)
                found = judged([*measured, *(one for one in more if one.point in flagged)], ledger)
            words = {
                one.point: {
                    metric.word
                    for metric in one.metrics.values()
                    if metric.word not in {None, "no change seen"}
                }
                for one in found.points
            }
            yield Outcome({point: said for point, said in words.items() if said}, len(flagged))


def many(
    site: Site,
    draws: int,
    *,
    sweeps: int = 30,
    runs: int = 2,
    effects: Mapping[str, float] | None = None,
    seed: int = 0,
) -> list[Outcome]:
    """Draws in chunks, each with a ledger of its own, from so many sweeps of nothing against itself on the same site."""
    found: list[Outcome] = []
    for number in range(-(-draws // CHUNK)):
        ledger = filled_ledger(site, sweeps, 10_000 * seed + 2 * number)
        count = min(CHUNK, draws - CHUNK * number)
        found += changes(site, count, ledger, 10_000 * seed + 2 * number + 1, runs=runs, effects=effects)
    return found
