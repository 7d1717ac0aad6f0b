"""The table of lies in docs/gates.md, made from the tests: `python -m tests.liar.table` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.liar.lies import LIES
from tests.utils.node.test_gates import BREAKS

DOCS = Path(__file__).resolve().parent.parent.parent / "docs/gates.md"
BEGIN, END = "<!-- made from tests: lies -->\n", "<!-- end of lies -->"


def table() -> str:
    """Each lie, what must catch it, and how that is tried."""
    rows = ["| lie | caught by | tried with |", "| --- | --- | --- |"]
    for lie in LIES:
        caught = (
            f"`{lie.gate}`"
            if lie.gate
            else f"a note: “… {lie.note}”"
            if lie.note
            else "nothing: it is honest"
        )
        rows.append(f"| {lie.does} | {caught} | the real client |")
    for name, (_, found) in BREAKS.items():
        rows.append(
            f"| {name} | {', '.join(f'`{gate}`' for gate in sorted(found))} | a load that is made up |"
        )
    return "\n".join(rows) + "\n"


def written(text: str) -> str:
    """The page with today's table."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}{table()}{END}", text, flags=re.DOTALL
    )


if __name__ == "__main__":
    DOCS.write_text(written(DOCS.read_text()))
