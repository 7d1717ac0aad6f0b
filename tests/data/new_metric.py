"""Run by tests/utils/test_new_metric.py in a copy of the tree whose table has one more metric, `itl_p99`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from matrix.metrics import JUDGED, figures
from matrix.rules import Rules
from tests.utils.results.conftest import Records, sides
from utils.cli import history as shown
from utils.cli.made_from_code import GENERATED
from utils.node.events import from_line
from utils.node.record import Record
from utils.results import history
from utils.results.changelog import entries
from utils.results.changelog.edit import Stub, add
from utils.results.verdict import ledger, present
from utils.results.verdict.compare import compare
from utils.show import tables

HEADING, JUDGED_HEADING = "ITL p99 ms", "ITL p99 steady ms"


def _with_itl(record: Record, itl_s: float) -> Record:
    windows = {
        name: window.model_copy(update={"itl_s": window.itl_s.model_copy(update={"p99": itl_s})})
        for name in ("whole", "steady")
        if (window := getattr(record, name))
    }
    return record.model_copy(update=windows | {"rules": Rules()})


@pytest.fixture
def measured(pair: Records) -> list[Record]:
    """A pair whose head is a fifth slower between tokens, and nothing else."""
    return [_with_itl(one, 0.024 if one.arm == "head" else 0.020) for one in pair()]


@pytest.fixture
def noise(pair: Records) -> ledger.Ledger:
    """Twenty differences of about 1 % a run, in the new metric as well."""
    known = ledger.Ledger()
    for number in range(10):
        runs = [
            _with_itl(one, 0.02 * (1.0142 if one.run_index % 2 else 1.0))
            for one in pair(noise=(1.0, 1.0142, 1.0, 1.0142))
        ]
        known, _, _ = known.with_records(
            [one.model_copy(update={"allocation": f"a{number}"}) for one in runs]
        )
    return known


def test_record_event_and_table(measured: list[Record]) -> None:
    """The record's figures, the line that a node sends, and the table at a run's end."""
    assert "itl_p99" in JUDGED
    assert figures(measured[0])["itl_p99"] == pytest.approx(20)
    line = json.dumps(
        {"kind": "point", "name": "r/p", "text": "measured", "facts": {"figures": figures(measured[0])}}
    )
    assert "ITL p99 20.0 ms" in tables.measured_line("p", from_line(line))
    out = io.StringIO()
    tables.results(out, measured)
    assert HEADING in out.getvalue()


def test_ledger_with_old_lines(noise: ledger.Ledger, tmp_path: Path) -> None:
    """An old ledger is read beside new lines, and stays silent about what it did not know."""
    old = (Path(__file__).parent / "tests/golden/formats/ledger-1.jsonl").read_text()
    file = tmp_path / "ledger.jsonl"
    file.write_text(old + ledger.text(noise))
    known = ledger.read(file)
    assert "itl_p99" not in known.differences[0].values
    assert "itl_p99" in known.differences[-1].values
    spread = known.spread("Intel(R) Xeon(R)", "", "r/32x16-tp1-c1", 1, "itl_p99")
    assert spread.calibration == "own"


def test_compare_comment_changelog_history(measured: list[Record], noise: ledger.Ledger) -> None:
    """The comparison judges it, the comment and the changelog show it, and history has it as a column."""
    base, head = sides(measured)
    comparison = compare(base, head, noise, confirmation=False)
    assert comparison.points[0].metrics["itl_p99"].word == "regression"
    comment = present.markdown(comparison)
    assert JUDGED_HEADING in comment
    assert HEADING in comment
    text = add(b"", "perf-changelog.yaml", head, base, Stub(1, "t", ("w",)), comparison=comparison)
    entry = entries.read(text.encode()).root["r"][0]
    line = entry.points["32x16-tp1-c1"]
    assert line.figures["itl_p99"] == pytest.approx(24)
    assert line.verdict["itl_p99"].startswith("regression +20")
    series = history.series("r/32x16-tp1-c1", measured, [entry])
    assert series[0].values["itl_p99"] == pytest.approx(20)
    assert HEADING in [name for name, _ in shown.COLUMNS]
    Path("with-itl.yaml").write_text(text)
    Path("with-itl.jsonl").write_text(ledger.text(noise))
    Path("with-itl.json").write_text(head[0].model_dump_json())


def test_docs() -> None:
    """The page of metrics has its line."""
    page = GENERATED["docs/metrics.md"](Path("docs/metrics.md").read_text())
    assert f"| `itl_p99` | {HEADING} |" in page
