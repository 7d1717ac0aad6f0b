"""Figures over runs, the frontier, numbers, prices, and a run's timeline."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import HarnessError
from tests.utils.report.conftest import H100
from tests.utils.report.generated import generated, write
from utils.node.record import ServerWindow, Summary
from utils.report import left, pictures, prices, timeline
from utils.report.frontier import best
from utils.report.grouped import SPEED, figure, points
from utils.report.numbers import three
from utils.report.pictures import short_names
from utils.results.collect import placed


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(0, "0"), (4412.7, "4\u202f410"), (44.127, "44.1"), (5.5, "5.50"), (0.012345, "0.0123"), (9.996, "10.0"),
     (-3.456, "-3.46"), (123456.0, "123\u202f000"), (999.6, "1\u202f000"), (math.inf, "-")],
)  # fmt: skip
def test_three_significant_figures(value: float, wanted: str) -> None:
    """Never an exponent."""
    assert three(value) == wanted


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_three_is_within_half_of_its_last_place(value: float) -> None:
    """So that a shown number is the number."""
    assert float(three(value).replace("\u202f", "")) == pytest.approx(value, rel=0.0051)


def test_an_interval_wants_three_runs() -> None:
    """One run has none, two have their range, three Student's t: here of 1 % steps in logs, 4.303 * sd / sqrt(3)."""
    assert (figure([5.0]).low, figure([5.0]).high) == pytest.approx((5.0, 5.0))
    assert (figure([4.0, 5.0]).low, figure([4.0, 5.0]).high) == pytest.approx((4.0, 5.0))
    one = figure([100 * math.exp(step) for step in (-0.01, 0.0, 0.01)])
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (one.mean, one.low, one.high) == pytest.approx((100, 100 * math.exp(-half), 100 * math.exp(half)))


def test_the_frontier_counts_what_is_beyond_an_interval() -> None:
    """A point that is better on both axes beats another one, unless the runs of both leave it open."""

    def at(x: tuple[float, ...], y: tuple[float, ...]) -> dict[str, object]:
        return {"x": figure(x), "y": figure(y)}

    clear = [at((10, 10.1), (100, 101)), at((9, 9.1), (90, 91)), at((12, 12.1), (80, 81))]
    assert best(clear, "x", "y") == [True, False, True]  # type: ignore[arg-type] # figures
    open_ = [at((10, 10.1), (100, 101)), at((9, 10.05), (90, 91))]
    assert best(open_, "x", "y") == [True, True]  # type: ignore[arg-type] # figures
    same = [at((10,), (100,)), at((10,), (100,))]
    assert best(same, "x", "y") == [True, True]  # type: ignore[arg-type] # figures
    assert best([], "x", "y") == []


def test_points_of_a_real_run() -> None:
    """Two points of two arms; tok/s/user is 1000 / TPOT in ms."""
    known = points(placed([H100]))
    assert [(one.name, one.arm, one.device, one.lengths) for one in known] == [
        (f"512x256-tp2-ep2-c{c}", arm, "H100", "512 in, 256 out")
        for arm in ("base", "head")
        for c in (64, 108)
    ]
    assert known[0].figures[SPEED].mean == pytest.approx(1000 / known[0].figures["tpot"].mean)


def test_a_timeline_adds_up_to_the_requests() -> None:
    """Over all bins, the time that requests were open is their latencies' sum; with a queue time they part in three."""
    import json

    folder = H100 / "head/c64"
    raw = json.loads(gzip.decompress((folder / timeline.FILE).read_bytes()))
    for queue, kinds in ((None, 2), (0.02, 3)):
        rows = timeline.rows(folder, queue)
        assert len({row["kind"] for row in rows}) == kinds
        step = sorted({row["x"] for row in rows})[1]
        assert sum(row["y"] for row in rows) * step == pytest.approx(sum(raw["latency_us"]) / 1e6, rel=0.01)
    assert timeline.rows(Path("/nowhere"), None) == []


def test_what_is_packed_is_unpacked_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file can hold a thousand times its size: such a log is not shown, nor are such requests drawn; damage ends no page."""
    log, raw = tmp_path / "server.log.gz", tmp_path / timeline.FILE
    whole = gzip.compress(b"x" * 300_000 + b"\nlast line\n")
    log.write_bytes(whole)
    raw.write_bytes((H100 / "head/c64" / timeline.FILE).read_bytes())
    assert left.log_tail(tmp_path)[1][-1] == "last line"
    assert timeline.rows(tmp_path, None)
    for damaged in (whole[:-9], whole[:40] + b"\xff" * 40 + whole[80:]):
        log.write_bytes(damaged)
        assert left.log_tail(tmp_path) == ("", [])
    log.write_bytes(whole)
    monkeypatch.setattr(left, "MOST", 200_000)
    monkeypatch.setattr(timeline, "MOST_UNPACKED", 10_000, raising=False)
    assert left.log_tail(tmp_path) == ("", [])
    assert timeline.rows(tmp_path, None) == []


def test_prices(tmp_path: Path) -> None:
    """Two views of one number; the longest name of a device counts; a mistake is named at its place."""
    file = tmp_path / "prices.yaml"
    line = "- {device: %s, owner: rented, usd_per_hour: %s, source: s, date: 2026-11-26}\n"
    file.write_text(line % ("H100", 2) + line % ("H100 SXM", 3.6))
    known = prices.read(file)
    (price,) = known.of("NVIDIA H100 SXM5")
    assert price.usd_per_hour == 3.6
    assert prices.per_million(price, 1000) == pytest.approx(1.0)
    assert prices.tokens_per_dollar(price, 1000) == pytest.approx(1e6)
    assert known.of("MI300X") == []
    for bad in (line % ("H100", -2), "- {device: H100}\n", "H100: 2\n"):
        file.write_text(bad)
        with pytest.raises(HarnessError, match=r"prices\.yaml:1:"):
            prices.read(file)
    with pytest.raises(HarnessError, match="No such file"):
        prices.read(tmp_path / "nowhere.yaml")


def test_short_names() -> None:
    """What all begin with goes, at a hyphen; one alone stays whole."""
    assert short_names(["a-b-c64", "a-b-c108"]) == {"a-b-c64": "c64", "a-b-c108": "c108"}
    assert short_names(["a-c6"]) == {"a-c6": "a-c6"}


@pytest.mark.parametrize(
    "how", [{"power": False}, {"status": "invalid"}, {"status": "failed"}, {"runs": 1, "arms": ("head",)}]
)
def test_an_empty_state_for_everything(how: dict[str, object], tmp_path: Path) -> None:
    """No power, one run, one point, all invalid: a page that says so."""
    from utils.report.make import make

    found = write(generated(4, recipes=1, **how), tmp_path / "records")  # type: ignore[arg-type] # a case
    text = make(found, None, None, tmp_path / "out", lambda _: None).read_text()
    if how.get("status"):
        assert "No point has figures: open one in the table below to see why." in text
    assert ("No power: nothing measured it" in text) is (how.get("power") is False or "status" in how)
    assert ("Every point has one run" in text) is (how.get("runs") == 1 or "status" in how)
    assert "No price file was given" in text


def test_what_a_server_says_is_no_power(tmp_path: Path) -> None:
    """Queue and KV have a part of their own, and each picture says of which lengths it is, if there are several."""
    from utils.report.make import make

    found = generated(16, recipes=1, power=False, status="measured")
    said = ServerWindow(queue_s=Summary(n=4, mean=0.01, std=0.0), kv_use_max=0.2)
    more = [
        one.model_copy(
            update={
                "server": said,
                "point": f"r/{isl}-{one.point.split('/')[1]}",
                "load": one.load.model_copy(update={"isl": isl}) if one.load else None,
            }
        )
        for isl in (128, 256)
        for one in found
    ]
    text = make(write(more, tmp_path / "records"), None, None, tmp_path / "out", lambda _: None).read_text()
    server, power = (
        text.index(f"<h2>{name}") for name in ("Queue, prefill and KV cache", "Power and energy")
    )
    assert server < text.index("Queue, ms: ") < power
    assert text.count(">Queue, ms: ") == 2
    assert text.index("No power: nothing measured it") > power


def test_a_line_over_concurrency_has_one_layout() -> None:
    """Two tensor-parallel sizes at one concurrency are two lines; one line through both would jump up and down."""
    wide = [
        one.model_copy(update={"point": one.point.replace("tp1", "tp2"), "key": f"{one.key}2"})
        for one in generated(32, recipes=1, status="measured")
    ]
    both = points([(one, Path()) for one in (*generated(32, recipes=1, status="measured"), *wide)])
    for one in pictures.of_group("g", both)[1:]:
        places = [(row["series"], row["x"]) for row in one.rows]
        assert len(places) == len(set(places)) == 32
        assert {row["series"] for row in one.rows} == {
            f"{arm} · {tp}" for arm in ("base", "head") for tp in ("tp1", "tp2")
        }


def test_a_layout_for_more_requests_goes_on_with_the_line() -> None:
    """A recipe that takes expert parallelism from some concurrency on has one curve."""
    found = points(
        [
            (one.model_copy(update={"point": one.point.replace("tp1-c128", "tp1-ep1-c128")}), Path())
            for one in generated(32, recipes=1, status="measured")
        ]
    )
    assert {row["series"] for row in pictures.of_group("g", found)[1].rows} == {"base", "head"}


def test_a_point_that_is_not_drawn_says_why() -> None:
    """Raw requests may well be beside it: the page draws the first points alone."""
    from utils.report.panel import panel

    (one, *_) = points(placed([H100]))
    said = {
        full: next(
            part["empty"] for part in panel(one, drawn=False, full=full)["parts"] if part["kind"] == "picture"
        )
        for full in (False, True)
    }
    assert said[False] == "No raw requests are beside its record."
    assert said[True].startswith(f"The page draws the first {timeline.POINTS} points alone")


def test_a_profiled_run_shows_its_traces(tmp_path: Path) -> None:
    """They lie in the run's folder, above the record's; a name that leads out of it is left out."""
    from utils.report.panel import panel

    (one,) = generated(1)
    run = tmp_path / "run-0-head"
    (run / "profile").mkdir(parents=True)
    (run / "profile/rank0.pt.trace.json.gz").write_bytes(b"")
    (tmp_path / "other.pt.trace.json.gz").write_bytes(b"")
    names = ["profile/rank0.pt.trace.json.gz", "../other.pt.trace.json.gz", "profile/gone.pt.trace.json.gz"]
    (point,) = points([(one.model_copy(update={"traces": names}), run / "c1")])
    (part,) = (part for part in panel(point, drawn=False)["parts"] if part["heading"] == "Profile")
    assert part["lines"] == [["", f"./servematrix profile {run / 'profile/rank0.pt.trace.json.gz'}"]]


def test_a_point_of_a_profiled_pair_shows_its_traces(tmp_path: Path) -> None:
    """They lie in `profile-pair/` of the results, of one point; each arm has its own, and a link is none."""
    from utils.node import record_file
    from utils.report.make import make

    results = tmp_path / "results"
    found = [
        (one, results / f"jobs/j/run-{one.run_index}-{one.arm}/{one.point.split('/')[1]}")
        for one in generated(4, recipes=1, runs=1, status="measured")
    ]
    for one, folder in found:
        record_file.save(one, folder)
    for number, (one, _) in enumerate(found[:2]):
        run = results / f"profile-pair/run/jobs/p/run-{number}-{one.arm}"
        (run / "profile").mkdir(parents=True)
        (run / "profile/rank0.pt.trace.json.gz").write_bytes(b"")
        (run / "profile/link.pt.trace.json.gz").symlink_to("rank0.pt.trace.json.gz")
        names = ["profile/rank0.pt.trace.json.gz", "profile/link.pt.trace.json.gz"]
        record_file.save(one.model_copy(update={"traces": names}), run / "c1")
    text = make(found, None, None, tmp_path / "out", lambda _: None).read_text()
    for number, (one, _) in enumerate(found[:2]):
        trace = results / f"profile-pair/run/jobs/p/run-{number}-{one.arm}/profile/rank0.pt.trace.json.gz"
        assert text.count(f"./servematrix profile {trace}") == 1
    assert text.count("No trace was taken.") >= 2
    assert "link.pt.trace" not in text


def test_the_page_knows_which_points_it_did_not_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the four points of a real run, where there is room for two."""
    from utils.report.make import make

    monkeypatch.setattr(timeline, "POINTS", 2)
    text = make(placed([H100]), None, None, tmp_path, lambda _: None).read_text()
    assert text.count("The page draws the first 2 points alone") == 2
    assert text.count("No raw requests are beside its record.") == 2


def test_models_of_equal_lengths_have_frontiers_of_their_own() -> None:
    """A small model beats a large one at everything, and says nothing about it."""
    found = points([(one, Path()) for one in generated(64)])
    other = [
        (one.model_copy(update={"model": "acme/other", "point": f"other/{one.point.split('/')[1]}"}), Path())
        for one in generated(64)
    ]
    both = points([*((one, Path()) for one in generated(64)), *other])
    assert len(pictures.groups(both)) == 2 * len(pictures.groups(found))
    for name, ones in pictures.groups(both).items():
        assert len({one.model for one in ones}) == 1
        assert name.startswith(f"{ones[0].model}, ")
