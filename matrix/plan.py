"""The plan: points, grouped into jobs that share one server command."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matrix import estimate
from matrix.expand import Cell, shape
from matrix.protocol import Protocol
from matrix.schema import Value

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = 1
GITHUB_JOB_LIMIT = 256
"""GitHub's own limit for the jobs of one matrix."""


class KernelChoice(Value):
    """The patched kernel that a point asks for."""

    name: str
    variant: str
    expect: str
    files: str
    """Hash of the shipped files."""


class Vehicle(Value):
    """The test vehicle that a recipe's server loads."""

    name: str
    files: str
    """Hash of the shipped files."""


class Point(Value):
    """One cell of the matrix."""

    id: str
    key: str
    recipe: str
    model: str
    revision: str | None
    image: str
    precision: str
    isl: int
    osl: int
    tp: int
    pp: int
    ep: int
    dp: int
    devices: int
    concurrency: int
    max_model_len: int
    chat_template: bool
    kernel: KernelChoice | None
    vehicle: Vehicle | None = None
    protocol: Protocol
    parts: dict[str, Any]
    why: str
    """Why it is in the plan: selected, new, or changed with what changed."""
    vary: list[str]
    """Dotted parts of the key that differ from the base."""
    estimate_s: int


class Serve(Value):
    """A server's command: what stands after `vllm`, and its environment."""

    argv: list[str]
    env: dict[str, str]


class Job(Value):
    """The points that share one server command: one allocation."""

    id: str
    cluster: str
    points: list[Point]
    serve: Serve
    arms: list[str]
    walltime_s: int
    """What is asked of the cluster: estimate and margin."""


class Plan(Value):
    """What would run."""

    schema_version: int = SCHEMA
    jobs: list[Job]
    points: int
    server_starts: int
    gone: list[str]
    """Points that only the base has."""
    problems: list[str]
    """Recipes of the base that this version cannot read; all of their points count as changed."""

    def to_json(self, indent: int | None = None) -> str:
        """The documented form; `schema` is its first key."""
        body = self.model_dump_json(exclude={"schema_version"}, indent=indent)
        return f'{{"schema":{self.schema_version},{body[1:]}'

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Plan:
        """Read what `to_json` made; unknown versions and fields are errors."""
        rest = dict(body)
        return cls.model_validate({"schema_version": rest.pop("schema", None), **rest})


@dataclass(frozen=True, slots=True)
class Selected:
    """A point that is to run, and why."""

    cell: Cell
    why: str = "selected"
    vary: tuple[str, ...] = ()


def serve_argv(model: str, revision: str | None, flags: dict[str, str | bool]) -> list[str]:
    """The arguments of `vllm`: a flag a pair, in the order of their names."""
    argv = ["serve", model]
    if revision:
        argv += ["--revision", revision]
    for name, value in sorted(flags.items()):
        if isinstance(value, bool):
            argv.append(f"--{name}" if value else f"--no-{name}")
        else:
            argv += [f"--{name}", value]
    return argv


def make(selected: Iterable[Selected], *, gone: Iterable[str] = (), problems: Iterable[str] = ()) -> Plan:
    """Group the selected points into jobs, in the order in which they came."""
    groups: dict[tuple[str, str], list[Selected]] = {}
    for one in selected:
        groups.setdefault((one.cell.id.split("/")[0], estimate.server(one.cell.parts)), []).append(one)
    jobs = [_job(recipe, digest, members) for (recipe, digest), members in groups.items()]
    return Plan(
        jobs=jobs,
        points=sum(len(job.points) for job in jobs),
        server_starts=len(jobs),
        gone=sorted(gone),
        problems=list(problems),
    )


def _job(recipe: str, digest: str, members: list[Selected]) -> Job:
    first = members[0].cell
    points = [_point(recipe, one) for one in members]
    start_s = first.cluster.limits.estimate_start_s
    return Job(
        id=f"{recipe}.{shape(first.search)}.{digest[:8]}",
        cluster=first.recipe.cluster,
        points=points,
        serve=Serve(argv=serve_argv(first.recipe.model, first.recipe.revision, first.flags), env=first.env),
        arms=["head"],
        walltime_s=estimate.walltime(points, start_s, runs=1, canary=False),
    )


def _point(recipe: str, one: Selected) -> Point:
    cell = one.cell
    return Point.model_construct(
        id=cell.id,
        key=cell.key,
        recipe=recipe,
        model=cell.recipe.model,
        revision=cell.recipe.revision,
        image=cell.recipe.image,
        precision=cell.recipe.precision,
        isl=cell.workload.isl,
        osl=cell.workload.osl,
        tp=cell.search.tp,
        pp=cell.search.pp,
        ep=cell.search.ep,
        dp=cell.search.dp,
        devices=cell.search.devices,
        concurrency=cell.concurrency,
        max_model_len=cell.max_model_len,
        chat_template=cell.recipe.client.chat_template,
        kernel=KernelChoice(**cell.kernel) if cell.kernel else None,
        vehicle=Vehicle(**cell.vehicle) if cell.vehicle else None,
        protocol=cell.recipe.protocol,
        parts=cell.parts,
        why=one.why,
        vary=list(one.vary),
        estimate_s=math.ceil(
            estimate.point_seconds(
                cell.recipe.protocol,
                cell.concurrency,
                cell.workload.isl + cell.workload.osl,
                cell.cluster.limits,
            )
        ),
    )
