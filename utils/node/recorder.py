"""Fills in what every record of a run has in common: who, where, which server, which code."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from matrix import tree as trees
from utils.node import observed, preflight
from utils.node.record import Cache, Clock, Environment, Node, Phase, Record
from utils.node.vllm import invocation

if TYPE_CHECKING:
    from matrix.plan import Point
    from utils.node.spec import NodeJob, Run


class Recorder:
    """Makes the records of one run."""

    def __init__(self, spec: NodeJob, run: Run, node: Node | None = None) -> None:
        """Of one run; `node` where this is another machine than the one that was to measure."""
        self.spec, self.run = spec, run
        self.version, self.port, self.started_s = "", 0, 0.0
        self.caches: list[Cache] = []
        self.more_argv: list[str] = []
        self.names = [point.id for point in spec.job.points]
        self.node = node or _this_machine(spec)
        image = spec.job.points[0].image
        self.squash = spec.found.images.get(image, {}).get("sha256")

    def server_is(self, version: str, port: int, started_s: float) -> None:
        """Tell which server answers; before that there is no observed key."""
        self.version, self.port, self.started_s = version, port, started_s

    def record(self, point: Point, phases: list[Phase], fields: dict[str, Any]) -> Record:
        """The record of a point; `fields` is what its measurement, or its failure, adds."""
        spec = self.spec
        position = self.names.index(point.id)
        now = time.monotonic()
        environment = _environment(spec)
        argv = invocation.serve(spec.job.serve, trees.model_path(point.model, spec.tree), self.port)
        common: dict[str, Any] = {
            "point": point.id,
            "key": point.key,
            "parts": point.parts,
            "vary": point.vary,
            "observed": observed.observed(
                point,
                observed.Found(self.version, self.squash, environment, tuple(spec.job.serve.argv)),
                self.node,
            ),
            "failure": None,
            "job": spec.job.id,
            "recipe": point.recipe if point.recipe != point.id.split("/")[0] else "",
            "rules": point.rules,
            "block": spec.job.block,
            "allocation": spec.allocation,
            "arm": self.run.arm,
            "run_index": self.run.index,
            "position": position,
            "points_before": self.names[:position],
            "points_in_run": self.names,
            "server_age_s": now - self.started_s if self.started_s else 0.0,
            "devices": point.devices,
            "precision": point.precision,
            "image": point.image,
            "squash_sha256": self.squash,
            "model": point.model,
            "provenance": spec.provenance,
            "vllm_version": self.version,
            "serve_argv": [*spec.program, *argv, *self.more_argv],
            "serve_env": spec.job.serve.env,
            "node": self.node,
            "clock": Clock(monotonic_s=now, wall_unix_s=time.time()),
            "phases": phases,
            "environment": environment,
            "caches": self.caches,
        }
        return Record.model_validate(common | fields)


def _this_machine(spec: NodeJob) -> Node:
    server_cores, client_cores = preflight.split_cores(spec.cluster.client_cores)
    cores = {"server_cores": server_cores, "client_cores": client_cores}
    return Node.model_validate(preflight.machine() | cores | spec.found.node)


def _environment(spec: NodeJob) -> Environment:
    """Whose packages run."""
    if spec.environment == "given":
        return "own"
    return "locked" if "==" in spec.job.points[0].image else "image"
