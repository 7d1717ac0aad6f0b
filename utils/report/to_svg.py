"""Draw pictures: a list of them as JSON on stdin, their SVGs and specs on stdout. Runs in the environment of requirements/report.lock."""

from __future__ import annotations

import json
import sys
from typing import Any

import altair as alt
import vl_convert

from utils.report.charts import KINDS
from utils.report.theme import config


def drawn(asked: dict[str, Any]) -> dict[str, str]:
    """A picture's Vega-Lite, and its SVG.

    Args:
        asked: its `kind` of `KINDS`, its `rows`, the `titles` of its axes, its `title`, and whether it is `alone`.
    """
    made = KINDS[asked["kind"]](asked["rows"], asked["titles"])
    if asked.get("title"):
        made = made.properties(title=alt.Title(asked["title"], subtitle=asked.get("subtitle", [])))
    spec = made.to_dict() | {"config": config(alone=bool(asked.get("alone")))}
    return {"spec": json.dumps(spec), "svg": vl_convert.vegalite_to_svg(vl_spec=spec)}


if __name__ == "__main__":
    json.dump([drawn(one) for one in json.load(sys.stdin)], sys.stdout)
