"""The A/A ledger: what counts as a difference, what it tells, when it begins anew, when it alarms."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from tests.conftest import Cli
from tests.utils.results.conftest import Records
from utils.node import record_file
from utils.results.verdict import ledger, ledger_file
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.ledger_lines import FREE, Reset

CPU = "Intel(R) Xeon(R)"
C1 = "r/32x16-tp1-c1"


def spread(of: Ledger, point: str = C1, driver: str = "", device: str = CPU) -> ledger.Spread:
    return of.spread(device, driver, point, 1, "tput")


def test_two_arms_give_what_neither_their_difference_nor_a_drift_moves(pair: Records) -> None:
    """B H H B of two keys gives one contrast a point, ((r3 - r0) - 3 (r2 - r1)) / sqrt(10): the same whatever the head does, and under a drift."""
    parts: tuple[dict[str, object], dict[str, object]] = ({"model": "a"}, {"model": "b"})
    wanted = abs(math.log(1.01) - 3 * math.log(1.02)) / math.sqrt(10)
    for slower, drift in ((2.0, 1.0), (1.0, 1.0), (2.0, 1.05)):
        noise = (1.0, drift, 1.02 * drift**2, 1.01 * drift**3)
        found = ledger.differences(pair(noise=noise, parts=parts, slower=slower))
        (one,) = (one for one in found if one.point == C1)
        assert one.values["tput"]
        assert abs(one.values["tput"]) == pytest.approx(wanted, abs=1e-6)
        assert one.contrast == FREE


def test_a_thing_against_itself_gives_two(pair: Records) -> None:
    """Four runs less their mean and their drift; runs of other allocations are never set against each other, nor are bad ones."""
    assert [one.runs for one in ledger.differences(pair()) if one.point == C1] == [(0, 1), (1, 2)]
    assert len(ledger.differences([*pair(), *pair()])) == 8
    bad = [one.model_copy(update={"status": "invalid"}) if one.run_index == 0 else one for one in pair()]
    assert [one.runs for one in ledger.differences(bad) if one.point == C1] == [(1, 2)]


def test_adding_twice_adds_once(pair: Records) -> None:
    """A sweep may be published again."""
    records = pair()
    once, new, _ = Ledger().with_records(records)
    assert len(new) == 4
    assert once.with_records(records)[1] == []


def test_points_of_one_pair_of_servers_are_one_degree_of_freedom(pair: Records) -> None:
    """Eight pairs are needed, however many points they had; another point of the class borrows."""
    known = Ledger()
    assert spread(known).calibration == "none"
    for number in range(1, 5):
        known, _, _ = known.with_records(pair(noise=(1.0, 1.02, 1.0, 1.02)))
        assert spread(known).pairs == 2 * number
        assert spread(known).calibration == ("own" if number == 4 else "borrowed")
    assert known.pools.classes[CPU, "", "c1-8", "tput"].df == 8


def test_what_is_borrowed_counts_for_little(noise: Ledger) -> None:
    """Another recipe's noise has two degrees of freedom, a model's three, a recipe's at another concurrency four; of another class none."""
    assert noise.spread(CPU, "", "other/1k1k-tp8-c8", 8, "tput", model="x").df == 2
    assert noise.spread(CPU, "", "other/1k1k-tp8-c8", 8, "tput", model="m").df == 3
    assert noise.spread(CPU, "", "r/32x16-tp1-c8", 8, "tput", model="m").df == 4
    assert noise.spread(CPU, "", "r/32x16-tp2-c1", 1, "tput", model="m").df == ledger.LEVEL_DF
    assert noise.spread(CPU, "", "other/1k1k-tp8-c256", 256, "tput").calibration == "none"


def test_an_old_ledger_is_trusted_less(noise: Ledger) -> None:
    """Eight degrees of freedom in its month, half of them two months later, two at least."""
    days = [line.day for line in noise.differences]
    assert len(set(days)) == 1
    df = [noise.spread(CPU, "", C1, 1, "tput", day=day).df for day in (days[0], "2026-09-14", "2036-01-01")]
    assert df[0] == 8
    assert df[1] == pytest.approx(4, abs=0.3)
    assert df[2] == 2


def test_bases_of_pull_requests_count_until_there_is_better(pair: Records) -> None:
    """A base's two runs lie at the ends of a block, so that a drift is in their difference: it counts while there is nothing else."""
    parts: tuple[dict[str, object], dict[str, object]] = ({"model": "a"}, {"model": "b"})
    drifting = (1.0, 1.01, 1.02, 1.03)
    known = Ledger()
    for _ in range(10):
        known, _, _ = known.with_records(pair(noise=drifting, parts=parts), "sweep")
    assert spread(known).sd == pytest.approx(math.log(1.03) / math.sqrt(2), rel=1e-3)
    for number in range(8):
        still = (1.0, 1.004, 1.0, 1.004) if number % 2 else (1.004, 1.0, 1.004, 1.0)
        known, _, _ = known.with_records(pair(noise=still))
    assert spread(known).sd < 0.005


def test_another_driver_or_gpu_begins_anew(pair: Records, noise: Ledger) -> None:
    """What another one's noise was says nothing; a reset by hand is a line, and keeps the lines before."""
    assert spread(noise).calibration == "own"
    assert spread(noise, driver="6.4").calibration == "none"
    assert spread(noise, device="MI300X").calibration == "none"
    reset = Ledger([*noise.lines, Reset(day="2026-11-25", device=CPU, reset="new memory")])
    assert spread(reset).df == 0
    assert len(reset.differences) == len(noise.differences)
    again, new, _ = reset.with_records(pair())
    assert len(new) == 4
    assert again.pools.classes[CPU, "", "c1-8", "tput"].df == 2


def test_a_loud_batch_raises_an_alarm_and_widens(
    pair: Records, noise: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten times as much on a new image: named with image and node; it counts, and no more than three standard deviations; as much as ever: nothing."""
    assert noise.with_records(pair(noise=(1.0, 1.014, 1.0, 1.014)))[2] == []
    wild = pair(noise=(1.0, 1.1, 1.0, 1.1), more={"image": "new:1"})
    after, new, alarms = noise.with_records(wild)
    assert alarms
    assert all("new:1" in line and "0.89 % before" in line for line in alarms if "TTFT" not in line)
    assert all(line.alarm for line in new)
    (tmp_path / "l.jsonl").write_text(ledger.text(noise))
    ledger_file.add(tmp_path / "l.jsonl", wild)
    said = capsys.readouterr().out
    assert "alarm: " in said
    assert "set aside" not in said, "it counts, and nobody is told otherwise"
    assert not after.held
    assert spread(noise).sd < spread(after).sd < 1.5 * spread(noise).sd


def test_a_quiet_batch_is_set_aside_until_a_person_accepts_it(pair: Records, noise: Ledger) -> None:
    """It would make changes of nothing stand out, in its own name or another's."""
    quiet = pair(noise=(1.0, 1.0001, 1.0, 1.0001))
    after, _, alarms = noise.with_records(quiet)
    assert alarms
    (allocation,) = after.held
    text, done = alarms[0].rsplit("; ", maxsplit=1)
    assert text in after.held[allocation]
    assert "set aside" in done
    assert spread(after) == spread(noise)
    accepted = after.accepting(allocation)
    assert not accepted.held
    assert spread(accepted).sd < spread(noise).sd


def test_many_small_steps_raise_one_alarm(pair: Records, noise: Ledger) -> None:
    """Each batch is within chance of all before; ten of them together are not: the ledger cannot be led away slowly."""
    known, told = noise, []
    for number in range(12):
        calm = (1.0, 1.003, 1.0, 1.003) if number % 2 else (1.003, 1.0, 1.003, 1.0)
        known, _, alarms = known.with_records(pair(noise=calm))
        told += alarms
    assert any("over the last" in line for line in told)
    assert spread(known).sd > 0.7 * spread(noise).sd


def test_a_line_that_is_none_is_told_at_its_place(tmp_path: Path, noise: Ledger) -> None:
    """A ledger cut short judges nothing."""
    path = tmp_path / "l.jsonl"
    text = ledger.text(noise)
    path.write_text(text)
    assert ledger.text(ledger.read(path)) == text
    path.write_text(text[:-30])
    with pytest.raises(
        HarnessError, match=rf"l\.jsonl:{len(noise.lines)}:1: not a line of a ledger"
    ) as caught:
        ledger.read(path)
    assert caught.value.exit_code is Exit.LEDGER_INVALID


def test_the_commands(cli: Cli, pair: Records, tmp_path: Path) -> None:
    """Add from folders, show what could be seen, reset with a reason."""
    path = ("--ledger", str(tmp_path / "l.jsonl"))
    assert "is not there" in cli("ledger", "show", *path).stderr
    (tmp_path / "l.jsonl").touch()
    empty = cli("ledger", "show", *path)
    assert "--pair HEAD" in empty.stdout
    for number in range(4):
        for one in pair(noise=(1.0, 1.02, 1.0, 1.02)):
            record_file.save(one, tmp_path / "aa" / str(number) / str(one.run_index) / str(one.position))
    added = cli("ledger", "add", str(tmp_path / "aa"), *path)
    assert "new differences: 16, in all 16" in added.stdout, added.stderr
    assert "new differences: 0," in cli("ledger", "add", str(tmp_path / "aa"), *path).stdout
    shown = cli("ledger", "show", *path).stdout
    assert "1.25 %" in shown
    assert "5.5 %" in shown
    assert cli("ledger", "reset", "--device", "MI300X", "--why", "x", *path).returncode == Exit.USAGE
    assert cli("ledger", "reset", "--device", CPU, "--why", "new memory", *path).returncode == 0
    assert "--pair HEAD" in cli("ledger", "show", *path).stdout


def test_an_absurd_line_is_none(tmp_path: Path, noise: Ledger) -> None:
    """Not a number, infinite, or a factor that no two runs of the same differ by."""
    for value in ("NaN", "Infinity", "7.5"):
        line = ledger.text(noise).splitlines()[0].replace('"tput":', f'"tput":{value},"was":', 1)
        line = line.replace(f',"was":{noise.differences[0].values["tput"]}', "")
        (tmp_path / "l.jsonl").write_text(f"{line}\n")
        with pytest.raises(HarnessError, match="not a line of a ledger"):
            ledger.read(tmp_path / "l.jsonl")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"day":"2026-06-16"', '"day":"yesterday"', "day: "),
        ('"day":"2026-06-16"', '"day":"2026-02-30"', "day: "),
        ('"day":"2026-06-16"', '"day":"2026-06-16T10:00Z"', "day: "),
        ('"concurrency":1', '"concurrency":0', "concurrency: "),
        ('"concurrency":1', '"concurrency":"1"', "concurrency: "),
        ('"tput":', '"tput":true,"was":', "values.tput: "),
        ('"tput":', '"tput":"0.01","was":', "values.tput: "),
        ('"day"', '"day":"2026-06-16","day"', "'day' is there twice"),
        ('"day"', '"x":' + "[" * 100_000 + '"day"', "recursion"),
        ('"day"', '"x":' + "[" * 400 + "]" * 400 + ',"day"', ""),
        ('"day"', r'"x":"\ud800","day"', ""),
    ],
)
def test_a_line_of_the_wrong_kind_is_none(
    tmp_path: Path, noise: Ledger, old: str, new: str, said: str
) -> None:
    """The error has its place and its field, and there is no traceback, now or when the next line is written."""
    line = ledger.text(noise).splitlines()[0]
    assert old in line
    (tmp_path / "l.jsonl").write_text(line.replace(old, new, 1) + "\n")
    with pytest.raises(HarnessError, match=f"l.jsonl:1:1: not a line of a ledger: .*{said}"):
        ledger.read(tmp_path / "l.jsonl")


def test_a_clock_that_was_ahead_does_not_keep_a_ledger_young(noise: Ledger) -> None:
    """Its line counts as noise, and says nothing of the age of the others."""

    def df(of: Ledger, day: str) -> float:
        return of.spread(CPU, "", C1, 1, "tput", day=day).df

    ahead = noise.differences[0].model_copy(update={"day": "2099-01-01", "allocation": "ahead"})
    later = Ledger([*noise.lines, ahead])
    assert df(later, "2026-06-17") == df(noise, "2026-06-17") == ledger.LEVEL_DF
    assert df(later, "2027-06-17") == df(noise, "2027-06-17") == ledger.LEAST_DF
    assert df(Ledger([ahead]), "2026-06-17") > 0


def test_runs_that_differ_absurdly_end_no_command(pair: Records) -> None:
    """What a reader takes as the most is what is written."""
    lines = ledger.differences(pair(noise=(1.0, 1000.0, 1.0, 1000.0)))
    assert max(abs(value or 0.0) for one in lines for value in one.values.values()) == 5.0


def test_nothing_is_held_against_itself(pair: Records, noise: Ledger) -> None:
    """A run that is judged again after it went into the ledger gets the same verdict."""
    from tests.utils.results.conftest import sides
    from utils.results.verdict.compare import compare

    records = pair(slower=1.03, noise=(1.0, 1.01, 1.0, 1.01))
    before = compare(*sides(records), noise)
    with_own, _, _ = noise.with_records(records)
    assert compare(*sides(records), with_own) == before


def test_a_sweep_feeds_the_ledger_by_its_base_alone(pair: Records) -> None:
    """A head that is noisy on purpose changes nothing that another verdict reads; the default branch's own nights count whole."""
    loud = pair(noise=(1.0, 1.5, 0.7, 1.01), parts=({"model": "m"}, {"model": "other"}))
    before = ledger.Ledger()
    after, new, _ = before.with_records(loud, "sweep")
    assert {line.arm for line in new} == {"base"}
    assert {line.issuer for line in new} == {"sweep"}
    quiet = pair(noise=(1.0, 1.0, 1.0, 1.01), parts=({"model": "m"}, {"model": "other"}))
    same, _, _ = before.with_records(quiet, "sweep")
    assert [line.values for line in after.differences] == [line.values for line in same.differences]
    _, night, _ = before.with_records(loud, "nightly")
    assert {line.arm for line in night} == {"legacy"}, "of both arms"
