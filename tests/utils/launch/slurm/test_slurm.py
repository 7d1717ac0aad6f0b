"""Jobs on a real Slurm, from `run` to records, with the FAKE vLLM."""

from __future__ import annotations

import json
import re

import pytest

from tests.slurm.site import RECIPE, Site

pytestmark = pytest.mark.slurm
STORAGES = pytest.mark.parametrize("storage", ["shared", "staged"])


@STORAGES
def test_a_run_brings_its_records_and_leaves_nothing(site: Site, storage: str) -> None:
    """Two runs of two points; the canary is not recorded; nodes are clean afterwards."""
    done = site.run(storage, "--runs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses(storage) == ["measured"] * 4
    assert done.stdout.splitlines()[-1] == f"records: {site.out(storage)}"
    assert "canary: " in done.stdout
    first = site.records(storage)[0]
    assert first["allocation"].startswith("slurm-servematrix-")
    assert first["node"]["name"] in site.slurm.names
    assert site.left_on_nodes() == []
    site.wait(lambda: not site.jobs())


@STORAGES
def test_both_arms_are_measured_in_one_allocation(site: Site, storage: str) -> None:
    """A canary an arm, which fills its caches, then B H H B with the base's own server; the verdict is said, and nodes are clean afterwards."""
    site.add("recipes/other.yaml", RECIPE.format(cluster=storage, fault="slow"))
    done = site.run(storage, "--pair", "other")
    assert done.returncode == 0, done.stdout + done.stderr
    records = [one for one in site.records(storage) if one["position"] == 0]
    assert [(one["run_index"], one["arm"], one["recipe"]) for one in records] == [
        (0, "base", "other"),
        (1, "head", ""),
        (2, "head", ""),
        (3, "base", "other"),
    ]
    assert len({one["allocation"] for one in records}) == 1
    assert {one["serve_env"]["FAKE_VLLM"] for one in records if one["arm"] == "base"} == {"slow"}
    assert len({(one["load"]["seed"], one["load"]["requests"]) for one in records}) == 1
    assert "canary: " in done.stdout
    caches = {one["arm"]: [(cache["name"], cache["filled_by"]) for cache in one["caches"]] for one in records}
    assert caches == {arm: [("triton", f"the canary of {arm}")] for arm in ("base", "head")}
    digests = {arm: {one["caches"][0]["digest"] for one in records if one["arm"] == arm} for arm in caches}
    assert [len(found) for found in digests.values()] == [1, 1]
    assert digests["base"] != digests["head"]
    said = r"no verdict: nothing says what noise is here: too few runs, and no ledger; throughput \+14\.\d %"
    assert re.search(said, done.stdout), done.stdout
    assert site.left_on_nodes() == []
    site.wait(lambda: not site.jobs())
    (site.checkout / "recipes/other.yaml").unlink()


def test_a_point_is_loaded_twice_where_the_jobs_time_suffices(site: Site) -> None:
    """Its kernel was compiled in the first load: the node knows from outside when its job began."""
    text = RECIPE.format(cluster="staged", fault="compiles-once")
    site.add(
        "recipes/slow.yaml", text.replace("block-size: 16", "block-size: 16, enable-prefix-caching: false")
    )
    done = site.run("slow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it is loaded once more, and the second load counts" in done.stdout
    first, other = site.records("slow")
    assert (first["status"], other["status"]) == ("measured", "measured")
    assert [phase["name"] for phase in first["phases"]].count("load") == 2
    (found,) = site.out("slow").rglob("found.json")
    assert 0 < json.loads(found.read_text())["began_s"] < first["phases"][0]["start_s"]
    (site.checkout / "recipes/slow.yaml").unlink()


def test_a_recipe_of_another_launcher_runs_behind_slurm(site: Site) -> None:
    """Its own cluster, only where it runs differs: the same parts of the key as from the local launcher, but for the FAKE vLLM."""
    point, out = "qwen3moe-tiny-cpu-vllm/128x64-tp1-c1", site.base / "nfs" / f"other-{site.number}"
    given = ["--environment", str(site.environment), "--out", str(out)]
    done = site.call("run", point, "--launcher", "slurm", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (json.loads(path.read_bytes()) for path in (out / "jobs").rglob("record.json"))
    (job,) = json.loads(site.call("plan", point, "--format", "json").stdout)["jobs"]
    assert [one["parts"] | {"locked": "own"} for one in job["points"]] == [found["parts"]]
    assert found["key"].startswith("local:")
    assert found["status"] == "measured"
    assert site.left_on_nodes() == []
