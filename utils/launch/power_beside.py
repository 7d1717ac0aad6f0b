"""The host's power meter beside a job on this machine."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from utils.node import process
from utils.setup import environments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "power.csv"
"""In a job's folder while it runs; compressed afterwards."""


@contextmanager
def metered(kind: str, folder: Path) -> Iterator[Path]:
    """Samples of devices of a kind, and of the host where it has a counter, go to a file as long as this lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.touch()
    meter = subprocess.Popen(
        [sys.executable, "-s", "-P", "-m", "utils.node.host.meter", kind, str(path)],
        cwd="/",
        env={
            "PYTHONPATH": str(environments.ROOT),
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield path
    finally:
        process.stop(meter, grace_s=2.0)
        with path.open("rb") as plain, gzip.open(path.with_name(f"{FILE}.gz"), "wb") as packed:
            shutil.copyfileobj(plain, packed)
        path.unlink()
