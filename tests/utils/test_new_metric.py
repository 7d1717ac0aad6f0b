"""A new metric is a line of matrix/metrics.py: found everywhere in a copy that has it, and no harm to a checkout that has it not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from utils.node.record import Record
from utils.results.changelog import entries
from utils.results.changelog.migrate import migrated
from utils.results.verdict import ledger

LINE = """\
    "itl_p99": Metric(
        label="ITL p99",
        unit="ms",
        meaning="time between tokens, 99 of 100 are shorter",
        scale=1000,
        whole="whole.itl_s.p99",
        steady="steady.itl_s.p99",
        judged_as="ITL p99 steady",
        floor=3.0,
    ),
}
HEADLINE"""


def test_one_line_adds_a_metric(tmp_path: Path) -> None:
    """Record, event, table, ledger, compare, comment, changelog, history, docs in the copy; here its files are still read."""
    for folder in ("matrix", "utils", "tests", "docs"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns(
                "node_modules", "__pycache__", "golden" if folder == "docs" else ""
            ),
        )
    table = tmp_path / "matrix/metrics.py"
    table.write_text(table.read_text().replace("}\nHEADLINE", LINE))
    shutil.copy(ROOT / "tests/data/new_metric.py", tmp_path / "test_new_metric.py")
    shutil.copy(tmp_path / "tests/utils/results/conftest.py", tmp_path / "conftest.py")
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "test_new_metric.py",
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert "4 passed" in ended.stdout

    content = (tmp_path / "with-itl.yaml").read_bytes()
    line = entries.read(content).root["r"][0].points["32x16-tp1-c1"]
    assert line.figures["itl_p99"] == 24
    assert "itl_p99" in line.verdict
    assert migrated(content)[0] == content.decode()
    known = ledger.read(tmp_path / "with-itl.jsonl")
    assert "itl_p99" in known.differences[0].values
    assert '"itl_p99":' in ledger.text(known)
    record = Record.model_validate_json((tmp_path / "with-itl.json").read_bytes())
    assert record.rules.metrics == ["tput", "ttft", "tpot"]
