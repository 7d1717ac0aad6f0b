"""Colours, letters and sizes of every picture. The colours are Okabe and Ito's, which colour-blind people tell apart; series differ by shape as well."""

from __future__ import annotations

import re
from typing import Any

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56707f")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
TEXT, QUIET, GRID = "#1f2328", "#59636e", "#d1d9e0"
WIDTH, HEIGHT = 340, 230
FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"
BACKGROUND = "#ffffff"
_ANCHOR = "https://vega.github.io/vega-datasets/"
"""What the drawing library puts before a link to a part of the page."""
VARIABLES = {
    **{colour: f"var(--s{number})" for number, colour in enumerate(SERIES, 1)},
    TEXT: "var(--text)",
    QUIET: "var(--quiet)",
    GRID: "var(--grid)",
}
"""Colour of a picture by itself -> the page's, which knows light and dark."""


def config(*, alone: bool) -> dict[str, Any]:
    """Vega-Lite's config; a picture on its own has a background, so that it can be read on any page."""
    return {
        "background": BACKGROUND if alone else None,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": QUIET, "titleColor": TEXT, "gridColor": GRID, "domainColor": GRID, "tickColor": GRID,
            "labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": "normal", "labelFlush": False, "labelLimit": 200,
        },
        "legend": {"labelColor": TEXT, "titleColor": TEXT, "labelFontSize": 13, "titleFontSize": 13, "orient": "bottom", "columns": 2, "labelLimit": 300, "title": None},
        "title": {"color": TEXT, "fontSize": 14, "anchor": "start", "subtitleColor": QUIET, "subtitleFontSize": 12},
    }  # fmt: skip


def for_page(svg: str) -> str:
    """A picture whose colours follow the page's, and whose size its place."""

    def variable(match: re.Match[str]) -> str:
        return f'{match[1]}="{VARIABLES.get(match[2].lower(), match[2])}"'

    svg = re.sub(r'(fill|stroke)="(#[0-9a-fA-F]{6})"', variable, svg)
    svg = re.sub(
        r'<svg([^>]*?) width="([\d.]+)" height="[\d.]+"', r'<svg\1 style="max-width:\2px"', svg, count=1
    )
    svg = re.sub(r' (role|aria-roledescription)="[^"]*"', "", svg).replace(" aria-label=", " data-label=")
    svg = svg.replace(f'xlink:href="{_ANCHOR}', 'href="')
    return re.sub(
        r'<a href="([^"]*)">(<path) data-label="([^"]*)"',
        r'<a href="\1" aria-label="\3">\2 data-label="\3"',
        svg,
    )
