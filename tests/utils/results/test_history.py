"""`history`: a point's series from records and entries, and where it stepped."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import Exit
from tests.conftest import Cli, write
from tests.utils.results.conftest import Records
from utils.node import record, record_file
from utils.results.changelog import entries as changelog
from utils.results.history import Measurement, series, steps
from utils.results.steps import STEP_P, over_time

POINT = "r/32x16-tp1-c1"
LOG = f"""\
r:
- pr: 8
  title: A slower thing
  why: [w]
  date: 2026-06-12
  head: {{commit: {"c" * 40}, image: i, vllm: v, device: d}}
  points:
    32x16-tp1-c1: {{key: "k1:{"ab" * 8}", tput: 100, ttft: 1, tpot: 1, n: 2+2}}
- pr: 3
  title: What others measured
  why: [w]
  date: 2026-06-01
  source: a public run
  points:
    32x16-tp1-c1: {{key: "k1:{"cd" * 8}", tput: 1, ttft: 1, tpot: 1, n: 0+1}}
"""


def splits(values: list[float], rate: float = STEP_P) -> list[int]:
    """Of the whole series."""
    return (over_time(values, rate) or [[]])[-1]


def measured(records: Records, factors: list[float], day: float = 86400.0) -> list[record.Record]:
    """One allocation a day from 2026-06-16 on."""
    found = []
    for number, factor in enumerate(factors):
        clock = record.Clock(monotonic_s=1.0, wall_unix_s=1_781_600_000.0 + number * day)
        found += records(slower=factor, more={"allocation": f"a{number}", "clock": clock})
    return found


def test_a_step_is_found_with_its_place_size_and_nearest_entry(records: Records) -> None:
    """Ten days of 1 % noise, then ten of the same 8 % slower."""
    noise = random.Random(1)  # noqa: S311 - a fixed series
    factors = [(1.08 if day >= 10 else 1.0) * noise.gauss(1, 0.01) for day in range(20)]
    entries = changelog.read(LOG.encode()).root["r"]
    found = series(POINT, measured(records, factors), entries)
    assert [one.origin for one in found[:2]] == ["source: a public run", "entry #8"]
    assert len(found) == 22
    told = {step.metric: step for step in steps(found[2:], entries)}
    assert set(told) == {"tput", "ttft", "tpot", "e2el"}
    assert told["tpot"].percent == pytest.approx(8, abs=1.5)
    assert told["tpot"].day == "2026-06-26"
    assert told["tpot"].sides == (10, 10)
    assert told["tpot"].near == "#8 A slower thing"


def test_figures_of_others_make_no_step(records: Records) -> None:
    """The public entry is a hundred times off, and only shown."""
    entries = changelog.read(LOG.encode()).root["r"][1:]
    assert steps(series(POINT, measured(records, [1.0, 1.001, 1.0, 0.999, 1.0]), entries), entries) == []


def test_a_measurement_names_the_entry_that_was_made_of_it(records: Records) -> None:
    """Once: the entry takes no place of its own beside its records."""
    found = measured(records, [1.0, 1.0])
    (entry,) = changelog.read(LOG.encode()).root["r"][:1]
    first = found[0]
    assert entry.head
    head = entry.head.model_copy(update={"commit": first.provenance.tree_commit})
    line = entry.points["32x16-tp1-c1"].model_copy(update={"key": first.key})
    own = entry.model_copy(update={"head": head, "points": {"32x16-tp1-c1": line}})
    shown = series(POINT, found, [own])
    assert {one.origin for one in shown} == {"records"}
    assert any(one.title == "#8 A slower thing" for one in shown)


def test_no_step_is_laid_to_what_others_published(records: Records) -> None:
    """Their entry may be the newest before it, and changed nothing here."""
    entries = changelog.read(LOG.encode()).root["r"][1:]
    found = measured(records, [1.0, 1.001, 1.0, 0.999, 1.2, 1.201, 1.2, 1.199])
    made = steps(series(POINT, found, entries), entries)
    assert made
    assert {one.near for one in made} == {""}


def test_figures_of_an_own_environment_make_no_step(records: Records) -> None:
    """They are in the series, marked, and a vLLM half as fast is no step of the recipe."""
    found = measured(records, [1.0, 1.001, 1.0, 0.999, 1.0, 1.001])
    own = [one.model_copy(update={"key": f"local:{'ab' * 8}"}) for one in measured(records, [2.0] * 4, 90000)]
    shown = series(POINT, [*found, *own], [])
    assert sum(one.origin == "records, own environment" for one in shown) >= 3
    assert steps(shown, []) == []


@given(st.integers(0, 10_000))
def test_noise_alone_steps_once_in_a_hundred(seed: int) -> None:
    """Each place is tested, and together they are held to 1 %: over seeds at most a few have a step, none has many."""
    noise = random.Random(seed)  # noqa: S311 - a fixed series
    assert len(splits([noise.gauss(0, 1) for _ in range(30)])) <= 2


def test_the_rate_of_false_steps() -> None:
    """300 series of noise: at most 2 %."""
    noise = random.Random(0)  # noqa: S311 - a fixed series
    assert sum(bool(splits([noise.gauss(0, 1) for _ in range(30)])) for _ in range(300)) <= 6


def test_figures_in_whole_milliseconds_make_no_step() -> None:
    """Rounding makes many of them equal, and equal figures are no proof that there is no noise; also where the last ones are not rounded."""
    noise = random.Random(3)  # noqa: S311 - a fixed series
    for exact in (0, 1, 4):
        false = 0
        for _ in range(200):
            level = noise.uniform(30, 90)
            found = [level * noise.gauss(1, 0.009) for _ in range(10)]
            figures = [round(one) if i < 10 - exact else one for i, one in enumerate(found)]
            grains = [1 / one if i < 10 - exact else 0.0 for i, one in enumerate(figures)]
            false += any(over_time([math.log(one) for one in figures], STEP_P / 24, grains))
        assert false <= 1


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ([46] * 8 + [47] * 2, []),
        ([46] * 20 + [48] * 20, [20]),
        ([5] * 8 + [50] * 8, [8]),
        ([5] * 20 + [50] * 4, [20]),
        ([1264] * 8 + [1390] * 4, [8]),
    ],
)
def test_a_step_of_rounded_figures_is_found_where_it_is_more_than_rounding(
    figures: list[int], found: list[int]
) -> None:
    """Also where all figures before it are equal, and all after it."""
    logs, grains = [math.log(one) for one in figures], [1 / one for one in figures]
    assert over_time(logs, STEP_P / (24 * 13), grains)[-1] == found


@pytest.mark.parametrize(("after", "found"), [(47.0, 0), (47.01, 0), (50.0, 1)])
def test_entries_in_whole_milliseconds(after: float, found: int) -> None:
    """What an entry's figure says of how finely it is known is the last place that is written."""
    ones = [
        Measurement(
            day=f"2026-06-{day + 1:02}",
            time=day * 86400.0,
            commit=str(day),
            key="k",
            values={"ttft": 46.0 if day < 8 else after},
            runs=2,
            origin="entry",
            whose="changelog",
        )
        for day in range(10)
    ]
    assert len(steps(ones, [])) == found


def test_two_steps_and_flat_series() -> None:
    """Both are found; a series without any variation has none, and one that jumps without any has one."""
    flat = [0.0] * 8
    assert splits(flat) == []
    assert splits(flat + [1.0] * 8) == [8]
    noise = random.Random(2)  # noqa: S311 - a fixed series
    values = [noise.gauss(level, 0.1) for level in [0.0] * 10 + [1.0] * 10 + [0.5] * 10]
    assert splits(values) == [10, 20]


def test_the_command(cli: Cli, records: Records, tmp_path: Path) -> None:
    """Text and Markdown, from any folders; an unknown point gets a hint."""
    for number, one in enumerate(measured(records, [1.0, 1.001, 0.999, 1.0, 1.1, 1.101, 1.099, 1.1])):
        record_file.save(one, tmp_path / "data" / f"a{number}" / one.point.split("/")[1])
    write(tmp_path / "c.yaml", LOG)
    given = ("--data", str(tmp_path / "data"), "--file", str(tmp_path / "c.yaml"))
    done = cli("history", POINT, *given)
    assert done.returncode == 0, done.stderr
    assert "step: E2EL s +10.0 %" in done.stdout
    assert "4 measurements before and 4 after; nearest entry: #8 A slower thing" in done.stdout
    assert "source: a public run" in done.stdout
    assert "| day | commit |" in cli("history", POINT, *given, "--format", "markdown").stdout
    whole = cli("history", "r", *given).stdout
    assert whole.count("means of whole runs") == 2
    assert whole == cli("history", "r/*", *given).stdout == cli("history", "?/32x16-*", *given).stdout
    assert cli("history", "r", "--data", str(tmp_path / "nowhere")).returncode == Exit.USAGE
    wrong = cli("history", "r/32x16-tp1-c11", *given)
    assert wrong.returncode == Exit.NOTHING_SELECTED
    assert "did you mean 'r/32x16-tp1-c1'?" in wrong.stderr


@pytest.mark.parametrize("width", ["80", "100"])
def test_in_a_pipe_its_table_is_as_wide_as_a_terminal(
    cli: Cli, records: Records, tmp_path: Path, width: str
) -> None:
    """80 columns unless COLUMNS says otherwise: pieces name their rows, no figure is lost, and a long title goes on below itself."""
    title = " ".join(["Larger blocks"] * 9)
    for number, one in enumerate(measured(records, [1.0, 1.001])):
        record_file.save(one, tmp_path / "data" / f"a{number}" / one.point.split("/")[1])
    write(tmp_path / "c.yaml", LOG.replace("A slower thing", title))
    given = ("history", POINT, "--data", str(tmp_path / "data"), "--file", str(tmp_path / "c.yaml"))
    lines = cli(*given, env={"COLUMNS": width}).stdout.splitlines()
    assert max(map(len, lines)) <= int(width)
    assert sum(line.startswith("day  ") for line in lines) > 1
    heads = [name for line in lines if line.startswith("day  ") for name in line.split()]
    assert {"tok/s/device", "TTFT", "TPOT", "E2EL", "runs", "from", "change"} <= set(heads)
    assert " ".join(lines).count("blocks") == 9
    (one_line,) = [line for line in cli(*given, env={"COLUMNS": "400"}).stdout.splitlines() if title in line]
    assert "entry #8" in one_line


def test_a_regression_and_its_revert_are_both_seen(records: Records) -> None:
    """3 % for ten of sixty measurements, with noise of 0.9 %; no step is shown where nothing was."""
    noise = random.Random(4)  # noqa: S311 - a fixed series
    hits = 0
    for _ in range(100):
        cuts = splits([noise.gauss(0.03 if 20 <= i < 30 else 0.0, 0.009) for i in range(60)], 1e-4)
        hits += sum(any(abs(cut - place) <= 2 for cut in cuts) for place in (20, 30))
        assert len(cuts) <= 3
    assert hits >= 190
    factors = [(1.05 if 15 <= day < 21 else 1.0) * noise.gauss(1, 0.0064) for day in range(40)]
    found = [
        step for step in steps(series(POINT, measured(records, factors), []), []) if step.metric == "tpot"
    ]
    assert [round(step.percent) for step in found] == [5, -5]


def test_what_was_shown_is_not_taken_back_in_silence(records: Records) -> None:
    """Three loud measurements at the end look like a step; what is measured after them does not."""
    noise = random.Random(5)  # noqa: S311 - a fixed series
    factors = (
        [noise.gauss(1, 0.005) for _ in range(20)] + [1.05, 1.05] + [noise.gauss(1, 0.005) for _ in range(4)]
    )
    then = steps(series(POINT, measured(records, factors[:22]), []), [])
    now = steps(series(POINT, measured(records, factors), []), [])
    assert then, "else nothing could be taken back"
    assert {step.metric for step in then} <= {step.metric for step in now}
    assert all(step.taken_back for step in now if step.sides[1] <= 2)


def test_two_arms_of_one_allocation_share_its_node(records: Records) -> None:
    """Nothing changed, eight nodes that differ by 4 %: equal arms are one measurement, and a head of another key stands beside its base."""
    noise, falls = random.Random(6), 0  # noqa: S311 - a fixed series
    for equal in (True, False):
        made = []
        for number in range(10):
            node = [1.04, 0.96, 1.02, 0.98, 1.06, 0.94, 1.0, 1.01][noise.randrange(8)]
            for arm in ("base", "head"):
                parts = {"model": "m" if equal or arm == "base" else "other"}
                clock = record.Clock(
                    monotonic_s=1.0, wall_unix_s=1_781_600_000.0 + 86400 * number + (arm == "head")
                )
                more = {"allocation": f"a{number}", "arm": arm, "clock": clock}
                runs = records(slower=node * noise.gauss(1, 0.002), parts=parts, more=more)
                commit = ("b" if arm == "base" else "a") * 40
                made += [
                    one.model_copy(
                        update={"provenance": one.provenance.model_copy(update={"tree_commit": commit})}
                    )
                    for one in runs
                ]
        found = series(POINT, made, [])
        assert len(found) == 20
        falls += len(steps(found, []))
    assert falls == 0
