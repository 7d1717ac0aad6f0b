"""What is said of points that have no record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import ROOT, Cli, write
from tests.utils.results.conftest import Records
from utils.node import record_file
from utils.node.record import Record
from utils.results import collect as reading
from utils.results.collect import Missing, missing, without


@pytest.mark.parametrize(
    ("code", "retry"),
    [(Exit.INFRA_FAILED, True), (Exit.CANCELLED, True), (Exit.STORAGE_FULL, True), (Exit.SERVER_DIED, False), (Exit.JOB_FAILED, False)],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["infra", "benchmark"])
def test_another_try_follows_from_the_exit_code_alone(
    tmp_path: Path, code: Exit, kind: str, *, retry: bool
) -> None:
    """Whatever the words beside it begin with."""
    write(tmp_path / "plan.json", json.dumps({"jobs": [{"id": "j", "points": [{"id": "r/p"}]}]}))
    end = {"kind": kind, "cause": "infra: it broke", "node": None, "exit": int(code)}
    write(tmp_path / "jobs/j/failure.json", json.dumps(end))
    assert missing(tmp_path, []) == [
        Missing(point="r/p", why=f"{kind}: infra: it broke (no node)", retry=retry)
    ]


@pytest.mark.parametrize("content", [None, "", "[]", '{"kind": "infra"}'])
def test_a_job_that_left_no_end_never_came_that_far(tmp_path: Path, content: str | None) -> None:
    """A plan without anything of a job, or with half of a file."""
    write(tmp_path / "plan.json", json.dumps({"jobs": [{"id": "j", "points": [{"id": "r/p"}]}]}))
    if content is not None:
        write(tmp_path / "jobs/j/failure.json", content)
    assert missing(tmp_path, []) == [Missing(point="r/p", why="its job did not get to it", retry=True)]


def test_folders_without_a_record_are_named(tmp_path: Path) -> None:
    """Beside good ones; a record itself is no folder."""
    good, empty = tmp_path / "good", tmp_path / "empty"
    write(good / "jobs/j/run-1-head/p/record.json", "{}")
    write(empty / "plan.json", "{}")
    assert without([good, empty, good / "jobs/j/run-1-head/p/record.json"]) == [empty]


def test_collect_shows_the_rest_and_names_what_is_empty(tmp_path: Path, cli: Cli) -> None:
    """As a shell's pattern over all results gives them."""
    good = tmp_path / "good/jobs/j/run-1-head/p"
    good.mkdir(parents=True)
    (good / "record.json").write_bytes((ROOT / "tests/golden/formats/record-1.json").read_bytes())
    (tmp_path / "empty").mkdir()
    done = cli("collect", str(tmp_path / "good"), str(tmp_path / "empty"), "--format", "csv")
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == f"note: no record below {tmp_path / 'empty'}\n"


@pytest.mark.parametrize(("few", "made"), [(3, 4), (4, 0)])
def test_records_are_made_smaller_where_there_are_many(
    pair: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int, made: int
) -> None:
    """Few are kept whole, which is faster."""
    for number, one in enumerate(pair()[:4]):
        record_file.save(one, tmp_path / "some" / str(number))
    monkeypatch.setattr(reading, "FEW", few)
    asked: list[str] = []

    def keep(one: Record) -> Record:
        asked.append(one.point)
        return one

    assert len(reading.collect([tmp_path / "some"], keep=keep)) == 4
    assert len(asked) == made
