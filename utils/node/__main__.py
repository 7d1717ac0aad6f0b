"""Run one job: `python -m utils.node JOB.json [FOUND.json]`. Started by a launcher, in an allocation or on this machine."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from matrix.errors import Exit
from utils.node import events, process
from utils.node.exceptions import Cancelled
from utils.node.run import outcome
from utils.node.spec import NodeJob


def main() -> int:
    """Read the job, run it, leave no process behind."""
    code = Exit.BUG
    try:
        process.cancel_on_signals()  # one may be waiting since we were started
        process.die_with_parent(signal.SIGTERM)
        process.adopt_orphans()
        process.lock_stderr()
        spec = NodeJob.model_validate(json.loads(Path(sys.argv[1]).read_bytes()))
        if len(sys.argv) > 2:  # noqa: PLR2004 - the second argument
            spec = spec.with_found(json.loads(Path(sys.argv[2]).read_bytes()))
        code = outcome(spec, events.to_stdout)
    except Cancelled as by:  # before there was a run that says so
        process.cancellation_seen()
        events.to_stdout({"kind": "error", "text": f"interrupted by {by}"})
        code = Exit.CANCELLED
    finally:
        process.cancellation_seen()
        process.sweep()
        events.to_stdout({"kind": "end", "facts": {"exit": int(code)}})
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
