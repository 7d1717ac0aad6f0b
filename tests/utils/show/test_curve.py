"""The small curve below a run's table."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from tests.utils.report.generated import generated
from utils.node.record import Failure, Gate, ServerWindow
from utils.show import tables
from utils.show.curve import STEPS, curves, spark


@given(st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=1))
def test_a_curve_has_a_block_a_value(values: list[float]) -> None:
    """The highest is the highest, unless all are the same."""
    made = spark(values)
    assert len(made) == len(values)
    assert set(made) <= set(STEPS)
    if max(values) > min(values):
        assert made[values.index(max(values))] == STEPS[-1]
        assert made[values.index(min(values))] == STEPS[0]


def test_a_curve_is_below_the_table_and_fits() -> None:
    """With its first and its last figure, and units; two concurrencies have none."""
    records = generated(32, recipes=1, status="measured")
    out = io.StringIO()
    tables.results(out, records)
    lines = out.getvalue().splitlines()
    assert "1k1k-tp1 head, c1 to c128:" in lines
    curve = lines[lines.index("1k1k-tp1 head, c1 to c128:") + 1]
    assert curve.startswith("  tok/s/device")
    assert curve.count("▁") >= 1
    assert all(len(line) <= 80 for line in curves(records))
    assert curves(generated(8, recipes=1, status="measured")) == []


def test_a_point_beyond_saturation_is_labelled_below_the_table() -> None:
    """Once, whatever else its runs say; a point without the label has no line."""
    some = generated(8, recipes=1, status="measured")
    label = (
        "beyond saturation: of 4 requests 2.0 waited in the server on average; more at once only wait longer"
    )
    point, load = some[-1].point, some[-1].load
    assert load
    beyond = {
        "server": ServerWindow(saturated=True, waiting_mean=2.0),
        "load": load.model_copy(update={"concurrency": 4}),
    }
    noted = [
        one.model_copy(update=beyond | {"notes": ["another note", label]}) if one.point == point else one
        for one in some
    ]
    out = io.StringIO()
    tables.results(out, noted)
    assert out.getvalue().count("beyond saturation") == 1
    assert out.getvalue().endswith(f"{point}: {label}\n")


def test_a_point_that_does_not_count_says_why() -> None:
    """The gates that failed with what else the run noted, each set of gates once; the table alone shows a figure that nobody may use."""
    good, bad, alike, broken = generated(4, recipes=1, status="measured", arms=("head",), runs=1)
    gates = [
        Gate(name="silence", passed=False, found="2 s without a token"),
        Gate(name="requests_complete", passed=True, found="4 of 4"),
    ]
    noted = ["others used 82 % of the cores"]
    bad = bad.model_copy(update={"status": "invalid", "gates": gates, "notes": noted})
    alike = alike.model_copy(update={"status": "invalid", "gates": gates})
    failure = Failure(reason="SERVER_EXITED", message="the server ended\nmore")
    broken = broken.model_copy(update={"status": "failed", "failure": failure, "gates": []})
    out = io.StringIO()
    tables.results(out, [good, bad, alike, broken])
    said = out.getvalue().splitlines()
    assert said[-2:] == [
        f"invalid: {bad.point} and 1 more: silence: 2 s without a token; others used 82 % of the cores (docs/gates.md says what a gate means)",
        f"failed: {broken.point}: the server ended",
    ]
    assert tables.unmeasured([good]) == []
