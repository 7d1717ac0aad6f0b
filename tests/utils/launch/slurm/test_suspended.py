"""A job that Slurm suspends in the middle of a load, with the real vLLM: a clock that goes on while nothing does."""

from __future__ import annotations

import time

import pytest

from tests.conftest import ROOT
from tests.slurm.site import Site
from utils.node.files import below

pytestmark = [pytest.mark.slurm, pytest.mark.real, pytest.mark.nightly]


def test_a_suspended_job_is_invalid(site: Site) -> None:
    """`scontrol suspend` stops server and client alike; only the silence shows it."""
    slow = {
        "ready_s: 30": "ready_s: 300",
        "client_s: 30": "client_s: 300",
        "estimate_start_s: 5": "estimate_start_s: 200",
        "limits:": 'env: {VLLM_CPU_KVCACHE_SPACE: "1"}\nlimits:',  # else it asks for 92 % of a node's memory
    }
    site.cluster("shared", slow | {"estimate_request_s: 0.1": "estimate_request_s: 5"})
    out = site.out("shared")
    point = "qwen3moe-tiny-cpu-vllm/128x64-tp1-c1"
    environment = str(ROOT / ".environments/vllm-cpu")
    launcher = site.start_command(
        "run", point, "--cluster", "shared", "--environment", environment, "--out", str(out)
    )

    def loading() -> bool:
        texts = [path.read_text().replace(" ", "") for path in below(out, "events.jsonl")]
        return any('"load"' in text.rpartition('"run-0-head"')[2] for text in texts if "run-0-head" in text)

    site.wait(lambda: loading() or launcher.poll() is not None, limit_s=400)
    assert launcher.poll() is None, launcher.communicate()[0]
    time.sleep(3)
    (job,) = site.jobs()
    site.slurm.call("scontrol", "suspend", job)
    time.sleep(7)
    site.slurm.call("scontrol", "resume", job)
    text, _ = launcher.communicate(timeout=300)
    (record,) = site.records("shared")
    failed = {gate["name"]: gate["found"] for gate in record["gates"] if not gate["passed"]}
    assert record["status"] == "invalid", (text, record["gates"])
    assert "silence" in failed, failed
    assert site.left_on_nodes() == []
