"""The quarantine's way to the dashboard: from a night's runner over the data branch to the page."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matrix.errors import Exit, HarnessError
from matrix.plan import Plan
from tests.conftest import ROOT, Cli
from tests.utils.conftest import HEAD, GitHub
from tests.utils.sweeps.made import plan as planned
from utils.launch.quarantine import Quarantine
from utils.sweeps import measure, nightly, publish, quarantine_copy

PLAN = Plan.from_json(json.loads(planned()))
CLUSTER = PLAN.jobs[0].cluster


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    """One node is out."""
    found = Quarantine(tmp_path / "state")
    found.blame("mi3", "a GPU fell off the bus", ["NVRM: Xid 79 hf_secret"], "servematrix-job")
    return found


def job(results: Path, attempt: int = 1) -> Path:
    return results / f"results-{attempt}-job"


def copy(at: float, *nodes: str) -> dict[str, Any]:
    until = time.time() + 3600
    return {
        "at_unix_s": at,
        "nodes": [{"node": one, "cause": "broken", "until_unix_s": until} for one in nodes],
    }


def put(folder: Path, content: dict[str, Any] | bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    plain = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / quarantine_copy.FILE).write_bytes(plain)


def test_a_copy_has_no_line_of_a_log(quarantine: Quarantine, tmp_path: Path) -> None:
    """Node, cause and end alone; a link in its place is not followed."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / quarantine_copy.FILE).symlink_to(tmp_path / "elsewhere")
    quarantine_copy.leave(quarantine, CLUSTER, tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()
    left = json.loads((tmp_path / "out" / quarantine_copy.FILE).read_text())
    assert list(left) == [CLUSTER]
    (node,) = left[CLUSTER]["nodes"]
    assert node == {"node": "mi3", "cause": "a GPU fell off the bus", "until_unix_s": node["until_unix_s"]}


@pytest.mark.parametrize(
    "content",
    [
        b"nothing",
        b"[" * 100_000,
        b" " * (quarantine_copy.MOST + 1),
        {CLUSTER: copy(1.0, "../x")},
        {CLUSTER: copy(1.0, "<b>")},
        {CLUSTER: {"at_unix_s": 1.0, "nodes": [], "evidence": "x"}},
        {CLUSTER: copy(float("inf"))},
        {CLUSTER: copy(1.0, *(f"n{n}" for n in range(quarantine_copy.MOST_NODES + 1)))},
    ],
    ids=["text", "deep", "large", "path", "html", "more", "never", "many"],
)
@pytest.mark.hostile
def test_what_is_no_copy_is_left_out(content: dict[str, Any] | bytes, tmp_path: Path) -> None:
    """It is said, and the page has none; where it comes as far as publishing, that fails."""
    put(job(tmp_path / "results"), content)
    (note,) = quarantine_copy.gather(tmp_path / "results", PLAN, tmp_path / "out")
    assert note.startswith("results-1-job: its copy of the quarantine is left out: ")
    assert not (tmp_path / "out").exists()
    put(tmp_path / "report", content)
    with pytest.raises(HarnessError, match="copy of the quarantine cannot be read") as caught:
        quarantine_copy.keep(tmp_path / "report", tmp_path)
    assert caught.value.exit_code is Exit.ARTIFACT_INVALID
    put(tmp_path, content)
    assert quarantine_copy.known(tmp_path) is None


@pytest.mark.hostile
def test_a_pipe_is_no_copy(tmp_path: Path) -> None:
    """Nobody waits for it."""
    job(tmp_path).mkdir()
    os.mkfifo(job(tmp_path) / quarantine_copy.FILE)
    assert len(quarantine_copy.gather(tmp_path, PLAN, tmp_path / "out")) == 1


def test_the_newest_look_at_each_cluster_counts(tmp_path: Path) -> None:
    """Clusters that the night did not ask for do not; a clock that is ahead does not stay the newest; other clusters' copies stay."""
    now = time.time()
    put(job(tmp_path / "r", 1), {CLUSTER: copy(now - 60, "old"), "another": copy(now, "x")})
    put(job(tmp_path / "r", 2), {CLUSTER: copy(now + 1e6, "new")})
    assert quarantine_copy.gather(tmp_path / "r", PLAN, tmp_path / "report") == []
    put(tmp_path / "data", {CLUSTER: copy(now - 1e5, "older"), "far": copy(5.0, "y")})
    assert quarantine_copy.keep(tmp_path / "report", tmp_path / "data")
    found = quarantine_copy.known(tmp_path / "data")
    assert found
    assert {name: [one.node for one in seen.nodes] for name, seen in found.items()} == {
        CLUSTER: ["new"],
        "far": ["y"],
    }
    assert found[CLUSTER].at_unix_s == pytest.approx(now, abs=60)
    rows, words = quarantine_copy.shown(found, now + 7200)
    assert rows == []
    assert words.startswith("As the last night saw it: far on 1970-01-01 00:00 UTC, ")
    assert not quarantine_copy.keep(tmp_path / "nowhere", tmp_path / "data")


NIGHT: dict[str, Any] = {}
SWEEP: dict[str, Any] = {"inputs": {"sha": HEAD, "pull": "42"}}


@pytest.mark.parametrize("payload", [NIGHT, SWEEP], ids=["night", "sweep"])
@pytest.mark.parametrize("breaks", [False, True])
def test_a_sweep_leaves_no_copy(
    payload: dict[str, Any],
    breaks: bool,  # noqa: FBT001 - a case
    github: GitHub,
    quarantine: Quarantine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nights do, however their job ended."""

    def execute(*_: object) -> Exit:
        if breaks:
            raise HarnessError(Exit.SERVER_DIED, "x")
        return Exit.OK

    out = quarantine.folder / "out"
    known: dict[str, Any] = {
        "from_environment": lambda: github.event("schedule", **payload),
        "read_plan": lambda _: PLAN,
        "order_of": lambda *_: (SimpleNamespace(out=out), {}),
        "only_launcher": lambda _: None,
        "execute": execute,
        "state_folder": lambda: quarantine.folder,
        "cluster_lock": SimpleNamespace(held=lambda *_: nullcontext()),
    }
    for name, value in known.items():
        monkeypatch.setattr(measure, name, value)
    with pytest.raises(HarnessError) if breaks else nullcontext():
        assert measure.measure(ROOT, out, PLAN.jobs[0].id, out) is Exit.OK
    assert (out / quarantine_copy.FILE).exists() is (payload is NIGHT)


def test_a_night_without_records_brings_it_to_the_page(
    github: GitHub, quarantine: Quarantine, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken nodes are why there is no record: the copy is on the data branch all the same, and the page has it without an option."""

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *words], check=True)

    tree, data = tmp_path / "tree", tmp_path / "data"
    git("init", "-q", "--bare", str(tmp_path / "origin"))
    git("clone", "-q", str(tmp_path / "origin"), str(tree))
    for module in (nightly, publish):
        monkeypatch.setattr(module, "from_environment", lambda: github.event("schedule"))
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan/plan.json").write_bytes(planned())
    quarantine_copy.leave(quarantine, CLUSTER, job(tmp_path / "results"))
    assert nightly.keep_night(tmp_path / "plan", tmp_path / "results", tmp_path / "report") is Exit.OK
    assert publish.publish_night(tree, tmp_path / "report") is Exit.OK
    git("clone", "-q", "-b", "data", str(tmp_path / "origin"), str(data))
    price = "{device: H100, owner: rented, usd_per_hour: 2.5, source: invented for a test, date: 2026-11-26}"
    pages = []
    for _ in range(2):
        made = cli("site", str(data), "--out", str(tmp_path / "site"))
        assert made.returncode == 0, made.stderr
        pages.append((tmp_path / "site/index.html").read_text())
        (data / quarantine_copy.FILE).unlink(missing_ok=True)
        (data / "prices.yaml").write_text(f"- {price}\n")
    assert "mi3</td>" in pages[0]
    assert f"As the last night saw it: {CLUSTER} on " in pages[0]
    assert "No price file was given" in pages[0]
    assert "no night has left a copy of it on the data branch" in pages[1]
    assert "No price file was given" not in pages[1]
