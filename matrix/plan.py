"""The plan: points, grouped into jobs that share one server command."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from matrix import key, memory, protocol
from matrix.errors import Exit, HarnessError, Problem
from matrix.evaluation import Evaluation
from matrix.expand import Cell, shape
from matrix.memory import Memory
from matrix.protocol import Protocol
from matrix.rules import Rules
from matrix.schema import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matrix.errors import Place

SCHEMA = 1
Arm = Literal["base", "head"]
ARMS: tuple[Arm, ...] = ("head", "base")
"""The head first: it is what may not work."""
BLOCK: tuple[Arm, ...] = ("base", "head", "head", "base")
"""The order of runs in which a steady drift of the node favours no arm."""
LONGEST_S = 30 * 86400
"""No job and no point takes a month: a plan that says so is not a plan."""
Count = Annotated[int, Field(ge=0, le=10**9)]
"""Plans come back from jobs that ran foreign code: a number that has no bound breaks sums of others."""
USUAL = Rules()
"""How a change is judged where no recipe says it."""
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
    isl: Count
    osl: Count
    tp: Count
    pp: Count
    ep: Count
    dp: Count
    devices: Count
    concurrency: Count
    max_model_len: Count
    chat_template: bool
    kernel: KernelChoice | None
    vehicle: Vehicle | None = None
    protocol: Protocol
    parts: dict[str, Any]
    why: str
    """Why it is in the plan: selected, new, or changed with what changed."""
    vary: list[str]
    """Dotted parts of the key that differ from the base."""
    rules: Rules = USUAL
    """How a change to it is judged: as the base's recipe says."""
    accuracy: Evaluation | None = None
    """What both arms are asked after their points: as the head's recipe says."""
    estimate_s: int = Field(ge=0, le=LONGEST_S)
    memory: Memory | None = None
    """What it takes of each GPU; None where that is not known."""


class Serve(Value):
    """A server's command: what comes after the program's name, and its environment."""

    argv: list[str]
    env: dict[str, str]


class Side(Value):
    """The base's part in a job: its own server, and its points under the names of the head's."""

    points: list[Point]
    serve: Serve


class Job(Value):
    """The points that share one server command in each arm: one allocation."""

    id: str
    cluster: str
    points: list[Point] = Field(min_length=1)
    serve: Serve
    arms: list[Arm] = Field(min_length=1, max_length=64)
    """The arm of each run, in order."""
    walltime_s: int = Field(ge=0, le=LONGEST_S)
    """What is asked of the cluster: estimate and margin; 0 until `estimate.timed` says it."""
    base: Side | None = None
    """What the head is compared with, where both are measured."""
    block: Literal[1, 2] = 1
    """2 where points that were flagged once are measured again, to confirm."""

    def of(self, arm: Arm) -> Job:
        """One arm's own points and server; a job without a second arm is what it is."""
        if self.base is None or arm == "head":
            return self.model_copy(update={"base": None})
        return self.model_copy(update={"points": self.base.points, "serve": self.base.serve, "base": None})


def in_canary(points: Sequence[Point], *, paired: bool) -> list[int]:
    """Positions of the points that a canary loads, the one with the fewest tokens first.

    In a pair they are the smallest of each concurrency: what only a batch of that size needs is compiled there, and not in a run, whose
    point would be invalid and its comparison with it.
    """
    by_size = sorted(
        range(len(points)),
        key=lambda i: (points[i].concurrency * (points[i].isl + points[i].osl), points[i].id),
    )
    firsts: dict[int, int] = {}
    for number in by_size:
        firsts.setdefault(points[number].concurrency, number)
    return list(firsts.values()) if paired else by_size[:1]


class Pairing(Value):
    """What the head is compared with."""

    name: str
    """As it was asked for."""
    kind: Literal["revision", "recipe", "kernel"]
    commit: str = ""
    """40 hex of a revision or an entry."""


class Plan(Value):
    """What would run."""

    schema_version: int = SCHEMA
    jobs: list[Job]
    points: Count
    server_starts: Count
    gone: list[str]
    """Points that only the base has."""
    problems: list[str]
    """Recipes of the base that this version cannot read; all of their points count as changed."""
    pair: Pairing | None = None
    """What the jobs with two arms are compared with."""
    lines: list[str] = []
    """With `--changed`: the lines of recipes, kernels and locks that differ, as FILE:LINE: TEXT."""
    notes: list[str] = []
    """What a person should know before it runs, such as a version whose words are not known here."""
    upstream: list[str] = []
    """With `--changed`: what differs from the official recipe without a reason, of recipes that name one, as LIST: PLACE: TEXT."""
    idle: list[str] = []
    """Where a point takes fewer devices than its node has, a line each."""
    memory: list[str] = []
    """What weights take of each GPU, and what is left, of each parallelism, as lines."""
    from_records: int = 0
    """Points whose time was taken from earlier records; of the others the cluster file says it."""
    reused: dict[str, str] = {}
    """Points whose key has figures already -> the entry that has them."""

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
    base: Cell | None = None
    """What it is compared with."""
    rules: Rules = USUAL


def serve_argv(model: str, revision: str | None, flags: dict[str, str | bool | list[str]]) -> list[str]:
    """The server's arguments: a flag a pair, in the order of their names."""
    argv = ["serve", model]
    if revision:
        argv += ["--revision", revision]
    for name, value in sorted(flags.items()):
        if isinstance(value, bool):
            argv.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list):
            argv += [f"--{name}", *value]
        else:
            argv += [f"--{name}", value]
    return argv


def make(
    selected: Iterable[Selected],
    *,
    gone: Iterable[str] = (),
    problems: Iterable[str] = (),
    runs: int | None = None,
    pair: Pairing | None = None,
) -> Plan:
    """Group the selected points into jobs, in the order in which they came.

    Args:
        selected: the points.
        gone: points that only the base has.
        problems: of the base's recipes.
        runs: fresh servers of each arm; None means one, or what the rules of compared points say.
        pair: what compared points are compared with.
    """
    selected = list(selected)
    _refuse_what_cannot_fit(selected)
    groups: dict[tuple[str, ...], list[Selected]] = {}
    for one in selected:
        servers = [cell.server for cell in (one.cell, one.base) if cell]
        groups.setdefault((one.cell.id.split("/")[0], *servers), []).append(one)
    jobs = [_job(recipe, servers, members, runs) for (recipe, *servers), members in groups.items()]
    return Plan(
        jobs=jobs,
        points=sum(len(job.points) for job in jobs),
        server_starts=sum(len(job.arms) for job in jobs),
        gone=sorted(gone),
        problems=list(problems),
        pair=pair,
        notes=list(dict.fromkeys(note for one in selected for note in one.cell.notes)),
        memory=memory.lines(_rooms(selected)),
    )


def _refuse_what_cannot_fit(selected: list[Selected]) -> None:
    """Raises RECIPE_INVALID where weights are more than a GPU's memory: one sentence for each row of a search space."""
    found: dict[Place, Problem] = {}
    for one in selected:
        if why := one.cell.room.refusal:
            found.setdefault(one.cell.place, Problem(one.cell.place, f"{one.cell.id} {why}"))
    if found:
        raise HarnessError(Exit.RECIPE_INVALID, "", list(found.values()))


def _rooms(selected: list[Selected]) -> Iterator[tuple[str, memory.Room, int, int]]:
    """What `memory.lines` asks for, of both arms."""
    for one in selected:
        for cell, arm in ((one.cell, ""), (one.base, "base ")):
            if cell and not (arm and cell.room == one.cell.room):
                at_once = math.ceil(cell.concurrency / cell.search.dp)
                tokens = at_once * (cell.workload.isl + cell.workload.osl)
                yield f"{arm}{shape(cell.search)}", cell.room, at_once, tokens


def _job(recipe: str, servers: list[str], members: list[Selected], runs: int | None) -> Job:
    first = members[0]
    points = [_point(one.cell, one.cell.id, one) for one in members]
    base, arms = None, ["head"] * (runs or 1)
    if first.base:
        theirs = [_point(one.base, one.cell.id, one) for one in members if one.base]
        base = Side(points=theirs, serve=_serve(first.base))
        arms = [*BLOCK] * ((runs or max(one.rules.runs for one in members)) // 2)
    return Job(
        id=f"{recipe}.{shape(first.cell.search)}.{key.digest(servers)[:8] if base else servers[0][:8]}",
        cluster=first.cell.recipe.cluster,
        points=points,
        serve=_serve(first.cell),
        arms=arms,
        walltime_s=0,
        base=base,
    )


def _serve(cell: Cell) -> Serve:
    return Serve(argv=serve_argv(cell.recipe.model, cell.recipe.revision, cell.flags), env=cell.env)


def _point(cell: Cell, name: str, one: Selected) -> Point:
    """A cell as a point; the base's goes by the head's name, from which the seed of both comes."""
    return Point.model_construct(
        id=name,
        key=cell.key,
        recipe=cell.id.split("/")[0],
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
        rules=one.rules,
        accuracy=one.cell.recipe.accuracy,
        estimate_s=math.ceil(
            protocol.point_seconds(
                cell.recipe.protocol,
                cell.concurrency,
                cell.workload.isl + cell.workload.osl,
                cell.cluster.limits,
            )
        ),
        memory=cell.room.memory,
    )
