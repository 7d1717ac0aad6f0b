"""What a sweep takes from runs of foreign code: only what its plan asked for, judged by the plan's rules, under names of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest

from matrix import select
from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from matrix.rules import Rules
from matrix.source import Folder
from matrix.tree import Tree
from tests.utils.conftest import HEAD, TREE, GitHub
from tests.utils.results.conftest import _record
from utils.github import pulls
from utils.github.push import Git
from utils.github.trigger import Event
from utils.node import record, record_file
from utils.pipeline import other_arm as basis
from utils.sweeps import approval, publish
from utils.sweeps.entry import committed_changelog, refuse_bad_changelog
from utils.sweeps.publish import _checked, _checks, _entry, _is_current, _no_report, _only_filled
from utils.sweeps.report import Report
from utils.sweeps.returned import taken

COMMIT = "d" * 40


@pytest.fixture
def plan(git_tree: Path) -> Plan:
    """Both points of the small recipe against their commit."""
    tree = Tree.of(Folder(git_tree))
    return select.chosen(tree, ["r"], basis.base_of("main", git_tree, tree, ["r"]))


def left(folder: Path, plan: Plan, artifact: str = "results-1-job", **update: Any) -> Path:
    """A record that a run of the head left, changed by its kernel."""
    point = plan.jobs[0].points[0]
    plain = _record(0, 1, slower=1.0, clean=True, parts={"model": "m"})
    one = plain.model_copy(update={"key": point.key, "arm": "head", "allocation": "slurm-1", **update})
    return record_file.save(
        one, folder / artifact / "jobs/job" / f"run-{one.run_index}-{one.arm}" / one.point.split("/")[1]
    )


def test_what_the_plan_asked_for_is_taken_by_the_plans_word(tmp_path: Path, plan: Plan) -> None:
    """Rules that a kernel wrote into its record do not count, and its allocation gets a name that no other sweep has."""
    lax = Rules(floors={"tput": 99.0, "ttft": 99.0, "tpot": 99.0})
    left(tmp_path / "results", plan, rules=lax, vary=["model"])
    notes: list[str] = []
    (one,) = taken(tmp_path / "results", plan, notes, "991", COMMIT).values()
    assert one.rules == Rules()
    assert one.vary == []
    assert one.allocation == "sweep-991-1-job"
    assert one.provenance.tree_commit == COMMIT, "claims are looked up there"
    assert notes == []


@pytest.mark.parametrize(
    "forged",
    [
        {"point": "r/32x16-tp1-c64"},
        {"point": "other/32x16-tp1-c1"},
        {"key": "k1:" + "9" * 16},
        {"block": 2},
        {"arm": "base", "key": "k1:" + "9" * 16},
        {"run_index": 99},
        {"run_index": -1},
        {"run_index": 0},
    ],
    ids=str,
)
def test_what_it_did_not_ask_for_is_left_out(tmp_path: Path, plan: Plan, forged: dict[str, Any]) -> None:
    """Another point, another key, a block that was not measured: said in a note, and neither judged nor kept."""
    left(tmp_path / "results", plan, **forged)
    notes: list[str] = []
    assert taken(tmp_path / "results", plan, notes, "991", COMMIT) == {}
    assert "the plan asked for no such thing" in notes[0]


def test_one_unreadable_record_loses_no_other(tmp_path: Path, plan: Plan) -> None:
    """It is named; links are unreadable, too. Of two attempts at a job the newest counts."""
    path = left(tmp_path / "results", plan)
    other = path.parent.parent / "32x16-tp1-c2"
    other.mkdir()
    (other / record.FILE).symlink_to(path)
    notes: list[str] = []
    assert len(taken(tmp_path / "results", plan, notes, "991", COMMIT)) == 1
    assert "a record is left out" in notes[0]
    left(tmp_path / "results", plan, "results-2-job")
    (one,) = taken(tmp_path / "results", plan, [], "991", COMMIT).values()
    assert one.allocation == "sweep-991-2-job"


def test_a_changelog_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """It could lead to any file of the machine that publishes."""
    assert committed_changelog(tmp_path) == b""
    (tmp_path / "secret").write_text("r: []")
    (tmp_path / "perf-changelog.yaml").symlink_to(tmp_path / "secret")
    with pytest.raises(HarnessError, match="symbolic link"):
        committed_changelog(tmp_path)


def test_a_bad_changelog_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """A link, a folder, UTF-16, another format: each costs no GPU hour; none at all is good."""
    refuse_bad_changelog(tmp_path)
    path = tmp_path / "perf-changelog.yaml"
    for content in ("r: []\n".encode("utf-16"), b"\xff", b"r: [{nothing: of it}]\n", b"[" * 5000):
        path.write_bytes(content)
        with pytest.raises(HarnessError):
            refuse_bad_changelog(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(HarnessError):
        refuse_bad_changelog(tmp_path)
    path.rmdir()
    path.symlink_to("/etc/passwd")
    with pytest.raises(HarnessError):
        refuse_bad_changelog(tmp_path)


def test_a_failed_plan_is_never_nothing_to_measure(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs of a job count only if it went well: a log line could have set them."""
    monkeypatch.setenv("NEEDS", json.dumps({"plan": {"result": "failure", "outputs": {"count": "0"}}}))
    event = github.event("workflow_dispatch", inputs={"pull": "42", "sha": HEAD})
    _no_report(event)
    said = pulls.newest(github.api, HEAD, "servematrix/sweep")
    assert said is not None
    assert (said["state"], said["description"]) == ("error", "no report: the job plan failed")


def test_what_is_published_is_of_the_head_or_of_our_commit_on_it(github: GitHub) -> None:
    """An earlier attempt's own commit of the entry is no other head; a person's commit of the changelog is, and so is a closed pull request."""
    other = "f" * 40
    event = github.event("workflow_dispatch")
    assert _is_current(event, pulls.get(github.api, 42), HEAD)
    github.state.pull(42, other)
    github.state.trees[other] = TREE | {"perf-changelog.yaml": "d" * 40}
    assert not _is_current(event, pulls.get(github.api, 42), HEAD)
    approval.approve(github.api, other, "the sweep's own commit", "https://e.org/x")
    assert _is_current(event, pulls.get(github.api, 42), HEAD)
    github.state.trees[other]["kernels"] = "d" * 40
    assert not _is_current(event, pulls.get(github.api, 42), HEAD)
    github.state.pull(42, HEAD, state="closed")
    assert not _is_current(event, pulls.get(github.api, 42), HEAD)


ENTRY = "- pr: {pr}\n  title: {title}\n  why: [w]\n"
FIGURES = f"""\
  date: 2026-06-15
  head: {{{{commit: {"c" * 40}, image: i, vllm: v, device: d}}}}
  points:
    1k1k-tp1-c1: {{{{key: "k1:{"3f" * 8}", tput: {{n}}, ttft: 1, tpot: 1, n: 0+1}}}}
"""


def test_a_report_may_fill_one_entry_and_change_no_word() -> None:
    """Titles, reasons, claims, other entries: a report that would change them is not written."""
    old = "r:\n" + ENTRY.format(pr=2, title="T") + ENTRY.format(pr=1, title="Old") + FIGURES.format(n=1)
    filled = (
        "r:\n"
        + ENTRY.format(pr=2, title="T")
        + FIGURES.format(n=5)
        + ENTRY.format(pr=1, title="Old")
        + FIGURES.format(n=1)
    )
    _only_filled(old, filled)
    for bad in (
        filled.replace("title: T", "title: U"),
        filled.replace("tput: 1,", "tput: 9,"),
        "r:\n" + ENTRY.format(pr=2, title="T"),
    ):
        with pytest.raises(HarnessError) as caught:
            _only_filled(old, bad)
        assert caught.value.exit_code is Exit.ARTIFACT_INVALID


def test_an_entry_that_changes_words_is_not_written(github: GitHub, git_tree: Path) -> None:
    """The publishing job itself looks: the report came from another job, and the branch stays as it is."""
    old = "r:\n" + ENTRY.format(pr=2, title="T")
    (git_tree / "perf-changelog.yaml").write_text(old)
    new = "r:\n" + ENTRY.format(pr=2, title="Another title") + FIGURES.format(n=5)
    report = Report(sha=HEAD, pull=42, comparison=None, alone=[], missing=[], changelog=new, notes=[])
    with pytest.raises(
        HarnessError,
        match=re.escape(
            "would change more of r in perf-changelog.yaml than figures, so the entry is not written"
        ),
    ):
        _entry(github.event("workflow_dispatch"), pulls.get(github.api, 42), report, git_tree)
    assert (git_tree / "perf-changelog.yaml").read_text() == old


def test_the_data_branch_takes_regular_small_files_in_their_places(tmp_path: Path) -> None:
    """No link, no other depth, no odd name."""
    good = tmp_path / "r/sweep-1-1-job/run-0-head/32x16-tp1-c1/record.json"
    good.parent.mkdir(parents=True)
    good.write_text(json.dumps({}))
    (good.parent / "link.json").symlink_to(good)
    (good.parent / "-x").write_text("")
    (tmp_path / "r/top.json").write_text("")
    assert _checked(tmp_path) == [good]


def dispatched(github: GitHub, pull: str = "42") -> Event:
    return github.event("workflow_dispatch", inputs={"pull": pull, "sha": HEAD})


def needs(plan: str, run: str, judge: str = "skipped", **outputs: str) -> str:
    ends = {"plan": plan, "run": run, "judge": judge}
    made: dict[str, Any] = {name: {"result": result, "outputs": {}} for name, result in ends.items()}
    made["plan"]["outputs"] = outputs
    return json.dumps(made)


@pytest.mark.parametrize(
    ("told", "state", "words", "answered"),
    [
        (needs("success", "skipped", count="0"), "success", "nothing to measure", False),
        (needs("failure", "skipped", why="no point <b>matches</b>"), "error", "no report: no point", True),
        (needs("success", "failure", count="1"), "error", "no report: the job run failed", True),
        (
            needs("success", "failure", count="1", judge="failure"),
            "error",
            "no report: the job judge failed",
            True,
        ),
        (
            needs("success", "success", count="1", judge="success"),
            "error",
            "no report: what was judged could",
            True,
        ),
        (needs("success", "cancelled", count="1"), "error", "no report: it was cancelled", False),
    ],
)
def test_a_sweep_without_a_report_says_so(
    github: GitHub, monkeypatch: pytest.MonkeyPatch, told: str, *, state: str, words: str, answered: bool
) -> None:
    """On the commit, and where something broke as an answer on the pull request; whoever cancelled knows it."""
    monkeypatch.setenv("NEEDS", told)
    assert _no_report(dispatched(github)) is Exit.OK
    (status,) = github.state.statuses[HEAD]
    assert status["state"] == state
    assert status["description"].startswith(words)
    bodies = github.state.bodies(42)
    assert len(bodies) == answered
    shown = [cmarkgfm.github_flavored_markdown_to_html(body) for body in bodies]
    assert not any("<b>" in html for html in shown), "others' text stays text"
    assert all("<code>" in html for html in shown)
    github.state.statuses.clear()
    _no_report(dispatched(github, "0"))
    assert len(github.state.bodies(42)) == answered, "of no pull request there is nobody to answer"


def test_what_cannot_be_published_is_told(
    github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report of the judging job is not one: the commit says so, and does not wait for ever."""
    (tmp_path / "report.json").write_text("{}")
    monkeypatch.setattr(publish, "from_environment", lambda: dispatched(github))
    with pytest.raises(HarnessError):
        publish.publish(tmp_path, tmp_path)
    (status,) = github.state.statuses[HEAD]
    assert status["state"] == "error"
    assert status["description"].startswith("it could not be published: the report cannot be read")


@pytest.mark.parametrize(
    ("ended", "log", "carried"),
    [
        ("success", "", True),
        ("failure", "", False),
        (None, "", False),
        ("success", "r:\n" + ENTRY.format(pr=1, title="T") + FIGURES.format(n=1), False),
    ],
)
def test_checks_of_a_commit_hold_for_ours_where_they_went_well(
    github: GitHub, git_tree: Path, *, ended: str | None, log: str, carried: bool
) -> None:
    """Failed ones, those that have not ended, and a changelog with other keys than the tree's leave our commit without the status."""
    ours = "e" * 40
    (git_tree / "perf-changelog.yaml").write_text(log)
    if ended:
        github.state.checks[HEAD] = ended
    _checks(github.event("workflow_dispatch"), HEAD, ours, git_tree)
    assert [one["context"] for one in github.state.statuses.get(ours, [])] == ["lint and test"] * carried


@pytest.mark.parametrize("branch", ["main", "data", "pages"])
def test_an_entry_goes_to_no_branch_of_ours(
    github: GitHub, git_tree: Path, monkeypatch: pytest.MonkeyPatch, branch: str
) -> None:
    """Anybody may propose the default branch for another one: its entry is a patch, for a push would pass by its review."""
    old = "r:\n" + ENTRY.format(pr=2, title="T")
    (git_tree / "perf-changelog.yaml").write_text(old)
    new = old + FIGURES.format(n=5)
    report = Report(sha=HEAD, pull=42, comparison=None, alone=[], missing=[], changelog=new, notes=[])
    github.state.pull(42, HEAD, branch=branch)

    def run(_: Git, *words: str, **__: object) -> str:
        raise AssertionError(words)

    monkeypatch.setattr(Git, "run", run)
    event = github.event("workflow_dispatch", repository={"default_branch": "main"})
    commit, patch = _entry(event, pulls.get(github.api, 42), report, git_tree)
    assert commit == ""
    assert "as a patch" in patch[0]
