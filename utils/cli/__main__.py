"""Runs the command line of the checkout that this file is in, with the packages of the Python that runs it."""

from __future__ import annotations

import os
import sys

ROOT = os.path.realpath(__file__).rsplit("/", 3)[0]  # `pathlib` is slow to import
sys.path.insert(0, ROOT)

try:
    from utils.cli.main import main
except KeyboardInterrupt:  # before there is anything that could say more
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
