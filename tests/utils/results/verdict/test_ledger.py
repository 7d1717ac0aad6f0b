"""The A/A ledger: what counts as a difference, what it tells, when it begins anew, when it alarms."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from tests.conftest import Cli
from tests.utils.results.conftest import Records
from utils.node import record_file
from utils.results.verdict import ledger
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.ledger_lines import Reset

CPU = "Intel(R) Xeon(R)"
C1 = "r/32x16-tp1-c1"


def spread(of: Ledger, point: str = C1, driver: str = "", device: str = CPU) -> ledger.Spread:
    return of.spread(device, driver, point, 1, "tput")


def test_runs_with_equal_observed_keys_pair_within_an_arm(pair: Records) -> None:
    """B H H B of two keys gives two differences a point; in logs, the later over the earlier."""
    parts: tuple[dict[str, object], dict[str, object]] = ({"model": "a"}, {"model": "b"})
    found = ledger.differences(pair(noise=(1.0, 1.0, 1.02, 1.01), parts=parts, slower=2.0))
    first = [one for one in found if one.point == C1]
    assert [one.runs for one in first] == [(0, 3), (1, 2)]
    assert [one.values["tput"] for one in first] == [
        pytest.approx(-math.log(1.01), abs=1e-6),
        pytest.approx(-math.log(1.02), abs=1e-6),
    ]


def test_a_thing_against_itself_pairs_neighbours(pair: Records) -> None:
    """Each run counts once; runs of other allocations are never paired, nor are bad ones."""
    assert [one.runs for one in ledger.differences(pair()) if one.point == C1] == [(0, 1), (2, 3)]
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
    for number in range(4):
        assert spread(known).calibration == "none"
        assert spread(known).df == 2 * number
        known, _, _ = known.with_records(pair(noise=(1.0, 1.02, 1.0, 1.02)))
    own = spread(known)
    assert (own.calibration, own.df) == ("own", 8)
    assert own.sd == pytest.approx(math.log(1.02) / math.sqrt(2), rel=1e-3)
    borrowed = spread(known, point="other/1k1k-tp8-c8")
    assert (borrowed.calibration, borrowed.df) == ("borrowed", 8)
    assert known.spread(CPU, "", "other/1k1k-tp8-c256", 256, "tput").calibration == "none"


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
    assert spread(again).df == 2


def test_a_jump_raises_an_alarm_and_is_held_out_until_a_person_accepts_it(
    pair: Records, noise: Ledger
) -> None:
    """Ten times as much on a new image: named with image and node; as much as ever: nothing."""
    assert noise.with_records(pair(noise=(1.0, 1.014, 1.0, 1.014)))[2] == []
    wild = pair(noise=(1.0, 1.1, 1.0, 1.1), more={"image": "new:1"})
    after, _, alarms = noise.with_records(wild)
    assert alarms
    assert all("new:1" in line and "1.00 % before" in line for line in alarms if "TTFT" not in line)
    assert spread(after).df == spread(noise).df
    (allocation,) = after.held
    assert alarms[0] in after.held[allocation]
    assert spread(after.accepting(allocation)).df == spread(noise).df + 2
    assert len(alarms) >= 2


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
    assert "16 new differences, 16 in all" in added.stdout, added.stderr
    assert "0 new differences" in cli("ledger", "add", str(tmp_path / "aa"), *path).stdout
    shown = cli("ledger", "show", *path).stdout
    assert "1.40 %" in shown
    assert "3.9 %" in shown
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
    assert {line.arm for line in night} == {"base", "head"}
