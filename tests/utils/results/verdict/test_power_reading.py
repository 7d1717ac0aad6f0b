"""Power beside speed: shown with its own noise, open to claims, explained where it moved with speed, and never a word of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.utils.results.conftest import Records, sides
from utils.node.record import Power, Record
from utils.results.changelog import expect
from utils.results.changelog.edit import Stub, add
from utils.results.verdict import ledger, present
from utils.results.verdict.compare import compare
from utils.results.verdict.outcome import Comparison


def _with_power(
    record: Record, watts: float, use: float = 0.99, clock: float = 1750.0, throttled: tuple[str, ...] = ()
) -> Record:
    speed = record.whole.total_tok_per_s_per_device if record.whole else 1.0
    drew = Power(
        meter="amd-smi",
        mean_w_per_device=watts,
        joules_per_output_token=2 * watts / speed,
        joules_per_token=watts / speed,
        total_tok_per_s_per_w=speed / watts,
        mean_utilisation=use,
        mean_clock_mhz=clock,
        throttled=list(throttled),
    )
    return record.model_copy(update={"power": drew})


@pytest.fixture
def noise(pair: Records) -> ledger.Ledger:
    """Twenty differences: 0.5 % a run in speed and power, and next to none in utilisation and clocks."""
    known = ledger.Ledger()
    for number in range(10):
        factors = (1.0, 1.007, 1.0, 1.007)
        runs = [
            _with_power(
                one,
                700 * factors[one.run_index],
                0.99 + 0.0005 * (one.run_index % 2),
                1750 + one.run_index % 2,
            )
            for one in pair(noise=factors)
        ]
        known, _, told = known.with_records(
            [one.model_copy(update={"allocation": f"a{number}"}) for one in runs]
        )
        assert told == []
    return known


@pytest.fixture
def of_speed(pair: Records) -> ledger.Ledger:
    """Twenty differences in speed, of machines without a meter."""
    known = ledger.Ledger()
    for number in range(10):
        runs = [
            one.model_copy(update={"allocation": f"a{number}"})
            for one in pair(noise=(1.0, 1.007, 1.0, 1.007))
        ]
        known, _, _ = known.with_records(runs)
    return known


def compared(pair: Records, noise: ledger.Ledger, slower: float, **head: Any) -> Comparison:
    """A pair whose base draws 712 W at 99 %."""
    records = [
        _with_power(one, **head) if one.arm == "head" else _with_power(one, 712)
        for one in pair(slower=slower)
    ]
    return compare(*sides(records), noise, confirmation=False)


def test_slower_with_less_power_at_the_same_utilisation(pair: Records, noise: ledger.Ledger) -> None:
    """712 W became 652 W while utilisation stayed at 99 %: the comment says that kernels waited, and shows every figure with its noise."""
    found = compared(pair, noise, 1.06, watts=652)
    comment = present.markdown(found)
    assert (
        "power -8.4 %, utilisation the same (99 %), energy a token -2.9 %: kernels ran for as much of the time and did less in it"
        in comment
    )
    assert "Look for a slower kernel, not for clocks or the host" in comment
    assert "712 → 652" in comment
    power = found.points[0].beside["power"]
    assert power.low_percent is not None
    assert power.high_percent is not None
    assert power.low_percent < -8 < power.high_percent + 1
    assert power.word is None
    assert "power" not in found.points[0].metrics
    assert {one.word for one in found.points[0].metrics.values()} == {"regression"}


@pytest.mark.parametrize(
    ("slower", "head", "words"),
    [
        (1.06, {"watts": 652, "clock": 1600.0, "throttled": ("power cap",)}, "lower clocks (power cap)"),
        (1.06, {"watts": 652, "use": 0.8}, "the devices were idle more often"),
        (1.06, {"watts": 740}, "the same tokens took more work"),
        (0.94, {"watts": 740}, "the devices did more in the same time"),
        (0.94, {"watts": 712}, "faster without more power"),
        (1.0, {"watts": 652}, "power moved, and no change of speed was seen"),
    ],
)
def test_other_ways_in_which_both_move(
    pair: Records, noise: ledger.Ledger, slower: float, head: dict[str, Any], words: str
) -> None:
    """Each has another sentence."""
    assert words in present.markdown(compared(pair, noise, slower, **head))


def test_a_kernel_that_waits_draws_less_and_runs_for_longer(pair: Records, noise: ledger.Ledger) -> None:
    """As on an H100 with a kernel planted that only waits: 426 W and 83 % became 372 W and 87 %, and the host was not to blame."""
    records = [
        _with_power(one, 372, use=0.872) if one.arm == "head" else _with_power(one, 426, use=0.834)
        for one in pair(slower=1.23)
    ]
    comment = present.markdown(compare(*sides(records), noise, confirmation=False))
    assert "utilisation +4.6 % (87 %)" in comment
    assert "kernels ran for more of the time and did less in it" in comment
    assert "look at the host, the queue" not in comment


def test_what_did_not_move_is_not_explained(pair: Records, noise: ledger.Ledger) -> None:
    """No sentence where both are within their noise."""
    assert not [note for note in compared(pair, noise, 1.001, watts=713).notes if "power" in note]


def test_power_whose_noise_nobody_knows_says_nothing_of_a_speed_that_did_not_move(
    pair: Records, of_speed: ledger.Ledger
) -> None:
    """As on one H200 without a ledger: throughput -4.1 % (-20.8 to +16.1 %) and power -2.3 %, while two base runs were 4 % apart in power."""
    assert not [note for note in compared(pair, of_speed, 1.0, watts=600).notes if "power" in note]
    moved = compared(pair, of_speed, 1.06, watts=652)
    assert [note for note in moved.notes if "power -8.4 %" in note], "a speed that moved is still explained"
    little = compared(pair, of_speed, 1.06, watts=690).notes
    assert ["more work" in note for note in little if "power -3.1 %" in note] == [True] * 2, "as much power"
    slow = compared(pair, of_speed, 1.06, watts=652, clock=1700.0).notes
    assert ["lower clocks" in note for note in slow if "power -8.4 %" in note] == [True] * 2


def test_a_claim_can_be_about_power_and_the_changelog_has_it(pair: Records, noise: ledger.Ledger) -> None:
    """It holds where its whole interval does; the line of the changelog has watts, joules and tokens a watt."""
    found = compared(pair, noise, 1.0, watts=652)
    point = found.points[0].point
    claims = {point.split("/")[1]: {"power": "<= -5%", "j_tok": ">= 0%", "clock": "<= -3%"}}
    outcomes = {one.metric: one.outcome for one in expect.outcomes(found, "r", claims, claims)}
    assert outcomes == {"power": "holds", "j_tok": "fails", "clock": "fails"}
    records = [_with_power(one, 652 if one.arm == "head" else 712) for one in pair()]
    base, head = sides(records)
    text = add(b"", "perf-changelog.yaml", head, base, Stub(1, "t", ("w",)), comparison=found)
    line = next(
        line for line in text.splitlines() if line.strip().startswith("32x16-tp1-c1:") and "tput" in line
    )
    for word in (
        "power: 652",
        "j_out: ",
        "j_tok: ",
        "tok_w: ",
        "util: 99",
        "clock: 1750",
        "power: 652 -8.4%",
    ):
        assert word in line


def test_without_a_ledger_power_is_shown_without_an_interval(pair: Records, of_speed: ledger.Ledger) -> None:
    """The sentence needs a speed that is known to have moved, and five percent."""
    found = compared(pair, of_speed, 1.06, watts=652)
    power = found.points[0].beside["power"]
    assert (power.low_percent, power.spread_percent) == (None, None)
    assert "the ledger knows nothing of its noise" in power.why
    assert "kernels ran for as much of the time" in present.markdown(found)
    unknown = present.markdown(compared(pair, ledger.Ledger(), 1.06, watts=652))
    assert "712 → 652" in unknown
    assert "kernels ran" not in unknown


def test_an_old_ledger_is_trusted_less_beside_words_too(pair: Records, noise: ledger.Ledger) -> None:
    """Its interval is wider a year later, as that of what is judged."""

    def width(days: int) -> float:
        records = [
            one.model_copy(
                update={
                    "clock": one.clock.model_copy(
                        update={"wall_unix_s": one.clock.wall_unix_s + 86_400.0 * days}
                    )
                }
            )
            for one in (_with_power(each, 712) for each in pair())
        ]
        power = compare(*sides(records), noise).points[0].beside["power"]
        assert power.low_percent is not None
        assert power.high_percent is not None
        return power.high_percent - power.low_percent

    assert width(365) > 1.5 * width(0)
