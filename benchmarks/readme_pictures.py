"""The README's pictures, made anew: an entry in a diff, a comment, a report. Figures are GENERATED on the frame of a real record, and measure nothing.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/readme_pictures.py --out docs/pictures
    … --out /tmp/looked --widths 390 768 1280      # each at three widths, to look at

Wants Debian's chromium, and the environment of the tests.
"""

from __future__ import annotations

import argparse
import base64
import html
import importlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import ROOT
from tests.utils.report.generated import generated, write
from utils.pipeline.judge import judged
from utils.report import pictures, verdict, verdict_comment
from utils.report.drawing import drawn
from utils.report.make import make
from utils.results.changelog.edit import Stub, add

if TYPE_CHECKING:
    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison

ORDER = {("base", 0): 0, ("head", 0): 1, ("head", 1): 2, ("base", 1): 3}
STYLE = """body { margin: 16px; font: 14px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1f2328; background: #fff; }
table { border-collapse: collapse; margin: 0 0 14px; display: block; overflow-x: auto; } td, th { border: 1px solid #d1d9e0; padding: 5px 10px; }
img { max-width: 100%; } code { background: #eff1f3; padding: 2px 5px; border-radius: 5px; font-size: 12px; }
.diff { font: 12px/1.6 "DejaVu Sans Mono", monospace; background: #dafbe1; white-space: pre; overflow-x: hidden; margin: 0; }"""


def pair() -> list[Record]:
    """One recipe at eight concurrencies, in the order B H H B of one allocation."""
    records = generated(32, recipes=1, status="measured")
    return [_placed(one) for one in records]


def _placed(one: Record) -> Record:
    parts = one.parts | {
        "flags": one.parts.get("flags", {}) | {"block-size": 32 if one.arm == "head" else 16}
    }
    update = {"run_index": ORDER[one.arm, one.run_index], "parts": parts, "vary": ["flags.block-size"]}
    return one.model_copy(update={**update, "observed": None})


def sides(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """Base and head."""
    return [one for one in records if one.arm == "base"], [one for one in records if one.arm == "head"]


def the_diff(records: list[Record], found: Comparison) -> str:
    """An entry as GitHub shows it."""
    base, head = sides(records)
    stub = Stub(42, "Fewer block tables to walk", ("Blocks of 32 instead of 16",))
    text = add(b"", "perf-changelog.yaml", head, base, stub, comparison=found)
    lines = "".join(f"+{html.escape(line)}\n" for line in text.splitlines()[1:])
    return f'<div class="diff">{lines}</div>'


def the_comment(found: Comparison) -> str:
    """As GitHub renders its Markdown."""
    cmarkgfm = importlib.import_module("cmarkgfm")
    options = importlib.import_module("cmarkgfm.cmark").Options.CMARK_OPT_UNSAFE
    rows = verdict.once(verdict.by_effect(found))
    ((svg, _),) = drawn([pictures.effects(rows, f"{found.headline.text[:69]}…", alone=True)], print)
    address = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    made = "".join(verdict_comment.parts(found, "PICTURE"))
    return str(cmarkgfm.github_flavored_markdown_to_html(made, options)).replace("PICTURE", address)


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--widths", type=int, nargs="+", default=[1020])
    asked = parser.parse_args()
    records = pair()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, head = sides(records)
        found = judged(base, head, folder / "ledger.jsonl", ROOT, confirmation=False)
        pages = {"diff": the_diff(records, found), "comment": the_comment(found)}
        for page, body in pages.items():
            text = f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{body}"
            (folder / f"{page}.html").write_text(text)
        report = make(write(records, folder / "records"), found, None, folder / "report", print)
        paths = {**{page: folder / f"{page}.html" for page in pages}, "report": report}
        shoot(paths, asked.out, asked.widths)


def shoot(paths: dict[str, Path], out: Path, widths: list[int]) -> None:
    """A picture of each page at each width, of at most a screen and a half."""
    out.mkdir(parents=True, exist_ok=True)
    with importlib.import_module("playwright.sync_api").sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width in widths:
            for name, path in paths.items():
                page = browser.new_page(viewport={"width": width, "height": 300})
                page.goto(path.as_uri())
                tall = min(1000, int(page.evaluate("document.documentElement.scrollHeight")))
                page.set_viewport_size({"width": width, "height": tall})
                page.screenshot(path=out / (f"{name}.png" if len(widths) == 1 else f"{name}-{width}.png"))
        browser.close()


if __name__ == "__main__":
    main()
