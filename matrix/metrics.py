"""The one table of metrics: records, events, ledger, verdict, changelog, history, tables and docs loop over it.

A new metric is a line here, its source (a field of the record, usually of `utils.node.window_stats`), and its test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


SIGNIFICANT = 3


def three(value: float) -> str:
    """A number with three significant figures and no exponent: 4410, 44.1, 4.41, 0.0441."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "-"
    places = SIGNIFICANT - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    places = SIGNIFICANT - 1 - math.floor(math.log10(abs(rounded)))  # 9.996 is 10.0
    return f"{rounded:.{max(0, places)}f}"


def percent(value: float, sign: Literal["", "+"] = "") -> str:
    """With one decimal, and with up to four where that would read as nothing though it is something; no minus before a zero."""
    small = 0 < abs(value) < 0.05  # noqa: PLR2004 - what one decimal rounds to 0.0
    places = min(4, -math.floor(math.log10(abs(value)))) if small else 1
    return f"{value:{sign}z.{places}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure of a point, where its value comes from, and how people see it."""

    label: str
    """What is written before the unit; empty where the unit says it all."""
    unit: str
    """That people see."""
    meaning: str
    """One line for the docs."""
    scale: float = 1.0
    """From the record's unit to that one."""
    more_is_better: bool = False
    whole: str
    """Path in a record to the figure of the whole run, as the field publishes it."""
    steady: str = ""
    """Path to the figure that is judged; empty for a metric that is shown alone."""
    cause: str = ""
    """What it is a view of, where other metrics see the same: they are one fact, and counted once."""
    judged_as: str = ""
    """Label of the judged figure."""
    called: str = ""
    """Name on an axis, where the unit alone says it in a table."""
    floor: float = 0.0
    """The smallest effect that matters, in percent; below it nothing is called a change."""
    in_changelog: bool = True
    optional: bool = False
    """Whether a measured run may lack it."""
    at_a_glance: bool = True
    """Whether it has a column in the table at a run's end, which must fit a terminal."""
    with_noise: bool = False
    """Of the whole run alone, and yet shown with its own noise and open to claims; no word is said of it."""

    @property
    def heading(self) -> str:
        """Of the whole run's figure, with its unit."""
        return f"{self.label} {self.unit}".strip()

    @property
    def about(self) -> str:
        """Heading of what is judged, with its unit; of the whole run where nothing is."""
        return f"{self.judged_as} {self.unit}" if self.judged_as else self.heading

    def in_words(self, value: float) -> str:
        """A value with its label and unit."""
        return f"{self.label} {self.shown(value)} {self.unit}".strip()

    def shown(self, value: float) -> str:
        """A value in the shown unit, for people."""
        return three(value)


METRICS: Mapping[str, Metric] = {
    "tput": Metric(
        label="",
        unit="tok/s/device",
        meaning="input and output tokens a second and device",
        more_is_better=True,
        whole="whole.total_tok_per_s_per_device",
        steady="steady.total_tok_per_s_per_device",
        cause="speed",
        judged_as="throughput",
        floor=1.0,
    ),
    "ttft": Metric(
        label="TTFT",
        unit="ms",
        meaning="time to first token: mean; judged is the median",
        scale=1000,
        whole="whole.ttft_s.mean",
        steady="steady.ttft_s.p50",
        judged_as="TTFT p50",
        floor=3.0,
    ),
    "tpot": Metric(
        label="TPOT",
        unit="ms",
        meaning="time per output token after the first: mean; judged is the median",
        scale=1000,
        whole="whole.tpot_s.mean",
        steady="steady.tpot_s.p50",
        cause="speed",
        judged_as="TPOT p50",
        floor=1.5,
    ),
    "e2el": Metric(
        label="E2EL",
        unit="s",
        meaning="from a request's start to its last token: mean",
        whole="whole.e2el_s.mean",
        in_changelog=False,
    ),
    "power": Metric(
        label="",
        called="power",
        unit="W/device",
        meaning="mean power of the devices over the measured window, where something measures it",
        whole="power.mean_w_per_device",
        optional=True,
        with_noise=True,
    ),
    "j_out": Metric(
        label="",
        called="energy",
        unit="J/output token",
        meaning="energy of the devices over output tokens",
        whole="power.joules_per_output_token",
        optional=True,
        at_a_glance=False,
        with_noise=True,
    ),
    "j_tok": Metric(
        label="",
        called="energy",
        unit="J/token",
        meaning="energy of the devices over input and output tokens",
        whole="power.joules_per_token",
        optional=True,
        at_a_glance=False,
        with_noise=True,
    ),
    "tok_w": Metric(
        label="",
        called="efficiency",
        unit="tok/s/W",
        meaning="input and output tokens a second and watt",
        more_is_better=True,
        whole="power.total_tok_per_s_per_w",
        optional=True,
        at_a_glance=False,
        with_noise=True,
    ),
    "util": Metric(
        label="utilisation",
        unit="%",
        meaning="share of the window in which a kernel ran on the devices, as their driver counts it",
        scale=100,
        whole="power.mean_utilisation",
        optional=True,
        at_a_glance=False,
        with_noise=True,
    ),
    "clock": Metric(
        label="clock",
        unit="MHz",
        meaning="mean clock of the devices over the window",
        more_is_better=True,
        whole="power.mean_clock_mhz",
        optional=True,
        at_a_glance=False,
        with_noise=True,
    ),
    "queue": Metric(
        label="queue",
        unit="ms",
        meaning="mean time from a request's arrival in the server to its first step, a part of TTFT",
        scale=1000,
        whole="server.queue_s.mean",
        in_changelog=False,
        optional=True,
        at_a_glance=False,
    ),
    "prefill": Metric(
        label="prefill",
        unit="ms",
        meaning="mean time from a request's first step to its first token, the rest of TTFT but for the way to the client",
        scale=1000,
        whole="server.prefill_s.mean",
        in_changelog=False,
        optional=True,
        at_a_glance=False,
    ),
    "kv": Metric(
        label="KV",
        unit="%",
        meaning="highest use of the KV cache that was seen",
        scale=100,
        whole="server.kv_use_max",
        in_changelog=False,
        optional=True,
        at_a_glance=False,
    ),
}
HEADLINE = "tput"
"""What one line says of a change, and what every measured run has."""
JUDGED: tuple[str, ...] = tuple(name for name, metric in METRICS.items() if metric.steady)
"""Of the steady window, so that neither the burst at the beginning nor the drain decides."""
WITH_NOISE: tuple[str, ...] = (*JUDGED, *(name for name, metric in METRICS.items() if metric.with_noise))
"""What the ledger keeps the noise of, and what claims may be about."""


def value(record: object, path: str) -> float | None:
    """The figure at a path of a record, in the record's unit; None where it has none, or one that cannot be a measurement."""
    found = record
    for name in path.split("."):
        found = getattr(found, name, None)
        if found is None:
            return None
    return float(found) if isinstance(found, int | float) and 0 < found < math.inf else None


def figures(record: object) -> dict[str, float]:
    """The whole run's figures of a record in the shown units, as the field publishes them."""
    return {
        name: metric.scale * found
        for name, metric in METRICS.items()
        if (found := value(record, metric.whole)) is not None
    }


def known(names: Mapping[str, object]) -> list[str]:
    """Names in the table's order; those that this version does not know come last."""
    return [*(name for name in METRICS if name in names), *(name for name in names if name not in METRICS)]
