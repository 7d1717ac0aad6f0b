"""Before and after a sweep that nobody merged, image cache, data branch and history differ in that sweep's own parts alone."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from tests.utils.results.conftest import Records, pair, records
from utils.launch.slurm.container import squash_name
from utils.node.host import image
from utils.node.record import Record
from utils.results.changelog import entries as changelog
from utils.results.history import series
from utils.sweeps.publish import _add, _checked

pytestmark = pytest.mark.hostile

__all__ = ["pair", "records"]
BASE = ("vllm/vllm-openai:v0.32.0", "rocm/vllm:v0.24.0-mi300x", "registry.example:5000/team/vllm:1.0")
POINT = "r/32x16-tp1-c1"
DIGEST = "sha256:" + "0" * 64
ALIKE = (
    lambda name: f"{name}@{DIGEST}",
    lambda name: name.replace("/", "+").replace(":", "+"),
    lambda name: name.replace("/", "-"),
    lambda name: name.upper(),
    lambda name: f"{name} ",
    lambda name: f"../{name}",
    lambda name: name + "\u200b",
    lambda name: name.replace("v", "\u1d20"),
    lambda name: name * 20,
)
"""What a pull request may name so that it looks like an image of the default branch."""


def imported(folder: Path, reference: str, content: str) -> dict[str, object]:
    """As a job has an image, with a FAKE importer that writes a text."""
    entry = {
        "image": reference, "path": str(folder / squash_name(reference)), "archive": "", "digest": [], "anonymous": True,
        "mounts_by_itself": False, "import": ["sh", "-c", 'printf %s "$2" >"$1"', "sh", image.OUTPUT, content],
    }  # fmt: skip
    return image.ensure(entry)


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, locks aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.mark.parametrize("number", range(len(ALIKE)))
def test_no_image_of_a_pull_request_changes_one_of_the_default_branch(tmp_path: Path, number: int) -> None:
    """Whatever it is called, it has a file of its own, and the job of the default branch gets what it had before."""
    for name in BASE:
        imported(tmp_path, name, f"honest {name}")
    before = files(tmp_path)
    for name in BASE:
        path = tmp_path / squash_name(ALIKE[number](name))
        assert path.parent == tmp_path
        assert path.name not in before
        imported(tmp_path, ALIKE[number](name), "hostile")
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    assert {name: imported(tmp_path, name, "hostile")["sha256"] for name in BASE} == {
        name: json.loads(before[f"{squash_name(name)}.json"])["sha256"] for name in BASE
    }


def test_long_names_that_begin_alike_share_no_file() -> None:
    """By the whole hash, since what was cut off is in no other part of the name."""
    one, other = (squash_name(f"registry.example/{'a' * 300}@sha256:{letter * 64}") for letter in "ab")
    assert one != other
    assert max(len(one), len(other)) < 230
    assert len(one.split(".")[-2]) == 64


@pytest.mark.parametrize("seed", range(5))
def test_no_sweep_changes_what_another_one_left_on_the_data_branch(tmp_path: Path, seed: int) -> None:
    """Files in the place of another sweep's, with other figures: the branch keeps what it had, and gets the sweep's own."""
    chance = random.Random(seed)  # noqa: S311 - of a test
    branch, left = tmp_path / "branch", tmp_path / "left"

    def sweep(folder: Path, allocation: str, text: str) -> None:
        for run in range(2):
            path = folder / f"r/{allocation}/run-{run}-head/32x16-tp1-c1/record.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    honest = [f"sweep-{number}-1-job" for number in range(4)]
    for name in honest:
        sweep(branch, name, f"honest {name}")
    before = files(branch)
    for name in [*chance.sample(honest, 2), "sweep-99-1-job"]:
        sweep(left, name, "hostile")
    _add(_checked(left), left, branch)
    after = files(branch)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[1] for name in after.keys() - before.keys()} == {"sweep-99-1-job"}


LOG = f"""\
r:
- pr: 8
  title: A merged thing
  why: [w]
  date: 2026-06-12
  head: {{commit: {"c" * 40}, image: i, vllm: v, device: d}}
  points:
    32x16-tp1-c1: {{key: "KEY", tput: 100, ttft: 1, tpot: 1, n: 2+2}}
"""


def of_commit(one: Record, commit: str, key: str) -> Record:
    provenance = one.provenance.model_copy(update={"tree_commit": commit})
    return one.model_copy(update={"provenance": provenance, "key": key})


@pytest.mark.parametrize("seed", range(5))
def test_history_differs_in_the_sweeps_own_measurements_alone(pair: Records, seed: int) -> None:
    """Also where the sweep's base is the commit and key of an entry that was merged: the entry stays in the series."""
    chance = random.Random(seed)  # noqa: S311 - of a test
    key = f"k1:{'ab' * 8}"
    entries = changelog.read(re.sub("KEY", key, LOG).encode()).root["r"]
    merged = pair(allocation="merged")
    hostile = [
        of_commit(one, "c" * 40 if one.arm == "base" else "d" * 40, key)
        for one in pair(slower=chance.uniform(0.1, 3), allocation="hostile")
    ]
    before = series(POINT, merged, entries)
    both = [*merged, *hostile]
    chance.shuffle(both)
    after = series(POINT, sorted(both, key=lambda one: (one.run_index, one.arm)), entries)
    assert [one for one in after if one.allocation != "hostile"] == before
    assert any(one.origin == "entry #8" for one in after)
