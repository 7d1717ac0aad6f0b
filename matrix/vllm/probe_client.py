"""Reads what else the harness relies on: the flags of `vllm bench serve`, and the names of series and of paths of a server.

A script for a Python that has that vLLM; it imports nothing of ours. Flags are the client's own parser's. Series and paths
are names in vLLM's sources: whether a server has them may hang on its flags.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_SERIES = re.compile(r'(?:name ?=|\()\s*"(vllm:[a-z0-9_]+)"')
_ROUTE = re.compile(r'router\.(?:get|post)\(\s*"(/[a-z0-9_/.-]+)"')


def client() -> list[str]:
    """Names of the load client's flags."""
    from vllm.benchmarks.serve import add_cli_args  # noqa: PLC0415 - after what it prints goes elsewhere
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    parser: argparse.ArgumentParser = FlexibleArgumentParser()
    add_cli_args(parser)
    names = [one for action in parser._actions for one in action.option_strings]  # noqa: SLF001 - argparse has no other list
    return sorted(one.removeprefix("--") for one in names if one.startswith("--") and one != "--help")


def named(pattern: re.Pattern[str], *folders: Path) -> list[str]:
    """What a pattern finds in the sources."""
    texts = [path.read_text(errors="replace") for folder in folders for path in folder.rglob("*.py")]
    return sorted({name for text in texts for name in pattern.findall(text)})


def main() -> None:
    """Print the facts in one line."""
    sys.stdout, answer = sys.stderr, sys.stdout
    import vllm  # noqa: PLC0415 - see above

    root = Path(str(vllm.__file__)).parent
    facts = {
        "client": client(),
        "series": [one.removeprefix("vllm:") for one in named(_SERIES, root / "v1", root / "entrypoints")],
        "routes": named(_ROUTE, root / "entrypoints" / "serve", root / "entrypoints" / "openai"),
    }
    print(json.dumps(facts), file=answer)


if __name__ == "__main__":
    main()
