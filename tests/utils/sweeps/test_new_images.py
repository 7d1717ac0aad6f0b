"""What a pull request may run that the default branch does not: by digest and commit, from the cluster's registries."""

from __future__ import annotations

from typing import Any

import pytest

from matrix import select
from matrix.errors import Exit, HarnessError
from matrix.plan import Plan, Side
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT
from tests.matrix.vllm.test_model_variables import PLACES
from utils.sweeps import new_images, plan_comment

pytestmark = pytest.mark.hostile

DIGEST = "@sha256:" + "a" * 64
COMMIT = "c" * 40


@pytest.fixture(scope="module")
def known() -> new_images.Known:
    return new_images.known()


def plan(image: str = "", model: str = "", revision: str | None = None) -> Plan:
    """The shipped MI300X recipe with another image or model."""
    made = select.chosen(Tree.of(Folder(ROOT)), ["minimaxm3-fp8-mi300x-vllm"])
    update = {
        name: value for name, value in (("image", image), ("model", model), ("revision", revision)) if value
    }
    jobs = [
        job.model_copy(update={"points": [point.model_copy(update=update) for point in job.points]})
        for job in made.jobs
    ]
    return made.model_copy(update={"jobs": jobs})


def plan_with(env: dict[str, str] | None = None, flags: dict[str, Any] | None = None) -> Plan:
    """The same with more variables and flags."""
    made = plan()
    jobs = []
    for job in made.jobs:
        points = [
            point.model_copy(
                update={
                    "parts": point.parts
                    | {"env": point.parts["env"] | (env or {}), "flags": point.parts["flags"] | (flags or {})}
                }
            )
            for point in job.points
        ]
        jobs.append(job.model_copy(update={"points": points}))
    return made.model_copy(update={"jobs": jobs})


REFUSED = {
    "a tag of another registry": {"image": "evil.example/vllm:latest"},
    "a digest of another registry": {"image": f"evil.example/vllm{DIGEST}"},
    "an address": {"image": f"10.0.0.1:5000/x{DIGEST}"},
    "an address with a tag": {"image": "10.0.0.1:5000/x:v1"},
    "this machine": {"image": f"localhost:5000/x{DIGEST}"},
    "the cloud's metadata": {"image": f"169.254.169.254/x{DIGEST}"},
    "a tag": {"image": "vllm/vllm-openai-rocm:v0.33.0"},
    "another image of the hub": {"image": "someone/vllm:v0.32.0"},
    "an archive of the node": {"image": "archive:private.sqsh"},
    "what looks like the hub": {"image": f"docker.io.evil.example/x{DIGEST}"},
    "a model's branch": {"model": "someone/model"},
    "a model's tag": {"model": "someone/model", "revision": "v1"},
    "a short commit": {"model": "someone/model", "revision": "c" * 12},
    "a known model at a branch": {"revision": "main"},
    "a folder of the node": {"model": "/raid/private/model"},
    "a folder of the node with a commit": {"model": "/raid/private/model", "revision": COMMIT},
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_could_be_another_thing_tomorrow_is_refused(known: new_images.Known, how: str) -> None:
    """By name, and with how to write it."""
    with pytest.raises(HarnessError) as caught:
        new_images.refuse_floating(plan(**REFUSED[how]), known)
    assert caught.value.exit_code is Exit.REFUSED
    assert "pin" in caught.value.message
    assert new_images.new(plan(**REFUSED[how]), known)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"image": f"vllm/vllm-openai-rocm{DIGEST}"},
        {"image": f"docker.io/someone/vllm{DIGEST}"},
        {"model": "someone/model", "revision": COMMIT},
        {"model": "recipes/models/other"},
    ],
    ids=str,
)
def test_what_stays_what_it_is_runs(known: new_images.Known, change: dict[str, str]) -> None:
    """The default branch's own, digests of a listed registry, commits, and what the approved tree carries."""
    new_images.refuse_floating(plan(**change), known)


SOURCES: dict[str, dict[str, Any]] = {
    "another hub": {"env": {"HF_ENDPOINT": "https://evil.example"}},
    "a cache that the server writes": {"env": {"HF_HOME": "/workspace/scratch/home"}},
    "another kind of hub": {"env": {"VLLM_USE_MODELSCOPE": "1"}},
    "a list of other places": {"env": {"VLLM_MODEL_REDIRECT_PATH": "/workspace/list"}},
    "a draft's branch": {
        "flags": {"speculative-config": '{"model": "someone/draft", "num_speculative_tokens": 3}'}
    },
    "a draft's tag": {"flags": {"speculative-config": '{"model": "someone/draft", "revision": "v1"}'}},
    "a draft by parts": {"flags": {"speculative-config.model": "someone/draft"}},
    "a draft that is no JSON": {"flags": {"speculative-config": "{model: someone/draft}"}},
    "a branch of code": {"flags": {"trust-remote-code": True, "code-revision": "main"}},
    "a tokenizer's branch": {"flags": {"tokenizer-revision": "main"}},
    "an adapter": {"flags": {"lora-modules": "a=someone/adapter"}},
    "a configuration of elsewhere": {"flags": {"hf-config-path": "someone/config"}},
    "sampling of elsewhere": {"flags": {"generation-config": "someone/config"}},
}


@pytest.mark.hostile
@pytest.mark.parametrize("name", PLACES)
def test_every_variable_that_is_a_place_of_models_is_refused(known: new_images.Known, name: str) -> None:
    """And named for the person who approves."""
    with pytest.raises(HarnessError, match=f"{name}=/other is new, and names no commit of a model"):
        new_images.refuse_floating(plan_with(env={name: "/other"}), known)
    assert f"new source of a model: {name}=/other" in new_images.new(plan_with(env={name: "/other"}), known)


@pytest.mark.parametrize("how", SOURCES)
def test_a_model_by_another_way_is_refused(known: new_images.Known, how: str) -> None:
    """`model:` is not all that names one."""
    with pytest.raises(HarnessError, match="names no commit of a model"):
        new_images.refuse_floating(plan_with(**SOURCES[how]), known)
    assert new_images.new(plan_with(**SOURCES[how]), known)


@pytest.mark.parametrize(
    "change",
    [
        {"flags": {"speculative-config": f'{{"model": "someone/draft", "revision": "{COMMIT}"}}'}},
        {"flags": {"speculative-config": '{"method": "ngram", "num_speculative_tokens": 3}'}},
        {"flags": {"generation-config": "vllm", "code-revision": COMMIT}},
        {"env": {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": "/mnt/hf_hub_cache"}},
    ],
    ids=str,
)
def test_a_model_by_another_way_that_stays_what_it_is_runs(
    known: new_images.Known, change: dict[str, Any]
) -> None:
    """Commits, no model at all, and what recipes of the default branch say."""
    new_images.refuse_floating(plan_with(**change), known)


def test_who_takes_the_load_client_into_its_own_container_is_named(known: new_images.Known) -> None:
    """Code that a change brings with its model runs where the load client does; whoever approves reads that the recorder does, too."""
    changed = plan_with(flags={"trust-remote-code": True, "tokenizer": "someone/tokenizer"})
    before = plan().jobs[0]
    jobs = [
        job.model_copy(
            update={"base": Side(points=before.points, serve=before.serve), "arms": ["base", "head"]}
        )
        for job in changed.jobs[:1]
    ]
    made = changed.model_copy(update={"jobs": jobs})
    said = [line for line in new_images.new(made, known) if "trust-remote-code" in line]
    assert said == [
        "new trust-remote-code: load client and recorder of minimaxm3-fp8-mi300x-vllm run in its own image (docs/trust.md)"
    ]
    assert new_images.new(plan(), known) == []


def test_the_comment_begins_with_what_is_new(known: new_images.Known) -> None:
    """Before the table: whoever approves reads it first."""
    made = plan(image="evil.example/vllm:latest")
    text = plan_comment.parts(made, COMMIT, new_images.new(made, known))[0]
    assert text.splitlines()[2] == "- `new image from evil.example: evil.example/vllm:latest`"
    assert "new image" not in plan_comment.parts(plan(), COMMIT, new_images.new(plan(), known))[0]
