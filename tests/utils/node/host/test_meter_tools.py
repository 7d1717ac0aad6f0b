"""What vendors' tools print, read line by line. amd-smi's lines are FAKE, in shapes that others published; no such card was here."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.node.host.meter_tools import TOOLS, HostMeter, Parser, asked_for, packages

ROCM_6_2 = "timestamp,gpu,gfx_activity,umc_activity,mm_activity,socket_power,gfx_0_clk,gfx_0_min_clk,gfx_0_max_clk,mem_0_clk,edge,hotspot,mem"
ROCM_6_4 = (
    "timestamp,gpu,gfx_activity,umc_activity,mm_activity,vcn_activity,jpeg_activity,socket_power,gfx_voltage,soc_voltage,mem_voltage,"
    "throttle_status,power_management,gfx_0_clk,gfx_1_clk,mem_0_clk,edge,hotspot,mem,used_vram"
)
ROCM_7 = (
    "timestamp,gpu,gfx_activity,umc_activity,mm_activity,vcn_activity,jpeg_activity,gfx_busy_inst_xcp_0,jpeg_busy_xcp_0,vcn_busy_xcp_0,"
    "socket_power,gfx_voltage,soc_voltage,mem_voltage,throttle_status,power_management,gfx_0_clk,mem_0_clk,edge,hotspot,mem"
)
LISTS = """"['N/A', 'N/A']","['N/A', 'N/A']","[0, 0]","[0, 0]","[0, 0]\""""


@pytest.mark.parametrize(
    ("header", "line", "wanted"),
    [
        (ROCM_6_2, "1772939616,0,95,80,N/A,350,1980,500,2100,901,38,72,65", {"watts": "350", "clock_mhz": "1980", "temperature_c": "72"}),
        (ROCM_6_4, "1772939616,7,95,80,N/A,0,0,652,N/A,N/A,N/A,THROTTLED,ENABLED,1900,2100,900,N/A,72,65,181000", {"watts": "652", "clock_mhz": "2100", "throttle": "throttled", "memory_bytes": str(181000 << 20)}),
        (ROCM_7, f"1789515524,3,99,70,N/A,{LISTS},712,N/A,N/A,N/A,UNTHROTTLED,ENABLED,2100,2000,N/A,78,60", {"watts": "712", "utilisation": "0.9900", "throttle": ""}),
        ("gpu,gfx_activity,average_socket_power,current_socket_power", "0,50,410,N/A", {"watts": "410"}),
        (ROCM_6_2, "1772939616,1,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A", {"device": "1", "watts": "", "utilisation": ""}),
    ],
    ids=["6.2", "6.4", "7, with lists in cells", "another power column", "a partition without power"],
)  # fmt: skip
def test_amd_lines(header: str, line: str, wanted: dict[str, str]) -> None:
    """Columns are found by name in each version's header; N/A is unknown, not zero."""
    parser = Parser("rocm")
    assert parser.row("'CTRL' + 'C' to stop watching output:") is None
    assert parser.row(line) is None, "no header was seen yet"
    assert parser.row(header) is None
    row = parser.row(line + "\r")
    assert row is not None
    assert {name: row[name] for name in wanted} == wanted
    assert parser.row(header) is None, "the header comes again"
    assert parser.row(line[:-9]) is None, "a cut line is no sample"


def test_a_line_that_does_not_fit_its_header_says_so() -> None:
    """A list without quotes has commas of its own: no sample, and no silence either."""
    parser = Parser("rocm")
    parser.row("timestamp,gpu,vcn_activity,socket_power")
    assert parser.row("1,0,['N/A', 'N/A'],712") is None
    assert parser.odd == "5 cells below 4 headings"
    assert parser.row("1,0,0,712")
    assert parser.row("a remark") is None
    assert parser.odd == ""


def test_nvidia_lines() -> None:
    """FAKE figures in the shape of its CSV without header and units; reasons for lower clocks are named, idle is none."""
    row = Parser("cuda").row("0, 651.20, 99, 1755, 2619, 71234, 63, 0x0000000000000004")
    assert row is not None
    assert (row["device"], row["watts"], row["utilisation"], row["clock_mhz"]) == (
        "0",
        "651.20",
        "0.9900",
        "1755",
    )
    assert row["throttle"] == "power cap"
    assert row["memory_bytes"] == str(71234 << 20)
    idle = Parser("cuda").row("1, 71.03, [N/A], 345, 2619, 0, 35, 0x0000000000000001")
    assert idle is not None
    assert (idle["utilisation"], idle["throttle"]) == ("", "")
    assert Parser("cuda").row('Field "clocks_event_reasons.active" is not a valid field to query.') is None
    assert Parser("cuda").row("0, 651.20, 99") is None


def test_the_hosts_counter(tmp_path: Path) -> None:
    """Watts are of the packages alone, and a counter that begins anew is no negative power."""
    for name, label, value in (("intel-rapl:0", "package-0", 1_000_000), ("intel-rapl:1", "package-1", 900_000), ("intel-rapl:0:0", "core", 5), ("intel-rapl:2", "psys", 5)):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        (folder / "name").write_text(f"{label}\n")
        (folder / "energy_uj").write_text(f"{value}\n")
        (folder / "max_energy_range_uj").write_text("1000000\n")
    meter = HostMeter(packages(tmp_path))
    assert meter.row(10.0) is None
    (tmp_path / "intel-rapl:0/energy_uj").write_text("1500000\n")
    (tmp_path / "intel-rapl:1/energy_uj").write_text("100000\n")
    assert meter.row(12.0) == {"device": "host", "watts": "0.35"}
    assert packages(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (7, "0, 651,20, 99, 1755, 2619, 71234, 63"),
        (8, "0, 651,20, 99, 1755, 2619, 71234, 63, 0x0"),
        (8, "1, 99, 1755, 2619, 71234, 63, 0x0"),
        (8, "0, 651.20, 99, 1755, 2619, 71234, 6"),
        (8, "0, 651.20, 99\r, 1755, 2619, 71234, 63, 0x0"),
        (8, "reading\rreading again\rdone"),
        (8, '"' + "x" * 200_000),
    ],
    ids=[
        "comma, old driver",
        "comma",
        "front is lost",
        "end is lost",
        "a return inside",
        "progress",
        "no end",
    ],
)
def test_nvidia_lines_that_are_none(cells: int, line: str) -> None:
    """No watt of a neighbour's column, and no end of the meter."""
    parser = Parser("cuda", cells)
    assert parser.row(line) is None
    assert parser.row("0, 651.20, 99, 1755, 2619, 71234, 63, 0x4"[: None if cells == 8 else -5])


@pytest.mark.parametrize(
    "said", ["[N/A]", "[Not Supported]", "[Unknown Error]", "[GPU requires reset]", "ERR!", "6.5e+02", "٣"]
)
def test_words_in_the_place_of_watts(said: str) -> None:
    """Unknown, and never a figure."""
    row = Parser("cuda").row(f"0, {said}, 99, 1755, 2619, 71234, 63, 0x0")
    assert row is not None
    assert row["watts"] == ""
    assert row["throttle"] == ""


@pytest.mark.parametrize(
    ("kind", "cells", "lines", "said"),
    [
        ("cuda", 8, ["0, 651.20, 99, 1755, 2619, 71234, 63, 0x0"], ""),
        ("cuda", 8, ["0, 651.20, 99, 1755, 2619, 71234, 63, [N/A]"], "unknown"),
        ("cuda", 7, ["0, 651.20, 99, 1755, 2619, 71234, 63"], "unknown"),
        ("rocm", 8, ["gpu,socket_power,throttle_status", "0,652,UNTHROTTLED"], ""),
        ("rocm", 8, ["gpu,socket_power,throttle_status", "0,652,N/A"], "unknown"),
        ("rocm", 8, ["gpu,socket_power", "0,652"], "unknown"),
    ],
)
def test_a_tool_that_does_not_say_whether_clocks_are_lowered(
    kind: str, cells: int, lines: list[str], said: str
) -> None:
    """Is not one that says that they are not."""
    parser = Parser(kind, cells)
    (row,) = filter(None, map(parser.row, lines))
    assert row["throttle"] == said


def test_calls_say_how_many_cells_they_get() -> None:
    """With the reasons for lower clocks under either name, and without."""
    assert [asked_for(command) for command in TOOLS["cuda"].commands] == [8, 8, 7]


def counters(folder: Path, **values: str) -> None:
    """Of packages."""
    for number, value in enumerate(values.values()):
        package = folder / f"intel-rapl:{number}"
        package.mkdir(exist_ok=True)
        (package / "name").write_text(f"package-{number}\n")
        (package / "energy_uj").write_text(value)


def test_one_package_that_cannot_be_read_leaves_no_figure(tmp_path: Path) -> None:
    """Half of a machine's watts would be taken for all."""
    counters(tmp_path, first="1000000", second="")
    assert packages(tmp_path) == []
    counters(tmp_path, first="1000000", second="5\n")
    assert len(packages(tmp_path)) == 2


@pytest.mark.parametrize("turn", ["", "N/A\n"])
def test_a_counter_that_began_anew_from_nobody_knows_where(tmp_path: Path, turn: str) -> None:
    """No watts of that second, and no end of the meter."""
    counters(tmp_path, only="9000000")
    if turn:
        (tmp_path / "intel-rapl:0/max_energy_range_uj").write_text(turn)
    meter = HostMeter(packages(tmp_path))
    assert meter.row(1.0) is None
    counters(tmp_path, only="5")
    assert meter.row(2.0) is None
    counters(tmp_path, only="1000005")
    assert meter.row(3.0) == {"device": "host", "watts": "1.00"}
