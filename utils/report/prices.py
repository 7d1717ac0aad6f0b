"""What a token costs: from a price file of one's own, with its source and date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, RootModel, StringConstraints

from matrix import strict_yaml
from matrix.errors import Exit, HarnessError
from matrix.schema import Strict, validate

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.errors import Problem


class Price(Strict):
    """Of one device and hour, as one owner pays it."""

    device: str = Field(min_length=1)
    """As records name it, such as `H100`; a part of that name is enough, and the longest one counts."""
    owner: str = Field(min_length=1)
    """Who pays it: rented on demand, three years, bought, …"""
    usd_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    source: str = Field(min_length=1)
    date: Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$")]


class Prices(RootModel[list[Price]]):
    """The file."""

    def of(self, device: str) -> list[Price]:
        """The prices of a device, one an owner."""
        found: dict[str, Price] = {}
        for one in self.root:
            if one.device.casefold() in device.casefold():
                known = found.get(one.owner)
                if known is None or len(one.device) > len(known.device):
                    found[one.owner] = one
        return list(found.values())


def read(path: Path) -> Prices:
    """Read a price file.

    Raises:
        HarnessError: USAGE with every problem at its place.
    """
    problems: list[Problem] = []
    try:
        found = validate(Prices, strict_yaml.read(path.read_bytes(), path.name), problems)
    except OSError as error:
        raise HarnessError(
            Exit.USAGE, f"{path}: {error.strerror}; give a file of prices: docs/report.md"
        ) from error
    if found is None or problems:
        raise HarnessError(Exit.USAGE, "", problems)
    return found


def per_million(price: Price, tokens_per_s: float) -> float:
    """US dollars for a million tokens, input and output, at a device's throughput."""
    return price.usd_per_hour / (tokens_per_s * 3600 / 1e6)


def tokens_per_dollar(price: Price, tokens_per_s: float) -> float:
    """The same number the other way round."""
    return 1e6 / per_million(price, tokens_per_s)
