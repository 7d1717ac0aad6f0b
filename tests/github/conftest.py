"""Repositories on which workflows run by act."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RECIPE, write
from tests.github.acting import Acting
from tests.github.standin import StandIn
from utils.node import preflight
from utils.results.verdict.ledger_lines import Difference


@pytest.fixture
def acting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Acting]:
    """A repository whose `main` is this checkout; every call must be as GitHub describes it."""
    with StandIn() as stand_in:
        yield Acting(stand_in, tmp_path, lends=not request.node.get_closest_marker("unlent"))
    assert stand_in.state.problems == []


def made_ledger() -> str:
    """A MADE ledger of this machine: runs that vary by half a percent."""
    lines = []
    for number in range(10):
        for concurrency in (1, 2):
            line = Difference(
                day="2026-11-25",
                device=str(preflight.machine()["cpu_model"]),
                driver="",
                point=f"r/32x16-tp1-c{concurrency}",
                concurrency=concurrency,
                key="k1:" + "0" * 16,
                allocation=f"made-{number}",
                runs=(0, 1),
                image="made",
                node="made",
                values={"tput": 0.007, "ttft": 0.007, "tpot": -0.007},
            )
            lines.append(f"{line.model_dump_json()}\n")
    return "".join(lines)


@pytest.fixture
def swept(acting: Acting) -> Acting:
    """`main` has the small recipe; the FAKE vLLM is lent as the locked one; the data branch has a ledger."""
    write(acting.work / "recipes/r.yaml", RECIPE)
    local = acting.work / "recipes/clusters/local.yaml"
    local.write_text(f"{local.read_text()}sweeps: true\n")
    write(acting.work / "recipes/models/m/config.json", "{}")
    write(acting.work / "perf-changelog.yaml", "# entries\n")
    acting.lend_fake()
    acting.commit("a recipe", "main")
    acting.git("checkout", "-q", "--orphan", "data")
    acting.git("rm", "-rfq", ".")
    write(acting.work / "ledger.jsonl", made_ledger())
    acting.commit("noise", "data")
    acting.git("checkout", "-q", "main")
    return acting
