"""Reading a server's counters."""

from __future__ import annotations

import pytest

from utils.node.exceptions import RunFailed
from utils.node.vllm.server import read_counters

METRICS = """\
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 100.0
vllm:prompt_tokens_total{engine="1",model_name="m"} 1.5e+02
vllm:generation_tokens_total{engine="0"} 7.0
vllm:num_preemptions_total 0.0
vllm:prefix_cache_hits_total{engine="0"} 3.0
vllm:request_success_total{engine="0",finished_reason="length"} 4.0
vllm:request_success_total{engine="0",finished_reason="stop"} 1.0
"""


def test_counters_are_summed_over_labels() -> None:
    """Engines and reasons add up."""
    found = read_counters(METRICS)
    assert (found.prompt_tokens, found.prefix_cache_hits, found.requests_succeeded) == (250, 3, 5)


def test_a_missing_counter_is_an_error() -> None:
    """A gate on a counter that is not there could not fail."""
    with pytest.raises(RunFailed, match="vllm:num_preemptions_total"):
        read_counters(METRICS.replace("num_preemptions", "num_preempted"))


def test_counters_that_were_turned_off_are_told_as_that() -> None:
    """Not a vLLM that names them otherwise: there is none of them at all."""
    with pytest.raises(RunFailed, match="--disable-log-stats"):
        read_counters('http_requests_total{handler="/health"} 3.0\n')
