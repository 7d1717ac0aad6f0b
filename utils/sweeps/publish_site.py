"""`servematrix github site-publish`: the dashboard onto the branch that GitHub Pages serves."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.github.push import Git, onto
from utils.github.trigger import from_environment, summary

if TYPE_CHECKING:
    from pathlib import Path

PAGES = "pages"
"""The branch that the repository's settings name as the source of Pages."""
FILES = ("index.html", "records.csv", "digest.md")
MOST = 50_000_000


def publish(tree: Path, site: Path) -> Exit:
    """Write the dashboard's files, and the week's digest as the job's summary.

    Args:
        tree: a checkout whose origin is the repository.
        site: what `servematrix site` wrote.

    Raises:
        HarnessError: ARTIFACT_INVALID where a file is not there, a link, or too large for Pages.
    """
    for name in FILES:
        path = site / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST:
            raise HarnessError(
                Exit.ARTIFACT_INVALID,
                f"{path} is not a file of at most {MOST:,} bytes; run `servematrix site` again",
            )
    event = from_environment()

    def change(folder: Path) -> str:
        for name in FILES:
            shutil.copyfile(site / name, folder / name)
        (folder / ".nojekyll").touch()
        return f"Dashboard of {event.run_url}"

    onto(Git(tree, event.api.token), PAGES, change)
    summary((site / "digest.md").read_text(encoding="utf-8"))
    return Exit.OK
