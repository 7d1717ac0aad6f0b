"""Whose code a load client would run to have its server's tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matrix import select
from matrix.plan import Job, Point, Side
from matrix.source import Folder
from matrix.tokenizer_code import brings_code
from matrix.tree import Tree
from tests.conftest import RECIPE, write
from tests.matrix.vllm.test_model_variables import OTHERS, PLACES

TRUST: dict[str, Any] = {"trust-remote-code": True}
NONE: dict[str, Any] = {}
HUB: dict[str, Any] = {"model": "org/model", "revision": "a" * 40}


@pytest.fixture
def job(tree: Path) -> Job:
    """One without a base."""
    write(tree / "recipes/r.yaml", RECIPE)
    return select.chosen(Tree.of(Folder(tree)), ["r"]).jobs[0]


def points(job: Job, flags: dict[str, Any], env: dict[str, Any] | None = None, **changes: Any) -> list[Point]:
    parts = {"flags": flags, "env": env or {}}
    return [one.model_copy(update=changes | {"parts": one.parts | parts}) for one in job.points]


def paired(job: Job, head: list[Point], base: list[Point]) -> bool:
    return brings_code(
        job.model_copy(
            update={"points": head, "base": Side(points=base, serve=job.serve), "arms": ["base", "head"]}
        )
    )


def test_without_the_flag_nobody_runs_any(job: Job) -> None:
    """Whatever the model is."""
    assert not brings_code(job)
    assert not paired(job, points(job, {}, **HUB), points(job, {}, model="org/other"))


def test_of_a_recipe_without_a_base_nobody_can_tell(job: Job) -> None:
    """It stays beside its server."""
    assert brings_code(job.model_copy(update={"points": points(job, TRUST, **HUB)}))


def test_the_bases_own_model_brings_nothing(job: Job) -> None:
    """A change that turns the flag on brings no code; what it reads was the base's before."""
    for before in (TRUST, NONE):
        assert not paired(job, points(job, TRUST, **HUB), points(job, before, **HUB))


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("flags", "env", "changes"),
    [
        (TRUST, {}, HUB | {"model": "evil/model"}),
        (TRUST, {}, HUB | {"revision": "b" * 40}),
        (TRUST, {}, HUB | {"model": "recipes/models/m"}),
        (TRUST, {"HF_ENDPOINT": "https://evil.example"}, HUB),
        (TRUST, {"HF_HUB_CACHE": "/workspace/scratch"}, HUB),
        (TRUST | {"code-revision": "b" * 40}, {}, HUB),
        (TRUST | {"tokenizer": "evil/tokenizer"}, {}, HUB),
        (TRUST | {"hf-config-path": "evil/config"}, {}, HUB),
    ],
    ids=str,
)
def test_code_that_a_change_brings_stays_beside_its_server(
    job: Job, flags: dict[str, Any], env: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Another model, another commit of it, another place that it comes from, or files of the tree; also where the base has the flag."""
    for before in (TRUST, NONE):
        assert paired(job, points(job, flags, env, **changes), points(job, before, **HUB))


@pytest.mark.hostile
@pytest.mark.parametrize("name", [*PLACES, *OTHERS])
def test_every_variable_of_models_counts(job: Job, name: str) -> None:
    """Whichever it is, another value may mean other code."""
    assert paired(job, points(job, TRUST, {name: "x"}, **HUB), points(job, TRUST, **HUB))
    assert not paired(job, points(job, TRUST, {name: "x"}, **HUB), points(job, TRUST, {name: "x"}, **HUB))


def test_a_base_that_the_tree_carries_is_no_exception(job: Job) -> None:
    """Both arms have one load client, and the head's files may differ under the same name."""
    carried: dict[str, Any] = {"model": "recipes/models/m"}
    for before in (TRUST, NONE):
        assert paired(job, points(job, TRUST, **carried), points(job, before, **carried))
