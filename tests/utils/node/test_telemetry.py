"""What was sampled beside a load."""

from __future__ import annotations

import pytest

from utils.node.telemetry import Sampler


def test_samples_are_interpolated_at_the_loads_start() -> None:
    """What the client used before its first request does not count."""
    sampler = Sampler(lambda: 0, client_cpu=[(10.0, 1.0), (12.0, 2.0), (20.0, 2.5)])
    assert sampler.over(11.0, 20.1, whole_call_s=9.0).client_cpu_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    "samples", [[], [(10.0, 1.0)], [(10.0, 1.0), (12.0, 2.0)], [(15.0, 1.0), (20.0, 2.0)]]
)
def test_without_samples_over_the_load_the_whole_call_counts(samples: list[tuple[float, float]]) -> None:
    """Too many seconds, never too few: the gate must not pass for lack of evidence."""
    assert Sampler(lambda: 0, client_cpu=samples).over(11.0, 20.0, whole_call_s=9.0).client_cpu_s == 9.0
