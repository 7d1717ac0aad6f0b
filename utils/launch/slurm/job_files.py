"""What travels with one try at a job: a file for each container start, the questions to the node, code and trees. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from utils.launch import questions
from utils.launch.questions import on_node
from utils.launch.slurm import container, payload
from utils.launch.slurm.container import PAYLOAD
from utils.launch.slurm.submission import METER, OWN, SAMPLES, images, run_name
from utils.node import evaluation, parity_answers
from utils.node.spec import (
    REQUESTS,
    NodeJob,
    canary_name,
)

if TYPE_CHECKING:
    from pathlib import Path

    from utils.launch.slurm.payload import Payload
    from utils.launch.slurm.submission import Attempt
    from utils.node.spec import Provenance


def whole_job(attempt: Attempt, provenance: Provenance) -> NodeJob:
    """What all container starts have in common: every run of both arms."""
    job = attempt.job
    environment = "image" if attempt.contained else "locked"
    if attempt.order.environment:
        environment = "given"
    return NodeJob.model_validate(
        {
            "job": job,
            "cluster": attempt.cluster,
            "runs": attempt.runs,
            "allocation": attempt.name,
            "out": attempt.inside("agreed"),
            "serve_in": attempt.inside("scratch") if attempt.load_image else "",
            "tree": f"{attempt.inside(PAYLOAD)}/{payload.TREE}",
            "base_tree": f"{attempt.inside(PAYLOAD)}/{payload.BASE_TREE}",
            "base_commit": attempt.order.plan.pair.commit if attempt.order.plan.pair else "",
            "program": [attempt.program],
            "base_program": [attempt.base_program or attempt.program],
            "python": attempt.python,
            "environment": environment,
            "provenance": provenance,
            "runs_in_all": len(attempt.runs),
            "samples": f"{attempt.inside(METER)}/{SAMPLES}",
            "evaluator": on_node(attempt.cluster.paths.evaluator),
        }
    )


def node_jobs(attempt: Attempt, provenance: Provenance) -> dict[str, NodeJob]:
    """The file of each container start by name: first the canaries, then the runs."""
    common = whole_job(attempt, provenance)
    found = {
        canary_name(arm): common.as_canary(f"{attempt.inside(OWN)}/{canary_name(arm)}", arm).model_copy(
            update={"caches": attempt.caches(canary_name(arm))}
        )
        for arm in attempt.arms
    }
    for run in attempt.runs:
        name = run_name(run)
        update = {"runs": [run], "run_folder": attempt.run_folder(name), "caches": attempt.caches(name)}
        found[name] = common.of(run.arm).as_profile(attempt.order.profile).model_copy(update=update)
    return found


def agreed(attempt: Attempt) -> list[str]:
    """Names of what the first run leaves for those after it: numbers of requests first, then what answers are compared with."""
    points = attempt.job.points
    answers = [parity_answers.of_base(point.id) for point in points] if attempt.job.base is not None else []
    asked = [evaluation.of_base(point.accuracy.task) for point in points if point.accuracy]
    return [REQUESTS, *dict.fromkeys([*answers, *asked])]


def host_file(attempt: Attempt) -> bytes:
    """HOST.json of utils.node.host: what is asked of the node outside the container."""
    runtime, known = container.for_cluster(attempt.cluster), attempt.order.known_images
    points = [point for arm in attempt.job.arms for point in attempt.job.of(arm).points]
    content = questions.of_cluster(attempt.cluster, points) | {
        "shared": attempt.out if attempt.shared else "",
        "load_image": attempt.load_image,
        "images": [
            runtime.entry(image) | {"anonymous": known is not None and image not in known}
            for image in images(attempt)
        ],
    }
    return json.dumps(content, indent=1).encode()


def pack(attempt: Attempt, root: Path, provenance: Provenance) -> Payload:
    """Everything that travels: code of the harness at `root`, carried models, and the files of the attempt."""
    files = {
        f"{name}.json": one.model_dump_json(by_alias=True)
        for name, one in node_jobs(attempt, provenance).items()
    }
    content = {name: text.encode() for name, text in files.items()} | {"host.json": host_file(attempt)}
    trees = {payload.TREE: (attempt.order.tree, attempt.job.of("head"))}
    if attempt.job.base is not None:
        base_tree = attempt.order.base_tree or attempt.order.tree
        trees[payload.BASE_TREE] = (base_tree, attempt.job.of("base"))
    return payload.make(root, trees, attempt.cluster.devices.arch, content)
