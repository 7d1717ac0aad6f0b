"""`compare`: four words with their numbers, for exactly the named difference; no word where nothing tells what noise is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from matrix.rules import Rules
from tests.conftest import ROOT, Cli
from tests.utils.report.generated import generated
from tests.utils.results.conftest import Records, sides
from utils.node import record_file
from utils.node.record import Failure, Record, ServerWindow
from utils.results.verdict import matching, present
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import Comparison

C1, C2 = "r/32x16-tp1-c1", "r/32x16-tp1-c2"


def words(found: Comparison, point: str = C1) -> dict[str, str | None]:
    (one,) = (one for one in found.points if one.point == point)
    return {name: metric.word for name, metric in one.metrics.items()}


def test_a_change_beyond_noise_waits_and_is_called_by_its_word_once_it_repeats(
    pair: Records, noise: Ledger
) -> None:
    """Slower in both blocks: a regression of throughput and TPOT, with the numbers that say how sure."""
    first = pair(slower=1.10)
    found = compare(*sides(first), noise)
    assert set(words(found).values()) == {None}
    assert found.flagged == [C1, C2]
    assert "wait for their confirmation" in found.headline.text
    again = compare(*sides(first + pair(slower=1.10, block=2)), noise)
    assert set(words(again).values()) == {"regression"}
    assert again.flagged == []
    tpot = again.points[0].metrics["tpot"]
    assert tpot.percent == pytest.approx(10.0)
    assert tpot.low_percent
    assert tpot.high_percent
    assert tpot.low_percent < 10 < tpot.high_percent
    assert (tpot.runs, tpot.df, tpot.calibration) == ((4, 4), 6, "own")
    assert tpot.spread_percent == pytest.approx(0.90, abs=0.01)
    assert again.headline.text.startswith("regression in 2 of 2 points")


def test_a_faster_head_is_an_improvement(pair: Records, noise: Ledger) -> None:
    """More tokens, less time: each metric knows its better side."""
    found = compare(*sides(pair(slower=0.9) + pair(slower=0.9, block=2)), noise)
    assert set(words(found).values()) == {"improvement"}


def test_what_does_not_repeat_is_no_change_and_gets_no_third_try(pair: Records, noise: Ledger) -> None:
    """The other sign, or nothing, in the second block."""
    for second in (1.0, 0.9):
        found = compare(*sides(pair(slower=1.10) + pair(slower=second, block=2)), noise)
        assert set(words(found).values()) == {"no change seen"}
        assert found.flagged == []
        assert "did not repeat" in found.points[0].metrics["tpot"].why


def test_no_change_says_what_could_have_been_seen(pair: Records, noise: Ledger) -> None:
    """What the whole rule finds four times in five, and within what the figure is known to be unchanged; also in one sentence."""
    found = compare(*sides(pair(slower=1.005)), noise)
    one = found.points[0].metrics["tput"]
    assert one.could_see_percent
    assert one.could_see_percent == pytest.approx(4.6, abs=1)
    assert one.unchanged_within_percent
    assert one.unchanged_within_percent < one.could_see_percent
    assert present.verdict_text(one) == (
        f"no change seen (could have seen >= {one.could_see_percent:.1f} %; "
        f"unchanged within {one.unchanged_within_percent:.1f} %)"
    )
    assert found.sensitivity.startswith(
        "could have seen, four times in five, a change of a single point by at least: throughput "
    )
    assert "unchanged within" in found.sensitivity


def test_floors_and_metrics_are_the_rules_of_the_record(pair: Records, noise: Ledger) -> None:
    """As the base's recipe said when it was planned: a 10 % change under a floor of 20 % is none, and what is not judged has no word."""
    rules = Rules.model_validate({"floors": {"tput": 20.0, "tpot": 20.0}, "metrics": ["tput", "tpot"]})
    found = compare(*sides(pair(slower=1.10, more={"rules": rules})), noise)
    assert words(found) == {"tput": "change below the floor", "tpot": "change below the floor", "ttft": None}
    assert found.points[0].metrics["tput"].why == "smaller than the 20.0 % from which it matters"
    assert found.points[0].metrics["ttft"].why == "the recipe does not judge it"


def test_where_nothing_tells_what_noise_is_no_word_appears(pair: Records) -> None:
    """Without a ledger, of runs that are equal to the last digit, as figures from elsewhere are: silence, and not `well`."""
    found = compare(*sides(pair(slower=2.0)), Ledger())
    assert {word for point in (C1, C2) for word in words(found, point).values()} == {None}
    assert "no verdict" in found.headline.text
    assert not found.judged
    said = present.markdown(found).lower()
    assert not {"regression", "improvement", "no change seen", "invalid"} & set(said.split())


def test_the_first_pair_has_words_by_its_own_noise(pair: Records) -> None:
    """No ledger at all: what runs of one arm differ by says what noise is, with few degrees of freedom."""
    loud = (1.0, 1.006, 0.995, 1.004)
    found = compare(*sides(pair(slower=1.2, noise=loud)), Ledger())
    assert found.flagged == [C1, C2]
    again = compare(
        *sides(pair(slower=1.2, noise=loud) + pair(slower=1.2, noise=loud[::-1], block=2)), Ledger()
    )
    tpot = again.points[0].metrics["tpot"]
    assert (tpot.word, tpot.calibration) == ("regression", "change")
    quiet = compare(*sides(pair(noise=loud)), Ledger())
    assert set(words(quiet).values()) == {"no change seen"}
    assert quiet.judged


def test_arms_of_different_allocations_get_no_word(records: Records, noise: Ledger) -> None:
    """Nodes differ by more than most changes."""
    head = [one.model_copy(update={"allocation": "b", "run_index": 1}) for one in records(slower=1.5)]
    found = compare(records(), head, noise)
    assert set(words(found).values()) == {None}
    assert "2 allocations" in found.points[0].metrics["tput"].why
    assert found.points[0].whole["tpot"].percent == pytest.approx(50.0)


def test_an_order_that_drift_could_look_like_gets_no_word(pair: Records, noise: Ledger) -> None:
    """B B H H is not B H H B."""
    found = compare(*sides(pair(slower=1.5, order=("base", "base", "head", "head"))), noise)
    assert set(words(found).values()) == {None}
    assert "(B B H H) is not balanced against drift" in found.points[0].metrics["tput"].why


def test_one_bad_run_makes_the_point_invalid(pair: Records, noise: Ledger) -> None:
    """With the run and the reason; the other points are judged."""
    failure = Failure(reason="SERVER_DIED", message="on purpose")
    measured = [
        one.model_copy(update={"status": "failed", "failure": failure, "whole": None, "steady": None})
        if (one.point, one.run_index) == (C2, 2)
        else one
        for one in pair()
    ]
    found = compare(*sides(measured), noise)
    assert set(words(found, C2).values()) == {"invalid"}
    assert found.points[1].invalid == "run 3 (head): SERVER_DIED: on purpose"
    assert set(words(found, C1).values()) == {"no change seen"}
    assert "invalid in 1 of 2 points" in found.headline.text


def test_the_plan_names_what_may_differ(pair: Records, noise: Ledger) -> None:
    """Exactly that: with `vary` in the records nothing needs to be said, and anything more is refused."""
    one, two = {"flags": {"a": "1", "b": "1"}}, {"flags": {"a": "2", "b": "1"}}
    assert compare(*sides(pair(parts=(one, two), more={"vary": ["flags.a"]})), noise).points[0].vary == [
        "flags.a"
    ]
    with pytest.raises(HarnessError, match=r"also differ in flags\.a") as caught:
        compare(*sides(pair(parts=(one, two))), noise)
    assert caught.value.exit_code is Exit.NOT_COMPARABLE
    for name in ("flags.a", "flags"):
        assert compare(*sides(pair(parts=(one, two))), noise, vary=[name]).points
    three = {"flags": {"a": "2", "b": "2"}}
    with pytest.raises(HarnessError, match=r"also differ in flags\.b"):
        compare(*sides(pair(parts=(one, three), more={"vary": ["flags.a"]})), noise)
    with pytest.raises(HarnessError, match="in which both sides are equal; leave it out"):
        compare(*sides(pair()), noise, vary=["flags.a"])


def observed(records: list[Record], **found: str) -> list[Record]:
    return [
        one.model_copy(
            update={"observed": one.observed.model_copy(update={"parts": one.parts | {"observed": found}})}
        )
        for one in records
        if one.observed
    ]


def test_what_the_nodes_found_counts_as_well(records: Records) -> None:
    """Two versions of vLLM are not one, unless the image is what differs."""
    with pytest.raises(HarnessError, match=r"observed\.vllm"):
        compare(records(), observed(records(), vllm="2"), Ledger())
    sides = (
        observed(records(parts={"image": "a"}), vllm="1"),
        observed(records(parts={"image": "b"}), vllm="2"),
    )
    assert compare(*sides, Ledger(), vary=["image"]).points
    with pytest.raises(HarnessError, match=r"observed\.gpu"):
        compare(
            sides[0], observed(records(parts={"image": "b"}), vllm="2", gpu="x"), Ledger(), vary=["image"]
        )


def test_one_client_for_two_images_is_no_difference(records: Records) -> None:
    """The head's image has another one's client, as every record says; where each arm had its own, a reader is told."""

    def arm(image: str, client: str | None) -> list[Record]:
        made = observed(
            records(parts={"image": image}), **({"load_image": client} if client == "a" != image else {})
        )
        return [
            one.model_copy(
                update={
                    "image": image,
                    "squash_sha256": image * 64,
                    "node": one.node.model_copy(update={"load_image": client}),
                }
            )
            for one in made
        ]

    found = compare(arm("a", "a"), arm("b", "a"), Ledger(), vary=["image"])
    assert not [note for note in found.notes if "load client" in note]
    found = compare(arm("a", None), arm("b", None), Ledger(), vary=["image"])
    assert [note for note in found.notes if "each arm's load client was its own image's" in note]


def test_servers_with_other_lists_of_points_are_refused(records: Records) -> None:
    """What a server did before moves its numbers."""
    head = [one.model_copy(update={"points_before": ["r/x"]}) for one in records()]
    with pytest.raises(HarnessError, match="measure both sides with the same selection"):
        compare(records(), head, Ledger())


def test_one_run_given_twice_is_refused(records: Records) -> None:
    """It is one run, not two."""
    side = records()
    with pytest.raises(HarnessError, match="given twice"):
        compare(side + side, records(), Ledger())


def test_points_of_one_side_are_told(records: Records) -> None:
    """New, and gone."""
    found = compare(records()[:1], records()[1:], Ledger())
    assert (found.new, found.gone, found.points) == ([C2], [C1], [])


def test_the_headline_counts_points_of_one_server_once(pair: Records, noise: Ledger) -> None:
    """Its interval is that of one job, though two points have each their own."""
    found = compare(*sides(pair(slower=1.02)), noise)
    one = found.points[0].metrics["tput"]
    line = found.headline
    assert (line.points, line.jobs) == (2, 1)
    assert line.percent == pytest.approx(100 * (1 / 1.02 - 1))
    assert line.low_percent
    assert one.low_percent
    assert line.low_percent <= one.low_percent * 0.95


def test_text_of_nodes_is_no_markdown(pair: Records) -> None:
    """A reason with markup, a mention and a row's end stays text."""
    evil = Failure(reason="SERVER_DIED", message="<img src=x> | @everyone `x` [l](http://e)\n| a | b |")
    measured = [one.model_copy(update={"status": "failed", "failure": evil, "whole": None}) for one in pair()]
    text = present.markdown(compare(*sides(measured), Ledger()))
    assert "<img" not in text
    assert "@everyone" not in text
    assert "[l](" not in text.replace("\\", "")[0:0] + text
    assert all(line.count("|") - line.count("\\|") in {0, 8, 9, 10} for line in text.splitlines())


def test_the_command_judges_both_arms_of_one_folder(
    cli: Cli, pair: Records, noise: Ledger, tmp_path: Path
) -> None:
    """As text, Markdown, and JSON that its schema accepts; the ledger is a file."""
    from utils.results.verdict import ledger

    (tmp_path / "l.jsonl").write_text(ledger.text(noise))
    for number, one in enumerate([*pair(slower=1.1), *pair(slower=1.1, block=2)]):
        record_file.save(one, tmp_path / "both" / str(number))
    given = ("compare", str(tmp_path / "both"), "--ledger", str(tmp_path / "l.jsonl"))
    done = cli(*given)
    assert done.returncode == 0, done.stderr
    assert re.search(r" regression .*  confirmed by a second block\n", done.stdout)
    assert "regression in 2 of 2 points" in cli(*given, "--format", "markdown").stdout
    content = json.loads(cli(*given, "--format", "json").stdout)
    assert content["schema"] == 1
    assert content["points"][0]["metrics"]["tpot"]["word"] == "regression"
    schema = json.loads((ROOT / "utils/results/verdict/comparison.schema.json").read_text())
    assert set(content) == set(schema["properties"])
    assert Comparison.model_validate({"schema_version": content.pop("schema"), **content})
    only_head = cli("compare", str(tmp_path / "records-0"))
    assert only_head.returncode == Exit.NOT_COMPARABLE
    assert "measure with --pair" in only_head.stderr


def test_a_cut_record_stops_the_command(cli: Cli, records: Records, tmp_path: Path) -> None:
    """With the place in the file."""
    records()
    path = next((tmp_path / "records-0").rglob("record.json"))
    path.write_text(path.read_text()[:300])
    done = cli("compare", str(tmp_path / "records-0"), str(tmp_path / "records-0"))
    assert done.returncode == Exit.RECORD_UNREADABLE
    assert "not a whole record" in done.stderr
    assert cli("collect", str(tmp_path / "nowhere")).returncode == Exit.RECORD_UNREADABLE


def test_arms_are_told_apart(pair: Records) -> None:
    """By what each record says of itself."""
    base, head = matching.arms(pair())
    assert ({one.arm for one in base}, {one.arm for one in head}) == ({"base"}, {"head"})


def test_several_heads_in_one_table(cli: Cli, pair: Records, noise: Ledger, tmp_path: Path) -> None:
    """A row a figure, a column a head with its change and word; the same figures as of each alone."""
    from utils.results.verdict import ledger

    (tmp_path / "l.jsonl").write_text(ledger.text(noise))
    for name, slower in (("fused", 1.1), ("final", 0.9), ("same", 1.0)):
        for number, one in enumerate([*pair(slower=slower), *pair(slower=slower, block=2)]):
            record_file.save(one, tmp_path / name / str(number))
    folders = [str(tmp_path / name) for name in ("fused", "final", "same")]
    done = cli("compare", *folders, "--ledger", str(tmp_path / "l.jsonl"), "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    words_of = [found[name]["points"][0]["metrics"]["tpot"]["word"] for name in folders]
    assert words_of == ["regression", "improvement", "no change seen"]
    text = cli("compare", *folders, "--ledger", str(tmp_path / "l.jsonl"))
    assert text.stdout.count("regression") >= 4, text.stderr


def test_results_are_judged_by_the_ledger_of_their_day(
    cli: Cli, pair: Records, noise: Ledger, tmp_path: Path
) -> None:
    """The copy that is kept with them counts, until another one is named; the verdict names it with the rule's version."""
    from utils.results.verdict import kept, ledger

    (tmp_path / "now.jsonl").write_text(ledger.text(noise))
    folder = tmp_path / "both"
    for number, one in enumerate(pair(slower=1.01, noise=(1.0, 1.01, 1.0, 1.01))):
        record_file.save(one, folder / str(number))
    kept.keep(folder, tmp_path / "now.jsonl")
    (tmp_path / "now.jsonl").write_text("")
    kept.keep(folder, tmp_path / "now.jsonl")
    named = json.loads(cli("compare", str(folder), "--format", "json").stdout)["ledger"]
    assert (named["differences"], named["rule"], len(named["sha256"])) == (
        len(noise.differences),
        kept.RULE,
        64,
    )
    other = cli("compare", str(folder), "--ledger", str(tmp_path / "now.jsonl"), "--format", "json")
    assert json.loads(other.stdout)["ledger"] == {"sha256": "", "differences": 0, "rule": kept.RULE}


@pytest.mark.parametrize(
    ("could_see", "why", "said"),
    [
        (None, "", "no change seen"),
        (2.0, "", "no change seen (could have seen >= 2.0 %)"),
        (None, "its head is noisier", "no change seen (its head is noisier)"),
    ],
)
def test_a_quiet_figure_says_what_it_has_to_say(
    pair: Records, noise: Ledger, could_see: float | None, why: str, said: str
) -> None:
    """No brackets around nothing."""
    base, head = sides(pair())
    one = next(iter(compare(base, head, noise).points[0].metrics.values()))
    quiet = {
        "word": "no change seen",
        "could_see_percent": could_see,
        "unchanged_within_percent": None,
        "why": why,
    }
    assert present.verdict_text(one.model_copy(update=quiet)) == said


def test_no_note_hides_one_of_another_kind(pair: Records, noise: Ledger) -> None:
    """What one run alone says stands beside what all of them say; the same with other numbers is the same. Beyond four kinds they are counted."""
    said = ["others used 7 % of the cores", "3 of 40 tokens came at once", "a", "b", "c"]
    records = [
        one.model_copy(
            update={"notes": [f"the hypervisor took {n}.5 % of the cores' time", *(said if n == 2 else [])]}
        )
        for n, one in enumerate(pair())
    ]
    notes = [note for note in compare(*sides(records), noise).notes if note.startswith(C1)]
    (shown,) = (note for note in notes if "hypervisor" in note)
    assert shown.endswith("time (and in 3 more)")
    if any("others used" in note for note in notes):
        assert notes[-1] == f"{C1}: 2 more notes, in its records"
        assert len(notes) == 5


def test_a_point_beyond_saturation_keeps_its_label_behind_other_notes(pair: Records, noise: Ledger) -> None:
    """The first run's note about its machine must not hide what the head's says of the point."""
    label = (
        "beyond saturation: of 10 requests 2.0 waited in the server on average; more at once only wait longer"
    )
    load = generated(1, recipes=1, status="measured")[0].load
    assert load
    records = [
        one.model_copy(update={"notes": ["its machine was busy"]})
        if one.arm == "base"
        else one.model_copy(
            update={
                "notes": ["x", label],
                "server": ServerWindow(saturated=True, waiting_mean=2.0),
            }
        )
        for one in pair(more={"load": load.model_copy(update={"concurrency": 10})})
    ]
    notes = compare(*sides(records), noise).notes
    assert [note for note in notes if note.startswith(f"{C1}, run")] == [
        f"{C1}, run 2 (head): {label} (and in 1 more)",
        f"{C1}, run 1 (base): its machine was busy (and in 1 more)",
        f"{C1}, run 2 (head): x (and in 1 more)",
    ]
