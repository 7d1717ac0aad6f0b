"""What vLLM's /metrics says of a load: time in the queue and in prefill, KV use, who ran and who waited, drafts, saturation.

Names are those of the server's version (matrix/vllm/versions.json); a version that nobody has read is asked for the newest ones, and a
series that a page lacks leaves its figure out. Nothing here turns a flag on: what a server counts by itself is read.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from matrix.vllm import versions
from utils.node.record import ServerWindow, Summary
from utils.node.saturation import WAITING_SHARE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EVERY_S = 5.0
"""Between two looks during a load: a page of 66 KB costs the server some milliseconds."""
FIRST_S = 1.0
LOOKS_LEAST = 5
"""Looks inside the steady window below which who waited follows from the queue's mean time instead (Little's law)."""
MOST_ENGINES, LABEL = 1024, 20
"""Behind one server; letters of an engine's name."""
ABSURD = 1e18
"""No count, time or size of a server."""
LONGEST = 20_000_000
"""Characters of a page that is read: a server of eight engines has some hundred thousand."""
_OF_HISTOGRAMS = ("_bucket", "_sum", "_count", "_created")
_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?$")
"""A time in milliseconds may be last; vLLM's own pages have none."""
_LABEL = re.compile(r'(?<!\w)(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of /metrics."""

    series: Mapping[str, list[tuple[Mapping[str, str], float]]]

    @classmethod
    def of(cls, text: str) -> Page:
        """Read Prometheus's text format; what is no sample is passed over, and a last line that may be cut. Too long a page is none."""
        found: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
        for line in text[: text.rfind("\n") + 1].splitlines() if len(text) <= LONGEST else ():
            if match := _SAMPLE.match(line):
                try:
                    value = float(match[3])
                except ValueError:
                    continue
                known = value if abs(value) < ABSURD else math.nan
                found[match[1]].append((dict(_LABEL.findall(match[2] or "")), known))
        return cls(dict(found))

    def without_histograms(self) -> Page:
        """What is kept of each look at a load: hours of whole pages would not fit."""
        return Page({name: of for name, of in self.series.items() if not name.endswith(_OF_HISTOGRAMS)})

    def total(self, name: str) -> float | None:
        """Sum over all labels: of engines, of reasons; None where there is no such series, or one of them is no number."""
        values = [value for _, value in self.series.get(name, [])]
        return _number(sum(values)) if values else None

    def most(self, name: str) -> float | None:
        """The largest of all labels."""
        values = [value for _, value in self.series.get(name, [])]
        return max(values) if values and _number(sum(values)) is not None else None

    def by_labels(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """A sample each."""
        found: dict[frozenset[tuple[str, str]], float] = defaultdict(float)
        for labels, value in self.series.get(name, []):
            found[frozenset(labels.items())] += value
        return found

    def buckets(self, name: str) -> dict[float, float]:
        """A histogram's counts by upper bound, summed over engines."""
        found: dict[float, float] = defaultdict(float)
        for labels, value in self.series.get(f"{name}_bucket", []):
            with suppress(ValueError):  # of a bound that is no number
                bound = float(labels.get("le", "nan"))
                if bound == math.inf or abs(bound) < ABSURD:
                    found[bound] += value
        return dict(found)


@dataclass(slots=True)
class Looks:
    """Who ran and who waited, looked at during a load."""

    at: list[tuple[float, Page]] = field(default_factory=list)
    due_s: float = 0.0

    def is_due(self, now_s: float) -> bool:
        """Whether to look now; the first look is a moment after the first question."""
        if not self.due_s:
            self.due_s = now_s + FIRST_S
        if now_s < self.due_s:
            return False
        self.due_s = now_s + EVERY_S
        return True

    def add(self, now_s: float, text: str) -> None:
        """A page that came."""
        if text:
            self.at.append((now_s, Page.of(text).without_histograms()))


@dataclass(frozen=True, slots=True)
class Load:
    """What the pages are of."""

    concurrency: int
    duration_s: float
    steady_s: tuple[float, float] | None
    """On the monotonic clock."""


def window(version: str, before: Page, after: Page, looks: Looks, load: Load) -> ServerWindow:
    """What the server says of a load.

    Args:
        version: of the server, which names its series.
        before: the page before the first request.
        after: the page after the last answer.
        looks: pages between.
        load: how long it was, and how many requests at once.
    """
    name = names(version)
    queue = difference(before, after, name.get("request_queue_time_seconds", ""))
    running = _over(looks, load, name.get("num_requests_running", ""))
    waiting = _over(looks, load, name.get("num_requests_waiting", ""))
    uses = [page.most(name.get("kv_cache_usage_perc", "")) for _, page in [*looks.at, (0.0, after)]]
    known = [use for use in uses if use is not None and 0 <= use <= 1]
    mean = fmean(waiting) if len(waiting) >= LOOKS_LEAST else _by_little(queue, load.duration_s)
    preempted = _grown(before, after, name.get("num_preemptions", ""))
    return ServerWindow(
        queue_s=queue,
        prefill_s=difference(before, after, name.get("request_prefill_time_seconds", "")),
        decode_s=difference(before, after, name.get("request_decode_time_seconds", "")),
        engines=_of_engines(before, after, name.get("request_success", "")),
        kv_use_max=max(known, default=None),
        running_mean=fmean(running) if running else None,
        waiting_mean=mean,
        acceptance=_share(
            _grown(before, after, name.get("spec_decode_num_accepted_tokens", "")),
            _grown(before, after, name.get("spec_decode_num_draft_tokens", "")),
        ),
        saturated=None if mean is None else mean >= WAITING_SHARE * load.concurrency or bool(preempted),
    )


def names(version: str) -> dict[str, str]:
    """What is counted -> its name on the wire, of a version's row, else of the newest."""
    row = versions.of(version) or versions.newest()
    return row.series


def difference(before: Page, after: Page, name: str) -> Summary | None:
    """A histogram's growth; None where it did not grow. Percentiles and spread are between its buckets' bounds, so they are coarse.

    A percentile that lies in the first bucket, which begins at 0 and may hold everything, is left out; so are all, and the spread is 0,
    where the buckets do not hold what was counted.
    """
    n = _grown(before, after, f"{name}_count")
    total = _grown(before, after, f"{name}_sum")
    if not name or n is None or n < 1 or total is None:
        return None
    old, new = before.buckets(name), after.buckets(name)
    bounds = sorted(new)
    counts = [new[bound] - old.get(bound, 0.0) for bound in bounds]
    if counts != sorted(counts) or not counts or abs(counts[-1] - n) >= 1:  # nor where one is no number
        return Summary(n=round(n), mean=total / n, std=0.0)
    inside = [high - low for low, high in zip([0.0, *counts], counts, strict=False)]
    edges = [0.0, *(bound for bound in bounds if math.isfinite(bound))]
    middles = [(edges[i] + edges[min(i + 1, len(edges) - 1)]) / 2 for i in range(len(inside))]
    mean = total / n
    one = sum(count > 0 for count in inside) <= 1
    spread = (
        0.0
        if one
        else math.sqrt(max(0.0, sum(c * (m - mean) ** 2 for c, m in zip(inside, middles, strict=True))) / n)
    )
    quantiles = {
        key: _quantile(share, bounds, counts, n) for key, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    }
    return Summary(n=round(n), mean=mean, std=spread, **quantiles)


def _quantile(share: float, bounds: Sequence[float], counts: Sequence[float], n: float) -> float | None:
    """By a straight line inside the bucket that holds it."""
    place = next((i for i, count in enumerate(counts) if count >= share * n), len(counts) - 1)
    if place <= 0 or not math.isfinite(bounds[place]):
        return None
    low, high = counts[place - 1], counts[place]
    part = (share * n - low) / (high - low) if high > low else 1.0
    return bounds[place - 1] + part * (bounds[place] - bounds[place - 1])


def _over(looks: Looks, load: Load, name: str) -> list[float]:
    """A gauge over the steady window, or over all looks where there is none."""
    begin, end = load.steady_s or (-math.inf, math.inf)
    return [
        value
        for at, page in looks.at
        if begin <= at <= end and (value := page.total(name)) is not None and value >= 0
    ]


def _by_little(queue: Summary | None, duration_s: float) -> float | None:
    return queue.mean * queue.n / duration_s if queue and duration_s > 0 else None


def _grown(before: Page, after: Page, name: str) -> float | None:
    """None where there is no such series, and where one of its samples began anew, as of an engine that was started again, or is gone."""
    begin, end = before.by_labels(name), after.by_labels(name)
    if not end or any(not value <= end.get(labels, -math.inf) for labels, value in begin.items()):
        return None
    return _number(sum(end.values()) - sum(begin.values()))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _of_engines(before: Page, after: Page, name: str) -> dict[str, int] | None:
    """What a series with a label for each engine grew by; None where there is one, or more than can be, or one began anew."""
    if _grown(before, after, name) is None:
        return None
    grown: dict[str, float] = defaultdict(float)
    for page, sign in ((before, -1), (after, 1)):
        for labels, value in page.series.get(name, []):
            grown[labels.get("engine", "")[:LABEL]] += sign * value
    few = 1 < len(grown) <= MOST_ENGINES
    return {engine: round(grown[engine]) for engine in sorted(grown)} if few else None


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole and whole >= max(1, part) else None
