"""Whether a server answers as the base does: greedy answers compared up to their first difference, by log-probabilities. Pure.

Free greedy texts part at the first near-tie, also between two loads of one server, so that texts are not compared. Up to and including the
first token that differs both servers had the same context, and there their log-probabilities can be compared: that difference is the
drift. How much drift is none at all is what the base differs from itself by, when its batch is another one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.node.record import Accuracy

if TYPE_CHECKING:
    from collections.abc import Sequence

RATIO_MOST = 2.0
"""Mean drift from the base over the base's own: another order of sums may be somewhat louder, an error of 1 % is many times so."""
FAR = 1e3
"""Nats: what is not a number, or not there, is as wrong as can be."""
FLOOR = 0.005
"""Mean drift, in nats, below which nobody can tell answers apart."""
P_MOST = 1e-4
"""Of a sign test over the prompts; several concurrencies and runs are tested, and all must pass."""
ODD_TIMES, ODD_FLOOR, ODD_LEAST = 5.0, 0.1, 2
"""Prompts whose drift is so many times the base's largest, and so many nats at least: two of them are no chance."""
ALONE_TIMES, ALONE_FLOOR = 20.0, 1.0
"""The same of one prompt alone: a kernel may be wrong for one row of a batch, such as its last. No other order of sums goes so far."""
EARLY = 3.0
"""Answers part so many times earlier than the base's own."""
PROMPTS_LEAST = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One token of an answer."""

    token: int
    logprob: float
    top: dict[int, float]
    """The likeliest tokens, this one among them -> log-probability."""

    @property
    def margin(self) -> float:
        """Between the two likeliest, in nats: small at a near-tie."""
        two = sorted(self.top.values(), reverse=True)[:2]
        return two[0] - two[1] if len(two) > 1 else math.inf


Answer = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """Two answers to one prompt."""

    nats: float
    """Mean absolute difference of log-probabilities up to and including the first difference."""
    agreed: int
    """Tokens before it."""
    margin: float
    """At the first difference, the wider of the two; 0 where there is none."""


def drift(one: Answer, other: Answer) -> Drift:
    """How far two answers are from each other; one that ends before the other, equal so far, is as far as can be: as many tokens were asked for."""
    gaps = []
    for place, (here, there) in enumerate(zip(one, other, strict=False)):
        gaps.append(max(_gap(here, there), _gap(there, here)))
        if here.token != there.token:
            return Drift(float(np.mean(gaps)), place, max(here.margin, there.margin))
    whole = gaps and len(one) == len(other)
    return Drift(float(np.mean(gaps)) if whole else math.inf, len(gaps), 0.0)


def _gap(one: Step, other: Step) -> float:
    """Of one's token; where the other has it not among its likeliest, at least the way down to the last of those."""
    lowest = min(other.top.values(), default=-math.inf)
    gap = abs(one.logprob - other.top.get(one.token, min(lowest, one.logprob)))
    return gap if math.isfinite(gap) else FAR  # what is not a number is as wrong as can be


def compared(name: str, head: Sequence[Drift], own: Sequence[Drift]) -> Accuracy:
    """Judge drifts from the base by the base's own, prompt by prompt.

    Args:
        name: of what was asked.
        head: from the base, a prompt each.
        own: of the base from itself, of the same prompts in the same order.
    """
    if len(head) != len(own) or len(head) < PROMPTS_LEAST:
        why = f"{len(head)} answers, and {len(own)} of the base from itself; {PROMPTS_LEAST} and as many are wanted"
        return Accuracy(kind="parity", name=name, verdict="not tested", why=why)
    far, noise = (
        np.nan_to_num([one.nats for one in side], nan=FAR, posinf=FAR).clip(0, FAR) for side in (head, own)
    )
    early, usual = (float(np.mean([one.agreed for one in side])) for side in (head, own))
    odd_from = max(ODD_FLOOR, ODD_TIMES * float(noise.max()))
    alone_from = max(ALONE_FLOOR, ALONE_TIMES * float(noise.max()))
    odd = int((far > odd_from).sum())
    p_far = sign_test(far - noise)
    p_early = sign_test(np.array([a.agreed - b.agreed for a, b in zip(own, head, strict=True)], dtype=float))
    mean, base = float(far.mean()), float(noise.mean())
    figures = {
        "prompts": float(len(head)),
        "drift_nats": mean,
        "own_drift_nats": base,
        "p": p_far,
        "agreed_tokens": early,
        "own_agreed_tokens": usual,
        "odd_prompts": float(odd),
        "widest_margin_nats": min(FAR, max(one.margin for one in head)),
    }
    wrong: list[str] = []
    if mean > max(FLOOR, RATIO_MOST * base) and p_far < P_MOST:
        wrong.append(
            f"log-probabilities are {mean:.4f} from the base's on average, and the base's {base:.4f} from its own"
        )
    if odd >= ODD_LEAST:
        wrong.append(f"{odd} of {len(head)} answers are more than {odd_from:.2f} away")
    elif far.max() > alone_from:
        wrong.append(f"the answer to prompt {int(far.argmax()) + 1} of {len(head)} is {far.max():.2f} away")
    if mean > FLOOR and early * EARLY < usual and p_early < P_MOST:
        wrong.append(
            f"answers part from the base's after {early:.1f} tokens, and the base's from its own after {usual:.1f}"
        )
    if not wrong and noise.max() >= FAR:
        why = f"the base's own answers are missing or no numbers for {int((noise >= FAR).sum())} of {len(own)} prompts"
        return Accuracy(kind="parity", name=name, verdict="not tested", figures=figures, why=why)
    said = "; ".join(wrong) or f"{mean:.4f} from the base, which is {base:.4f} from itself"
    return Accuracy(
        kind="parity", name=name, verdict="failed" if wrong else "passed", figures=figures, why=said
    )


def scored(
    name: str,
    head: Sequence[Sequence[float]],
    base: Sequence[Sequence[float]],
    own: Sequence[Sequence[float]],
) -> Accuracy:
    """The same of given texts: log-probabilities of their tokens on both sides, and on the base once more in another batch."""

    def drifts(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> list[Drift]:
        return [
            Drift(
                float(np.mean(np.abs(np.subtract(a, b)))) if len(a) == len(b) and len(a) else math.inf,
                len(a),
                0.0,
            )
            for a, b in zip(one, other, strict=False)
        ]

    found = compared(name, drifts(head, base), drifts(own, base))
    pairs = zip(head, base, strict=False)
    gaps = [abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=False)]
    if gaps:  # a record holds numbers alone
        known = np.nan_to_num(gaps, nan=FAR, posinf=FAR).clip(0, FAR)
        found.figures["p99_nats"] = float(np.quantile(known, 0.99))
    return found


def sign_test(differences: np.ndarray) -> float:
    """One-sided: how often as many positive ones or more come by chance; exact."""
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    n = up + down
    return float(sum(math.comb(n, k) for k in range(up, n + 1)) / 2**n)
