"""Power over a window: exact at its ends, invalid with a reason, and as NVML's energy counter has it on two real H100s."""

from __future__ import annotations

import bisect
import csv
import gzip
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import ROOT
from utils.node import devices, power
from utils.node.power import Use
from utils.node.power_samples import Sample, parse

PAIR = ROOT / "kernels/minimax_m3_ep/results/2026-11-27-h100-pair"
REAL = ROOT / "tests/data/h100-energy.csv.gz"
"""Seventeen minutes of two H100s under loads of many kinds: NVML's power and, beside it, its energy counter, which the integral never reads."""


def use(**changed: Any) -> Use:
    """Ten seconds of two devices."""
    known: dict[str, Any] = {
        "start_s": 100.5,
        "end_s": 110.5,
        "devices": 2,
        "output_tokens": 1000,
        "tokens": 4000,
    }
    return Use(**(known | changed))


def samples(**changed: Any) -> list[Sample]:
    """Two devices at 400 and 600 W, once a second from 95 s to 115 s."""
    found = []
    for at in range(95, 116):
        for device, watts in (("0", 400.0), ("1", 600.0)):
            known: dict[str, Any] = {"watts": watts, "utilisation": 0.99, "clock_mhz": 1755.0}
            found.append(Sample(at_s=float(at), device=device, **(known | changed)))
    return found


def test_the_figures_of_a_constant_power() -> None:
    """Two devices that draw 1000 W for 10 s: 10 J an output token of 1000."""
    found = power.over(samples(), use(), "nvidia-smi")
    assert found is not None
    assert found.invalid == []
    assert found.mean_w_per_device == pytest.approx(500)
    assert found.joules_per_output_token == pytest.approx(10)
    assert found.joules_per_token == pytest.approx(2.5)
    assert found.total_tok_per_s_per_w == pytest.approx(400 / 1000)
    assert found.mean_utilisation == pytest.approx(0.99)
    assert (found.mean_clock_mhz, found.samples) == (1755, 20)


def test_the_window_is_cut_exactly_at_its_ends() -> None:
    """A step from 100 to 500 W at 105 s, of which a window that ends there sees nothing."""
    stepped = [Sample(float(at), "0", 100.0 if at <= 105 else 500.0) for at in range(95, 116)]
    before = power.over(stepped, use(start_s=100.25, end_s=105.0, devices=1), "nvidia-smi")
    ramp = power.over(stepped, use(start_s=105.0, end_s=105.5, devices=1), "nvidia-smi")
    assert before is not None
    assert ramp is not None
    assert before.mean_w_per_device == pytest.approx(100)
    assert ramp.mean_w_per_device == pytest.approx(200), "the mean of 100 and 300 W on the way to 500"


@pytest.mark.parametrize(
    ("found", "changed", "reason"),
    [
        ([one for one in samples() if not 103 <= one.at_s <= 106], {}, "gap: 5.0 s without a sample of device 0, at most 3 s"),
        ([one for one in samples() if one.device == "0"], {}, "count: samples of 1 devices, the point uses 2"),
        ([one for one in samples() if one.at_s > 101], {}, "not bracketed: no sample of device 0 before its start"),
        ([one for one in samples() if one.at_s < 110], {}, "not bracketed: no sample of device 0 after its end"),
        (samples(watts=0.0), {}, "impossible: device 0 drew 0.0 W, believed is 5 to 3000 W"),
        (samples(), {"cap_w": 350.0}, "impossible: device 1 drew 600.0 W, believed is 5 to 525 W"),
        (samples(utilisation=1.4), {}, "impossible: device 0 was used to 140 %"),
        (samples(watts=None), {}, "count: device 0 has no power"),
        ([], {}, "count: no sample (nvidia-smi is missing on this node)"),
        (samples(), {"devices": 1, "partition": "CPX/NPS4"}, "count: 1 partitions share 1 cards with others, and power is a card's"),
    ],
)  # fmt: skip
def test_what_makes_power_invalid(found: list[Sample], changed: dict[str, Any], reason: str) -> None:
    """No figure, and the reason by its name."""
    made = power.over(found, use(**changed), "nvidia-smi", ["nvidia-smi is missing on this node"])
    assert made is not None
    assert reason in made.invalid
    assert made.mean_w_per_device is None
    assert made.joules_per_token is None


def test_what_is_wrong_outside_the_window_does_not_matter() -> None:
    """A gap before it, and a tool's zeros after it."""
    odd = [
        Sample(one.at_s, one.device, 0.0) if one.at_s > 112 else one
        for one in samples()
        if one.at_s not in {96, 97, 98, 99}
    ]
    made = power.over(odd, use(), "nvidia-smi")
    assert made is not None
    assert made.invalid == []


@pytest.mark.parametrize("odd", [{"watts": 0.0}, {"watts": 65535.0}, {"watts": None}, {"utilisation": 1.4}])
@pytest.mark.parametrize("at_s", [100.0, 111.0])
def test_an_odd_sample_next_to_the_window_is_passed_over(at_s: float, odd: dict[str, Any]) -> None:
    """The one beyond it brackets the window; within three seconds, as any gap."""
    found = [replace(one, **odd) if one.at_s == at_s else one for one in samples()]
    made = power.over(found, use(), "amd-smi")
    assert made is not None
    assert made.invalid == []
    assert made.mean_w_per_device == pytest.approx(500)
    within = power.over(
        [replace(one, watts=0.0) if one.at_s == 105 else one for one in found], use(), "amd-smi"
    )
    assert within is not None
    assert within.invalid[0].startswith("impossible: device 0 drew 0.0 W")


def test_devices_that_the_point_does_not_use() -> None:
    """They do not count; that others worked in their place is seen; those that the server may use are taken in order."""
    busy = [
        Sample(float(at), str(n), 600.0 if n > 1 else 80.0, 0.95 if n > 1 else 0.0)
        for at in range(95, 116)
        for n in range(4)
    ]
    wrong = power.over(busy, use(), "nvidia-smi")
    right = power.over(busy, use(visible=("2", "3")), "nvidia-smi")
    assert wrong is not None
    assert right is not None
    assert wrong.invalid == ["count: devices 2, 3 worked, and not 0, 1, which the point should use"]
    assert right.mean_w_per_device == pytest.approx(600)


def test_devices_that_are_named_twice_or_not_by_number() -> None:
    """One device counted for two would halve the power; which device a UUID is no sample says, unless all of them are used."""
    twice = power.over(samples(), use(visible=("0", "0")), "nvidia-smi")
    named = power.over(samples(), use(devices=1, visible=("GPU-5a2c",)), "nvidia-smi")
    both = power.over(samples(), use(visible=("GPU-5a2c", "GPU-77f0")), "nvidia-smi")
    assert twice is not None
    assert named is not None
    assert both is not None
    assert twice.invalid == ["count: samples of 1 devices, the point uses 2"]
    assert named.invalid == ["count: which of 2 devices are GPU-5a2c is not known; give their numbers"]
    assert both.invalid == []
    assert both.mean_w_per_device == pytest.approx(500)


def test_a_window_without_a_length_says_so() -> None:
    """It has neither power nor energy."""
    found = power.over(samples(), use(end_s=100.5), "nvidia-smi")
    assert found is not None
    assert (found.mean_w_per_device, found.invalid) == (None, ["impossible: the window has no length"])


@pytest.mark.parametrize(
    ("line", "watts"),
    [
        ("1.0,0,300.0,.9,1,1,1,50,", 300.0),
        ("1.0,host,300.0,,,,,,", 300.0),
        ("1.0,0,inf,.9,1,1,1,50,", None),
    ],
)
def test_a_line_of_samples(line: str, watts: float | None) -> None:
    """A figure without an end is none."""
    found = parse(line)
    assert found is not None
    assert found.watts == watts


@pytest.mark.parametrize(
    "line",
    [
        "nan,0,3,.9,1,1,1,50,",
        "1.0,gpu0,3,.9,1,1,1,50,",
        "1.0,,3,.9,1,1,1,50,",
        "1.0,0,3,x,1,1,1,50,",
        "1.0,0,3",
    ],
)
def test_lines_that_are_no_samples(line: str) -> None:
    """Without a time, of no device, cut."""
    assert parse(line) is None


def test_partitions_of_a_card_share_its_power() -> None:
    """In CPX eight devices are one card, and only the first of them has power."""
    parts = [Sample(float(at), str(n), 800.0 if n == 0 else None) for at in range(95, 116) for n in range(8)]
    made = power.over(parts, use(devices=8, partition="CPX/NPS4"), "amd-smi")
    assert made is not None
    assert made.invalid == []
    assert made.mean_w_per_device == pytest.approx(100)


def test_the_host_beside_the_devices_and_in_their_place() -> None:
    """Its counter is a figure of its own beside GPUs, and the power of a processor that serves."""
    host = [Sample(float(at), "host", 250.0) for at in range(95, 116)]
    beside = power.over([*samples(), *host], use(), "nvidia-smi")
    alone = power.over(host, use(), "rapl")
    assert beside is not None
    assert alone is not None
    assert beside.host_mean_w == pytest.approx(250)
    assert beside.mean_w_per_device == pytest.approx(500)
    assert alone.host_mean_w is None
    assert alone.mean_w_per_device == pytest.approx(125)
    assert power.over(samples(), use(), "none") is None


def test_the_integral_is_the_energy_counters_on_two_real_h100s() -> None:
    """Any two minutes are within 2.5 % of the counter (the worst is off by 2.1 %; 5 % is allowed), all seventeen within 0.2 %."""
    with gzip.open(REAL, "rt") as file:
        rows = list(csv.DictReader(file))
    cards = {card: [row for row in rows if row["card"] == card] for card in "01"}
    worst = 0.0
    for card, found in cards.items():
        times = [float(row["monotonic_s"]) for row in found]
        energy = [float(row["energy_mj"]) / 1000 for row in found]
        taken = [
            Sample(at, card, float(row["power_mw"]) / 1000) for at, row in zip(times, found, strict=True)
        ]
        windows = [(i, bisect.bisect(times, times[i] + 120)) for i in range(0, len(times) - 125, 5)]
        off = 0.0
        for begin, end in [*windows, (0, len(times) - 1)]:
            window = use(start_s=times[begin], end_s=times[end], devices=1, visible=(card,))
            one = power.over(taken, window, "nvidia-smi")
            assert one is not None
            assert one.invalid == []
            joules = (one.mean_w_per_device or 0) * (times[end] - times[begin])
            off = joules / (energy[end] - energy[begin]) - 1
            worst = max(worst, abs(off))
        assert abs(off) < 0.002, "the last window was all of it"
        assert max(after - before for before, after in pairwise(times)) < power.GAP_MOST_S
    assert worst < 0.025


def test_the_meters_own_samples_of_a_real_pair_are_the_counters() -> None:
    """What nvidia-smi told the meter while two H100s were measured: of any two minutes within 2 % (the worst is off by 1.3 %)."""
    with gzip.open(PAIR / "power.csv.gz", "rt") as file:
        taken = [one for line in file.read().splitlines() if (one := parse(line))]
    with gzip.open(PAIR / "energy.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    windows = 0
    for card in "01":
        at = [
            (float(row["monotonic_s"]), float(row["energy_mj"]) / 1000) for row in rows if row["card"] == card
        ]
        times = [time for time, _ in at]
        first = bisect.bisect(times, taken[0].at_s)
        for begin in range(first, len(at), 20):
            end = bisect.bisect(times, times[begin] + 120)
            if end >= len(at) or times[end] > taken[-2].at_s:
                break
            window = use(start_s=times[begin], end_s=times[end], devices=1, visible=(card,))
            made = power.over(taken, window, "nvidia-smi")
            assert made is not None
            assert made.invalid == []
            joules = (made.mean_w_per_device or 0) * (times[end] - times[begin])
            assert joules == pytest.approx(at[end][1] - at[begin][1], rel=0.02)
            windows += 1
    assert windows > 50


def test_heat_and_a_power_cap_are_told_apart() -> None:
    """A cap is what a loaded card does; heat, a brake or a fault is the machine's. What was so before the window is kept too."""
    hot = [
        Sample(one.at_s, one.device, one.watts, throttle=("hardware thermal",) if one.at_s < 103 else ("power cap",))
        for one in samples()
    ]  # fmt: skip
    found = power.over(hot, use(), "nvidia-smi")
    assert found is not None
    assert found.throttled == ["hardware thermal", "power cap"]
    assert found.throttled_before == ["hardware thermal"]
    assert found.slowed_share == pytest.approx(0.2)
    assert devices.problems(None, found)
    assert devices.remarks(found) == [
        "hardware thermal lowered clocks in 20 % of the samples",
        "hardware thermal lowered clocks before the load",
    ]
    capped = found.model_copy(
        update={"throttled": ["power cap"], "throttled_before": [], "slowed_share": 0.0}
    )
    assert devices.problems(None, capped) == devices.remarks(capped) == []


@pytest.mark.parametrize(
    ("throttle", "share"),
    [
        ((None, None), None),
        (((), None), 0.0),
        ((("software thermal",), None), 1.0),
        ((("software thermal",), ()), 0.5),
        ((("throttled",), None), None),
        ((("throttled",), ()), 0.0),
    ],
)
def test_clocks_of_which_nothing_is_known(
    throttle: tuple[tuple[str, ...] | None, ...], share: float | None
) -> None:
    """Are no clocks that nothing lowers."""
    known = [replace(one, throttle=throttle[i % 2]) for i, one in enumerate(samples())]
    found = power.over(known, use(), "nvidia-smi")
    assert found is not None
    assert found.slowed_share == share


def test_unknown_clocks_come_out_of_the_meters_file() -> None:
    """And an empty cell is known."""
    line = "100.0,0,651,0.99,1755,2619,1,63,"
    first, second = parse(f"{line}unknown"), parse(line)
    assert first
    assert second
    assert (first.throttle, second.throttle) == (None, ())


@pytest.mark.parametrize("partition", ["MIG", "mixed", "OCTO/NPS1"])
def test_a_part_of_a_card_has_no_power_of_its_own(partition: str) -> None:
    """Where nobody knows which share: a card's watts are not those of its part."""
    one = [sample for sample in samples() if sample.device == "0"]
    made = power.over(one, use(devices=1, partition=partition, visible=("MIG-5a2c",)), "nvidia-smi")
    assert made is not None
    assert made.mean_w_per_device is None
    assert made.invalid == [
        f"count: devices are partitioned as {partition.split('/', maxsplit=1)[0]}, and power is a card's"
    ]


def test_a_use_that_cannot_be_is_no_mean() -> None:
    """It makes power invalid, and is not shown beside it."""
    made = power.over(samples(utilisation=655.35), use(), "amd-smi")
    assert made is not None
    assert made.mean_utilisation is None
    assert made.invalid


@pytest.mark.parametrize("full", ["65535", "4294967295", "-1"])
def test_figures_that_fill_a_place_are_unknown(full: str) -> None:
    """A clock of 65535 MHz and as many degrees; watts so have a reason of their own."""
    found = parse(f"1.0,0,{full},.9,{full},{full},{'9' * 15},{full},")
    assert found is not None
    assert (found.clock_mhz, found.memory_clock_mhz, found.memory_bytes, found.temperature_c) == (None,) * 4
    assert found.watts == float(full)
