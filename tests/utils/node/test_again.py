"""A point in whose load something was compiled is loaded once more, and that load counts, whatever it is. With the FAKE vLLM."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix import select
from matrix.errors import Exit
from matrix.plan import Arm, Point, Side
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT, environment
from tests.utils.node.conftest import RunNode, with_fault
from tests.utils.node.test_faults import records
from utils.node import again, point, run
from utils.node.gates import GATES
from utils.node.kernel_counts import Marker
from utils.node.packed import unpacked
from utils.node.record import Gate, Record
from utils.node.spec import Found, NodeJob, Run
from utils.results.recompute import check, left
from utils.results.recompute.asked import Asked

LINE = "JIT compilation during inference: _fake_kernel"
NOTE = f"loaded twice: in the first load something was compiled (found '{LINE}'); all figures and gates are the second load's"


@pytest.fixture(autouse=True)
def prompts_are_not_kept(tree: Path) -> None:
    """The recipe's server has no prefix cache, as those that are shipped."""
    recipe = tree / "recipes/r.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("block-size: 16", "block-size: 16, enable-prefix-caching: false"))


def loads(one: Record) -> int:
    """How often it was loaded, by its phases."""
    return sum(phase.name == "load" for phase in one.phases)


def failed(one: Record) -> list[str]:
    """Gates."""
    return [gate.name for gate in one.gates if not gate.passed]


def point_of(out: Path, one: Record) -> Path:
    """Its folder."""
    return out / f"run-{one.run_index}-{one.arm}" / one.point.split("/")[1]


def test_the_second_load_counts(run_node: RunNode) -> None:
    """A kernel was compiled in the first one: the record says so, has no figure of it, and what it left is beside."""
    code, events, out = run_node("compiles-once")
    first, other = records(out)
    assert code == Exit.OK
    assert (first.status, loads(first), failed(first)) == ("measured", 2, [])
    assert (other.status, loads(other)) == ("measured", 1), "the same server has it compiled"
    assert first.notes[0] == NOTE
    assert not any("loaded twice" in note for note in other.notes)
    assert [event["text"] for event in events if event["kind"] == "note"] == [
        f"r/32x16-tp1-c1: jit: found '{LINE}'; it is loaded once more, and the second load counts"
    ]
    folder = point_of(out, first)
    assert sorted(path.name for path in folder.iterdir()) == [
        "itl.json.gz",
        "load-1.itl.json.gz",
        "load-1.log",
        "load-1.requests.json.gz",
        "load.log",
        "record.json",
        "requests.json.gz",
        "warmup.log",
    ]
    longest = [
        max(map(max, json.loads(unpacked((folder / name).read_bytes(), 10**6))["itl_us"]))
        for name in ("load-1.itl.json.gz", "itl.json.gz")
    ]
    assert longest[0] > 500_000 > longest[1]
    assert first.whole
    assert other.whole
    assert first.whole.duration_s < 0.8, "of the second load, without the compiler's 0.8 s"
    assert first.counters
    assert first.load
    assert first.counters.requests_succeeded == first.load.requests, "/metrics around the second load alone"
    ends = [phase.start_s + phase.duration_s for phase in first.phases if phase.name == "load"]
    server = next(phase for phase in first.phases if phase.name == "server")
    assert first.server_age_s > ends[0] - server.start_s - server.duration_s


def test_a_second_load_that_compiles_is_invalid(run_node: RunNode) -> None:
    """There is no third one."""
    code, _, out = run_node("compiles-always")
    found = records(out)
    assert code == Exit.GATE_FAILED
    assert [(one.status, loads(one)) for one in found] == [("invalid", 2)] * 2
    assert all("jit" in failed(one) and one.notes[0] == NOTE for one in found)


@pytest.mark.parametrize("fault", ["output-short", "compiles-and-output-short"])
def test_nothing_else_is_loaded_again(run_node: RunNode, fault: str) -> None:
    """A gate that failed for another reason, with and without a compiler beside it, says what it says today."""
    code, _, out = run_node(fault)
    found = records(out)
    assert code == Exit.GATE_FAILED
    assert [(one.status, loads(one)) for one in found] == [("invalid", 1)] * 2
    assert not list(out.rglob("load-1.*"))
    assert all("output_lengths" in failed(one) for one in found)


def test_prompts_that_a_server_may_know_are_not_sent_again(tree: Path, run_node: RunNode) -> None:
    """The second load has the first one's prompts: a prefix cache would answer."""
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text().replace("enable-prefix-caching: false", "seed: 0"))
    _, _, out = run_node("compiles-once")
    first, _ = records(out)
    assert (first.status, loads(first)) == ("invalid", 1)


@pytest.mark.parametrize("arms", [("head", "head"), ("base", "head")])
def test_a_pairs_runs_load_once(
    node_command: Callable[..., tuple[list[str], Path]], arms: tuple[Arm, Arm]
) -> None:
    """On a real pair of H200s each arm's own part of the job did not know that it was one of a pair, and two points were loaded twice."""
    command, out = node_command(2)
    path = Path(with_fault(command, "compiles-once")[-1])
    spec = NodeJob.model_validate(json.loads(path.read_text()))
    job = spec.job.model_copy(update={"base": Side(points=spec.job.points, serve=spec.job.serve)})
    turns = [Run(index=index, arm=arm) for index, arm in enumerate(arms)]
    path.write_text(spec.model_copy(update={"job": job, "runs": turns}).model_dump_json(by_alias=True))
    subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=60)
    found = records(out)
    assert len(found) == 4
    assert [(one.status, loads(one)) for one in found] == [("invalid", 1), ("measured", 1)] * 2
    assert not list(out.rglob("load-1.*"))


@pytest.mark.parametrize(("walltime_s", "wanted"), [(1, 1), (100_000, 2)])
def test_a_job_that_ends_too_soon_has_no_second_load(
    node_command: Callable[..., tuple[list[str], Path]], tmp_path: Path, walltime_s: int, wanted: int
) -> None:
    """The scheduler would end it, and the points after it with it."""
    command, out = node_command()
    path = Path(with_fault(command, "compiles-once")[-1])
    spec = json.loads(path.read_text())
    spec["job"]["walltime_s"] = walltime_s
    path.write_text(json.dumps(spec))
    (tmp_path / "found.json").write_text(json.dumps({"began_s": time.monotonic()}))
    subprocess.run(
        [*command, str(tmp_path / "found.json")],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert [loads(one) for one in records(out)] == [wanted, 1]


def test_until_when(node_command: Callable[..., tuple[list[str], Path]]) -> None:
    """Points after it and later runs keep their time; canaries and profiles are never loaded again."""
    path = node_command(2)[0][-1]
    spec = NodeJob.model_validate(json.loads(Path(path).read_text()))
    seconds = [one.estimate_s for one in spec.job.points]
    job = spec.job.model_copy(update={"walltime_s": 5000, "arms": ["head", "head"]})
    spec = spec.model_copy(update={"job": job})
    (one, two), (first, last) = job.points, spec.runs
    assert again.until(spec, first, one, 7.0) == math.inf, "nobody ends it"
    spec = spec.model_copy(update={"found": Found(began_s=1000.0)})
    assert again.until(spec, last, two, 7.0) == 6000
    assert again.until(spec, last, one, 7.0) == 6000 - seconds[1]
    assert again.until(spec, first, two, 7.0) == 6000 - 7 - sum(seconds)
    with_base = spec.job.model_copy(update={"base": Side(points=list(spec.job.points), serve=spec.job.serve)})
    paired = spec.model_copy(update={"job": with_base})
    for update in ({"canary": True}, {"profile": "decode"}):
        assert again.until(spec.model_copy(update=update), last, two, 7.0) == -math.inf
    for arm in ("base", "head"):
        assert again.until(paired.of(arm), last, two, 7.0) == -math.inf
        assert again.until(paired.of(arm).of(arm), last, two, 7.0) == -math.inf, (
            "Slurm's files are of one arm"
        )


def test_points_of_a_shipped_recipe_may_be_loaded_again() -> None:
    """By their flags as the plan has them."""
    points = select.chosen(Tree.of(Folder(ROOT)), ["minimaxm3-layers-h100"]).jobs[0].points
    assert all(one.parts["flags"]["enable-prefix-caching"] is False for one in points)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], ""),
        (["jit"], "found 'x'"),
        (["jit", "silence", "evenness"], "found 'x'"),
        (["silence"], ""),
        (["jit", "server_alive"], ""),
        (["jit", "server_log"], ""),
        (["jit", "one_engine"], ""),
        (["jit", "requests_complete"], ""),
        (["jit", "machine_busy"], ""),
    ],
)
def test_why(names: list[str], wanted: str) -> None:
    """A compiler explains a stall, and nothing else."""
    assert {gate.__name__ for gate in GATES} >= again.OF_A_STALL
    known = ["jit", "silence", "evenness", "span"]
    gates = [Gate(name=name, passed=name not in names, found="found 'x'") for name in {*known, *names}]
    assert again.compiled(gates) == wanted


def looked(out: Path, one: Record, spec: NodeJob, *, paired: bool = False) -> list[str]:
    """What a judge who knows the plan alone finds wrong."""
    point = next(point for point in spec.job.points if point.id == one.point)
    asked = Asked(spec.job, point, 1, 1.0, paired=paired)
    return [str(found) for found in check.look(one, point_of(out, one), asked, records(out), {}).differences]


def test_the_judge_comes_to_the_same(run_node: RunNode, tmp_path: Path) -> None:
    """From the second load's raw requests and the first one's place in the log; and refuses a record that leaves something out."""
    _, _, out = run_node("compiles-once")
    spec = NodeJob.model_validate(json.loads((tmp_path / "job.json").read_text()))
    first, other = records(out)
    assert looked(out, first, spec) == []
    assert looked(out, other, spec) == []
    assert looked(out, first.model_copy(update={"notes": first.notes[1:]}), spec)
    assert looked(out, other.model_copy(update={"notes": [NOTE, *other.notes]}), spec)
    phases = [*first.phases[:-2], *first.phases[-4:]]
    assert [phase.name for phase in phases].count("load") == 3
    assert any("3 loads" in text for text in looked(out, first.model_copy(update={"phases": phases}), spec))


def test_a_point_of_a_pair_is_loaded_once(run_node: RunNode, tmp_path: Path) -> None:
    """A server that asks for a second load when its first was slow would choose its better half: the judge refuses it."""
    _, _, out = run_node("compiles-once")
    spec = NodeJob.model_validate(json.loads((tmp_path / "job.json").read_text()))
    first, other = records(out)
    assert looked(out, other, spec, paired=True) == []
    assert any("as every point of a pair" in text for text in looked(out, first, spec, paired=True))


def test_a_first_load_without_a_compiler_is_no_reason(run_node: RunNode, tmp_path: Path) -> None:
    """Whoever says that there was one, and the log says nothing, is refused."""
    _, _, out = run_node("compiles-once")
    spec = NodeJob.model_validate(json.loads((tmp_path / "job.json").read_text()))
    first, _ = records(out)
    log = point_of(out, first).parent / left.LOG
    log.write_text(log.read_text().replace(LINE, "x" * len(LINE)))
    assert any("did not" in text for text in looked(out, first, spec))


def test_a_kernels_counts_are_those_of_the_second_load(
    node_command: Callable[..., tuple[list[str], Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers are asked before and after each load, each time by another word, or an old answer would be taken for a new one."""
    path = with_fault(node_command()[0], "compiles-once")[-1]
    spec = NodeJob.model_validate(json.loads(Path(path).read_text()))
    words: list[str] = []

    def marked(bench: object, one: Point, when: str) -> list[Marker]:
        del bench
        words.append(f"{when} {one.concurrency}")
        return [Marker(worker=0, taken={1: len(words) ** 2})]

    monkeypatch.setattr(point, "_marked", marked)
    run.run_job(spec, lambda _: None)
    assert words == ["before 1", "after 1", "again-before 1", "again-after 1", "before 2", "after 2"]
    assert [one.marker[0].taken for one in records(Path(spec.out))] == [{1: 16 - 9}, {1: 36 - 25}]
