"""Lines of the A/A ledger, version 2: what two runs of the very same thing differed by.

A reader keeps metrics that it does not know, passes over fields that it does not know, and reads version 1 for ever.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from matrix.schema import Kept

SCHEMA = 2
LEGACY = "legacy"
"""Arm, issuer and contrast of lines from version 1, which did not say them; arm of a line that is of both."""
ENDS = "ends"
"""Contrast of two runs that a steady drift parts."""
FREE = "free of drift"
"""Contrast of several runs in which a steady drift has no part, as long as a difference of two."""
_METRICS_OF_1 = ("tput", "ttft", "tpot")

MOST_LOG_RATIO = 5.0
"""In logs: no two runs of the same differ by more."""
LogRatio = Annotated[
    float | None, Field(ge=-MOST_LOG_RATIO, le=MOST_LOG_RATIO, allow_inf_nan=False, strict=True)
]


def bounded(log_ratio: float) -> float:
    """As a line may hold it."""
    return max(-MOST_LOG_RATIO, min(MOST_LOG_RATIO, log_ratio))


def _day(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError("a day is written YYYY-MM-DD")
    return text


Day = Annotated[str, AfterValidator(_day)]


class Difference(Kept):
    """Two runs of the same. Fields of a newer version are kept when the file is written again."""

    model_config = ConfigDict(extra="allow")
    schema_version: Literal[2] = 2
    day: Day
    device: str
    """Model of the GPU, or of the processor where there is none."""
    driver: str
    model: str = ""
    recipe: str = ""
    point: str
    concurrency: Annotated[int, Field(ge=1, strict=True)]
    key: str
    """The observed key of both."""
    allocation: str
    runs: tuple[int, int]
    arm: Literal["base", "head", "legacy"] = "legacy"
    """Whose runs: base against base is of the default branch's code."""
    issuer: str = LEGACY
    """Who measured: `sweep`, `nightly`, `local`."""
    contrast: str = LEGACY
    """Which runs were set against which: `neighbours` in the order of measurement, `ends` of a block, or `free of drift`."""
    image: str
    node: str
    values: dict[str, LogRatio]
    """Metric -> the later run over the earlier one, in logs."""
    held: str = ""
    """The alarm that came with it: it does not count until a person accepts it (`ledger accept`)."""
    alarm: str = ""
    """The alarm that came with it: it counts, and no more than three standard deviations of those before."""


class Reset(Kept):
    """The lines above it do not count any more for a device."""

    model_config = ConfigDict(extra="allow")
    schema_version: Literal[2] = 2
    day: Day
    device: str
    driver: str | None = None
    """None means: any."""
    reset: str
    """Why."""


Line = Difference | Reset


def parsed(text: str) -> Line:
    """A line of a file.

    Raises:
        ValueError: for one that is none, with the reason in one line.
    """
    try:
        line = line_of(json.loads(text, object_pairs_hook=_once))
        line.model_dump_json()  # else the error would come when the next line is added
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return line


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def line_of(content: dict[str, Any]) -> Line:
    """A line of any version.

    Raises:
        ValueError: for one that is none.
    """
    if content.get("schema_version", 1) == 1:
        content = {**content, "schema_version": SCHEMA}
        if "reset" not in content:
            content["values"] = {name: content.pop(name, None) for name in _METRICS_OF_1}
    return (Reset if "reset" in content else Difference).model_validate(content)
