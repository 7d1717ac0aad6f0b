"""A SIMULATED server under a closed loop: continuous batching, restarts, drift, stalls. Many runs at once.

Each step of the engine gives every running request one token; whoever ends is replaced at once by the next request, whose
prompt the next step takes in. So the schedule, in steps, follows from the lengths alone and is the same in all runs; what
differs are the durations of steps, and with them every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Load:
    """A point's requests, as their seed draws them, and when each runs, in steps."""

    concurrency: int
    lengths: np.ndarray
    """Output tokens of each request."""
    prompts: np.ndarray
    """Prompt tokens."""
    start: np.ndarray
    """Step in whose beginning each request starts."""
    end: np.ndarray
    """Step at whose end its last token comes."""
    running: np.ndarray
    """Requests in each step."""
    prompt_tokens: np.ndarray
    """Prompt tokens that each step takes in."""

    @classmethod
    def drawn(cls, seed: int, concurrency: int, isl: int = 64, osl: int = 24) -> Load:
        """Lengths uniform in [0.8 L, L]; ten requests a unit of concurrency."""
        random = np.random.default_rng(seed)
        n = 10 * concurrency
        lengths = random.integers(round(0.8 * osl), osl + 1, n)
        prompts = random.integers(round(0.8 * isl), isl + 1, n)
        start, end = np.zeros(n, int), np.zeros(n, int)
        free = np.zeros(concurrency, int)
        for i in range(n):
            slot = int(free.argmin())
            start[i] = free[slot]
            end[i] = start[i] + lengths[i] - 1
            free[slot] = end[i] + 1
        steps = int(end.max()) + 1
        running, taken = np.zeros(steps), np.zeros(steps)
        for i in range(n):
            running[start[i] : end[i] + 1] += 1
            taken[start[i]] += prompts[i]
        return cls(concurrency, lengths, prompts, start, end, running, taken)


@dataclass(frozen=True)
class Noise:
    """How one run differs from the next."""

    restart_sd: float = 0.006
    """Of a server start, in logs; shared by the points of a run."""
    point_sd: float = 0.0055
    """Of a point on its server, besides."""
    jitter_sd: float = 0.02
    """Of a single step."""
    stall_p: float = 5e-5
    """Of a stall in a step."""
    stall_steps: float = 5.0
    """How many steps' time a stall takes, on average."""


@dataclass(frozen=True)
class Figures:
    """Of many runs: one value each."""

    tput: np.ndarray
    """Input and output tokens a second in the steady window."""
    ttft: np.ndarray
    """Median in the steady window, s."""
    tpot: np.ndarray
    whole_tput: np.ndarray
    whole_ttft: np.ndarray
    """Means of the whole run."""
    whole_tpot: np.ndarray
    whole_e2el: np.ndarray


STEP_S, SEQUENCE_S, TOKEN_S = 5e-3, 2e-4, 5e-5
"""A step's time: alone, for each request in it, for each prompt token that it takes in."""


def clock_of(load: Load, speed: np.ndarray, noise: Noise, random: np.random.Generator) -> np.ndarray:
    """When each step begins, a row a run; one more for the end."""
    steps = len(load.running)
    plain = STEP_S + SEQUENCE_S * load.running + TOKEN_S * load.prompt_tokens
    jitter = 1 + noise.jitter_sd * random.standard_normal((len(speed), steps), dtype=np.float32)
    durations = plain * jitter * speed[:, None]
    stalled = random.random((len(speed), steps), dtype=np.float32) < noise.stall_p
    durations[stalled] += STEP_S * random.exponential(noise.stall_steps, int(stalled.sum()))
    return np.concatenate([np.zeros((len(speed), 1)), np.cumsum(durations, axis=1)], axis=1)


def run(load: Load, speed: np.ndarray, noise: Noise, random: np.random.Generator) -> Figures:
    """Figures of as many runs as there are speeds.

    Args:
        load: the point's requests.
        speed: factor on every step's time, a run: restarts, drift and the change that is planted.
        noise: within a run.
        random: where everything comes from.
    """
    clock = clock_of(load, speed, noise, random)
    begin, first, end = clock[:, load.start], clock[:, load.start + 1], clock[:, load.end + 1]
    ttft, e2el = first - begin, end - begin
    tpot = (end - first) / (load.lengths - 1)
    window = (int(load.end[: load.concurrency].max()) + 1, int(load.start.max()))
    inside = (load.start >= window[0]) & (load.end + 1 <= window[1])
    arrived = slice(window[0] - 1, window[1] - 1)  # a step gives its tokens at its end
    tokens = load.running[arrived].sum() + load.prompt_tokens[arrived].sum()
    everything = load.lengths.sum() + load.prompts.sum()
    return Figures(
        tput=tokens / (clock[:, window[1]] - clock[:, window[0]]),
        ttft=np.median(ttft[:, inside], axis=1),
        tpot=np.median(tpot[:, inside], axis=1),
        whole_tput=everything / clock[:, -1],
        whole_ttft=ttft.mean(axis=1),
        whole_tpot=tpot.mean(axis=1),
        whole_e2el=e2el.mean(axis=1),
    )
