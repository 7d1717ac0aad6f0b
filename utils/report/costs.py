"""The section that says what tokens cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrix.metrics import HEADLINE
from utils.report.numbers import three
from utils.report.page import Section
from utils.report.prices import per_million, tokens_per_dollar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.report.grouped import Point
    from utils.report.prices import Price, Prices

HEADING = "Cost"


def costs(known: Sequence[Point], prices: Prices | None) -> Section:
    """A row a point and owner; without prices, how to give them."""
    if prices is None:
        return Section(
            HEADING, empty="No price file was given: --prices prices.yaml, as docs/report.md says."
        )
    measured = [one for one in known if HEADLINE in one.figures]
    lines = [_line(one, price) for one in measured for price in prices.of(one.device)]
    unpriced = sorted({one.device for one in measured if not prices.of(one.device)})
    if not lines:
        what = f"has no price of {', '.join(unpriced)}" if unpriced else "has nothing to be applied to"
        return Section(HEADING, empty=f"The price file {what}.")
    used = list(dict.fromkeys(price for one in measured for price in map(_source, prices.of(one.device))))
    words = f"Prices: {'; '.join(used)}." + (f" No price of {', '.join(unpriced)}." if unpriced else "")
    heads = ["point", "arm", "owner", "$ per million tokens", "million tokens per $"]
    return Section(HEADING, words, table={"heads": heads, "lines": lines, "numbers": (3, 4)})


def _line(one: Point, price: Price) -> list[str]:
    rate = one.figures[HEADLINE].mean
    return [
        one.name,
        one.arm,
        price.owner,
        three(per_million(price, rate)),
        three(tokens_per_dollar(price, rate) / 1e6),
    ]


def _source(price: Price) -> str:
    return f"{price.device} {price.owner} {price.usd_per_hour:g} $/h ({price.source}, {price.date})"
