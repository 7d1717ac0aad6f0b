"""A whole run beside a meter: its record has the power of exactly its load."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.utils.node.host.test_meter import NVIDIA, _metered
from utils.node import record_file
from utils.node.power_meter import visible
from utils.node.power_samples import Samples

Command = Callable[..., "tuple[list[str], Path]"]


def test_the_record_of_a_run_has_its_power(node_command: Command, tmp_path: Path) -> None:
    """FAKE: a server, a client and an nvidia-smi that say that they are none; 600 W a card."""
    command, out = node_command()
    meter, path = _metered(tmp_path, "cuda", NVIDIA, "nvidia-smi")
    spec = json.loads(Path(command[-1]).read_text()) | {"samples": str(path)}
    Path(command[-1]).write_text(json.dumps(spec))
    try:
        subprocess.run(
            command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120
        )
    finally:
        meter.terminate()
        meter.wait()
    found = [record_file.read(file) for file in sorted(out.rglob("record.json"))]
    assert found
    for one in found:
        assert one.power is not None
        assert one.whole is not None
        assert one.counts is not None
        assert one.power.invalid == []
        assert one.power.mean_w_per_device == pytest.approx(600)
        tokens = one.counts.input_tokens + one.counts.output_tokens
        assert one.power.joules_per_token == pytest.approx(600 * one.whole.duration_s * one.devices / tokens)
        assert one.power.total_tok_per_s_per_w == pytest.approx(one.whole.total_tok_per_s_per_device / 600)


def test_it_waits_for_watts_where_there_are_any(tmp_path: Path) -> None:
    """N/A and nought after the load's end bracket nothing; a partition that never has watts is not waited for."""
    path = tmp_path / "power.csv"
    path.write_text("99.0,0,600,,,,,,\n99.0,1,,,,,,,\n101.0,0,,,,,,,\n101.2,0,0,,,,,,\n101.0,1,,,,,,,\n")

    def later() -> None:
        with path.open("a") as file:
            file.write("102.0,0,610,,,,,,\n")

    timer = threading.Timer(0.5, later)
    timer.start()
    begin = time.monotonic()
    found = Samples(path).until(0, 100.0, limit_s=20)
    timer.join()
    assert found[-1].watts == 610
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, ()),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "4, 5"}, ("4", "5")),
        ({"ROCR_VISIBLE_DEVICES": "1,0,"}, ("1", "0")),
        ({"CUDA_VISIBLE_DEVICES": "GPU-5a2c,1"}, ("GPU-5a2c", "1")),
    ],
)
def test_devices_that_a_server_may_use(env: dict[str, str], wanted: tuple[str, ...]) -> None:
    """As its variables name them; what is no number stays a name, so that nobody takes another device for it."""
    assert visible(env) == wanted


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({"ROCR_VISIBLE_DEVICES": "4,5,6,7", "HIP_VISIBLE_DEVICES": "0,1"}, ("4", "5")),
        ({"ROCR_VISIBLE_DEVICES": "4,5,6,7", "CUDA_VISIBLE_DEVICES": "3"}, ("7",)),
        ({"ROCR_VISIBLE_DEVICES": "0,1", "HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "0"}, ("1",)),
        ({"ROCR_VISIBLE_DEVICES": "4,5", "CUDA_VISIBLE_DEVICES": "4,5"}, ("4", "5")),
        ({"ROCR_VISIBLE_DEVICES": "4,5"}, ("4", "5")),
        ({"ROCR_VISIBLE_DEVICES": "GPU-5a2c,GPU-77f0", "HIP_VISIBLE_DEVICES": "1"}, ("GPU-77f0",)),
        ({"HIP_VISIBLE_DEVICES": "2"}, ("2",)),
    ],
)
def test_on_rocm_one_variable_counts_what_the_other_leaves(
    env: dict[str, str], wanted: tuple[str, ...]
) -> None:
    """The first of HIP's devices is the fifth card where ROCR's begin there; a neighbour's watts would be taken for its own."""
    assert visible(env, "amd-smi") == wanted
    assert visible({"ROCR_VISIBLE_DEVICES": "4,5,6,7", "CUDA_VISIBLE_DEVICES": "0,1"}, "nvidia-smi") == (
        "0",
        "1",
    )
