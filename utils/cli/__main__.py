"""Runs the command line of the checkout that this file is in, with the packages of the Python that runs it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from utils.cli.main import main  # noqa: E402 - the line above lets it be found

if __name__ == "__main__":
    sys.exit(main())
