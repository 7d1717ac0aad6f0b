"""What /metrics says of a load: a real page of vLLM 0.32.0, and made ones whose truth is known."""

from __future__ import annotations

import time

import pytest

from matrix.vllm import versions
from tests.conftest import ROOT
from tests.utils.node.conftest import RunNode
from utils.node import record_file
from utils.node.saturation import remark
from utils.node.vllm.server_metrics import Load, Looks, Page, difference, names, window

REAL = Page.of((ROOT / "tests/golden/vllm/metrics-0.32.0.txt").read_text())
"""After 40 requests of 128 + 64 tokens at concurrency 4, on a CPU; series that nothing here reads are cut."""
EMPTY = Page.of("")
LOAD = Load(concurrency=10, duration_s=100.0, steady_s=(10.0, 90.0))


def page(
    *,
    running: float = 0,
    waiting: float = 0,
    kv: float = 0,
    queue: tuple[float, float] = (0, 0),
    more: str = "",
) -> str:
    """A page of two engines with histograms whose bounds are 0.1, 1 and 10 s; `queue`: requests under a second, and of 1 to 10 s."""
    low, high = queue
    histogram = "".join(
        f'vllm:request_queue_time_seconds_bucket{{engine="0",le="{le}"}} {count}\n'
        for le, count in (("0.1", 0), ("1.0", low), ("10.0", low + high), ("+Inf", low + high))
    )
    return (
        f'vllm:num_requests_running{{engine="0"}} {running / 2}\nvllm:num_requests_running{{engine="1"}} {running / 2}\n'
        f'vllm:num_requests_waiting{{engine="0"}} {waiting}\nvllm:kv_cache_usage_perc{{engine="0"}} {kv / 2}\n'
        f'vllm:kv_cache_usage_perc{{engine="1"}} {kv}\n{histogram}'
        f"vllm:request_queue_time_seconds_count {low + high}\nvllm:request_queue_time_seconds_sum {0.5 * low + 4 * high}\n{more}"
    )


def looks(*, running: float = 0, waiting: float = 0, kv: float = 0) -> Looks:
    """Ten looks in the steady window, and one before it that must not count."""
    made = Looks()
    made.add(5.0, page(running=99, waiting=99))
    for at in range(20, 80, 6):
        made.add(float(at), page(running=running, waiting=waiting, kv=kv))
    return made


def test_a_real_page_of_vllm() -> None:
    """Every series is found under its version's name; 40 requests went through queue and prefill."""
    found = window("0.32.0+cpu", EMPTY, REAL, Looks(), Load(4, 30.0, None))
    assert found.queue_s is not None
    assert found.prefill_s is not None
    assert (found.queue_s.n, found.prefill_s.n) == (40, 40)
    assert 0 < found.queue_s.mean < found.prefill_s.mean < 0.3
    assert found.queue_s.p50 is None, "all are in the first bucket, which says nothing"
    assert found.kv_use_max == 0
    assert found.saturated is False
    assert found.acceptance is None


@pytest.mark.parametrize("version", ["0.24.0", "0.27.1", "0.30.0", "0.33.0"])
def test_names_are_the_versions(version: str) -> None:
    """From the table of versions; one that nobody has read is asked for the newest names."""
    row = versions.of(version)
    assert row is not None
    assert names(version) == row.series
    assert names("9.9.9") == versions.newest().series
    assert versions.newest().version == "0.33.0"


def test_what_a_page_lacks_is_left_out() -> None:
    """A server without these series has no figures, and is no error here."""
    found = window("0.32.0", EMPTY, Page.of("python_gc_objects 3\nnot a sample {\n"), Looks(), LOAD)
    assert found.model_dump(exclude_none=True) == {}
    assert remark(found, 10, 0) == ""


def test_gauges_over_the_steady_window_and_engines() -> None:
    """Sums over engines of who runs, the most of KV use; a look before the window does not count."""
    found = window(
        "0.32.0", Page.of(page()), Page.of(page(queue=(100, 0))), looks(running=9, waiting=0.5, kv=0.7), LOAD
    )
    assert (found.running_mean, found.waiting_mean) == (9, 0.5)
    assert found.kv_use_max == 0.7
    assert found.saturated is False


def test_a_point_beyond_saturation_is_labelled() -> None:
    """A tenth of what is sent waits; or requests are preempted."""
    after = Page.of(page(queue=(100, 0), more="vllm:num_preemptions_total 3\n"))
    found = window(
        "0.32.0", Page.of(page()), Page.of(page(queue=(100, 0))), looks(running=8, waiting=2, kv=0.99), LOAD
    )
    preempted = window("0.32.0", Page.of(page()), after, looks(running=10, kv=1.0), LOAD)
    assert found.saturated is True
    assert (
        remark(found, 10, 0)
        == "beyond saturation: of 10 requests 2.0 waited in the server on average, KV cache used to 99 %; more at once only wait longer"
    )
    assert preempted.saturated is True
    assert "3 preemptions" in remark(preempted, 10, 3)


def test_a_short_load_has_littles_law() -> None:
    """Too few looks: 100 requests that waited 4 s each over 100 s are 4 that wait."""
    found = window("0.32.0", Page.of(page()), Page.of(page(queue=(0, 100))), Looks(), LOAD)
    assert found.waiting_mean == pytest.approx(4)
    assert found.saturated is True


def test_a_histogram_between_two_pages() -> None:
    """What was there before the load does not count; percentiles are by a straight line inside a bucket."""
    before, after = Page.of(page(queue=(1000, 0))), Page.of(page(queue=(1060, 40)))
    found = difference(before, after, "vllm:request_queue_time_seconds")
    assert found is not None
    assert found.n == 100
    assert found.mean == pytest.approx((60 * 0.5 + 40 * 4) / 100)
    assert found.p50 == pytest.approx(0.1 + 0.9 * 50 / 60)
    assert found.p90 == pytest.approx(1 + 9 * 30 / 40)
    assert found.std > 1


def test_counters_that_began_anew_say_nothing() -> None:
    """A negative number of requests in the queue is none."""
    more = "vllm:num_preemptions_total {}\n"
    before = Page.of(page(queue=(100, 5), more=more.format(9)))
    found = window("0.32.0", before, Page.of(page(queue=(10, 0), more=more.format(2))), Looks(), LOAD)
    assert (found.queue_s, found.waiting_mean, found.saturated) == (None, None, None)


def test_what_each_of_several_engines_finished() -> None:
    """Over the load, for all reasons; one engine is no several."""
    ended = 'vllm:request_success_total{{engine="{}",finished_reason="{}"}} {}\n'
    counts = [("0", "stop", 1), ("0", "length", 2), ("1", "length", 5), ("2", "length", 7)]
    before = Page.of("".join(ended.format(*one) for one in counts))
    after = Page.of(
        "".join(ended.format(name, why, 3 * count) for name, why, count in counts[:3])
        + ended.format("2", "length", 7)
    )
    assert window("0.32.0", before, after, Looks(), LOAD).engines == {"0": 6, "1": 10, "2": 0}
    assert window("0.32.0", EMPTY, REAL, Looks(), LOAD).engines is None


def test_times_and_spaces_that_the_format_allows() -> None:
    """Labels may hold braces; a time may be last."""
    found = Page.of('a{x="}{"}  3 1700000000000\nb\t4\nc 5 # {id="1"} 6\n')
    assert found.series == {"a": [({"x": "}{"}, 3.0)], "b": [({}, 4.0)]}


def test_acceptance_of_drafts() -> None:
    """Accepted of drafted tokens, over the load."""
    drafts = "vllm:spec_decode_num_draft_tokens_total {}\nvllm:spec_decode_num_accepted_tokens_total {}\n"
    before, after = (Page.of(page(more=drafts.format(*counts))) for counts in ((1000, 900), (1300, 1110)))
    assert window("0.32.0", before, after, Looks(), LOAD).acceptance == pytest.approx(0.7)


def test_looks_are_due_after_a_moment_and_then_every_five_seconds() -> None:
    """The first question of a load starts it."""
    made = Looks()
    assert [at for at in range(100, 118) if made.is_due(float(at))] == [101, 106, 111, 116]


def test_the_record_of_a_run_has_it(run_node: RunNode) -> None:
    """The fake server has no histograms; what it has not is not in the record, and the run is measured."""
    found = record_file.read(next(run_node()[2].rglob("record.json")))
    assert found.status == "measured"
    assert found.server is not None
    assert found.server.queue_s is None


QUEUE = "vllm:request_queue_time_seconds"
FULL = (("0.1", 10), ("1.0", 50), ("10.0", 90), ("+Inf", 100))


def histogram(
    count: float, total: object, buckets: tuple[tuple[str, int], ...] = FULL, engine: int = 0
) -> str:
    """Of one engine's queue."""
    lines = [
        f'{QUEUE}_count{{engine="{engine}"}} {count}',
        f'{QUEUE}_sum{{engine="{engine}"}} {total}',
        *(f'{QUEUE}_bucket{{engine="{engine}",le="{le}"}} {held}' for le, held in buckets),
    ]
    return "".join(f"{line}\n" for line in lines)


TWO = histogram(100, 200) + histogram(100, 200, engine=1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", histogram(100, 200) + histogram(100, "NaN", engine=1)),
        (TWO, histogram(10, 20) + histogram(500, 900, engine=1)),
        (TWO, histogram(500, 900)),
        ("", f"{QUEUE}_sum 200\n{QUEUE}_count 10"),
    ],
    ids=["one engine says NaN", "one engine began anew", "one engine is gone", "cut in a number"],
)
def test_a_sum_of_which_a_part_is_not_known_is_none(before: str, after: str) -> None:
    """What the other engines counted is not the load's."""
    assert difference(Page.of(before), Page.of(after), QUEUE) is None


@pytest.mark.parametrize(
    "buckets",
    [
        FULL[:2],
        (("0.1", 60), ("1.0", 20), ("10.0", 90), ("+Inf", 100)),
        (("0.1", 10), ("+Inf", 250)),
        (),
    ],
    ids=["cut", "not rising", "of others", "none"],
)
def test_buckets_that_do_not_hold_what_was_counted(buckets: tuple[tuple[str, int], ...]) -> None:
    """They give no percentile; the mean does not need them."""
    found = difference(EMPTY, Page.of(histogram(100, 200, buckets)), QUEUE)
    assert found is not None
    assert (found.mean, found.p50, found.p90, found.p99) == (2.0, None, None, None)


def test_figures_that_cannot_be_are_left_out() -> None:
    """KV use in percent, more accepted than drafted, an engine whose gauge is no number, a negative number of requests."""
    said = (
        "vllm:kv_cache_usage_perc 97\nvllm:spec_decode_num_draft_tokens_total 10\n"
        "vllm:spec_decode_num_accepted_tokens_total 20\n"
    )
    between = Looks()
    running = 'vllm:num_requests_running{{engine="0"}} {}\nvllm:num_requests_running{{engine="1"}} 4\n'
    between.add(20.0, running.format("NaN"))
    between.add(30.0, running.format(-9))
    found = window("0.32.0", EMPTY, Page.of(said), between, LOAD)
    assert (found.kv_use_max, found.acceptance, found.running_mean) == (None, None, None)


def test_an_engine_that_was_started_again_finished_nobody_knows_how_many() -> None:
    """Neither none nor few."""
    ended = 'vllm:request_success_total{{engine="{}"}} {}\n'
    before, after = (
        Page.of("".join(ended.format(*one) for one in enumerate(counts))) for counts in ((90, 80), (3, 99))
    )
    assert window("0.32.0", before, after, Looks(), LOAD).engines is None


def test_pages_of_any_size_are_read_in_no_time() -> None:
    """A name without an end, and a page longer than any server's; of a look no histogram is kept."""
    begin = time.monotonic()
    Page.of("x{" + "a" * 200_000 + "} 1\n")
    assert Page.of("x 1\n" * 6_000_000).series == {}
    assert time.monotonic() - begin < 5
    between = Looks()
    between.add(1.0, page(running=2))
    assert not [name for name in between.at[0][1].series if name.startswith(QUEUE)]
    assert between.at[0][1].total("vllm:num_requests_running") == 2
