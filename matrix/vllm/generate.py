"""Writes the vocabulary of one vLLM version: `python -m matrix.vllm.generate ENVIRONMENT [--site FOLDER] [--out FOLDER]`.

ENVIRONMENT is a virtual environment that has this vLLM. For another version, unpack its wheel and name the folder with
`--site`: it comes before the environment's own packages, which then only lend what vLLM imports. The parser is built
twice, under two names of a device, so that what depends on it is marked and never reported as a mistake.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ELSEWHERE = "cuda"
"""The second name of a device; vLLM's parser for it is built on any machine."""


def probe(script: str, environment: Path, site: Path | None, *arguments: str) -> dict[str, Any]:
    """Run one of the probes with a vLLM's Python.

    Raises:
        SystemExit: with the last lines of what it said, where it cannot be run.
    """
    path = {"PYTHONPATH": str(site)} if site else {}
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_TARGET_DEVICE": "cpu", "PYTHONDONTWRITEBYTECODE": "1"}
    env = {name: value for name, value in os.environ.items() if not name.startswith("VLLM_")}
    done = subprocess.run(
        [environment / "bin/python", "-P", HERE / f"{script}.py", *arguments],
        env=env | quiet | path,
        cwd=site or environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit("\n".join(done.stderr.splitlines()[-12:]))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def merged(here: dict[str, Any], there: dict[str, Any]) -> dict[str, Any]:
    """The flags of two devices; of one that differs, choices and default are left out: a third device has others."""
    flags = {}
    for name in sorted({*here, *there}):
        one, other = here.get(name), there.get(name)
        if one == other and one is not None:
            flags[name] = one
            continue
        both: dict[str, Any] = {**(other or {}), **(one or {}), "platform": True}
        if both["type"] == "choice":
            both["type"] = "str"
        for part in ("choices", "known", "default"):
            both.pop(part, None)
        flags[name] = both
    return flags


def text(vocabulary: dict[str, Any]) -> str:
    """One line a flag and a variable, so that a diff of two versions reads as what changed."""
    lines = []
    for part, value in vocabulary.items():
        if isinstance(value, dict):
            rows = [f"  {json.dumps(name)}: {_compact(value[name])}" for name in sorted(value)]
            lines.append(f" {json.dumps(part)}: {{\n" + ",\n".join(rows) + "\n }")
        else:
            lines.append(f" {json.dumps(part)}: {_compact(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: object) -> str:
    return json.dumps(value, separators=(", ", ":"), sort_keys=True, ensure_ascii=False)


def generate(environment: Path, site: Path | None) -> dict[str, Any]:
    """All that is written of a version."""
    here = probe("probe_flags", environment, site)
    there = probe("probe_flags", environment, site, ELSEWHERE)
    env = probe("probe_env", environment, site)
    return {
        "version": here["version"],
        "made": "parser",
        "package": here["package"],
        "devices": [here["platform"], there["platform"]],
        "flags": merged(here["flags"], there["flags"]),
        "env": env["env"],
        "elsewhere": env["elsewhere"],
        **probe("probe_client", environment, site),
    }


def main() -> None:
    """Write the file of a version."""
    parser = argparse.ArgumentParser(prog="python -m matrix.vllm.generate", description=__doc__)
    parser.add_argument(
        "environment", type=Path, help="a virtual environment with vLLM, or with what it imports"
    )
    parser.add_argument(
        "--site", type=Path, help="an unpacked wheel, or site-packages, that has the vLLM to read"
    )
    parser.add_argument("--out", type=Path, default=HERE / "vocabulary")
    arguments = parser.parse_args()
    made = generate(arguments.environment.absolute(), arguments.site and arguments.site.resolve())
    path = arguments.out / f"{made['version']}.json"
    path.write_text(text(made))
    sys.stdout.write(f"wrote {path}: {len(made['flags'])} flags, {len(made['env'])} variables\n")


if __name__ == "__main__":
    main()
