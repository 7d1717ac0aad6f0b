"""Images and models of a pull request that the default branch does not run: what was approved is what runs, from where the cluster allows.

A tag and a branch name another thing tomorrow, so that neither counts for what nobody merged.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from matrix import cluster as clusters
from matrix import image as images
from matrix import select
from matrix.errors import Exit, HarnessError
from matrix.source import Folder
from matrix.tokenizer_code import brings_code
from matrix.tree import Tree, is_carried
from matrix.vllm.model_variables import is_a_place
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matrix.plan import Job, Plan, Point

ADVICE = "tags and branches are for the default branch: `./servematrix pin RECIPE` writes the digest of an image into a recipe"

_COMMIT = re.compile("[0-9a-f]{40}")
_REVISIONS = {"code-revision", "tokenizer-revision"}
_NO_REVISION = {"hf-config-path", "lora-modules", "generation-config"}
"""Flags that name a model, and no commit of it."""
_OF_VLLM = {"auto", "vllm"}


class Known(NamedTuple):
    """What the default branch runs."""

    images: frozenset[str]
    models: frozenset[tuple[str, str]]
    """With their revision, empty where the recipe pins none."""
    sources: frozenset[str] = frozenset()
    """What else says which model, as `NAME=VALUE` of a variable or a flag."""


def known() -> Known:
    """Of this checkout's own recipes."""
    points = [point for job in select.chosen(Tree.of(Folder(ROOT)), []).jobs for point in job.points]
    return _of(points)


def _of(points: Sequence[Point]) -> Known:
    return Known(
        frozenset(point.image for point in points),
        frozenset(map(_model, points)),
        frozenset(text for point in points for text in _sources(point)),
    )


def new(plan: Plan, known: Known) -> list[str]:
    """Images and models of a plan that the default branch does not run, a line each, for a person who approves.

    Args:
        plan: a pull request's, both arms of it.
        known: what is run already.
    """
    points = [point for job in plan.jobs for point in _points(job)]
    pictures = sorted({point.image for point in points if _is_new_image(point, known)})
    models = sorted({_model(point) for point in points if _is_new_model(point, known)})
    sources = sorted({text for point in points for text in _sources(point)} - known.sources)
    return [
        *(f"new image from {_host(one)}: {one}" for one in pictures),
        *(f"new model: {name} at {revision or 'no revision'}" for name, revision in models),
        *(f"new source of a model: {text}" for text in sources),
        *(f"new trust-remote-code: {text}" for text in _own_clients(plan)),
    ]


def refuse_floating(plan: Plan, known: Known) -> None:
    """Refuse a new image without a digest or of a registry that the cluster does not list, and a new model without a commit.

    Raises:
        HarnessError: REFUSED, with every one of them.
    """
    wrong: dict[str, None] = {}
    for job in plan.jobs:
        allowed = clusters.load(Folder(ROOT), job.cluster).registries
        for point in _points(job):
            if _is_new_image(point, known) and (why := _wrong_image(point.image, allowed, job.cluster)):
                wrong[why] = None
            if _is_new_model(point, known) and (why := _wrong_model(*_model(point))):
                wrong[why] = None
            for text, floats in _sources(point).items():
                if floats and text not in known.sources:
                    wrong[f"{text} is new, and names no commit of a model"] = None
    if wrong:
        raise HarnessError(Exit.REFUSED, f"{'; '.join(wrong)}; {ADVICE}")


def with_base(known: Known, plan: Plan) -> Known:
    """What is run already, where the plan's base is a commit of the default branch: its images and models too."""
    points = [point for job in plan.jobs if job.base for point in job.base.points]
    more = _of(points)
    return Known(known.images | more.images, known.models | more.models, known.sources | more.sources)


def _points(job: Job) -> Iterable[Point]:
    """Of both arms: a base may be another recipe of the same tree."""
    return [point for arm in set(job.arms) for point in job.of(arm).points]


def _model(point: Point) -> tuple[str, str]:
    return point.model, point.revision or ""


def _sources(point: Point) -> dict[str, bool]:
    """What besides `model` says which model is loaded, and whether that can be another one tomorrow."""
    env, flags = point.parts.get("env", {}), point.parts.get("flags", {})
    found = {f"{name}={value}": True for name, value in env.items() if is_a_place(name)}
    drafts = {name: value for name, value in flags.items() if name.partition(".")[0] == "speculative-config"}
    if draft := _draft(drafts):
        found["; ".join(f"{name}={value}" for name, value in sorted(drafts.items()))] = (
            is_carried(str(draft.get("model"))) is False
            and _COMMIT.fullmatch(str(draft.get("revision"))) is None
        )
    for name, value in flags.items():
        if name in _REVISIONS:
            found[f"{name}={value}"] = _COMMIT.fullmatch(str(value)) is None
        if name in _NO_REVISION and str(value) not in _OF_VLLM:
            found[f"{name}={value}"] = True
    return found


def _draft(flags: dict[str, Any]) -> dict[str, Any]:
    """The draft of a speculative server, if it is a model of its own."""
    found: dict[str, Any] = {}
    for name, value in flags.items():
        if part := name.partition(".")[2]:
            found[part] = value
            continue
        try:
            body = json.loads(value)
        except (ValueError, TypeError, RecursionError):
            body = {"model": value}  # nobody knows what it names
        found |= body if isinstance(body, dict) else {"model": value}
    return found if found.get("model") else {}


def _own_clients(plan: Plan) -> list[str]:
    """Recipes whose head brings code with its model, where the base runs: then what measures runs in the head's own container, too."""
    jobs = [job for job in plan.jobs if job.base and brings_code(job)]
    names = sorted({point.recipe or point.id.split("/")[0] for job in jobs for point in job.points})
    return [f"load client and recorder of {name} run in its own image (docs/trust.md)" for name in names]


def _is_new_image(point: Point, known: Known) -> bool:
    """`vllm==X` names a lock of the default branch, not an image."""
    return point.image not in known.images and "==" not in point.image


def _is_new_model(point: Point, known: Known) -> bool:
    """What the tree carries is approved with the tree."""
    return _model(point) not in known.models and not is_carried(point.model)


def _host(text: str) -> str:
    try:
        return images.parse(text).host
    except ValueError:
        return "no registry"


def _wrong_image(text: str, allowed: list[str], cluster: str) -> str:
    try:
        found = images.parse(text)
    except ValueError:
        return f"the image {text} is new, and of no registry"
    if found.host not in allowed:
        return f"the image {text} is new, and {found.host} is not among `registries` of {cluster} ({', '.join(allowed)})"
    return "" if found.digest else f"the image {text} is new, and has no @sha256: digest"


def _wrong_model(name: str, revision: str) -> str:
    if name.startswith("/"):
        return f"the model {name} is a folder of the node that no recipe of the default branch has"
    return (
        ""
        if re.fullmatch("[0-9a-f]{40}", revision)
        else f"the model {name} is new, and has no commit as its revision"
    )
