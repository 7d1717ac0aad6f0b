from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit
from tests.conftest import Cli
from tests.utils.profile.made import Made, model

STEP, PREFILL = "execute_context_0(0)_generation_4(4)", "execute_context_2(300)_generation_0(0)"
EVIL = "evil\x1b[31m | `name` <b>@everyone</b>"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return written(tmp_path / "base_rank0.json.gz", 1)


def written(path: Path, factor: float) -> Path:
    made, at = Made(), 0.0
    for name in (PREFILL, STEP, STEP):
        made.step(name, at, 40)
        end = model(made, at + 5, factor=factor)
        made.kernel(EVIL, end, 5, at + 10)
        at = end + 100
    return made.write(path, distributedInfo={"rank": 0, "world_size": 8}, vllm_version="0.32.0")


def test_one_trace_as_text(cli: Cli, trace: Path) -> None:
    """Steps, layers, families, kernels, unknown ones, and how to look at it; no control sequence of a name."""
    done = cli("profile", str(trace))
    assert done.returncode == Exit.OK
    assert "rank 0 of 8, vLLM 0.32.0, device 0" in done.stdout
    assert "decode: 57 sparse layers, expert path 13.68 ms (240.0 us a layer" in done.stdout
    assert "ui.perfetto.dev" in done.stdout
    assert "100% of them launched by graphs" in done.stdout
    assert "unknown" in done.stdout
    assert "\x1b" not in done.stdout
    lines = done.stdout.split("\n")
    assert [line.split()[:2] for line in lines if line.startswith(("decode  ", "prefill  "))] == [
        ["decode", "2"],
        ["prefill", "1"],
    ]


def test_unknown_kernels_are_always_listed(cli: Cli, trace: Path) -> None:
    """However few are asked for."""
    shown = cli("profile", str(trace), "--top", "1", "--steps", "decode").stdout
    kernels = shown.split("decode: kernels")[1].split("decode: longest gaps")[0]
    assert "evil" in kernels
    assert "rope_kernel" not in kernels
    assert "more names of known families" in shown
    assert "prefill" not in shown


def test_markdown_stays_what_it_is(cli: Cli, trace: Path) -> None:
    """A kernel's name is text of others."""
    shown = cli("profile", str(trace), "--format", "markdown").stdout
    assert "<b>" not in shown
    assert "@everyone" not in shown
    assert "| phase | steps |" in shown


def test_json_has_all(cli: Cli, trace: Path, tmp_path: Path) -> None:
    """Of one trace, and of two with their differences."""
    other = written(tmp_path / "head.json", 2)
    body = json.loads(cli("profile", str(trace), str(other), "--format", "json").stdout)
    assert body["schema"] == 1
    assert [one["trace"] for one in body["profiles"]] == [trace.name, other.name]
    assert body["profiles"][0]["phases"][0]["layers"]["sparse"] == 57
    experts = body["differences"][0][0]["families"][0]
    assert (experts["name"], round(experts["ms"], 3)) == ("experts", 11.4)


def test_two_traces_side_by_side(cli: Cli, trace: Path, tmp_path: Path) -> None:
    """By family and by kernel, with shares; a third one too."""
    other, third = written(tmp_path / "head.json", 2), written(tmp_path / "third.json", 3)
    done = cli("profile", str(trace), str(other), str(third), "--steps", "decode")
    assert done.returncode == Exit.OK
    assert "decode: [2] against [1], ms a step, by family" in done.stdout
    row = next(line for line in done.stdout.split("\n") if line.startswith("fused_moe_kernel"))
    assert row.split() == ["fused_moe_kernel", "experts", "11.400", "22.800", "+11.400", "100.0%"]
    assert "[3] against [1]" in done.stdout


def test_a_step_in_order_of_time_and_its_picture(cli: Cli, trace: Path, tmp_path: Path) -> None:
    """Kernels and gaps; the SVG is XML, with a bar a kernel."""
    picture = tmp_path / "step.svg"
    done = cli("profile", str(trace), "--step", "2", "--svg", str(picture))
    assert done.returncode == Exit.OK
    assert "Step 2 of 3 (decode, 4 tokens)" in done.stdout
    kernels = 3 * 10 + 57 * 13 + 3 + 1
    rows = done.stdout.split("\n")[2:-1]
    assert sum("idle" not in row for row in rows) == kernels
    idle = next(row for row in rows if "idle" in row)
    assert "host-starved" in idle
    root = ET.parse(picture).getroot()  # noqa: S314 - written a moment ago
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if len(one)]
    assert len(bars) == kernels
    assert any("<b>@everyone</b>" in (one[0].text or "") for one in bars)


def test_what_the_marker_told(cli: Cli, trace: Path, tmp_path: Path) -> None:
    """Steps by tokens; routes and rows an expert only where it tells them."""
    answer: dict[str, Any] = {"schema": 1, "worker": 0, "layers": {"gated": 57}, "taken": {"4": 8, "16": 2}}
    answer["fallback"] = {"300": 1}
    path = tmp_path / "answer-x-0.json"
    path.write_text(json.dumps(answer))
    shown = cli("profile", str(trace), "--marker", str(path)).stdout
    assert (
        "10 steps of 4 to 16 tokens on the kernel's path, 1 on the engine's own; it does not count local routes"
        in shown
    )
    routed = {
        "4": {"local": 57 * 8 * 20},
        "16": {"local": 57 * 2 * 40},
    }  # as the kernel of this repository writes it
    path.write_text(json.dumps(answer | {"routed": routed, "local_experts": 16}))
    assert (
        "24.0 local routes a step and layer, 1.50 rows an expert"
        in cli("profile", str(trace), "--marker", str(path)).stdout
    )
    for wrong in ("[]", "{}", json.dumps({"schema": 1, "worker": 0, "error": "boom"})):
        path.write_text(wrong)
        assert cli("profile", str(trace), "--marker", str(path)).returncode == Exit.TRACE_UNREADABLE


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--steps", "mixed"], Exit.NOTHING_SELECTED, "no mixed step; it has 2 decode, 1 prefill"),
        (["--step", "4"], Exit.NOTHING_SELECTED, "no step 4 in this trace: it has 1 to 3"),
        (["--rank", "1"], Exit.TRACE_UNREADABLE, "is of rank 0"),
        (["--rank", "x"], Exit.USAGE, "not a number of 0 or more"),
        (["nowhere.json"], Exit.TRACE_UNREADABLE, "nowhere.json: no such file"),
    ],
)
def test_what_cannot_be_shown(cli: Cli, trace: Path, more: list[str], code: Exit, message: str) -> None:
    """Each says why."""
    done = cli("profile", str(trace), *more)
    assert done.returncode == code
    assert message in done.stdout + done.stderr


def test_a_step_is_of_one_trace(cli: Cli, trace: Path) -> None:
    """Two pictures in one would be none."""
    assert cli("profile", str(trace), str(trace), "--step", "1").returncode == Exit.USAGE


def test_a_picture_that_cannot_be_written(cli: Cli, trace: Path, tmp_path: Path) -> None:
    """A sentence, and no traceback."""
    done = cli("profile", str(trace), "--svg", str(tmp_path / "none" / "step.svg"))
    assert done.returncode == Exit.USAGE
    assert "cannot be written (No such file or directory)" in done.stderr
    assert "Traceback" not in done.stderr
