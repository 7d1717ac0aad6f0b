"""What the ledger says of a point's noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from utils.results.verdict.variances import drawn

Calibration = Literal["own", "borrowed", "change", "none"]


@dataclass(frozen=True, slots=True)
class Spread:
    """How much one run's metric varies, by what the ledger knows."""

    sd: float
    """Standard deviation of a run in the point's class, in logs; nan where nothing is known."""
    df: float
    """Degrees of freedom for the level of today: what is known, capped by its age."""
    calibration: Calibration
    """`own` of the point, `borrowed` from others of its recipe or class, `none`; `change` where the change's own runs say all."""
    scatter: float = math.inf
    """Degrees of freedom that a point beside its class has before it is seen: infinite where all points of the class are alike."""
    ratio: float = 1.0
    """The point's own variance over its class's."""
    ratio_df: float = 0.0
    """Pairs of servers behind that."""
    share: float | None = None
    """Of the variance, what all points of one server have in common."""
    share_cells: float = 0.0
    """Pairs of servers behind that."""
    pairs: int = 0
    """Pairs of servers behind the standard deviation, before any cap."""
    last_day: str = ""
    """Of the newest line."""

    @property
    def drawn(self) -> float:
        """Variance of a run of the point, its own drawn to its class's."""
        return self.sd**2 * drawn(1.0, self.scatter, self.ratio, self.ratio_df)[0]


UNKNOWN = Spread(math.nan, 0, "none")
