"""Ask the drawing program, in its own environment, for pictures."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.setup.environments import ROOT, for_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utils.report.pictures import Picture


def drawn(pictures: Sequence[Picture], tell: Callable[[str], None]) -> list[tuple[str, str]]:
    """SVG and Vega-Lite of each picture.

    Raises:
        HarnessError: SETUP_FAILED, where the environment cannot be made or the program ends with an error.
    """
    if not pictures:
        return []
    python = for_report(tell).python
    asked = json.dumps([one.asked for one in pictures])
    done = subprocess.run(
        [str(python), "-m", "utils.report.to_svg"],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        raise HarnessError(
            Exit.SETUP_FAILED,
            f"the pictures could not be drawn: {done.stderr.strip()[-500:]}\nremove {python.parent.parent} to make its environment again",
        )
    return [(one["svg"], one["spec"]) for one in json.loads(done.stdout)]
