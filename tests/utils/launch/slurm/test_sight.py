"""What sinfo says, of several versions: fields by explicit formats; words that nobody knows are reported, and never taken for good."""

from __future__ import annotations

import pytest

from matrix import cluster as clusters
from matrix.slurm.section import Slurm
from matrix.source import Folder
from tests.conftest import ROOT
from utils.launch.slurm import client, diagnosis, sight
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.sight import NodeSeen, Partition, PartitionSeen
from utils.node.preflight import Check

FILE = "recipes/clusters/c.yaml"


def node(state: str, reason: str = "none", name: str = "mi0", partition: str = "compute") -> NodeSeen:
    return NodeSeen(name, state, 64, 100000, partition, "gpu:mi300x:8(S:0-1)", reason)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("infinite", float("inf")), ("UNLIMITED", float("inf")), ("30", 1800), ("30:00", 1800), ("2:00:00", 7200),
     ("1-00:00:00", 86400), ("7-12", 7 * 86400 + 12 * 3600), ("1-02:30", 86400 + 9000), ("n/a", None), ("", None), ("soon", None)],
)  # fmt: skip
def test_time_limits_as_slurm_writes_them(text: str, seconds: float | None) -> None:
    """A word that is no time is unknown, not infinite."""
    assert sight.seconds(text) == seconds


@pytest.mark.parametrize(
    ("has", "wanted", "count"),
    [("gpu:mi300x:8(S:0-1)", "gpu:8", 8), ("gpu:mi300x:8(S:0-1)", "gpu:mi300x:8", 8), ("gpu:mi300x:8", "gpu:h100:8", 0),
     ("gpu:8", "gpu:8", 8), ("(null)", "gpu:8", 0), ("gpu:a:4(S:0),gpu:a:4(S:1),nic:2", "gpu:8", 8), ("gpu", "gpu", 1),
     ("gpu:mi300x:many", "gpu:8", None), ("nic:8", "gpu:8", 0), ("gres/gpu:2", "gres/gpu:2", 2)],
)  # fmt: skip
def test_generic_resources_are_counted(has: str, wanted: str, count: int | None) -> None:
    """With and without a type, over sockets; a shape that nobody knows is no count."""
    assert sight.gres_count(has, wanted) == count


def test_several_generic_resources_are_each_looked_for() -> None:
    """GPUs beside a network's, in any order; only GPUs are what devices.count counts."""
    node = sight.nodes("mi0|idle|64|100000|compute|gpu:mi300x:8(S:0-1),nic:2|none")
    cluster = clusters.load(Folder(ROOT), "mi300x-amd")

    def gres(asked: str) -> Check:
        return next(iter(diagnosis.resources(cluster, Slurm(gres=asked), node)))

    for asked in ("gpu:8,nic:2", "nic:1,gpu:mi300x:8"):
        found = gres(asked)
        assert (found.passed, found.advice) == (True, ""), found
        assert found.found.startswith(f"1 of 1 nodes have {asked}; nodes have gpu:mi300x:8(S:0-1),nic:2")
    assert gres("gpu:8,nic:3").found.startswith("no node has gpu:8,nic:3")
    assert "asks for 4, and devices.count is 8" in gres("nic:1,gpu:4").advice


@pytest.mark.parametrize(
    ("state", "takes"),
    [("idle", True), ("mixed", True), ("allocated", True), ("allocated+", True), ("mixed-", True), ("idle~", True), ("planned", True),
     ("idle#", True), ("down", False), ("down*", False), ("idle*", False), ("drained", False), ("draining", False), ("idle@", False),
     ("maint$", False), ("reserved", True), ("inval", False), ("unknown", False), ("fail*", False), ("powered_down", False),
     ("dreaming", None), ("", None), ("idle?", None)],
)  # fmt: skip
def test_words_of_nodes(state: str, takes: bool | None) -> None:  # noqa: FBT001 - what is tested
    """Slurm 22.05 to 26.05."""
    assert node(state).takes is takes


def test_rows_of_nodes_and_partitions() -> None:
    """A reason may have a bar in it; a row of another shape is no row; counts of a partition's rows are added."""
    text = "mi0|down*|64|100000|compute|gpu:8|Kill task failed | see ticket\nrubbish\nmi1|idle|128+|2000000|compute|(null)|none\n"
    found = sight.nodes(text)
    assert [(one.name, one.cpus, one.gres) for one in found] == [("mi0", 64, "gpu:8"), ("mi1", 128, "(null)")]
    assert found[0].reason == "Kill task failed | see ticket"
    rows = sight.partitions("compute|up|infinite|3\ncompute|up|infinite|1\nlow|down|1-00:00:00|0\nrubbish|\n")
    assert rows == [
        PartitionSeen("compute", "up", "infinite", 4),
        PartitionSeen("low", "down", "1-00:00:00", 0),
    ]
    assert rows[1].limit_s == 86400


def test_a_renamed_partition_is_named_with_the_ones_there_are() -> None:
    """InferenceX lost a whole matrix to `invalid partition specified`."""
    there = [PartitionSeen(name, "up", "infinite", 2) for name in ("compute-0", "batch")]
    assert sight.gone("compute", there, FILE) == (
        f"there is no partition compute (slurm.partition of {FILE}): Slurm has compute-0, batch; did you mean 'compute-0'?"
    )
    assert sight.gone("batch", there, FILE) == ""
    assert sight.gone("", there, FILE) == ""


def test_a_partition_in_which_nothing_starts() -> None:
    """Every node is down, the partition is; an unknown word of a node or partition is not `up`; one node is enough."""
    up = [PartitionSeen("compute", "up", "infinite", 2)]
    down = [node("down*", "Not responding"), node("down*", "Not responding", name="mi1")]
    assert sight.closed("compute", up, down) == (
        "no node of partition compute is up: mi0 down* (Not responding), mi1 down* (Not responding)"
    )
    assert sight.closed("compute", up, [*down, node("idle", name="mi2")]) == ""
    assert "mi0 dreaming" in sight.closed("compute", up, [node("dreaming")])
    assert (
        sight.closed("compute", up, [node("idle", partition="other")])
        == "no node of partition compute is up: it has none"
    )
    for word in ("down", "drain", "inact", "asleep"):
        shut = [PartitionSeen("compute", word, "infinite", 2)]
        assert (
            sight.closed("compute", shut, [node("idle")])
            == f"partition compute is {word}: no job starts there"
        )
    many = [node("down", name=f"mi{number}") for number in range(9)]
    assert sight.closed("", [], many).endswith("mi5 down, and 3 more")


def test_several_partitions_are_one_choice() -> None:
    """Slurm takes the first that can start the job (sbatch(1), --partition), and refuses a list with one that is not there."""
    there = [PartitionSeen("a", "up", "infinite", 1), PartitionSeen("b", "down", "infinite", 1)]
    assert sight.gone("a,b", there, FILE) == ""
    assert sight.gone("a,c", there, FILE).startswith(f"there is no partition c (slurm.partition of {FILE})")
    in_a, in_b = node("idle", partition="a"), node("idle", name="mi1", partition="b")
    assert sight.closed("a,b", there, [in_a, in_b]) == ""
    assert sight.closed("a,b", there, [node("down", partition="a"), in_b]) == (
        "no node of partition a is up: mi0 down"
    )
    shut = [PartitionSeen(name, "down", "infinite", 1) for name in "ab"]
    assert sight.closed("b,a", shut, [in_a, in_b]) == "partitions b, a are down: no job starts there"


def test_the_partition_is_asked_about_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """By all waiting jobs together; while the controller is away its last answer holds, and no answer says nothing."""
    asked: list[str] = []
    answers: dict[str, str] = {}

    def call(command: list[str]) -> str:
        asked.append(command[-1])
        if not answers:
            raise SlurmError("sinfo", "Unable to contact slurm controller", unanswered=True)
        return answers[command[-1].removeprefix("--format=")]

    monkeypatch.setattr(client, "call", call)
    partition = Partition("compute", FILE, every_s=3600)
    assert partition.shut() == ""
    assert partition.missing() == ""
    answers |= {
        sight.PARTITION: "compute|up|infinite|1\n",
        sight.NODE: "mi0|down*|64|1|compute|gpu:8|Not responding\n",
    }
    assert partition.shut() == "", "it is not due yet"
    partition.asked_s = None
    assert partition.shut() == "no node of partition compute is up: mi0 down* (Not responding)"
    count = len(asked)
    assert partition.shut().startswith("no node")
    assert len(asked) == count
    answers.clear()
    partition.asked_s = None
    assert partition.shut().startswith("no node")
    answers |= {sight.PARTITION: "compute-0|up|infinite|1\n"}
    partition.asked_s = None
    assert partition.shut().startswith("there is no partition compute (slurm.partition of")
