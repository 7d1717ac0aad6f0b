"""`servematrix lock`: the locks of `requirements/`, with hashes of every file that the index has, for every Python and processor."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from utils.setup import installers
from utils.setup.environments import CACHE, OLDEST, ROOT, UV

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HEAD = "# Made by `./servematrix lock`.\n"
NO_HASH = "# A version with + carries no hash: no index has it, and each place that offers it has builds of its own.\n"


def write() -> None:
    """Make every lock again from its `.in` file."""
    for source in sorted((ROOT / "requirements").glob("*.in")):
        overrides = source.with_suffix(".overrides")
        text = _with_builds_of_elsewhere(source, overrides) if overrides.exists() else _of_the_index(source)
        target = source.with_suffix(".lock")
        target.write_text(HEAD + text)
        sys.stdout.write(f"wrote {target.relative_to(ROOT)}\n")


def _of_the_index(source: Path) -> str:
    return _compiled([str(source), "--universal", "--generate-hashes", "--upgrade"], _index_alone())


def _with_builds_of_elsewhere(source: Path, overrides: Path) -> str:
    """Packages with a local version, such as torch +cpu, come from where pip looks besides; all hashes are the index's.

    A folder of wheels has one wheel of each package. Its hash alone would refuse every other Python's.
    """
    everywhere = installers.uv_arguments(installers.settings(installers.python_with_pip()))
    found = _compiled([str(source), "--override", str(overrides), "--upgrade"], everywhere)
    pinned = [line.split(" ")[0] for line in found.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    local = [line for line in pinned if "+" in line]
    hashed = _compiled(
        ["-", "--no-deps", "--generate-hashes"], _index_alone(), stdin=set(pinned) - set(local)
    )
    return NO_HASH + merged(hashed, local)


def merged(hashed: str, local: Iterable[str]) -> str:
    """A lock of both: entries with their hashes, and those that no index has, which carry none, sorted by name."""
    entries = re.findall(r"^[A-Za-z0-9][^\n]*\n(?:[ \t]+[^\n]*\n)*", hashed, re.MULTILINE)
    both = [*entries, *(f"{line}\n" for line in local)]
    return "".join(sorted(both, key=lambda entry: entry.partition("==")[0].lower()))


def _index_alone() -> list[str]:
    known = installers.settings(installers.python_with_pip())
    return installers.uv_arguments(
        {name: value for name, value in known.items() if name in {"index-url", "trusted-host"}}
    )


def _compiled(what: list[str], where: list[str], stdin: Iterable[str] = ()) -> str:
    command = [
        *UV,
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--python-version",
        ".".join(map(str, OLDEST)),
        *where,
        *what,
    ]
    environment = installers.for_uv(installers.python_with_pip(), CACHE)
    given = "".join(f"{line}\n" for line in sorted(stdin))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, input=given)
    if done.returncode:
        raise HarnessError(Exit.SETUP_FAILED, done.stderr.strip())
    return done.stdout
