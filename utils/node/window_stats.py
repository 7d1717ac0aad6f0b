"""From raw requests to summaries, over the whole run and over its steady window."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from utils.node.record import VALUES_NEEDED, Counts, Summary, Window

if TYPE_CHECKING:
    from utils.node.requests_raw import RawLoad

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
STEADY_LEAST = 5
"""Requests that a steady window needs to be told."""
_US = 1e6


def summary(values_us: np.ndarray) -> Summary:
    """Seconds of a column of microseconds."""
    n = len(values_us)
    if n == 0:
        return Summary(n=0, mean=0.0, std=0.0)
    seconds = values_us / _US
    names = [name for name, needed in VALUES_NEEDED.items() if n >= needed]
    found = np.quantile(seconds, [_QUANTILES[name] for name in names])  # all at once: each sorts
    quantiles = dict(zip(names, found.tolist(), strict=True))
    return Summary(n=n, mean=float(seconds.mean()), std=float(seconds.std()), **quantiles)


def tpot_us(raw: RawLoad, rows: np.ndarray) -> np.ndarray:
    """Time per output token after the first one, of the requests that have more than one."""
    many = rows & (raw.output_len > 1)
    result: np.ndarray = (raw.latency_us[many] - raw.ttft_us[many]) / (raw.output_len[many] - 1)
    return result


def counts(raw: RawLoad, requests: int) -> Counts:
    """What the client counted."""
    ok = raw.ok
    return Counts(
        requests=requests,
        completed=raw.completed,
        failed=raw.failed,
        input_tokens=int(raw.input_len[ok].sum()),
        output_tokens=int(raw.output_len[ok].sum()),
        chunks=sum(len(row) + 1 for row, good in zip(raw.itl_us, ok, strict=True) if good),
    )


def filled_by_a_full_loop(raw: RawLoad, concurrency: int) -> float:
    """What Little's law gives for these latencies in a loop that never waits: with few requests one long last one costs more than 0.3 c/N."""
    free = [0] * concurrency
    for latency in raw.latency_us[np.argsort(raw.start_us, kind="stable")].tolist():
        heapq.heapreplace(free, free[0] + latency)
    return float(raw.latency_us.sum()) / concurrency / max(1, *free)


def whole(raw: RawLoad, devices: int) -> Window:
    """All completed requests over the client's duration, as the field publishes them."""
    ok = raw.ok
    tokens_out = int(raw.output_len[ok].sum())
    tokens = tokens_out + int(raw.input_len[ok].sum())
    return _window(raw, ok, (0.0, raw.duration_s), (tokens, tokens_out, int(ok.sum())), devices)


def steady(raw: RawLoad, concurrency: int, devices: int) -> Window | None:
    """From the end of the first wave to the first start of the drain.

    The first wave is the burst of the first `concurrency` requests; the drain starts with the last request, because
    after it every end lowers the load. Tokens count where they arrived: input with a request's first token.
    """
    ok = raw.ok
    if len(raw.start_us) <= concurrency or not ok.all():
        return None
    begin = int(raw.end_us[np.argsort(raw.start_us, kind="stable")[:concurrency]].max())
    end = int(raw.start_us.max())
    inside = (raw.start_us >= begin) & (raw.end_us <= end)
    if end <= begin or int(inside.sum()) < STEADY_LEAST:
        return None
    first = raw.first_us()
    tokens_in = int(raw.input_len[(first >= begin) & (first < end)].sum())
    later, of = raw.later_us()
    within = np.bincount(of[(later >= begin) & (later < end)], minlength=len(first))
    within += (first >= begin) & (first < end)
    answers = np.bincount(of, minlength=len(first)) + 1
    tokens_out = float((within / answers * raw.output_len).sum())
    ended = int(((raw.end_us >= begin) & (raw.end_us < end)).sum())
    tokens = (tokens_in + tokens_out, tokens_out, ended)
    return _window(raw, inside, (begin / _US, (end - begin) / _US), tokens, devices)


def _window(
    raw: RawLoad,
    rows: np.ndarray,
    place_s: tuple[float, float],
    tokens: tuple[float, float, int],
    devices: int,
) -> Window:
    start_s, duration_s = place_s
    total, output, ended = tokens
    chosen = [itl for itl, take in zip(raw.itl_us, rows, strict=True) if take]
    return Window(
        start_s=start_s,
        duration_s=duration_s,
        requests=int(rows.sum()),
        total_tok_per_s_per_device=total / duration_s / devices,
        output_tok_per_s_per_device=output / duration_s / devices,
        requests_per_s=ended / duration_s,
        ttft_s=summary(raw.ttft_us[rows]),
        tpot_s=summary(tpot_us(raw, rows)),
        itl_s=summary(np.concatenate(chosen) if chosen else np.array([])),
        e2el_s=summary(raw.latency_us[rows]),
    )
