"""The flat table: a row a record, units in the heads, nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from matrix.errors import HarnessError
from matrix.metrics import JUDGED, METRICS
from tests.utils.results.conftest import Records
from utils.show import flat


def test_each_record_is_a_row(records: Records) -> None:
    """Figures in the units of their heads; one that failed has its reason and no figures."""
    out = io.StringIO()
    flat.write_csv(out, records(failed=True))
    good, bad = csv.DictReader(io.StringIO(out.getvalue()))
    assert list(good) == flat.columns()
    assert len(flat.columns()) == len(flat.IDENTITY) + len(METRICS) + len(JUDGED)
    assert float(good["ttft_ms"]) == pytest.approx(20, rel=0.01)
    assert float(good["tput_tok_s_device"]) > 0
    assert good["power_W_device"] == ""
    assert (bad["status"], bad["ttft_ms"], bad["why_not"]) == ("failed", "", "SERVER_DIED")


def test_texts_do_not_become_formulas(records: Records) -> None:
    """A node's words in somebody's spreadsheet."""
    one = records()[0].model_copy(update={"model": '=HYPERLINK("http://x")'})
    out = io.StringIO()
    flat.write_csv(out, [one])
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert row["model"].startswith("'=")


def test_parquet_is_the_same_table(records: Records, tmp_path: Path) -> None:
    """With its types, where pyarrow is there; else an error that says what to install."""
    made = records(failed=True)
    try:
        from pyarrow import parquet
    except ImportError:
        with pytest.raises(HarnessError, match="-m pip install pyarrow"):
            flat.write_parquet(tmp_path / "x.parquet", made)
        return
    flat.write_parquet(tmp_path / "x.parquet", made)
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.column_names == flat.columns()
    assert table.num_rows == len(made)
    assert table.column("ttft_ms")[0].as_py() == flat.row(made[0])[flat.columns().index("ttft_ms")]
