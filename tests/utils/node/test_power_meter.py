"""A whole run beside a meter: its record has the power of exactly its load."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.utils.node.host.test_meter import NVIDIA, _metered
from utils.node import record_file

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
