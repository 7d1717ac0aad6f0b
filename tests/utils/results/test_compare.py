"""`compare`: numbers and differences, for exactly the named difference, without a word of judgement."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from tests.conftest import Cli
from tests.utils.results.conftest import Records
from utils.results.compare import compare


def test_equal_keys_need_no_name(records: Records) -> None:
    """The same thing measured twice."""
    found = compare(records(), records(slower=1.25), [])
    assert [one.point for one in found.both] == ["r/32x16-tp1-c1", "r/32x16-tp1-c2"]
    assert found.both[0].percent["tpot"] == pytest.approx(25.0)
    assert found.both[0].percent["tput"] == pytest.approx(-20.0)


def test_a_difference_must_be_named(records: Records) -> None:
    """Else it is refused, and the error says how to name it."""
    sides = records(parts={"flags": {"a": "1", "b": "1"}}), records(parts={"flags": {"a": "2", "b": "1"}})
    with pytest.raises(HarnessError, match=r"--vary flags\.a") as caught:
        compare(*sides, [])
    assert caught.value.exit_code is Exit.NOT_COMPARABLE
    for name in ("flags.a", "flags"):
        assert len(compare(*sides, [name]).both) == 2


def test_another_difference_than_the_named_one_is_refused(records: Records) -> None:
    """One change at a time."""
    sides = records(parts={"flags": {"a": "1", "b": "1"}}), records(parts={"flags": {"a": "2", "b": "2"}})
    with pytest.raises(HarnessError, match=r"also differ in flags\.b"):
        compare(*sides, ["flags.a"])


def test_a_name_that_does_not_differ_is_refused(records: Records) -> None:
    """A forgotten change is a mistake too."""
    with pytest.raises(HarnessError, match="both sides are equal in that"):
        compare(records(), records(), ["flags.a"])


def test_what_the_nodes_found_counts_as_well(records: Records) -> None:
    """Two versions of vLLM are not one."""
    head = [
        one.model_copy(
            update={
                "observed": one.observed.model_copy(update={"parts": one.parts | {"observed": {"vllm": "2"}}})
            }
        )
        for one in records()
        if one.observed
    ]
    with pytest.raises(HarnessError, match=r"observed\.vllm"):
        compare(records(), head, [])


def test_servers_with_other_lists_of_points_are_refused(records: Records) -> None:
    """What a server did before moves its numbers."""
    head = [one.model_copy(update={"points_before": ["r/x"]}) for one in records()]
    with pytest.raises(HarnessError, match="measure both sides with the same selection"):
        compare(records(), head, [])


def test_one_run_given_twice_is_refused(records: Records) -> None:
    """It is one run, not two."""
    side = records()
    with pytest.raises(HarnessError, match="given twice"):
        compare(side + side, records(), [])


def test_points_of_one_side_and_failed_ones_are_told(records: Records) -> None:
    """New, gone, left out with its reason."""
    base, head = records(), records(failed=True)
    found = compare(base[:1], head[1:], [])
    assert (found.new, found.gone) == (["r/32x16-tp1-c2"], ["r/32x16-tp1-c1"])
    assert compare(base, head, []).left_out == {"r/32x16-tp1-c2": "SERVER_DIED: the server ended: on purpose"}


def test_the_command_shows_numbers_and_no_verdict(cli: Cli, records: Records, tmp_path: Path) -> None:
    """Until verdicts exist."""
    records()
    records(slower=2.0, runs=2)
    done = cli("compare", str(tmp_path / "records-0"), str(tmp_path / "records-1"))
    assert done.returncode == 0, done.stderr
    assert "+100.0%" in done.stdout
    assert "1+2" in done.stdout
    assert not {"regression", "improvement", "faster", "slower"} & set(done.stdout.lower().split())


def test_a_cut_record_stops_the_command(cli: Cli, records: Records, tmp_path: Path) -> None:
    """With the place in the file."""
    records()
    path = next((tmp_path / "records-0").rglob("record.json"))
    path.write_text(path.read_text()[:300])
    done = cli("compare", str(tmp_path / "records-0"), str(tmp_path / "records-0"))
    assert done.returncode == Exit.RECORD_UNREADABLE
    assert "not a whole record" in done.stderr
    assert cli("collect", str(tmp_path / "nowhere")).returncode == Exit.RECORD_UNREADABLE
