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
from contextlib import suppress

import pytest

from matrix.metrics import METRICS
from tests.conftest import environment
from utils.report.numbers import three
from utils.show import tables

PROGRAM = """
import sys
from utils.show import tables
columns = [column for column in tables.RESULT_COLUMNS if column[0] != "W/device"]
figures = ["12345.6"] * (len(columns) - 4)
rows = [[f"qwen3moe-tiny-cpu-vllm/128x64-tp1-c{c}", "1 head", "measured", *figures, "20"] for c in (1, 128)]
tables.table(sys.stdout, "Means of whole runs", columns, rows)
"""


COMPARED = """
import sys
from utils.cli.main import main
sys.exit(main(["compare", "kernels/minimax_m3_ep/results/2026-11-27-h100-pair"]))
"""
WIDE = """
import sys
from utils.show import tables
figures = [part for n in range(9) for part in ((f"metric{n} tok/s", "right"), ("change", "right"))]
columns = [("point", "left"), ("verdict", "left"), *figures, ("why", "left")]
rows = [["r/512x256-tp2-ep2-c64", "no change seen", *[f"{n}234.5" if n % 2 else "+1.5%" for n in range(18)], "some words " * 9]]
tables.table(sys.stdout, "Title", columns, rows)
"""


def on_terminal(program: str, width: int, term: str = "xterm") -> str:
    """What a program shows there, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=theirs, env=environment({"TERM": term})
    ) as done:
        os.close(theirs)
        with suppress(OSError):  # that is how a terminal ends
            while more := os.read(ours, 65536):
                shown += more
    os.close(ours)
    assert done.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r", "")


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_that_is_too_wide_comes_in_pieces(width: int) -> None:
    """As an entry with power and energy: each piece names its rows, a change stays beside its figure, and every figure is whole."""
    shown = on_terminal(WIDE, width)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    assert shown.count("Title") == 1
    assert shown.count("+1.5%") == shown.count("234.5") == 9
    rows = [line for line in shown.splitlines() if "512x256-tp2-ep2-c64" in line]
    assert len(rows) > 1
    assert all(line.count("+1.5%") == line.count("234.5") for line in rows)
    assert shown.count("some") == 9


def test_a_comparison_in_pieces_says_the_verdict_in_the_first() -> None:
    """Of real records at 80 columns: change and word of every figure come before any interval or noise; why comes last."""
    shown = on_terminal(COMPARED, 80)
    assert max(len(line.rstrip()) for line in shown.split("Means of whole runs")[0].splitlines()) <= 80
    first = shown[: shown.index("interval")]
    assert shown.count("no change seen") == 7  # the last one is the whole's
    assert first.count("no change seen") == 6
    assert first.count("throughput tok/s/device") == 2
    assert shown.index("interval") < shown.index("why") < shown.index("could have seen >=")


def test_figures_for_people_have_three_significant_figures() -> None:
    """Whatever their size, as pages have them; a page alone parts thousands."""
    wanted = {4412.7: "4410", 384.26: "384", 44.127: "44.1", 5.5: "5.50", 0.23456: "0.235", 98_765.4: "98800"}
    for metric in METRICS.values():
        assert {value: metric.shown(value) for value in wanted} == wanted
    assert {value: three(value).replace("\u202f", "") for value in wanted} == wanted
    assert METRICS["ttft"].in_words(1234.5) == "TTFT 1230 ms"


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
    assert shown.count("12345.6") == 2 * (len(tables.RESULT_COLUMNS) - 5)
    if term == "xterm":
        assert max(len(line.rstrip()) for line in lines) <= 80
