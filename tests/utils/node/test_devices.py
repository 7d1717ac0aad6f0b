"""What is said of devices that were not themselves."""

from __future__ import annotations

from utils.node import devices
from utils.node.record import Power


def test_clocks_that_were_lowered_before_or_in_the_load_are_a_note() -> None:
    """A card that is hot when a load begins is said, also where it cooled down at once; a power cap is no trouble."""
    assert devices.remarks(None) == []
    assert devices.remarks(Power(meter="nvidia-smi", throttled_before=["power cap"], slowed_share=0.0)) == []
    hot = Power(
        meter="nvidia-smi",
        throttled=["hardware thermal"],
        throttled_before=["hardware thermal", "power cap"],
        slowed_share=0.05,
    )
    assert devices.remarks(hot) == [
        "hardware thermal lowered clocks in 5 % of the samples",
        "hardware thermal lowered clocks before the load",
    ]
    assert devices.problems(None, hot) == []
