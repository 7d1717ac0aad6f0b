"""Batch scripts that a signal or a run ends: what their last word says then, and what they leave."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from matrix.errors import Exit
from tests.utils.launch.slurm.test_batch import in_bash, rendered, some_attempts, two_containers

if TYPE_CHECKING:
    from pathlib import Path

STUBS = ("begin", "outside", "alone", "meter", "canary", "witness", "gone")
OURS = ("main", "start", "measure", "finish", "clear_away", "say", "beside", "end")

SRUN = """#!/bin/bash
trap 'sleep 1; echo "{\\"kind\\":\\"end\\",\\"name\\":\\"run\\"}"; exit 130' TERM
for _ in {1..100}; do sleep 0.1; done
"""
"""A FAKE one, whose task needs a second to end."""


def shared() -> str:
    """A script of a job whose results every node sees; its runs have one container each."""
    return next(text for text in map(rendered, some_attempts().values()) if "_server() {" not in text)


def job(tmp_path: Path, script: str, changes: str) -> subprocess.CompletedProcess[str]:
    """All of a job of two runs, each of which says `ran`; with changes in bash."""
    stubs = "".join(f"{name}() {{ :; }}\n" for name in STUBS)
    stubs += "".join(f"in_run_{number}_head() {{ echo ran >&3; }}\n" for number in range(2))
    (tmp_path / "work/payload").mkdir(parents=True)
    (tmp_path / "work/payload/found.json").touch()
    ours = [*OURS, *(name for name in ("agree", "take") if f"{name}() {{" in script)]
    return in_bash(script, f"exec 3>&1\nwork={tmp_path}/work\n{stubs}{changes}\nmain", tmp_path, *ours)


def last_word(tmp_path: Path) -> int:
    """The exit code that the script told the launcher."""
    return int(json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])["facts"]["exit"])


@pytest.mark.parametrize(
    ("when", "runs", "code"),
    [
        ("gone() { kill -TERM $$; }", 1, Exit.CANCELLED),
        ("mkdir() { kill -TERM $$; return 143; }", 0, Exit.CANCELLED),
        ("gone() { [ $1 != $out/run-1-head/stderr.log ] || kill -TERM $$; }", 2, Exit.OK),
        ("in_run_0_head() { echo ran >&3; return 42; }; gone() { kill -TERM $$; }", 1, Exit.CANCELLED),
    ],
    ids=["between two runs", "while a folder is made", "after the last run", "after gates"],
)
def test_a_signal_outside_of_runs_is_a_cancelling(tmp_path: Path, when: str, runs: int, code: Exit) -> None:
    """No run is there to say so; the job did not end well, and a mkdir that was ended tells nothing of the disk."""
    done = job(tmp_path, shared(), when)
    assert (done.stdout.count("ran"), done.returncode) == (runs, code), done
    assert last_word(tmp_path) == code


@pytest.mark.parametrize(
    ("code", "runs", "wanted"),
    [
        *((code, 2, code) for code in (1, 20, 23, 30, 43, 46)),
        *((code, 2, 42) for code in (0, 33, 40, 42)),
    ],
)
def test_gates_hide_nothing_that_ends_the_job(tmp_path: Path, code: int, runs: int, wanted: int) -> None:
    """The first run's gates fail, and something else ends the second."""
    ends = "".join(
        f"in_run_{number}_head() {{ echo ran >&3; return {said}; }}\n"
        for number, said in enumerate((42, code))
    )
    done = job(tmp_path, shared(), ends)
    assert (done.stdout.count("ran"), done.returncode, last_word(tmp_path)) == (runs, wanted, wanted), done


def test_a_signal_while_it_clears_away_leaves_nothing(tmp_path: Path) -> None:
    """Where results are shared nobody else does, once the script has said its last word."""
    slow = """rm() {
      [ "$*" = "-rf $work" ] || { command rm "$@"; return; }
      sh -c 'kill -TERM $PPID $$; exec rm "$@"' sh "$@"
    }"""
    done = job(tmp_path, shared(), slow)
    assert done.returncode == Exit.OK, done
    assert not (tmp_path / "work").exists()


SLOW = """{command}() {{
  [ "${{*: -1}}" = "$work" ] || {{ command {command} "$@"; return; }}
  sh -c 'kill -TERM $PPID $$; sleep 3; echo waited >&3'
}}
"""
TIMEOUT = 'timeout() { echo "$*" >&3; return 137; }\n'
UNTIMED = 'rm() { [ "${*: -1}" != "$work" ] || echo "without a bound" >&3; command rm "$@"; }\n'


@pytest.mark.parametrize(
    "changes",
    [
        SLOW.format(command="rm"),
        SLOW.format(command="chmod") + UNTIMED,
        "gone() { [ $1 != $out/run-1-head/stderr.log ] || kill -TERM $$; }\n" + UNTIMED,
    ],
    ids=["rm", "chmod", "after the last run"],
)
def test_a_signal_while_it_clears_away_costs_no_last_word(tmp_path: Path, changes: str) -> None:
    """The job is killed soon after: all was measured, and that is said although a folder is left."""
    done = job(tmp_path, shared(), changes + TIMEOUT)
    assert (done.returncode, last_word(tmp_path), (tmp_path / "done").exists()) == (Exit.OK, Exit.OK, True)
    assert "waited" not in done.stdout
    assert "without a bound" not in done.stdout
    assert f"-s KILL 4 rm -rf {tmp_path}/work" in done.stdout


def test_a_cancelled_job_says_no_last_word_before_its_folder_is_gone(tmp_path: Path) -> None:
    """Else nobody would clear that away: where there is none, the launcher sends a small job."""
    slow = 'rm() { [ "${*: -1}" != "$work" ] || echo "without a bound" >&3; command rm "$@"; }\n'
    done = job(tmp_path, shared(), "gone() { kill -TERM $$; }\n" + TIMEOUT + slow)
    assert (done.returncode, last_word(tmp_path)) == (Exit.CANCELLED, Exit.CANCELLED)
    assert "-s KILL" not in done.stdout
    assert not (tmp_path / "work").exists()


def test_the_script_waits_for_srun_and_not_for_a_shell_around_it(tmp_path: Path) -> None:
    """A signal to all of the job ends such a shell at once; srun passes it on, and comes back when its task has ended."""
    script = shared()
    task = tmp_path / "bin/srun"
    task.parent.mkdir()
    task.write_text(SRUN)
    task.chmod(0o755)
    enter = script.split("\nin_run_0_head() {")[1].split("\n}", maxsplit=1)[0]
    text = f"PATH={task.parent}:$PATH\nin_run_0_head() {{{enter}\n}}\n(sleep 0.7; kill -TERM -- -$$) &"
    done = job(tmp_path, script, text)
    assert done.returncode == Exit.CANCELLED, done
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(one["kind"], one["name"], one.get("facts")) for one in told] == [
        ("srun", "run-0-head", None),
        ("end", "run", None),
        ("srun", "run-0-head", {"exit": 130}),
        ("end", "job", {"exit": 130}),
    ]


@pytest.mark.hostile
def test_a_server_that_does_not_end_counts_more_than_gates(tmp_path: Path) -> None:
    """Else the next run would begin beside it."""
    text = "gone() { :; }\ncode=42\n(trap '' TERM; exec sleep 40) &\nserver=$!\nended x\necho $code $stuck\nkill -KILL $! 2>/dev/null"
    short = two_containers().replace("{1..300}", "{1..3}").replace("{1..100}", "{1..3}")
    done = in_bash(short, text, tmp_path, "ended", "say")
    assert done.stdout.strip() == "33 1", done


def test_a_copy_that_breaks_off_is_none(tmp_path: Path) -> None:
    """Later runs would read half a file, or none where the whole one could still come."""
    (tmp_path / "from").mkdir()
    (tmp_path / "from/requests.json").write_text("whole")
    breaks = 'timeout() { printf wh >"$5"; return 124; }'
    text = f"take {tmp_path}/from requests.json {tmp_path}/requests.json\n"
    in_bash(two_containers(), f"{breaks}\n{text}", tmp_path, "take", "say")
    assert {path.name for path in tmp_path.iterdir()} == {"from", "events.jsonl"}
    assert "the copy of requests.json broke off" in (tmp_path / "events.jsonl").read_text()
    in_bash(two_containers(), text, tmp_path, "take")
    assert (tmp_path / "requests.json").read_text() == "whole"


def test_a_start_that_broke_off_is_marked_before_it_is_moved(tmp_path: Path) -> None:
    """A node that dies in between leaves nothing that would be judged beside the next start's records."""
    out = tmp_path / "jobs/j"
    out.mkdir(parents=True)
    (out / "events.jsonl").write_text("x\n")
    script = shared().replace("/home/perf/results/golden", str(tmp_path))
    text = (
        f'out={out} done={out}/done SLURM_RESTART_COUNT=1\nmv() {{ command mv "$@"; kill -KILL $$; }}\nbegin'
    )
    assert in_bash(script, text, tmp_path / "work", "begin", "clear_away", "say").returncode < 0
    (moved,) = (tmp_path / "broken").rglob("events.jsonl")
    assert (moved.parent.parent / "broken.json").exists()
