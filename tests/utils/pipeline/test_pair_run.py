"""`run --pair` from plan to verdict, with the FAKE vLLM: both arms in one allocation, then one more block for what may be a change."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import Cli, run_git
from utils.node.record import Record
from utils.results.collect import collect
from utils.results.verdict.ledger import differences
from utils.results.verdict.ledger_lines import Difference

BEFORE = "  flags: {block-size: 16}"
SLOW = '  env: {FAKE_VLLM: "slow"}'


class Pairs:
    """Runs of the small tree's recipe against its commit."""

    def __init__(self, cli: Cli, tree: Path, fake: Path, folder: Path) -> None:
        self.cli, self.tree, self.fake, self.folder = cli, tree, fake, folder
        self.ledger = folder / "ledger.jsonl"
        self.ledger.touch()

    def run(self, out: str, *more: str) -> subprocess.CompletedProcess[str]:
        """`run` with this tree, into a folder if one is named."""
        given = ["--tree", str(self.tree), "--environment", str(self.fake), "--out", str(self.folder / out)]
        return self.cli("run", *given, "--ledger", str(self.ledger), *more)

    def confirm(self, out: str, *more: str) -> subprocess.CompletedProcess[str]:
        """`run --confirm` of a folder."""
        return self.cli("run", "--confirm", str(self.folder / out), "--ledger", str(self.ledger), *more)

    def slow(self) -> None:
        """The head's vLLM takes a fifth longer for each token."""
        path = self.tree / "recipes/r.yaml"
        path.write_text(path.read_text().replace(BEFORE, f"{BEFORE}\n{SLOW}"))

    def quiet(self, records: list[Record]) -> None:
        """A MADE ledger of this machine: runs that vary by half a percent."""
        lines: list[Difference] = []
        for number in range(10):
            values = {"tput": 0.007, "ttft": 0.007, "tpot": -0.007}
            update = {"allocation": f"made-{number}", "values": values}
            lines += [one.model_copy(update=update) for one in differences(records)]
        self.ledger.write_text("".join(f"{line.model_dump_json()}\n" for line in lines))


@pytest.fixture
def pairs(cli: Cli, git_tree: Path, fake_environment: Path, tmp_path: Path) -> Pairs:
    """A tree with one commit, and nothing measured yet."""
    return Pairs(cli, git_tree, fake_environment, tmp_path)


def test_a_slower_head_is_found_and_confirmed(pairs: Pairs) -> None:
    """From `run --pair main` alone: B H H B after a canary, a verdict, one more block of both arms, the same sign: a regression."""
    same = pairs.run("same", "r", "--pair", "main")
    assert same.returncode == 0, same.stdout + same.stderr
    assert (pairs.folder / "same/ledger.jsonl").read_bytes() == b""
    records = collect([pairs.folder / "same"])
    assert [(one.run_index, one.arm) for one in records if one.position == 0] == [
        (0, "base"),
        (1, "head"),
        (2, "head"),
        (3, "base"),
    ]
    assert same.stdout.count("canary: r/32x16-tp1-c1 works") == 2
    assert len({one.allocation for one in records}) == 1
    assert len({(one.load.seed, one.load.requests) for one in records if one.load and one.position == 0}) == 1
    pairs.quiet(records)

    pairs.slow()
    done = pairs.run("slow", "r", "--pair", "main")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "measuring 2 points once more, to confirm" in done.stdout
    found = json.loads((pairs.folder / "slow/verdict.json").read_text())
    words = {metric: one["word"] for metric, one in found["points"][0]["metrics"].items()}
    assert words == {"tput": "regression", "ttft": "no change seen", "tpot": "regression"}
    assert found["points"][0]["metrics"]["tpot"]["percent"] == pytest.approx(20, abs=1)
    assert found["points"][0]["vary"] == ["env.FAKE_VLLM"]
    assert "\nregression in 2 of 2 points; throughput" in done.stdout
    both = collect([pairs.folder / "slow"])
    assert {one.block for one in both} == {1, 2}
    base = run_git(pairs.tree, "rev-parse", "main").strip()
    assert {(one.provenance.tree_commit, one.provenance.tree_clean) for one in both if one.arm == "base"} == {
        (base, True)
    }
    assert {one.provenance.tree_clean for one in both if one.arm == "head"} == {False}


def test_confirmation_is_a_stage_of_its_own(pairs: Pairs) -> None:
    """`--no-confirm` leaves flags waiting, without a word; `run --confirm DIR` does what is left, and nothing twice."""
    pairs.run("same", "r/*c1", "--pair", "main")
    pairs.quiet(collect([pairs.folder / "same"]))
    pairs.slow()
    out = str(pairs.folder / "slow")
    waiting = pairs.run("slow", "r/*c1", "--pair", "main", "--no-confirm")
    assert f"./servematrix run --confirm {out}" in waiting.stdout
    assert "may be a regression, and must repeat in one more block" in waiting.stdout
    assert pairs.confirm("slow", "r").returncode == Exit.USAGE
    done = pairs.confirm("slow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "confirmed by a second block" in done.stdout
    again = pairs.confirm("slow")
    assert "measuring" not in again.stdout
    assert "confirmed by a second block" in again.stdout
    assert "has no plan.json of a run" in pairs.confirm("").stderr
    alone = pairs.run("alone", "r/*c1")
    assert alone.returncode == 0
    assert "without --pair" in pairs.confirm("alone").stderr


@pytest.mark.nightly
def test_a_confirmation_that_was_cut_off_is_measured_again(pairs: Pairs) -> None:
    """Its half is kept raw and judged by nobody; a tree that changed since is refused."""
    pairs.run("same", "r/*c1", "--pair", "main")
    pairs.quiet(collect([pairs.folder / "same"]))
    pairs.slow()
    pairs.run("slow", "r/*c1", "--pair", "main", "--no-confirm")
    half = pairs.folder / "slow/confirmation/jobs/x/run-0-base/32x16-tp1-c1"
    half.mkdir(parents=True)
    (half / "record.json").write_text("cut off")
    recipe = pairs.tree / "recipes/r.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("block-size: 16", "block-size: 8"))
    assert pairs.confirm("slow").returncode == Exit.NOT_COMPARABLE
    recipe.write_text(text)
    (pairs.folder / "slow/confirmation").rename(pairs.folder / "aside")
    first = pairs.confirm("slow", "--budget", "0.01")
    assert first.returncode == Exit.OVER_BUDGET, first.stdout
    (pairs.folder / "aside").rename(pairs.folder / "slow/confirmation")
    moved = pairs.folder / "slow/broken/confirmation.1"
    (half / "record.json").unlink()
    done = pairs.confirm("slow")
    assert "confirmed by a second block" in done.stdout, done.stdout + done.stderr
    assert (moved / "broken.json").exists()


def test_both_servers_are_printed_by_hand(pairs: Pairs) -> None:
    """And what their turns are."""
    pairs.slow()
    written = pairs.run("scripts", "r/*c1", "--pair", "main", "--print-script").stdout.splitlines()
    shown = "".join(Path(path).read_text() for path in written)
    assert "# two servers in turns, each run a fresh one: base head head base" in shown
    assert shown.count("vllm serve") == 2
    assert shown.count("servers+=(FAKE_VLLM=slow)") == 1


def test_a_broken_changelog_withholds_no_verdict_and_a_broken_ledger_is_an_error(pairs: Pairs) -> None:
    """Claims cannot be read then, and that is all; without a ledger there is nothing to judge by."""
    (pairs.tree / "perf-changelog.yaml").write_text("r: [")
    done = pairs.run("same", "r/*c1", "--pair", "main")
    assert done.returncode == 0
    assert (pairs.folder / "same/verdict.json").exists()
    pairs.ledger.write_text("nonsense\n")
    broken = pairs.run("again", "r/*c1", "--pair", "main")
    assert broken.returncode == Exit.LEDGER_INVALID
    assert "not a line of a ledger" in broken.stdout


def test_a_base_that_cannot_start_ends_the_job(pairs: Pairs) -> None:
    """Its canary says so before a run is wasted: without a base there is nothing to compare."""
    path = pairs.tree / "recipes/r.yaml"
    good = path.read_text()
    path.write_text(good.replace(BEFORE, f'{BEFORE}\n  env: {{FAKE_VLLM: "exit-at-start"}}'))
    run_git(pairs.tree, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "broken")
    path.write_text(good)
    done = pairs.run("out", "r/*c1", "--pair", "main")
    assert done.returncode == Exit.SERVER_EXITED, done.stdout + done.stderr
    assert "failed: r/32x16-tp1-c1: the canary of base: the server ended before it was ready" in done.stdout
    assert list((pairs.folder / "out/jobs").glob("*/canary-base/*/server.log"))


def test_a_later_point_that_fails_in_the_canary_costs_no_other(pairs: Pairs) -> None:
    """It is loaded there only for the caches: its runs say what is wrong with it, and the smaller point is compared."""
    path = pairs.tree / "recipes/r.yaml"
    path.write_text(path.read_text().replace(BEFORE, f'{BEFORE}\n  env: {{FAKE_VLLM: "fails-at-2"}}'))
    done = pairs.run("out", "r", "--pair", "main", "--no-confirm")
    assert "canary: r/32x16-tp1-c2 failed" in done.stdout, done.stdout + done.stderr
    found = collect([pairs.folder / "out"])
    assert {(one.arm, one.point[-2:], one.status) for one in found} == {
        ("base", "c1", "measured"),
        ("base", "c2", "measured"),
        ("head", "c1", "measured"),
        ("head", "c2", "failed"),
    }
    assert len(found) == 8
    failed = [one for one in found if one.status == "failed"]
    assert {one.failure.reason for one in failed if one.failure} == {"CLIENT_FAILED"}
    assert [one.accuracy for one in failed] == [[], []], "what has no figures says nothing of answers either"


def test_what_an_arm_compiled_is_its_own(pairs: Pairs) -> None:
    """Each run has what its own arm's canary left, as a copy; never what the other arm, or an earlier run, put there."""
    path = pairs.tree / "recipes/r.yaml"
    path.write_text(path.read_text().replace(BEFORE, f'{BEFORE}\n  env: {{FAKE_VLLM: "poisoned"}}'))
    done = pairs.run("out", "r/*c1", "--pair", "main", "--no-confirm")
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    seen = {}
    for log in (pairs.folder / "out/jobs").glob("*/run-*/server.log"):
        (line,) = [line for line in log.read_text().splitlines() if line.startswith("compiled before:")]
        seen[log.parent.name] = re.findall(r"(\w+)-\d+", line)
    assert seen == {
        "run-0-base": ["healthy"],
        "run-1-head": ["poisoned"],
        "run-2-head": ["poisoned"],
        "run-3-base": ["healthy"],
    }
    records = collect([pairs.folder / "out"])
    digests = {arm: {one.caches[0].digest for one in records if one.arm == arm} for arm in ("base", "head")}
    assert all(len(found) == 1 for found in digests.values())
    assert digests["base"] != digests["head"]
    assert {(one.caches[0].name, one.caches[0].filled_by) for one in records} == {
        ("triton", "the canary of base"),
        ("triton", "the canary of head"),
    }


def test_a_head_that_cannot_start_ends_the_job_with_its_reason(pairs: Pairs) -> None:
    """Its canary's server log stays, and what is missing says why."""
    path = pairs.tree / "recipes/r.yaml"
    path.write_text(path.read_text().replace(BEFORE, f'{BEFORE}\n  env: {{FAKE_VLLM: "exit-at-start"}}'))
    done = pairs.run("out", "r/*c1", "--pair", "main")
    assert done.returncode == Exit.SERVER_EXITED, done.stdout + done.stderr
    assert "failed: r/32x16-tp1-c1: the canary of head: the server ended before it was ready" in done.stdout
    assert list((pairs.folder / "out/jobs").glob("*/canary/*/server.log"))
    found = collect([pairs.folder / "out"])
    assert {(one.arm, one.point, one.status) for one in found} == {
        (arm, "r/32x16-tp1-c1", "failed") for arm in ("base", "head")
    }
    assert {one.failure.reason for one in found if one.failure} == {"SERVER_EXITED"}
