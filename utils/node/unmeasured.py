"""Records of points that a job never got to: each says why, as those of points that were tried do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit
from utils.node import record, record_file
from utils.node.files import below
from utils.node.recorder import Recorder
from utils.node.spec import canary_name

if TYPE_CHECKING:
    from utils.node.spec import NodeJob


def leave(spec: NodeJob, code: Exit, cause: str, node: str | None = None) -> None:
    """A record for each point of each arm that has none in any run, in the arm's first run.

    Args:
        spec: the whole job.
        code: how it ended.
        cause: in words; a canary that failed has better ones.
        node: where the job was, if that is another machine than this one; empty where it was on none.
    """
    there = None if node is None else _elsewhere(node)
    out = Path(spec.out)
    failure = _of_canary(out) or record.Failure.of(code, cause, [])
    status = "cancelled" if code is Exit.CANCELLED else "failed"
    for arm in dict.fromkeys(run.arm for run in spec.runs):
        first = next(run for run in spec.runs if run.arm == arm)
        one = spec.of(arm)
        recorder = Recorder(one, first, there)
        for point in one.job.points:
            short = point.id.split("/")[1]
            if not any(out.glob(f"run-*-{arm}/{short}/{record.FILE}")):
                folder = out / f"run-{first.index}-{arm}" / short
                folder.mkdir(parents=True, exist_ok=True)
                record_file.save(recorder.record(point, [], {"status": status, "failure": failure}), folder)


def _elsewhere(name: str) -> record.Node:
    """A machine of which only the name is known here."""
    return record.Node(
        hostname=name,
        os_release="",
        cpu_model="",
        cores=0,
        server_cores=[],
        client_cores=[],
        memory_bytes=0,
        name=name or None,
    )


def _of_canary(out: Path) -> record.Failure | None:
    """What the canary's own record says, whose words name it; None where it was well."""
    for arm in ("head", "base"):
        for path in below(out / canary_name(arm), record.FILE):
            body = json.loads(path.read_bytes())
            if body.get("failure"):
                found = record.Failure.model_validate(body["failure"])
                return found.model_copy(update={"message": f"the canary of {arm}: {found.message}"})
            if body.get("status") == "invalid":
                failed = "; ".join(
                    f"{gate['name']}: {gate['found']}" for gate in body["gates"] if not gate["passed"]
                )
                return record.Failure.of(Exit.GATE_FAILED, f"the canary of {arm}: {failed}", [])
    return None
