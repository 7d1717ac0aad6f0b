"""Who else is on the devices: ours by descent, control group or variable; a FAKE nvidia-smi and FAKE driver files, real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.utils.node.host.fakes import fake_tool
from utils.node.host.others import Others, Ours
from utils.node.power_samples import Samples


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A process table: 10 is the batch script, 11 its child, 20 a task of job 7, 21 one that says so, 30 somebody else."""
    table = {
        10: (1, "/", ""),
        11: (10, "/", ""),
        20: (1, "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0", ""),
        21: (1, "/", "A=1\0SLURM_JOB_ID=7\0"),
        30: (1, "/system.slice/slurmstepd.scope/job_77/step_0", "SLURM_JOB_ID=77\0"),
    }
    for pid, (parent, group, variables) in table.items():
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir(parents=True)
        fields = ["S", str(parent), *["0"] * 17, "4711", "0"]
        (folder / "stat").write_text(f"{pid} (a (name) of it) {' '.join(fields)}\n")
        (folder / "cgroup").write_text(f"0::{group}\n")
        (folder / "environ").write_text(variables)
        (folder / "comm").write_text("python3\n")
    return tmp_path / "proc"


def test_whose_a_process_is(proc: Path) -> None:
    """What is not to be seen is nobody's: it ended, or its number is another container's."""
    ours = Ours(10, "7", proc)
    assert {pid: ours.has(pid) for pid in (10, 11, 20, 21, 30, 99)} == {
        10: True,
        11: True,
        20: True,
        21: True,
        30: False,
        99: True,
    }
    assert not Ours(10, "", proc).has(20), "without Slurm, descent alone counts"


def test_a_number_that_is_used_again_is_looked_at_anew(proc: Path) -> None:
    """Process numbers come round within a long job."""
    ours = Ours(10, "7", proc)
    assert ours.has(11)
    (proc / "11" / "stat").write_text(f"11 (x) S 1 {'0 ' * 17}4712 0\n")
    assert not ours.has(11)


def test_the_drivers_files(proc: Path, tmp_path: Path) -> None:
    """ROCm: one look every five seconds; a monitor's few megabytes do not count."""
    for pid, held in ((20, 10_000_000_000), (30, 10_000_000_000), (99, 1_000_000)):
        folder = tmp_path / "kfd/proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "vram_51545").write_text(f"{held}\n")
    others = Others("rocm", Ours(10, "7", proc), tmp_path / "kfd")
    (line,) = others.look()
    assert line.startswith("# others ")
    assert line.split()[3] == "30"
    assert others.look() == [], "the next look is not due"


def test_the_meter_writes_them_down_and_a_window_finds_them(tmp_path: Path) -> None:
    """The meter's own descendants' parent is this test; a process of another session is somebody else's."""
    stranger = subprocess.run(
        [sys.executable, "-c", "import subprocess;print(subprocess.Popen(['sleep','30'],start_new_session=True,stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL).pid)"],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    foreign, own = int(stranger.stdout), os.getpid()
    script = f"""\
# a FAKE nvidia-smi: one card, this test and a stranger on it
case "$*" in
*compute-apps*) while :; do echo "{foreign}, python3"; echo "{own}, vllm"; echo "4194304, gone"; sleep 1; done;;
*) while :; do echo "0, 600.00, 99, 1755, 2619, 71234, 63, 0x0"; sleep 1; done;;
esac
"""
    fake_tool(tmp_path, "nvidia-smi", script)
    path, begin = tmp_path / "power.csv", time.monotonic()
    meter = subprocess.Popen(
        [sys.executable, "-s", "-m", "utils.node.host.meter", "cuda", str(path)],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        while not (path.exists() and "# others" in path.read_text()):
            assert time.monotonic() < begin + 60, "the stranger is not written down"
            time.sleep(0.1)
        found = Samples(path).until(0, time.monotonic() + 1.5, limit_s=30)
    finally:
        meter.terminate()
        meter.wait()
        os.kill(foreign, 9)
    assert len(found) >= 2, "power goes on beside it"
    assert Samples(path).others(0, begin, time.monotonic()) == [f"{foreign} python3"]
    assert Samples(path).others(0, begin - 60, begin) == []
    assert Samples(path).about() == ("nvidia-smi", []), "they are no remarks of the meter"


def test_a_meter_that_is_killed_leaves_no_tool(tmp_path: Path) -> None:
    """SIGKILL leaves it no time to end what it asks."""
    mark = tmp_path / "asked"
    fake_tool(tmp_path, "nvidia-smi", f"# a FAKE nvidia-smi\necho $$ >>{mark}\nexec sleep 60")
    meter = subprocess.Popen(
        [sys.executable, "-s", "-m", "utils.node.host.meter", "cuda", str(tmp_path / "power.csv")],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    end = time.monotonic() + 20
    while not (mark.exists() and len(mark.read_text().split()) == 2) and time.monotonic() < end:
        time.sleep(0.05)
    meter.kill()
    meter.wait()
    asked = [Path("/proc", pid, "stat") for pid in mark.read_text().split()]
    assert len(asked) == 2
    time.sleep(0.5)
    assert [one for one in asked if one.exists() and ") Z " not in one.read_text()] == []


def test_what_a_tool_says_without_an_end_is_not_kept(tmp_path: Path) -> None:
    """Ten million letters in one line do not fill the meter's memory."""
    others = Others("cuda", Ours(os.getpid()))
    others.process = subprocess.Popen(
        ["head", "-c", "10000000", "/dev/zero"], cwd=tmp_path, stdout=subprocess.PIPE
    )
    most = 0
    while others.process:
        assert others.read() == []
        most = max(most, len(others.rest))
    assert most <= 65_536
