"""The sampler itself, with FAKE tools that say so: what it writes, what it costs, how it goes on after a tool's end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT
from tests.utils.node.host.fakes import fake_tool
from utils.node import process
from utils.node.host.meter import ENDED
from utils.node.power_samples import Samples

NVIDIA = """\
# a FAKE nvidia-smi: eight cards that draw 600 W
case "$*" in *event_reasons*) echo 'Field "clocks_event_reasons.active" is not a valid field to query.'; exit 2;; esac
while :; do
  for n in 0 1 2 3 4 5 6 7; do echo "$n, 600.00, 99, 1755, 2619, 71234, 63, 0x0"; done
  sleep 1
done
"""


def _metered(folder: Path, kind: str, script: str, tool: str = "") -> tuple[subprocess.Popen[bytes], Path]:
    if tool:
        fake_tool(folder, tool, script)
    path = folder / "power.csv"
    return (
        subprocess.Popen(
            [sys.executable, "-s", "-m", "utils.node.host.meter", kind, str(path), str(folder / "kept.csv")],
            cwd=ROOT,
            env={"PATH": f"{folder}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        ),
        path,
    )


def test_it_writes_a_sample_a_second_and_costs_under_one_percent(tmp_path: Path) -> None:
    """Eight cards for six seconds after its start; what it has started is not counted, for that is the vendor's."""
    meter, path = _metered(tmp_path, "cuda", NVIDIA, "nvidia-smi")
    try:
        time.sleep(2.5)
        used, begin = process.cpu_seconds(meter.pid), time.monotonic()
        time.sleep(6)
        share = (process.cpu_seconds(meter.pid) - used) / (time.monotonic() - begin)
        found = Samples(path).until(0, time.monotonic() - 1.5, limit_s=5)
    finally:
        meter.terminate()
        meter.wait()
    assert share < 0.01
    assert {one.device for one in found} == set("01234567")
    assert len(found) >= 8 * 7
    assert found[0].watts == 600
    assert Samples(path).about()[0] == "nvidia-smi"
    assert "not a valid field" in Samples(path).about()[1][0], (
        "the older name of the field was asked for next"
    )
    assert path.read_bytes() == (tmp_path / "kept.csv").read_bytes()


def test_a_tool_that_ends_leaves_a_gap_and_is_started_again(tmp_path: Path) -> None:
    """The gap makes the points in it invalid, and those after it have power again."""
    script = 'echo "0, 600.00, 99, 1755, 2619, 71234, 63, 0x0"; sleep 0.2; exit 3'
    meter, path = _metered(tmp_path, "cuda", script, "nvidia-smi")
    time.sleep(7)
    meter.terminate()
    assert meter.wait() == ENDED, "who did not ask for it can say that somebody else did"
    assert len(Samples(path).until(0, 0.0)) == 2
    assert "nvidia-smi ended with 3" in Samples(path).about()[1]


AMD = """\
echo 'timestamp,gpu,vcn_activity,socket_power'
while :; do echo "1,0,['N/A', 'N/A'],712"; sleep 0.5; done
"""


def test_lines_that_no_header_explains_are_told_once(tmp_path: Path) -> None:
    """So that power without a sample has its reason. FAKE: an amd-smi whose lists have no quotes."""
    meter, path = _metered(tmp_path, "rocm", AMD, "amd-smi")
    time.sleep(2.5)
    meter.terminate()
    meter.wait()
    assert Samples(path).until(0, 0.0, limit_s=0) == []
    assert Samples(path).about()[1] == ["amd-smi: 5 cells below 4 headings: 1,0,['N/A', 'N/A'],712"]


def test_where_nothing_measures_it_says_so(tmp_path: Path) -> None:
    """A tool that is missing, and a machine without a counter."""
    for kind, wanted in (("rocm", "amd-smi"), ("cpu", "none")):
        (tmp_path / kind).mkdir()
        meter, path = _metered(tmp_path / kind, kind, "")
        time.sleep(1.0)
        if meter.poll() is None:  # this machine has a counter of its processors
            meter.send_signal(signal.SIGTERM)
        meter.wait()
        assert Samples(path).about()[0] in {wanted, "rapl"}
        assert kind == "cpu" or "amd-smi is missing on this node" in Samples(path).about()[1]


def test_the_tool_dies_with_the_meter(tmp_path: Path) -> None:
    """Even where the meter is killed, no program of a vendor's goes on."""
    meter, _ = _metered(tmp_path, "cuda", f'echo $$ >"{tmp_path}/pid"; exec sleep 60', "nvidia-smi")
    time.sleep(1.5)
    pid = int((tmp_path / "pid").read_text())
    meter.kill()
    meter.wait()
    time.sleep(0.3)
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


RETURNS = """\
printf 'reading\\rreading\\r9.0,0,300.0,.9,1,1,1,50,\\n'
echo "0, 600.00, 99, 1755, 2619, 71234, 63, 0x0"
while :; do printf '0, 1\\r, 2\\n'; echo "a warning" >&2; echo "0, 600.00, 99, 1755, 2619, 71234, 63, 0x0"; sleep 0.5; done
"""


def test_returns_inside_a_line_do_not_end_it(tmp_path: Path) -> None:
    """FAKE: a tool that shows its progress. What it says is kept in one line, which no reader takes for a sample."""
    meter, path = _metered(tmp_path, "cuda", RETURNS, "nvidia-smi")
    time.sleep(2.5)
    alive = meter.poll() is None
    meter.terminate()
    meter.wait()
    assert alive
    assert len(Samples(path).until(0, 0.0)) >= 3
    assert b"\r" not in path.read_bytes()
    assert path.read_text().count("no line of a table") == 1


def test_a_tool_that_is_no_program_says_so(tmp_path: Path) -> None:
    """So that power without a sample has its reason."""
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "nvidia-smi").chmod(0o755)
    meter, path = _metered(tmp_path, "cuda", "")
    time.sleep(2.0)
    alive = meter.poll() is None
    meter.terminate()
    meter.wait()
    assert alive
    assert Samples(path).about()[1] == ["nvidia-smi: cannot be started: Exec format error"]


LATER = """\
if [ -e "$0.ready" ]; then
  case "$*" in *clocks_event_reasons*) echo "0, 600.00, 99, 1755, 2619, 71234, 63, 0x40"; sleep 60;; esac
fi
: >>"$0.count"
printf 'Failed to initialize NVML: Driver/library version mismatch'
[ "$(wc -c <"$0.count")" -lt 3 ] || : >"$0.ready"
printf x >>"$0.count"
exit 18
"""


def test_a_driver_that_was_not_there_yet_is_asked_for_all_again(tmp_path: Path) -> None:
    """Not without the reasons for lower clocks for the rest of the run. FAKE: it fails in its first four calls, without an end of line."""
    meter, path = _metered(tmp_path, "cuda", LATER, "nvidia-smi")
    time.sleep(11.5)
    meter.terminate()
    meter.wait()
    found = Samples(path).until(0, 0.0, limit_s=0)
    assert [one.throttle for one in found] == [("hardware thermal",)]
    assert Samples(path).about()[1][0] == (
        "nvidia-smi: Failed to initialize NVML: Driver/library version mismatch"
    )
