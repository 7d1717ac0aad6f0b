"""Debian packages that tests need: which are missing, and their installation."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

LIST = ROOT / "requirements" / "debian.txt"


def wanted() -> list[str]:
    """Names of the packages."""
    lines = (line.split("#")[0].strip() for line in LIST.read_text().splitlines())
    return [line for line in lines if line]


def missing() -> list[str]:
    """Those that are not installed."""
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted()]
    if not shutil.which(query[0]):
        return wanted()
    said = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    there = {line.split()[0] for line in said.splitlines() if line.endswith(" installed")}
    return [name for name in wanted() if name not in there]


def ensure(tell: Callable[[str], None]) -> None:
    """Install what is missing, as root or by sudo without a question.

    Raises:
        HarnessError: SETUP_FAILED, with the command for a person.
    """
    names = missing()
    if not names:
        return
    by_hand = f"apt-get install --no-install-recommends {' '.join(names)}"
    if not shutil.which("apt-get"):
        raise HarnessError(
            Exit.SETUP_FAILED,
            f"tests need {', '.join(names)}, which are packages of Debian and Ubuntu; without them: ./servematrix test --quick",
        )
    tell(f"installing {', '.join(names)} (once)")
    before = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (
        ["update", "--quiet"],
        ["install", "--yes", "--quiet", "--no-install-recommends", *names],
    ):
        try:
            done = subprocess.run(
                [*before, "apt-get", *arguments], capture_output=True, text=True, check=False, env=environment
            )
            said, failed = done.stderr, done.returncode != 0
        except OSError as error:
            said, failed = str(error), True
        if failed:
            raise HarnessError(Exit.SETUP_FAILED, f"{said.strip()[-1000:]}\ninstall them by hand: {by_hand}")
