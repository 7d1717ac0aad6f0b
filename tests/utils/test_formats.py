"""Files of every version that there ever was can be read, and what a newer one adds is passed over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit, HarnessError
from tests.conftest import ROOT, Cli
from utils.node import record, record_file
from utils.results.changelog import entries
from utils.results.changelog.migrate import migrated
from utils.results.verdict import ledger
from utils.results.verdict.ledger_lines import LEGACY, Difference, Reset

OLD = ROOT / "tests/golden/formats"


def test_a_record_of_version_1(tmp_path: Path) -> None:
    """A real one, of 26 November 2026; what version 2 adds has its default."""
    one = record_file.read(OLD / "record-1.json")
    assert one.schema_version == record.SCHEMA == 2
    assert one.whole is not None
    assert one.whole.total_tok_per_s_per_device == pytest.approx(474.9, abs=0.05)
    assert (one.status, one.figures, one.environment, one.notes) == ("measured", "claimed", "", [])
    assert record_file.read(record_file.save(one, tmp_path)) == one


@pytest.mark.parametrize(
    ("reason", "status", "retry"),
    [("CANCELLED", "cancelled", True), ("STORAGE_FULL", "failed", True), ("SERVER_DIED", "failed", False)],
)
def test_a_failure_of_version_1(reason: str, status: str, retry: bool) -> None:  # noqa: FBT001 - a case
    """Whether another try is worth it follows from the code, never from the sentence."""
    content: dict[str, Any] = json.loads((OLD / "record-1.json").read_text())
    content |= {"status": "failed", "failure": {"reason": reason, "message": "infra? no", "evidence": []}}
    one = record.Record.model_validate(record_file.migrated(content))
    assert one.failure is not None
    assert (one.status, one.failure.retry) == (status, retry)


def test_a_ledger_of_version_1() -> None:
    """Its lines count, as legacy; a reset resets."""
    known = ledger.read(OLD / "ledger-1.jsonl")
    first, second = known.differences
    assert first.values == {"tput": 0.012, "ttft": None, "tpot": -0.011}
    assert (first.arm, first.issuer, first.contrast) == (LEGACY, LEGACY, LEGACY)
    assert second.held == "an alarm"
    assert known.spread("cpu", "", "r/32x16-tp1-c1", 1, "tput").df == 0


def test_a_newer_writer_is_read(tmp_path: Path) -> None:
    """A metric that this code does not know is kept in the ledger's file, a field is passed over; so in records."""
    line = ledger.read(OLD / "ledger-1.jsonl").differences[0].model_dump() | {"colour": "red"}
    line["values"]["itl_p99"] = 0.5
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps(line) + "\n")
    known = ledger.read(path)
    assert isinstance(known.lines[0], Difference)
    assert json.loads(ledger.text(known))["values"]["itl_p99"] == 0.5
    content = json.loads((OLD / "record-1.json").read_text()) | {"colour": "red"}
    content["whole"]["goodput"] = 1.0
    (tmp_path / "record.json").write_text(json.dumps(content))
    assert record_file.read(tmp_path / "record.json").status == "measured"


def test_migrate(cli: Cli, tmp_path: Path) -> None:
    """Once; what is in today's format stays to the letter."""
    folder = tmp_path / "results/job/run-0-head/p"
    folder.mkdir(parents=True)
    shutil.copy(OLD / "record-1.json", folder / "record.json")
    shutil.copy(OLD / "ledger-1.jsonl", tmp_path / "ledger.jsonl")
    paths = [str(tmp_path / "results"), str(tmp_path / "ledger.jsonl")]
    done = cli("migrate", *paths)
    assert (done.returncode, done.stdout) == (
        0, f"{paths[0]}: 1 records written in version 2\n{paths[1]}: 3 lines written in version 2\n",
    )  # fmt: skip
    before = [path.read_bytes() for path in (folder / "record.json", tmp_path / "ledger.jsonl")]
    assert "0 records" in cli("migrate", *paths).stdout
    assert before == [path.read_bytes() for path in (folder / "record.json", tmp_path / "ledger.jsonl")]
    assert cli("migrate", "/nowhere").returncode == Exit.USAGE


def test_migrate_says_what_it_did_not_write(cli: Cli, tmp_path: Path) -> None:
    """A record is named by its file, too; what is none of the three is no success."""
    one = Path(shutil.copy(OLD / "record-1.json", tmp_path / record.FILE))
    assert "1 records" in cli("migrate", str(one)).stdout
    assert json.loads(one.read_bytes())["schema_version"] == record.SCHEMA
    (tmp_path / "notes.txt").write_text("x")
    done = cli("migrate", str(tmp_path / "notes.txt"))
    assert (done.returncode, "none of these" in done.stderr) == (Exit.USAGE, True)
    (tmp_path / "a.yaml").mkdir()
    assert "0 records" in cli("migrate", str(tmp_path / "a.yaml")).stdout


@pytest.mark.parametrize("content", [{"failure": {"message": "x"}}, {"failure": {"reason": "CANCELLED"}}, {}])
def test_a_part_of_a_record_of_version_1_is_unreadable(tmp_path: Path, content: object) -> None:
    """Not an error in servematrix: whoever measured may have left anything."""
    path = tmp_path / record.FILE
    path.write_text(json.dumps(content))
    with pytest.raises(HarnessError) as caught:
        record_file.read(path)
    assert caught.value.exit_code == Exit.RECORD_UNREADABLE


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_a_ledger_with_other_ends_of_lines_in_its_texts(cli: Cli, tmp_path: Path, mark: str) -> None:
    """JSON need not escape them; a line feed alone ends a line."""
    path = Path(shutil.copy(OLD / "ledger-1.jsonl", tmp_path / "ledger.jsonl"))
    why = f"new power{mark}supplies"
    assert cli("ledger", "reset", "--device", "cpu", "--why", why, "--ledger", str(path)).returncode == 0
    last = ledger.read(path).lines[-1]
    assert isinstance(last, Reset)
    assert last.reset == why
    assert "0 lines" in cli("migrate", str(path)).stdout


def test_a_changelog_of_format_1_is_read_and_written_anew() -> None:
    """It had TTFT in s, without saying so; what its author wrote stays, and a second time changes nothing."""
    old = (OLD / "changelog-1.yaml").read_bytes()
    text, done = migrated(old)
    assert done == 1
    before, after = (entries.read(one).root["qwen3moe-tiny-cpu-vllm"] for one in (old, text.encode()))
    assert [one.model_dump(exclude={"format"}) for one in before] == [
        one.model_dump(exclude={"format"}) for one in after
    ]
    assert after[0].format == entries.FORMAT == 3
    assert after[0].points["128x64-tp1-c1"].figures == {"tput": 660.6, "ttft": 12.77, "tpot": 4.335}
    assert (
        '    128x64-tp1-c1: {tput:  660.6, ttft: 12.77, tpot: 4.335, n: 0+2, key: "k1:6f661b0e3b86224e"}\n'
        in text
    )
    assert [line for line in text.splitlines() if line[:4] in ("- ti", "  wh", "  da", "  he")] == [
        line for line in old.decode().splitlines() if line[:4] in ("- ti", "  wh", "  da", "  he")
    ]
    assert migrated(text.encode()) == (text, 0)


OF_2 = f"""\
r:
- pr: 4
  title: Four
  why: [because]
  format: 2
  date: 2026-11-26
  base: {{commit: {"a" * 40}}}
  head: {{commit: {"b" * 40}, image: x, vllm: "1", device: d}}
  points:
    128x64-tp1-c1: {{verdict: {{tput: no change seen >= 2.8%, tpot: regression +3.2%}}, vs: {{tput: +0.1%, tpot: +3.2%}}, tput: 1000.1, ttft: 12.7, tpot: 4.335, glow: 7, n: 2+2, reused: true, key: "k1:6f661b0e3b86224e"}}
    128x64-tp1-c2: {{vs: {{tput: +37.9%}}, tput: 12345.6, n: 2+2, key: "k1:6f661b0e3b86224f"}}
"""


def test_a_changelog_of_format_2_is_read_and_written_anew() -> None:
    """Nothing is lost, a metric that is not known included; a change without a verdict says that it has none."""
    text, done = migrated(OF_2.encode())
    assert done == 1
    assert migrated(text.encode()) == (text, 0)
    before, after = (entries.read(one).root["r"][0] for one in (OF_2.encode(), text.encode()))
    assert before.points == after.points
    one, other = after.points.values()
    assert (one.word, one.verdict["tpot"], one.vs["tput"], one.figures["glow"], one.reused) == (
        "regression tpot", "regression +3.2%", "+0.1%", 7, True,
    )  # fmt: skip
    assert (other.word, other.figures, other.vs) == ("none", {"tput": 12345.6}, {"tput": "+37.9%"})
    assert after.notes == ["no verdict for 1 of 2 points, and this older entry does not say why"]
    assert "    128x64-tp1-c1: {verdict: regression tpot, tput:  1000.1  +0.1%, ttft: 12.7," in text
