"""GPUs as FAKE vendors' tools show them: what is asked and cannot be read fails, or is a note."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write
from tests.utils.node.host.fakes import AMD_METRIC, AMD_STATIC, H100, NVIDIA, fake_tool
from tests.utils.node.host.made import failed, host, kfd
from utils.node.host import gpu_checks, gpus


def test_warnings_around_the_json_of_amd_smi_are_kept(tmp_path: Path, fake_amd: Path) -> None:
    """Some versions print them to stdout; the facts are read all the same, and a record says what was warned of."""
    static = (fake_amd / "static").read_text()
    (fake_amd / "static").write_text(f"WARNING: User is not in group [render]\n[2026] low\n{static}\nbye\n")
    facts = gpus.facts("rocm")
    assert facts == {
        "gpu_model": "AMD Instinct MI300X",
        "driver": "6.10.5",
        "gpu_serials": ["0x6F1F", "0x6F1F"],
        "partition": "SPX/NPS1",
        "power_cap_w": 700,
        "clock_mhz": 2100,
        "firmware": {"CP_MEC1": "177", "SMC": "04.85.112.00"},
        "tool_notes": ["WARNING: User is not in group [render]", "[2026] low", "bye"],
    }
    found = list(gpu_checks.checks(host(tmp_path, kind="rocm", gpus=2)))
    assert [one.cause for one in found if not one.passed] == [
        "0 GPUs where 2 are wanted (devices.count); this node has no rocm GPU, or its driver is not loaded (amd-smi shows what is there)"
    ]


def test_a_rocm_node_of_which_nothing_is_known_is_no_node_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_amd: Path
) -> None:
    """Without amd-smi, or where it fails, nobody knows how its GPUs are partitioned: it may not pass in silence."""
    monkeypatch.setattr(gpus.count, "__defaults__", (kfd(tmp_path / "kfd", 2),))
    questions = host(tmp_path, kind="rocm", gpus=2)
    assert failed(questions) == []
    levels = {one.name: one.level for one in gpu_checks.checks(questions)}
    assert levels == dict.fromkeys(
        ["gpus", "strays", "gpu model", "driver", "firmware", "partition", "power_cap_w", "clock_mhz"], "ok"
    )
    cut = json.dumps([{**AMD_STATIC, "partition": "N/A"}] * 2)
    (fake_amd / "static").write_text(cut)
    (cause,) = failed(questions)
    assert cause.startswith("amd-smi does not say how the GPUs are partitioned; SPX/NPS1 is wanted")
    assert failed({**questions, "gpu_model": "Instinct"}) == [], "other GPUs have no such modes: a note"
    (fake_amd / "static").write_text("no json here")
    (cause,) = failed(questions)
    assert "no JSON in its answer: no json here" in cause
    fake_tool(fake_amd, "amd-smi", "echo 'driver not initialised' >&2; exit 2")
    (cause,) = failed(questions)
    assert cause.startswith("amd-smi static failed with 2: driver not initialised")
    monkeypatch.setenv("PATH", "/nowhere")
    (cause,) = failed(questions)
    assert cause.startswith(
        "amd-smi is missing on this node; without it model, power cap and partition modes"
    )


def test_partition_modes_under_every_name_that_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_amd: Path
) -> None:
    """amd-smi's newer name, or the driver's own files where the tool is silent; half of an answer is none."""
    newer = {"accelerator_partition": "SPX", "memory_partition": "NPS4", "partition_id": 0}
    assert gpus.amd(json.dumps([{"gpu": 0, "partition": newer}]), "")["partition"] == "SPX/NPS4"
    assert "partition" not in gpus.amd(
        json.dumps([{"gpu": 0, "partition": {"memory_partition": "NPS1"}}]), ""
    )
    (fake_amd / "static").write_text(json.dumps([{**AMD_STATIC, "partition": "N/A"}] * 2))
    monkeypatch.setattr(gpus.modes_of_driver, "__defaults__", (tmp_path / "drm",))
    assert "partition" not in gpus.facts("rocm")
    for number in (0, 1):
        device = tmp_path / f"drm/card{number}/device"
        write(device / "current_compute_partition", "SPX\n")
        write(device / "current_memory_partition", "NPS1\n")
    assert gpus.facts("rocm")["partition"] == "SPX/NPS1"
    write(tmp_path / "drm/card1/device/current_memory_partition", "NPS4\n")
    assert gpus.facts("rocm")["partition"] == "mixed"


def test_a_gpu_is_the_one_of_the_cluster_file_by_whole_words() -> None:
    """What nvidia-smi and amd-smi call them; an H20 is no H200, and of a mixed node every one must fit."""
    for wanted, found in (
        ("H100", H100), ("h100", H100), ("A100", "NVIDIA A100-SXM4-80GB"), ("RTX4090", "NVIDIA GeForce RTX 4090"),
        ("MI300X", "AMD Instinct MI300X"), ("MI300X", "AMD Instinct MI300X OAM"), ("H100-80GB", H100),
    ):  # fmt: skip
        assert gpus.is_model(wanted, found), (wanted, found)
    for wanted, found in (
        ("A100", H100), ("H20", "NVIDIA H200"), ("H100", "NVIDIA GH100"), ("MI300", "AMD Instinct MI300X"),
        ("H100", ""), ("", H100), ("H100", f"{H100}, NVIDIA A100-SXM4-80GB"),
    ):  # fmt: skip
        assert not gpus.is_model(wanted, found), (wanted, found)


def test_nvidia_gpus_are_asked_for_all_that_a_record_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model, count, power cap, clock, MIG; a driver that does not know the newer columns lacks them alone."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    questions = host(tmp_path, kind="cuda", gpus=2, gpu_model="H100", power_cap_w=700, clock_mhz=1980)
    fake_tool(tmp_path, "nvidia-smi", NVIDIA.replace("MODE", "Disabled"))
    assert failed(questions) == []
    assert gpus.facts("cuda") == {
        "gpu_model": H100,
        "driver": "570.148.08",
        "gpu_serials": ["1650", "1651"],
        "power_cap_w": 700.0,
        "clock_mhz": 1980,
        "firmware": {"vbios": "96.00.89.00.01"},
        "partition": "whole",
    }
    assert failed({**questions, "gpu_model": "A100"}) == [
        f"the GPUs are {H100}, and the cluster file says A100 (devices.model); another machine, or another cluster file, is meant"
    ]
    assert failed({**questions, "gpus": 8})[0].startswith("2 GPUs where 8 are wanted (devices.count)")
    assert failed({**questions, "power_cap_w": 500}) == [
        "power_cap_w is 700.0 W, 500 W are wanted (devices.power_cap_w)"
    ]
    fake_tool(tmp_path, "nvidia-smi", NVIDIA.replace("MODE", "Enabled"))
    assert failed(questions) == [
        "GPUs are partitioned as MIG, wanted whole; nvidia-smi --multi-instance-gpu=0"
    ]
    fake_tool(tmp_path, "nvidia-smi", NVIDIA.replace("*vbios*)", "*nothing*)").replace("700.00", "[N/A]"))
    assert failed(questions) == [
        "power_cap_w is not reported by the vendor's tool, 700 W are wanted (devices.power_cap_w)"
    ]
    notes = [one.cause for one in gpu_checks.checks(questions) if one.level == "note"]
    assert any("failed with 2: Field is not a valid field" in note for note in notes)
    assert any(note.startswith("nvidia-smi does not say how the GPUs are partitioned") for note in notes)


@pytest.mark.usefixtures("fake_amd")
def test_gpus_are_counted_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPUs in the topology are none; a lost one, and one that Slurm did not give, are told."""
    assert gpus.count("rocm", kfd(tmp_path / "a", 8)) == 8
    assert gpus.count("cpu") is None
    monkeypatch.setattr(gpus.count, "__defaults__", (kfd(tmp_path / "b", 7),))
    assert failed(host(tmp_path, kind="rocm")) == [
        "7 GPUs where 8 are wanted (devices.count); one is lost, or its driver"
    ]
    monkeypatch.setattr(gpus.count, "__defaults__", (kfd(tmp_path / "cpx", 64),))
    assert failed(host(tmp_path, kind="rocm")) == [
        "64 GPUs where 8 are wanted (devices.count); they are partitioned, or the cluster file is wrong"
    ]
    monkeypatch.setattr(gpus.count, "__defaults__", (kfd(tmp_path / "c", 8),))
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "0,1,2,3")
    assert failed(host(tmp_path, kind="rocm")) == ["Slurm gave 4 GPUs where 8 are wanted; see slurm.gres"]


@pytest.mark.usefixtures("fake_amd")
def test_stray_processes_are_those_that_hold_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that only has the device open is none."""
    root = kfd(tmp_path / "kfd", 8)
    write(root / "proc/1/vram_5", "1000000\n")
    assert gpus.strays("rocm", root) == []
    write(root / f"proc/{os.getpid()}/vram_5", "200000000\n")
    write(root / f"proc/{os.getpid()}/vram_6", "200000000\n")
    (found,) = gpus.strays("rocm", root) or []
    assert found.startswith(f"{os.getpid()} ")
    monkeypatch.setattr(gpus.count, "__defaults__", (root,))
    monkeypatch.setattr(gpus.strays, "__defaults__", (root,))
    (cause,) = failed(host(tmp_path, kind="rocm"))
    assert cause.startswith(f"GPU memory is held by {os.getpid()} ")


def test_a_process_may_have_any_bytes_for_a_name(tmp_path: Path) -> None:
    """It is reported, and ends no check."""
    program = str(tmp_path / os.fsdecode(b"odd-\xff"))
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as running:
        write(tmp_path / f"kfd/proc/{running.pid}/vram_5", "400000000\n")
        try:
            while not Path(f"/proc/{running.pid}/comm").read_bytes().startswith(b"odd"):
                time.sleep(0.01)  # it is Python until it has become another program
            found = gpus.strays("rocm", tmp_path / "kfd")
        finally:
            running.kill()
    assert found == [f"{running.pid} odd-\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize("wrap", [lambda gpu: [gpu], lambda gpu: {"gpu_data": [gpu]}])
def test_facts_of_amd_smi(wrap: Any) -> None:
    """Both shapes that its versions print; the cap that is set counts, not the highest possible one."""
    assert gpus.amd(json.dumps(wrap(AMD_STATIC)), json.dumps(wrap(AMD_METRIC))) == {
        "gpu_model": "AMD Instinct MI300X",
        "driver": "6.10.5",
        "gpu_serials": ["0x6F1F"],
        "power_cap_w": 700,
        "clock_mhz": 2100,
    }
    silent = {"gpu": 0, "asic": "N/A", "limit": {"socket_power": "N/A"}, "driver": {"version": "N/A"}}
    assert gpus.amd(json.dumps(wrap(silent)), "") == {"power_cap_w": None}
    assert gpus.amd("not json", '"text"') == {}
    two = [AMD_STATIC, {**AMD_STATIC, "limit": "N/A"}]
    assert gpus.amd(json.dumps(two), "")["power_cap_w"] is None, (
        "the cap of one is unknown, so that of all is"
    )


def test_facts_of_nvidia_smi() -> None:
    """`--query-gpu` as CSV; N/A is left out."""
    text = "NVIDIA H100 80GB HBM3, 1650, 570.1, 700.00, 1980\nNVIDIA H100 80GB HBM3, 1651, 570.1, 650.00, [N/A]\n"
    assert gpus.nvidia(text) == {
        "gpu_model": "NVIDIA H100 80GB HBM3",
        "driver": "570.1",
        "gpu_serials": ["1650", "1651"],
        "power_cap_w": 650.0,
    }, "the clock of one is unknown, so that of all is"
    assert gpus.nvidia("") == {}


def test_a_power_cap_or_clock_that_differs_is_no_node_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where it is asked for and no tool says it, that is a failed check, never a silent pass."""
    monkeypatch.setattr(gpus, "facts", lambda _: {"power_cap_w": 550, "clock_mhz": 2100})
    asked = host(tmp_path, power_cap_w=750, clock_mhz=2100)
    assert failed(asked) == ["power_cap_w is 550 W, 750 W are wanted (devices.power_cap_w)"]
    monkeypatch.setattr(gpus, "facts", lambda _: {"power_cap_w": None})
    assert failed(asked) == [
        "power_cap_w is not reported by the vendor's tool, 750 W are wanted (devices.power_cap_w)",
        "clock_mhz is not reported by the vendor's tool, 2100 MHz are wanted (devices.clock_mhz)",
    ]


def test_a_power_cap_under_its_newer_name() -> None:
    """amd-smi of 2026 has it below ppt0."""
    limit = {
        "ppt0": {
            "max_power_limit": {"value": 750, "unit": "W"},
            "socket_power_limit": {"value": 500, "unit": "W"},
        }
    }
    assert gpus.amd(json.dumps([{"gpu": 0, "limit": limit}]), "[]") == {"power_cap_w": 500}


@pytest.mark.parametrize(
    ("modes", "found"),
    [([("SPX", "NPS1", 0)] * 2, "SPX/NPS1"), ([("CPX", "NPS4", 0), ("CPX", "NPS4", 1)], "CPX/NPS4"),
     ([("SPX", "NPS1", 0), ("CPX", "NPS4", 0)], "mixed")],
)  # fmt: skip
def test_partitioned_gpus_are_no_node_for_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modes: list[tuple[str, str, int]], found: str
) -> None:
    """Tp 8 would run on eight slices of one GPU; the modes are facts of a record."""
    static = [
        {"gpu": i, "partition": {"compute_partition": c, "memory_partition": m, "partition_id": p}}
        for i, (c, m, p) in enumerate(modes)
    ]
    facts = gpus.amd(json.dumps(static), "[]")
    assert facts["partition"] == found
    monkeypatch.setattr(gpus, "facts", lambda _: facts)
    causes = failed(host(tmp_path))
    assert [cause.split(",")[0] for cause in causes] == (
        [] if found == "SPX/NPS1" else [f"GPUs are partitioned as {found}"]
    )


@pytest.mark.parametrize("word", ["[GPU requires reset]", "[Unknown Error]", "ERR!", "[Deprecated]"])
def test_a_word_in_the_place_of_a_value_is_none(word: str) -> None:
    """No serial number, no firmware; and whether such a GPU is whole nobody knows."""
    found = gpus.nvidia(f"NVIDIA H100, {word}, 580.1, {word}, {word}", f"{word}, {word}")
    assert found == {"gpu_model": "NVIDIA H100", "driver": "580.1"}
    one = gpus.nvidia("H, 1, 5, 7.0.0, .\nH, 2, 5, 700.00, 1980", f"9, Disabled\n9, {word}")
    assert one == {"gpu_model": "H", "driver": "5", "gpu_serials": ["1", "2"], "firmware": {"vbios": "9"}}
    assert gpus.nvidia("H, 1, 5, 700.00, 1980", "9, [N/A]")["partition"] == "whole"


@pytest.mark.parametrize("cap", [float("nan"), float("inf")])
def test_a_cap_that_is_no_number_is_none(cap: float) -> None:
    """And is no end of preparing a node; neither is JSON without an end."""
    entry = {"asic": {"market_name": "MI300X"}, "limit": {"socket_power": {"value": cap, "unit": "W"}}}
    assert gpus.amd(json.dumps([entry]), "")["power_cap_w"] is None
    assert gpus.amd("[" * 100_000, "") == {}
