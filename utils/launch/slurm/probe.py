"""A job of one minute that asks a node what the preflight asks: the same module, sent over srun's stdin, gone afterwards."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from utils.launch.slurm import client, payload
from utils.launch.slurm.meanings import Meaning, meanings
from utils.launch.slurm.retrieval_job import EXPORT
from utils.node.preflight import Check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matrix.slurm.section import Slurm

WAIT_S = 60
"""How long the job may wait for a node."""
RUN_S = 120
"""What the job may take besides: its minute, and Slurm's own delays."""
CODE = ("utils/__init__.py", "utils/node/__init__.py", "utils/node/preflight.py", "utils/node/host/*.py")
BOOT = """\
import io, json, os, shutil, sys, tarfile, tempfile
print(json.dumps({"kind": "begin", "name": os.environ.get("SLURMD_NODENAME", ""), "python": sys.version.split()[0]}), flush=True)
if sys.version_info < (3, 9):
    sys.exit("servematrix: this Python is older than 3.9")
folder = tempfile.mkdtemp(prefix="servematrix-doctor-")
try:
    with tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()), mode="r:gz") as tar:
        tar.extractall(folder)
    sys.path.insert(0, folder)
    from utils.node.host import ready
    code = ready.main(folder + "/host.json", folder + "/found.json")
finally:
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(code)
"""


def command(asked: Slurm) -> list[str]:
    """The srun of the probe: what jobs ask for, and one minute."""
    line = [
        "srun",
        "--job-name=servematrix-doctor",
        "--nodes=1",
        "--ntasks=1",
        "--time=1",
        f"--immediate={WAIT_S}",
    ]
    line += ["--quiet", "--chdir=/", EXPORT]
    wanted = {
        "partition": asked.partition,
        "gres": asked.gres,
        "cpus-per-task": str(asked.cpus_per_task or ""),
    }
    line += [f"--{name}={value}" for name, value in wanted.items() if value]
    line += [f"--{name}={value}" if value else f"--{name}" for name, value in asked.options.items()]
    return [*line, asked.python, "-s", "-c", BOOT]


def run(asked: Slurm, questions: dict[str, Any], root: Path) -> Iterator[Check]:
    """Ask a node; what it answers, or why none did.

    Args:
        asked: the cluster file's `slurm:`.
        questions: HOST.json.
        root: of the harness, whose code is sent.
    """
    code = {str(path.relative_to(root)): path.read_bytes() for one in CODE for path in root.glob(one)}
    packed = payload.pack(code | {"host.json": json.dumps(questions).encode()})
    try:
        done = subprocess.run(
            command(asked),
            input=packed.content,
            env=client.environment(),
            capture_output=True,
            timeout=WAIT_S + RUN_S,
            check=False,
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        advice = (
            "squeue --me shows whether the job is still there; scancel --me --name=servematrix-doctor ends it"
        )
        yield Check("probe", passed=False, found=f"no answer within {WAIT_S + RUN_S} s", advice=advice)
        return
    except OSError as error:
        yield Check(
            "probe", passed=False, found=f"srun: {error.strerror}", advice="install Slurm's commands here"
        )
        return
    yield from answers(
        done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.returncode
    )


def answers(out: str, err: str, code: int) -> Iterator[Check]:
    """What the probe said, line by line; a job that said nothing did not run there."""
    node, said = "", 0
    for line in out.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if not isinstance(event, dict):
            continue
        if event.get("kind") == "begin":
            node = str(event.get("name", ""))
            yield Check("probe", passed=True, found=f"ran on {node}, Python {event.get('python', '')}")
        elif event.get("kind") == "check" and isinstance(event.get("facts"), dict):
            said += 1
            facts = event["facts"]
            found, advice = (str(facts.get(name, "")) for name in ("found", "advice"))
            name = f"{node} {event.get('name', '')}".strip()
            yield Check(name, passed=facts.get("passed") is True, found=found, advice=advice)
    if said == 0 or code not in {0, 20}:
        yield _failed(err, code)


def _failed(err: str, code: int) -> Check:
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    text = "; ".join(dict.fromkeys(lines[:3]))[:300] or f"srun ended with {code}"
    means = meanings(text)
    if Meaning.NO_PROGRAM in means:
        return Check(
            "probe", passed=False, found=text, advice="slurm.python names a Python that the node lacks"
        )
    if Meaning.BUSY in means:
        found = f"no node was free within {WAIT_S} s ({text})"
        return Check("probe", passed=True, found=found, advice="nothing was asked there; try again later")
    return Check("probe", passed=False, found=text, advice="no job of this cluster file would come further")
