"""One self-contained page: nothing is fetched, and no script runs but the page's own.

Pictures are SVG, not a chart library: they are there before any script, print, take the page's colours, and a mark is a link that the
keyboard reaches. The page's script sorts, filters and opens points.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from utils.report.theme import for_page

FOLDER = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture with its words."""

    name: str
    heading: str
    words: str
    svg: Markup
    spec: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; what has nothing to show says so."""

    heading: str
    words: str = ""
    pictures: list[Drawn] = field(default_factory=list)
    table: dict[str, Any] | None = None
    """`heads`, `lines`, and which columns are `numbers`."""
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template shows."""

    title: str
    verdict: str
    mood: str
    """regression, improvement, or empty."""
    notes: list[str]
    about: str
    sections: list[Section]
    table: dict[str, Any]
    timelines: list[dict[str, Any]]
    footer: str
    csv_link: str = ""
    """A file beside the page with all rows, where they are too many to be in it as well."""


def picture(name: str, heading: str, words: str, drawn: tuple[str, str]) -> Drawn:
    """A picture in the page's colours."""
    return Drawn(name, heading, words, Markup(for_page(drawn[0])), drawn[1])  # noqa: S704 - made by vl-convert, which escapes what is in it


def written(page: Page, data: dict[str, Any], csv: str) -> str:
    """The page as HTML.

    Args:
        page: what is in it.
        data: columns, rows and panels, for its script.
        csv: what can be saved.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    drawn = [one for section in page.sections for one in section.pictures]
    return environment.get_template("page.html.j2").render(
        page=page,
        css=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        js=Markup(script),  # noqa: S704 - our own file
        script_hash=f"sha256-{digest}",
        data=_json(data),
        specs=_json({one.name: json.loads(one.spec) for one in drawn}),
        csv=_json(csv),
    )


def _json(value: object) -> Markup:
    """JSON that cannot end the element it is in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704 - escaped here
