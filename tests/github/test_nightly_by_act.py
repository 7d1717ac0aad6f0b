"""What the default branch measures for itself, run by act: new keys after a merge, and the ledger at night."""

from __future__ import annotations

import json

from tests.github.acting import Acting


def test_new_keys_of_the_default_branch_end_in_a_pull_request(swept: Acting) -> None:
    """A first baseline: measured without a base, its entry proposed; once it is there, equal keys run nothing."""
    for recipe in sorted((swept.work / "recipes").glob("*.yaml")):
        if recipe.name != "r.yaml":
            recipe.unlink()
    swept.git("checkout", "-q", "main")
    head = swept.commit("one recipe", "main")
    state = swept.stand_in.state
    pushed = swept.act("pushed.yml", "push", {"after": head})
    assert pushed.code == 0, pushed.text
    (dispatched,) = state.dispatched
    assert dispatched["inputs"]["pull"] == "0"
    done = swept.sweep()
    assert done.code == 0, done.text
    assert len(state.opened) == 1, done.text
    (opened_pull,) = state.opened
    assert opened_pull["head"] == f"servematrix/baseline-{head[:12]}-{state.runs[0]['id']}"
    assert opened_pull["base"] == "main"
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    entry = swept.git("show", f"o/{opened_pull['head']}:perf-changelog.yaml")
    assert f"- title: Baseline at {head[:10]}" in entry
    assert "n: 0+2" in entry
    swept.git("merge", "-q", "--ff-only", f"o/{opened_pull['head']}")
    swept.git("push", "-q", str(swept.remote), "HEAD:refs/heads/main")
    again = swept.act("pushed.yml", "push", {"after": swept.git("rev-parse", "HEAD")})
    assert "nothing to measure" in again.text
    assert len(state.dispatched) == 1


def test_a_night_fills_the_ledger(swept: Acting) -> None:
    """One job of each recipe against itself; a ledger and records on the data branch, which is begun where it is not there. The dashboard shows them."""
    for recipe in sorted((swept.work / "recipes").glob("*.yaml")):
        if recipe.name != "r.yaml":
            recipe.unlink()
    swept.git("checkout", "-q", "main")
    swept.commit("one recipe", "main")
    swept.git("push", "-q", str(swept.remote), ":refs/heads/data")
    assert "Nothing was measured yet." in dashboard(swept)
    done = swept.act("nightly.yml", "schedule", {"schedule": "17 1 * * *"})
    assert done.code == 0, done.text
    assert set(done.jobs.values()) == {"success"}
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    lines = [json.loads(line) for line in swept.git("show", "o/data:ledger.jsonl").splitlines()]
    assert {(line["point"], tuple(line["runs"])) for line in lines} == {
        (f"r/32x16-tp1-c{c}", runs) for c in (1, 2) for runs in ((0, 1), (1, 2))
    }
    page = dashboard(swept)
    assert "r/32x16-tp1-c1" in page
    assert "Nothing was measured yet." not in page


def dashboard(swept: Acting) -> str:
    """What the workflow puts onto the branch that Pages serves."""
    done = swept.act("site.yml", "schedule", {"schedule": "17 6 * * *"})
    assert done.code == 0, done.text
    assert done.jobs == {"make": "success", "publish": "success"}
    swept.git("fetch", "-q", str(swept.remote), "+refs/heads/*:refs/remotes/o/*")
    assert swept.git("ls-tree", "--name-only", "o/pages").split() == [
        ".nojekyll",
        "digest.md",
        "index.html",
        "records.csv",
    ]
    return swept.git("show", "o/pages:index.html")
