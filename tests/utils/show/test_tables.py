"""Tables on terminals of a person."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from tests.conftest import environment

PROGRAM = """
import sys
from utils.show import tables
columns = [column for column in tables.RESULT_COLUMNS if column[0] != "W/device"]
figures = ["12345.6"] * (len(columns) - 4)
rows = [[f"qwen3moe-tiny-cpu-vllm/128x64-tp1-c{c}", "1 head", "measured", *figures, "20"] for c in (1, 128)]
tables.table(sys.stdout, "Means of whole runs", columns, rows)
"""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_the_table_of_a_run_fits_80_columns(term: str) -> None:
    """With each figure whole; a terminal that knows nothing gets plain text."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], stdout=theirs, env=environment({"TERM": term}), check=False
    )
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    assert ("\x1b[" in shown) == (term == "xterm")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", "").splitlines()
    assert "…" not in shown
    assert shown.count("12345.6") == 2 * 4
    if term == "xterm":
        assert max(len(line.rstrip()) for line in lines) <= 80
