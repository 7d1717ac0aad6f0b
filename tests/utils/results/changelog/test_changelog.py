"""perf-changelog.yaml: what is refused, what `add` writes, and that the author's words stay."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import Exit, HarnessError
from tests.conftest import ROOT, Cli
from tests.utils.results.conftest import Records, sides
from utils.report.grouped import points
from utils.results.changelog import entries as changelog
from utils.results.changelog.edit import Stub, add
from utils.results.collect import collect
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import ClaimVerdict

KEY = "k1:" + "3f" * 8
GOOD = f"""\
# a remark at the top
a-vllm:
- pr: 7   # a remark of the author
  title: "Seven: better"
  why: [because, "it, was"]
  expect: {{8k1k-tp8-ep8-c256: {{tpot: "<= -2%"}}}}
  date: 2026-06-16
  base: {{commit: {"a" * 40}}}
  head: {{commit: {"b" * 40}, image: x, vllm: 0.32.0, device: MI300X}}
  points:
    8k1k-tp8-ep8-c256: {{key: "{KEY}", tput: 1000.1, ttft: 40.12, tpot: 150.37, power: 700, vs: {{tput: +3.4%}}, n: 2+2, verdict: {{tpot: improvement}}}}
  missing:
    8k1k-tp8-ep8-c128: the node went away
- pr: 6
  title: Six
  why: [because]
  date: 2026-06-15
  source: a public run
  points:
    8k1k-tp8-ep8-c256: {{key: "{KEY}", tput: 900, ttft: 41, tpot: 152, n: 0+1}}
r:
- pr: 42
  title: A stub that waits
  why: [to be measured]
"""
BAD = {
    "unknown key": ("pr: 7 ", "prr: 7 ", "unknown key 'prr'; did you mean 'pr'?"),
    "no reason": ("  why: [because]\n", "", "14:3: 'why' is missing"),
    "sections out of order": ("a-vllm:", "z-vllm:", "section 'r' comes after 'z-vllm'"),
    "older first": ("2026-06-15", "2026-06-17", "2026-06-17 is below 2026-06-16; the newest entry comes first"),
    "two of one pull request": ("pr: 6", "pr: 7", "pull request 7 has two entries"),
    "a key that is none": (KEY, "k1:xyz", "11:25: 'key' cannot be"),
    "a claim that is none": ("<= -2%", "better", "'tpot' cannot be"),
    "a claim about nothing": ('{tpot: "<=', '{speed: "<=', "nothing is known of the noise of 'speed'"),
    "a claim that nothing decides": ('{tpot: "<=', '{e2el: "<=', "claims are about tput, ttft, tpot, "),
    "a point over lines": (", tput: 1000.1", ",\n      tput: 1000.1", "write each on one line"),
    "figures and missing": ("8k1k-tp8-ep8-c128: the", "8k1k-tp8-ep8-c256: the", "cannot have figures and be missing"),
    "figures without head": ("  source: a public run\n", "", "needs date and head, or date and source"),
    "a change behind a figure of an older format": ("tput: 900", "tput: 900 +37.9%", "write `format: 3`"),
    "negative throughput": ("tput: 900", "tput: -900", "greater than 0"),
    "not yaml": ("[because]", "[because", "not YAML"),
}  # fmt: skip


def test_a_good_changelog_is_read() -> None:
    """The text that the mistakes are made in is a good one."""
    log = changelog.read(GOOD.encode())
    assert [entry.pr for entry in log.root["a-vllm"]] == [7, 6]
    assert log.root["r"][0].is_stub
    assert changelog.read(b"# only words\n").root == {}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_told_at_its_place(case: str) -> None:
    """With file, line and column."""
    old, new, wanted = BAD[case]
    assert old in GOOD
    with pytest.raises(HarnessError) as caught:
        changelog.read(GOOD.replace(old, new, 1 if old != KEY else -1).encode())
    assert caught.value.exit_code is Exit.CHANGELOG_INVALID
    assert wanted in str(caught.value)
    assert all(problem.place.line for problem in caught.value.problems)


def test_add_fills_the_stub_and_keeps_every_other_letter(records: Records) -> None:
    """A diff shows added lines alone."""
    new = add(GOOD.encode(), "c.yaml", records(), [], Stub(42, "", ()))
    assert new.startswith(GOOD)
    entry = changelog.read(new.encode()).root["r"][0]
    assert (entry.pr, entry.title) == (42, "A stub that waits")
    assert list(entry.points) == ["32x16-tp1-c1", "32x16-tp1-c2"]
    assert entry.points["32x16-tp1-c1"].n == "0+1"
    assert entry.head
    assert entry.head.commit == "a" * 40


def test_add_replaces_the_entry_of_the_same_pull_request(records: Records) -> None:
    """Measured again means written again, once; comments of the author stay."""
    text = GOOD.replace("  title: A stub", "  # why now\n  title: A stub")
    once = add(text.encode(), "c.yaml", records(), [], Stub(42, "", ()))
    assert add(once.encode(), "c.yaml", records(), [], Stub(42, "", ())) == once
    assert "# why now" in once


def test_add_makes_an_entry_from_title_and_why(records: Records) -> None:
    """In a section that is sorted in, above older entries."""
    new = add(
        GOOD.split("r:\n", maxsplit=1)[0].encode(), "c.yaml", records(), [], Stub(3, "First", ("why: not",))
    )
    log = changelog.read(new.encode())
    assert list(log.root) == ["a-vllm", "r"]
    assert log.root["r"][0].why == ["why: not"]
    newer = add(new.encode(), "c.yaml", records(), [], Stub(4, "Second", ("more",)))
    assert [entry.pr for entry in changelog.read(newer.encode()).root["r"]] == [4, 3]


def test_remarks_between_sections_stay_where_they_are(records: Records) -> None:
    """They belong to what follows."""
    text = GOOD + "\n# about the last one\nz-vllm:\n- pr: 1\n  title: T\n  why: [w]\n"
    once = add(text.encode(), "c.yaml", records(), [], Stub(42, "", ()))
    twice = add(once.encode(), "c.yaml", records(), [], Stub(42, "", ()))
    assert once == twice
    assert once.endswith("\n\n# about the last one\nz-vllm:\n- pr: 1\n  title: T\n  why: [w]\n")


@pytest.mark.parametrize(
    "text",
    [
        "a:\n  - pr: 1\n    title: T\n    why: [w]\n",
        "a: [{title: T, why: [w]}]\n",
        "{a: []}\n",
        "a:\r\n",
        "a: 1",
    ],
)
def test_layouts_that_add_cannot_keep_are_refused(text: str) -> None:
    """By `check` already, with a place."""
    with pytest.raises(HarnessError) as caught:
        changelog.read(text.encode())
    assert all(problem.place.line for problem in caught.value.problems)


def test_add_without_a_stub_says_what_to_write(records: Records) -> None:
    """Only a person knows title and why."""
    with pytest.raises(HarnessError, match="write one with pr, title and why"):
        add(b"", "c.yaml", records(), [], Stub(5, "", ()))


def test_add_compares_with_a_base(records: Records) -> None:
    """Differences stand in the line, and n counts both sides."""
    slower = records(slower=2.0)
    found = compare(slower, records(), Ledger())
    new = add(b"", "c.yaml", records(), slower, Stub(5, "Faster", ("x",)), comparison=found)
    line = changelog.read(new.encode()).root["r"][0].points["32x16-tp1-c1"]
    assert line.n == "1+1"
    assert list(line.vs)[:3] == ["tput", "ttft", "tpot"]
    assert line.vs["tpot"] == "-50.0%"


def test_add_writes_the_verdict_and_what_became_of_claims(pair: Records, noise: Ledger) -> None:
    """In the point's line, by metric, with its number; blocks that only confirm leave the figures alone."""
    first, again = pair(slower=1.1), pair(slower=1.1, block=2)
    base, head = sides([*first, *again])
    found = compare(base, head, noise)
    claim = ClaimVerdict(point="r/32x16-tp1-c1", metric="tpot", claim="<= -2%", outcome="fails", why="")
    found = found.model_copy(update={"claims": [claim]})
    stub = GOOD.replace("  title: A stub", '  expect: {32x16-tp1-c1: {tpot: "<= -2%"}}\n  title: A stub')
    new = add(stub.encode(), "c.yaml", head, base, Stub(42, "", ()), comparison=found)
    entry = changelog.read(new.encode()).root["r"][0]
    line = entry.points["32x16-tp1-c1"]
    assert line.n == "2+2"
    assert line.verdict == {
        "tput": "regression -9.1% (-10.5 to -7.7)",
        "ttft": "regression +10.0% (+8.3 to +11.7)",
        "tpot": "regression +10.0% (+8.3 to +11.7)",
    }
    assert entry.claims == {"32x16-tp1-c1": {"tpot": "fails"}}
    assert add(new.encode(), "c.yaml", head, base, Stub(42, "", ()), comparison=found) == new
    base, head = sides(pair())
    quiet = add(stub.encode(), "c.yaml", head, base, Stub(42, "", ()), comparison=compare(base, head, noise))
    line = changelog.read(quiet.encode()).root["r"][0].points["32x16-tp1-c1"]
    assert (line.word, line.verdict["tput"]) == (
        "no change seen",
        "no change seen >= 5.0%, unchanged within 1.7% (-2.1 to +2.2)",
    )


def test_a_verdict_that_is_none_is_refused() -> None:
    """Four words, with their number."""
    with pytest.raises(HarnessError, match="'tpot' cannot be"):
        changelog.read(GOOD.replace("{tpot: improvement}", "{tpot: better}").encode())


SILENT = f"""\
r:
- pr: 1
  title: Quiet
  why: [x]
  format: 3
  date: 2026-11-26
  notes: [NOTE]
  head: {{commit: {"a" * 40}, image: i, vllm: "1", device: d}}
  points:
    32x16-tp1-c1: {{verdict: none, tput: 384 +37.9%, n: 1+1, key: "k1:{"b" * 16}"}}
    32x16-tp1-c2: {{verdict: none, tput: 384 +37.9%, n: 1+1, key: "k1:{"c" * 16}"}}
"""


@pytest.mark.parametrize(
    ("note", "silent"),
    [
        ("an arm's own runs differ more than the change in 1 of 2 points", "c1"),
        ("no verdict", "c1"),
        ("no verdict for 3 figures of 2 points, the first r/32x16-tp1-c1", "c1"),
        ("no verdict for 3 figures of r/32x16-tp1-c1: no noise is known", "c2"),
        ("no verdict for 3 figures of all 2 points: no noise is known", ""),
        ("no verdict for 6 figures of 2 points, the first r/32x16-tp1-c1: no noise is known", ""),
        ("no verdict for 2 of 2 points, and this older entry does not say why", ""),
        ("no verdict: one run an arm", ""),
    ],
)
def test_a_change_without_a_verdict_wants_a_reason_and_no_other_note(note: str, silent: str) -> None:
    """What runs differ by does not say why nothing was judged; a reason of one point is none of another."""
    text = SILENT.replace("NOTE", f'"{note}"').encode()
    if not silent:
        assert changelog.read(text).root["r"][0].notes == [note]
        return
    with pytest.raises(HarnessError, match="a change without a verdict needs a reason") as caught:
        changelog.read(text)
    (problem,) = caught.value.problems
    assert problem.place.line == (10 if silent == "c1" else 11)


def test_the_device_of_an_old_record_is_no_cpu() -> None:
    """Records of before the tool was asked name no GPU; the entry says what the cluster's file says, as the report does."""
    found = collect([ROOT / "kernels/minimax_m3_ep/results/2026-11-26-h100-server"])
    head = [one for one in found if one.arm == "head"]
    assert {one.node.gpu_model for one in head} == {None}
    entry = next(
        iter(changelog.read(add(b"", "c.yaml", head, [], Stub(5, "T", ("x",))).encode()).root.values())
    )[0]
    assert entry.head
    assert entry.head.device == "H100"
    (cpu, *_) = points(
        [(one.model_copy(update={"parts": {"devices": {"model": "cpu"}}}), Path()) for one in head]
    )
    assert cpu.device == head[0].node.cpu_model


def test_add_lists_what_is_missing(records: Records) -> None:
    """A point that failed has a reason instead of figures."""
    entry = changelog.read(add(b"", "c.yaml", records(failed=True), [], Stub(5, "T", ("x",))).encode()).root[
        "r"
    ][0]
    assert list(entry.points) == ["32x16-tp1-c1"]
    assert entry.missing == {"32x16-tp1-c2": "the server ended: on purpose"}


@pytest.mark.parametrize(
    ("commit", "quoted"),
    [
        ("0bb88a7d3ab4951fbcca142462031ec85d62fa82", False),
        ("0123" * 10, True),
        ("1" * 40, True),
        ("1234567890123456789012345678901234567e12", True),
        ("0b" + "01" * 19, True),
        ("fa85ae3e4c" * 4, False),
    ],
)
def test_any_commit_comes_back(records: Records, commit: str, *, quoted: bool) -> None:
    """Some begin as a number does, and some are one to a reader of YAML: an entry that cannot be read is not published."""
    base, head = (
        [
            one.model_copy(update={"provenance": one.provenance.model_copy(update={"tree_commit": commit})})
            for one in side
        ]
        for side in (records(slower=2.0), records())
    )
    new = add(b"", "c.yaml", head, base, Stub(5, "T", ("x",)), comparison=compare(base, head, Ledger()))
    entry = changelog.read(new.encode()).root["r"][0]
    assert entry.head is not None
    assert entry.base is not None
    assert (entry.head.commit, entry.base.commit) == (commit, commit)
    assert new.partition("commit: ")[2].startswith('"') is quoted


def test_add_refuses_records_of_uncommitted_code(records: Records) -> None:
    """No commit would stand for the figures."""
    with pytest.raises(HarnessError, match="uncommitted changes"):
        add(b"", "c.yaml", records(clean=False), [], Stub(5, "T", ("x",)))


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1),
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1), min_size=1),
)
def test_any_title_and_reason_come_back(title: str, why: list[str]) -> None:
    """Round trip of what a person writes, quoted as needed."""
    from utils.results.changelog.edit import _author_lines

    entry = changelog.read(("r:\n" + "".join(_author_lines(Stub(1, title, tuple(why)), "r"))).encode()).root[
        "r"
    ][0]
    assert (entry.title, entry.why) == (title, why)


def test_entries_of_different_recipes_merge(tmp_path: Path) -> None:
    """Two branches that each add to a section of its own do not conflict (a real git merge)."""
    paths = []
    for name, text in (
        ("base", GOOD),
        ("ours", GOOD.replace("a-vllm:\n", "a-vllm:\n- pr: 9\n  title: Nine\n  why: [x]\n")),
        ("theirs", GOOD.replace("\nr:\n", "\nr:\n- pr: 50\n  title: Fifty\n  why: [y]\n")),
    ):
        paths.append(tmp_path / name)
        paths[-1].write_text(text)
    base, ours, theirs = map(str, paths)
    done = subprocess.run(
        ["git", "merge-file", "-p", ours, base, theirs], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Nine" in done.stdout
    assert "Fifty" in done.stdout


def test_stale_entries_are_told() -> None:
    """An entry speaks for keys; when the tree has others, it says which."""
    entries = changelog.read(GOOD.encode()).root["a-vllm"]
    assert changelog.stale(entries, {"8k1k-tp8-ep8-c256": KEY, "8k1k-tp8-ep8-c128": "k1:0"}) == []
    found = changelog.stale(entries, {"8k1k-tp8-ep8-c256": "k1:" + "0" * 16, "1k1k-tp8-c1": KEY})
    assert len(found) == 2
    assert "was measured as" in found[0]


def test_the_projects_own_changelog_is_measured_and_current(cli: Cli) -> None:
    """An entry of the tiny recipe, measured by this code, whose keys are this tree's."""
    log = changelog.read((ROOT / changelog.FILE).read_bytes())
    entry = log.root["qwen3moe-tiny-cpu-vllm"][0]
    assert len(entry.points) == 6
    assert entry.source is None
    done = cli("changelog", "check", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = cli("changelog", "show", "qwen3moe-tiny-cpu-vllm/128x64-tp1-c4").stdout
    assert "128x64-tp1-c4" in shown
    assert "256x64" not in shown
    assert cli("changelog", "show", "qwen3moe-*/128x64-tp1-c4").stdout == shown
    wrong = cli("changelog", "show", "qwen3moe-tiny-cpu-vllm/128x64-tp1-c44")
    assert wrong.returncode == Exit.NOTHING_SELECTED
    assert "did you mean 'qwen3moe-tiny-cpu-vllm/128x64-tp1-c4'?" in wrong.stderr


def test_add_and_check_as_commands(cli: Cli, records: Records, tmp_path: Path) -> None:
    """From folders on disk to a file."""
    records()
    file = tmp_path / "log.yaml"
    done = cli(
        "changelog",
        "add",
        str(tmp_path / "records-0"),
        "--pr",
        "8",
        "--title",
        "T",
        "--why",
        "w",
        "--file",
        str(file),
    )
    assert done.returncode == 0, done.stderr
    assert cli("changelog", "check", "--file", str(file)).returncode == 0
    assert cli("changelog", "show", "nothing", "--file", str(file)).returncode == Exit.NOTHING_SELECTED
    assert file.stat().st_mode & 0o777 == 0o644
    file.write_text(file.read_text().replace("tput", "tpu"))
    assert cli("changelog", "check", "--file", str(file)).returncode == Exit.CHANGELOG_INVALID
