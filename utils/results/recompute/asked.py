"""What a plan says of a record: which point, which server, which load. Everything here is known before anything ran."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from matrix.protocol import lengths, requests, seed
from matrix.tree import is_carried
from utils.node import marker
from utils.node.vllm import invocation, load

if TYPE_CHECKING:
    from matrix.plan import Job, Point
    from utils.node.record import Record


@dataclass(frozen=True, slots=True)
class Asked:
    """A record's place in its plan."""

    job: Job
    """The arm's own."""
    point: Point
    block: int
    foreign_most: float
    """Of the cluster file: share of the pinned cores that others may use."""
    paired: bool = False
    """Whether the job has two arms, whose points are loaded once each (utils/node/again.py)."""
    agreed: int | None = None
    """Requests of the point in the allocation's first run; None where there is no record of it, or this is that run."""

    @property
    def speculative(self) -> bool:
        """Whether several tokens may come at once."""
        return any(word.startswith("--speculative-config") for word in self.job.serve.argv)

    @property
    def workers(self) -> int:
        """Processes of the server that hold a part of the model."""
        return marker.workers(self.point)


def fields(asked: Asked, one: Record) -> dict[str, Any]:
    """The fields of a record that its plan knows, as plain values.

    Args:
        asked: its place in the plan.
        one: the record, for what only the node chose: a port, a folder, the list of a block that confirms.
    """
    job, point = asked.job, asked.point
    names = [other.id for other in job.points]
    if (
        asked.block != 1
    ):  # the flagged points of the job, in its order; which they are, its other arm says too
        names = [name for name in names if name in one.points_in_run]
    position = names.index(point.id) if point.id in names else -1
    found: dict[str, Any] = {
        "schema_version": one.schema_version,
        "point": point.id,
        "key": point.key,
        "parts": point.parts,
        "vary": point.vary,
        "job": job.id if asked.block == 1 else f"{job.id}.confirm",
        "recipe": point.recipe if point.recipe != point.id.split("/")[0] else "",
        "rules": point.rules.model_dump(mode="json"),
        "block": asked.block,
        "position": position,
        "points_before": names[: max(position, 0)],
        "points_in_run": names,
        "devices": point.devices,
        "precision": point.precision,
        "image": point.image,
        "model": point.model,
        "serve_env": job.serve.env,
        "environment": "own" if one.environment == "own" else "locked" if "==" in point.image else "image",
        "figures": "claimed",
    }
    served = _after(one.serve_argv, "serve")
    if served or one.status in {"measured", "invalid"}:
        model, port = _model(point, served), _value(served, "--port")
        found["serve_argv"] = [
            *one.serve_argv[: len(one.serve_argv) - len(served)],
            *invocation.serve(job.serve, model, port),
        ]
    if one.load is not None:
        found["load"] = _load(asked, one)
    return found


def _load(asked: Asked, one: Record) -> dict[str, Any]:
    """What the client was asked for; ports and folders are the node's, and the same in both calls."""
    point, said = asked.point, one.load
    assert said is not None  # noqa: S101 - for the type alone
    prompt, output = lengths(point.isl), lengths(point.osl)
    port, model = _value(one.serve_argv, "--port"), _model(point, _after(one.serve_argv, "serve"))
    folder = str(_words(said.argv, "--result-dir"))
    warm = invocation.warmup(point, model, port, folder)
    count = asked.agreed or requests(point.protocol, point.concurrency, said.warmup_rate_per_s)
    call = invocation.measured(point, model, port, folder, rate_per_s=0.0, count=count)
    return {
        "isl": point.isl,
        "osl": point.osl,
        "input_low": prompt.low,
        "input_high": prompt.high,
        "output_low": output.low,
        "output_high": output.high,
        "concurrency": point.concurrency,
        "requests": count,
        "seed": call.seed,
        "warmup_requests": warm.requests,
        "warmup_seed": seed(point.id, "warm-up"),
        "warmup_rate_per_s": said.warmup_rate_per_s,
        "warmup_argv": load.argv(warm),
        "argv": load.argv(call),
    }


def _after(argv: list[str], word: str) -> list[str]:
    return argv[argv.index(word) :] if word in argv else []


def _words(argv: list[str], flag: str) -> str:
    return next((value for name, value in pairwise(argv) if name == flag), "")


def _value(argv: list[str], flag: str) -> int:
    """A port; 0 for what is none."""
    text = _words(argv, flag)
    return int(text) if text.isdecimal() and len(text) < 6 else 0  # noqa: PLR2004 - ports have five digits


def _model(point: Point, served: list[str]) -> str:
    """Where the model was: as the recipe says, or below the tree, whose place the node chose."""
    if not is_carried(point.model):
        return point.model
    said = served[1] if len(served) > 1 else ""
    return said if said.endswith(f"/{point.model}") else f"/{point.model}"
