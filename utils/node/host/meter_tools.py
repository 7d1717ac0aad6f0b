"""The tools that say what devices draw: how each is asked, and how a line of its answer becomes a sample. Pure but for `host_joules`.

Standard library of Python 3.9: it runs on the host, outside containers, where the tools answer. What an amd-smi prints was read in public
sources and measured by others (ROCm 6.2 to 7, MI300X and MI355X); nobody ran this against one.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from utils.node.host.tools import text_of

POWERCAP = Path("/sys/class/powercap")
HOST = "host"
"""Name of the device whose watts are those of the processors' packages."""
COLUMNS = (
    "at_s",
    "device",
    "watts",
    "utilisation",
    "clock_mhz",
    "memory_clock_mhz",
    "memory_bytes",
    "temperature_c",
    "throttle",
)
"""Of the file of samples: the monotonic clock of the node, the tool's number of the device, watts, a share of 1, …; empty where unknown, but for the throttle's, which is `UNKNOWN` then."""
Row = dict[str, str]
"""What one line of a tool says of one device, by the names of COLUMNS without the time."""

NVIDIA = (
    "index,power.draw,utilization.gpu,clocks.current.sm,clocks.current.memory,memory.used,temperature.gpu"
)
NVIDIA_THROTTLE = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
"""Today's name, and that of drivers before 535; what knows neither is asked without."""
NVIDIA_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}
"""Bits of nvmlClocksEventReasons that lower clocks; idle and the application's own clocks are none of them."""
AMD_THROTTLE = {
    "UNTHROTTLED": "",
    "FALSE": "",
    "THROTTLED": "throttled",
    "TRUE": "throttled",
    "ACTIVE": "throttled",
}
"""What amd-smi says of lower clocks; it gives no reason."""
UNKNOWN = "unknown"
"""In the throttle's cell, where the tool does not say; an empty cell is a card whose clocks nothing lowers."""
AMD = {
    "watts": ("socket_power", "current_socket_power", "average_socket_power", "power"),
    "utilisation": ("gfx_activity", "gfx_usage"),
    "clock_mhz": (r"gfx_\d+_clk", "gfx_clk"),
    "memory_clock_mhz": ("mem_0_clk", "mem_clk"),
    "memory_bytes": ("used_vram", "vram_used"),
    "temperature_c": ("hotspot", "hotspot_temperature", "edge", "edge_temperature"),
    "throttle": ("throttle_status",),
}
"""Columns of amd-smi by what they are, over its versions; the first that holds a figure is taken, of a pattern the highest."""


@dataclass(frozen=True)
class Tool:
    """A program that prints what devices draw once a second until it is ended."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    """The next is tried where one ends before it said anything."""


TOOLS = {
    "cuda": Tool(
        "nvidia-smi",
        tuple(
            ("nvidia-smi", f"--query-gpu={names}", "--format=csv,noheader,nounits", "-l", "1")
            for names in (*(f"{NVIDIA},{last}" for last in NVIDIA_THROTTLE), NVIDIA)
        ),
    ),
    "rocm": Tool(
        "amd-smi",
        (
            ("amd-smi", "metric", "-p", "-c", "-t", "-u", "-m", "-w", "1", "--csv"),
            ("amd-smi", "metric", "-p", "-c", "-t", "-u", "-w", "1", "--csv"),
        ),
    ),
}
"""By kind of device. JSON of amd-smi's watch printed nothing before 2026, and its CSV without named groups breaks readers."""


@dataclass
class Parser:
    """Turns lines into rows; of amd-smi it remembers the header, which comes again and again."""

    kind: str
    cells: int = 8
    """That nvidia-smi was asked for; a line with others is cut, or has commas in its figures."""
    header: list[str] = field(default_factory=list)
    odd: str = ""
    """Of the last line, if it was a sample that does not fit the header."""

    def row(self, line: str) -> Row | None:
        """The row of a line; None for a header, a preamble, a cut line or a remark."""
        self.odd = ""
        try:
            cells = [cell.strip() for cell in next(csv.reader([line.strip()]), [])]
        except csv.Error:  # a carriage return or, for Python before 3.11, a zero byte inside; or far too long
            self.odd = "no line of a table"
            return None
        return self._amd(cells) if self.kind == "rocm" else _nvidia(cells, self.cells)

    def _amd(self, cells: list[str]) -> Row | None:
        if "gpu" in cells[:2]:
            self.header = cells
            return None
        if not self.header:
            return None
        if len(cells) != len(self.header):
            self.odd = f"{len(cells)} cells below {len(self.header)} headings" if len(cells) > 1 else ""
            return None
        said = dict(zip(self.header, cells))  # noqa: B905 - Python 3.9 has no `strict`, and lengths are equal
        if not said["gpu"].isdigit():
            return None
        row = {"device": said["gpu"]}
        for name, columns in AMD.items():
            row[name] = _first(said, columns, as_is=name == "throttle")
        row["utilisation"] = _share(row["utilisation"])
        row["memory_bytes"] = _times(row["memory_bytes"], 1 << 20)  # its MB are bytes shifted by 20
        row["throttle"] = AMD_THROTTLE.get(row["throttle"].upper(), UNKNOWN)
        return row


def asked_for(command: tuple[str, ...]) -> int:
    """How many cells a line of nvidia-smi has for this call."""
    return max((word.count(",") + 1 for word in command if word.startswith("--query-gpu=")), default=0)


def _nvidia(cells: list[str], wanted: int) -> Row | None:
    names = COLUMNS[1:-1]
    if len(cells) != wanted or not cells[0].isdigit():
        return None
    row = {name: _figure(cell) for name, cell in zip(names, cells)}  # noqa: B905 - the last cell is read below
    row["utilisation"] = _share(row["utilisation"])
    row["memory_bytes"] = _times(row["memory_bytes"], 1 << 20)
    row["throttle"] = UNKNOWN
    if wanted > len(names) and re.fullmatch(r"0x[0-9a-fA-F]+", cells[-1]):
        bits = int(cells[-1], 16)
        row["throttle"] = "+".join(word for bit, word in NVIDIA_REASONS.items() if bits & bit)
    return row


def _first(said: Row, columns: tuple[str, ...], *, as_is: bool) -> str:
    """The first column that holds a figure, or any text; of columns that a pattern names the highest figure."""
    for name in columns:
        cells = [cell for column, cell in said.items() if re.fullmatch(name, column)]
        if as_is and cells:
            return cells[0]
        figures = [figure for cell in cells if (figure := _figure(cell))]
        if figures:
            return max(figures, key=float)
    return ""


def _figure(cell: str) -> str:
    """The number of a cell, its unit left out; empty for N/A and the like."""
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)(?: ?(?:W|%|MHz|MiB|MB|C))?", cell, re.ASCII)
    return match[1] if match else ""


def _share(percent: str) -> str:
    return f"{float(percent) / 100:.4f}" if percent else ""


def _times(figure: str, factor: int) -> str:
    return str(round(float(figure) * factor)) if figure else ""


def packages(root: Path = POWERCAP) -> list[Path]:
    """Energy counters of processor packages (Linux powercap, intel-rapl, which AMD's processors have too).

    None where this user may not read one of them: the others' watts are not the machine's.
    """
    found = []
    for name in sorted(root.glob("intel-rapl:*/name")):
        if name.parent.name.count(":") == 1 and text_of(name).startswith("package"):
            counter = name.with_name("energy_uj")
            if _count(counter) is None:
                return []
            found.append(counter)
    return found


def _count(path: Path) -> int | None:
    text = text_of(path).strip()
    return int(text) if re.fullmatch(r"\d+", text, re.ASCII) else None


@dataclass
class HostMeter:
    """Mean watts of all packages between two looks at their counters."""

    counters: list[Path]
    last: tuple[float, list[int]] | None = None

    def row(self, now_s: float) -> Row | None:
        """What they drew since the look before; None for the first one."""
        values = [value for path in self.counters if (value := _count(path)) is not None]
        if len(values) < len(self.counters):
            return None
        before, self.last = self.last, (now_s, values)
        if before is None or now_s <= before[0]:
            return None
        used = 0
        for path, one, other in zip(self.counters, before[1], values):  # noqa: B905 - Python 3.9
            turn = 0 if other >= one else _count(path.with_name("max_energy_range_uj"))
            if turn is None:  # it began anew, and nobody knows from where
                return None
            used += other - one + turn
        return {"device": HOST, "watts": f"{used / 1e6 / (now_s - before[0]):.2f}"}
