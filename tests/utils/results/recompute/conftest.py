"""Two honest runs: what an H100 server left in November 2026, with today's gates made from its own raw requests."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from matrix.plan import Plan
from utils.node import files, observed, record_file
from utils.node.record import Record
from utils.results.recompute import check, figures, left
from utils.results.recompute.asked import Asked
from utils.results.recompute.same import Difference

MEASURED = Path("kernels/minimax_m3_ep/results/2026-11-26-h100-server").absolute()
SHARED = 1.0


@dataclass(frozen=True)
class Honest:
    """One record of them with all that it is checked with."""

    one: Record
    folder: Path
    asked: Asked
    others: Sequence[Record]

    def differences(self, one: Record | None = None, **found: object) -> list[Difference]:
        """What is wrong with it, or with another record in its place."""
        said = one or self.one
        others = [said if other is self.one else other for other in self.others]
        return check.look(said, self.folder, self.asked, others, found).differences


@pytest.fixture(scope="session")
def allocation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Honest]:
    """By arm and concurrency, such as `head/c64`."""
    plan = Plan.from_json(json.loads((MEASURED / "plan.json").read_bytes()))
    made: dict[str, Honest] = {}
    for number, arm in enumerate(("base", "head")):
        run = tmp_path_factory.mktemp("run") / f"run-{number}-{arm}"
        run.mkdir()
        (run / left.LOG).write_bytes(gzip.decompress((MEASURED / arm / "server.log.gz").read_bytes()))
        job = plan.jobs[0].of("base" if arm == "base" else "head")
        for point in job.points:
            short = f"c{point.concurrency}"
            folder = shutil.copytree(MEASURED / arm / short, run / point.id.split("/")[1])
            one = record_file.read(folder / "record.json")
            asked = Asked(job, point, 1, SHARED)
            made[f"{arm}/{short}"] = Honest(_today(one, folder, asked), folder, asked, ())
    everybody = [honest.one for honest in made.values()]
    counts = {honest.one.point: honest.one.load for name, honest in made.items() if name.startswith("base")}
    for name, honest in made.items():
        first = counts[honest.one.point]
        agreed = first.requests if first and name.startswith("head") else None
        made[name] = replace(honest, others=everybody, asked=replace(honest.asked, agreed=agreed))
    return made


def _today(one: Record, folder: Path, asked: Asked) -> Record:
    """The record as today's harness would have left it: its figures as they were, gates and what raw files lacked then anew."""
    assert one.whole is not None
    assert one.load is not None
    rows = json.loads(gzip.decompress((folder / left.REQUESTS).read_bytes()))
    load = next(phase for phase in one.phases if phase.name == "load")
    rows["client"] = {
        "first_start_s": load.start_s + 2.0,
        "duration_s": one.whole.duration_s,
        "completed": one.load.requests,
        "failed": 0,
        "reported": {"mean_ttft_ms": 1000 * one.whole.ttft_s.mean},
        "derived": [],
    }
    rows["node"] = {
        "call_s": [load.start_s, load.start_s + load.duration_s],
        "special_tokens": 0,
        "server_log": [60_000, 1000],
        "warm_log": [50_000, 11_000],
        "streamed": {"tokens": [1] * 24, "counted": 24, "failed": ""},
    }
    content, _ = files.packed(rows)
    (folder / left.REQUESTS).write_bytes(content)
    made = observed.observed(
        asked.point, observed.Found(one.vllm_version, None, "locked", tuple(asked.job.serve.argv)), one.node
    )
    alive = [gate for gate in one.gates if gate.name == "server_alive"]
    one = one.model_copy(update={"observed": made, "environment": "locked", "gates": alive})
    answers = figures.fields(asked, one, left.read(folder))
    update = {name: answers[name] for name in ("gates", "notes", "status", "files")}
    return Record.model_validate(filled(one.model_dump(), answers) | update)


def filled(before: dict[str, Any], today: dict[str, Any]) -> dict[str, Any]:
    """Fields that the harness of then did not know, from today's; what it wrote stays as it was."""
    return {
        name: filled(value, today[name])
        if isinstance(value, dict) and isinstance(today.get(name), dict)
        else today.get(name)
        if value is None
        else value
        for name, value in before.items()
    }
