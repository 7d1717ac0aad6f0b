"""From a comment to the commit with the entry: the real workflows by act, the REAL vLLM, on a real Slurm; GitHub's API is a stand-in."""

from __future__ import annotations

import json
import re

import pytest

from tests.conftest import write
from tests.github.acting import Acting
from tests.github.standin import StandIn
from tests.github.state import REPOSITORY
from tests.slurm.site import Site
from utils.node.gates import GATES

pytestmark = [pytest.mark.real, pytest.mark.slurm]
CLUSTER = """\
launcher: slurm
storage: staged
devices: {kind: cpu, model: cpu, count: 2}
container: {runtime: none}
slurm: {gres: "gpu:8", poll_s: 0.5}
paths: {spool: /tmp/sm-$UID}
env: {HF_HUB_OFFLINE: "1", VLLM_CPU_KVCACHE_SPACE: "1", VLLM_NO_USAGE_STATS: "1"}
limits: {foreign_share: 1, ready_s: 300, client_s: 600, estimate_start_s: 60, estimate_request_s: 0.5, estimate_tok_per_s: 2000}
sweeps: true
"""
RECIPE = """\
extends: qwen3moe-tiny-cpu-vllm
cluster: behind
protocol: {min-duration-s: 1}
workloads:
- {isl: 128, osl: 64, search: [{tp: 1, concurrency: 4}]}
"""
STUB = "small:\n- pr: 42\n  title: Fewer sequences\n  why: [to see the way]\n"


def test_from_a_sweep_command_to_the_changelog_commit(site: Site) -> None:
    """Both arms in one allocation, one canary, four runs; a report with numbers and without a word, for the ledger is empty; the entry."""
    folder = site.base / f"act-{site.number}"
    folder.mkdir()
    with StandIn() as stand_in:
        variables = {name: site.env[name] for name in ("SLURM_CONF", "XDG_STATE_HOME")}
        acting = Acting(stand_in, folder, variables)
        write(acting.work / "recipes/clusters/behind.yaml", CLUSTER)
        write(acting.work / "recipes/small.yaml", RECIPE)
        acting.commit("a small recipe", "main")
        acting.git("checkout", "-q", "-b", "change")
        write(acting.work / "recipes/small.yaml", f"{RECIPE}serve: {{flags: {{max-num-seqs: 64}}}}\n")
        log = acting.work / "perf-changelog.yaml"
        log.write_text(log.read_text() + STUB)
        head = acting.commit("fewer", "change")
        state = stand_in.state
        state.remote = str(acting.remote)
        state.pull(42, head)
        state.pulls[42]["head"]["repo"]["full_name"] = REPOSITORY
        state.pulls[42]["base"]["sha"] = acting.git("rev-parse", "main")
        state.permissions["writer"] = "write"
        body = f"/sweep run {head}"
        about = {"id": state.comment(42, "writer", body), "body": body, "user": {"login": "writer"}}
        issue = {"number": 42, "pull_request": {"url": "x"}}
        asked = acting.act(
            "command.yml", "issue_comment", {"action": "created", "issue": issue, "comment": about}
        )
        assert asked.code == 0, asked.text
        done = acting.sweep()
        assert done.code == 0, done.text
    assert state.problems == []
    report = next(one for one in state.bodies(42) if "servematrix:report" in one)
    assert re.search(r"\*\*(No change seen|Regression|Improvement) in 1 of 1 points", report), report
    acting.git("fetch", "-q", str(acting.remote), "+refs/heads/*:refs/remotes/o/*")
    entry = acting.git("show", "o/change:perf-changelog.yaml")
    assert STUB in entry
    assert "vllm: 0.32.0" in entry.replace('"', "").split("small:")[1]
    assert "n: 2+2" in entry.split("small:")[1]
    names = acting.git("ls-tree", "-r", "--name-only", "o/data").splitlines()
    records = [
        json.loads(acting.git("show", f"o/data:{name}")) for name in names if name.endswith("record.json")
    ]
    pairs = len(
        {one["allocation"] for one in records}
    )  # two where the first one was flagged: it is measured again
    assert pairs in {1, 2}
    assert len(records) == 4 * pairs
    assert {(one["status"], len(one["gates"])) for one in records} == {("measured", len(GATES))}
    ours = [one for one in records if one["allocation"].startswith(f"sweep-{state.runs[0]['id']}-1-small.")]
    assert len(ours) in {4, 4 * pairs}
    assert all(one["observed"]["reusable"] for one in records)
    assert {one["node"]["name"] for one in records} <= set(site.slurm.names)
    lines = [json.loads(line) for line in acting.git("show", "o/data:ledger.jsonl").splitlines()]
    assert lines
    assert {line["arm"] for line in lines} == {"base"}, "nothing of the head"
    assert site.left_on_nodes() == []
