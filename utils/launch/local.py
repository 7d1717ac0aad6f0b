"""Jobs on this machine: the node package as a child process, one job after another."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.plan import ARMS
from utils.launch import lease, questions, script
from utils.launch.failures import Facts, as_json, classify
from utils.launch.journal import Memory, Notebook
from utils.launch.power_beside import metered
from utils.node import events, files, process, record, scratch, unmeasured
from utils.node import memory as memory_of_machine
from utils.node.host import gpu_checks, gpus
from utils.node.host.machine_lock import alone_on_the_machine
from utils.node.spec import Found, NodeJob, canary_name, runs
from utils.node.variables import TAKEN
from utils.setup import environments, provenance

if TYPE_CHECKING:
    from collections.abc import Callable

    from matrix.cluster import Cluster
    from matrix.plan import Job
    from utils.launch.interface import Order
    from utils.node.events import Event

WELL = frozenset({Exit.OK, Exit.GATE_FAILED})
"""A job that measured what it was to measure."""
END_S = 40.0
"""How long the node may take to end its server and write what it has."""


class Local:
    """The launcher of the `local` cluster."""

    def __init__(self) -> None:
        self.held: lease.Claim | None = None

    def check(self, order: Order, job: Job) -> None:
        """There is a server, or a lock to make one from; and TMPDIR can be followed."""
        scratch.below()
        environments.check(order.environment, job.points[0].image)

    def claim(self, order: Order) -> Order:
        """Hold the folder; a run of the same points that was interrupted there goes on."""
        self.held = lease.take(order)
        return self.held.order

    def unfinished(self, order: Order, below: Path) -> Path | None:
        """What was killed here left nothing running, so that there is nothing to go on with."""
        del order, below
        return None

    def batch(self, order: Order, job: Job) -> str:
        """There is no batch system."""
        del order, job
        raise HarnessError(
            Exit.USAGE, "the local launcher has no batch script; --print-script shows the commands"
        )

    def script(self, order: Order, job: Job, arm: str = "") -> str:
        """The commands of a job."""
        environment = self._environment(order, job, lambda _: None, make=False)
        return script.render(
            order, job, program=str(environment.server), python=str(environment.python), arm=arm
        )

    def run(self, order: Order, emit: Callable[[Event], None]) -> Exit:
        """Run every job, whatever the others did; a cancellation ends them all."""
        if self.held is None:
            raise RuntimeError("run() without claim()")
        worst = Exit.OK
        try:
            with alone_on_the_machine(lambda text: emit({"kind": "note", "text": text})):
                for job in order.plan.jobs:
                    worst = max(worst, self._job_once(order, job, emit))
                    if worst >= Exit.CANCELLED:
                        break
        finally:
            self.held.release()
        return worst

    def _job_once(self, order: Order, job: Job, emit: Callable[[Event], None]) -> Exit:
        """A job that an earlier call finished is not run again; of one that broke off, the whole is, and what it left is kept aside."""
        book = Notebook(order.out, job.id)
        memory = book.read()
        if memory is None:
            memory = Memory()
        elif memory.done and memory.kind is None:
            emit({"kind": "note", "text": f"{job.id}: was finished before; it is not run again"})
            return next(code for code in Exit if code == memory.exit)
        else:
            why = f"ended before with a failure ({memory.kind})" if memory.done else "interrupted before"
            emit({"kind": "note", "text": f"{job.id}: {why}; it is run anew"})
            book.set_aside(order.out / "jobs" / job.id, memory.attempt, why)
            memory = memory.anew()
        book.write(memory)
        code = Exit.CANCELLED  # unless it comes to another end
        try:
            code = self._job(order, job, emit)
        finally:
            kind = None if code in WELL else code.name.lower()
            book.write(memory.model_copy(update={"done": True, "kind": kind, "exit": int(code)}))
        return code

    def _job(self, order: Order, job: Job, emit: Callable[[Event], None]) -> Exit:
        """One job; where it does not end well, failure.json says why."""

        def tell(text: str) -> None:
            emit({"kind": "note", "text": text})

        folder = order.out / "jobs" / job.id
        cluster = order.clusters[job.cluster]
        if problems := gpus_are_not_there(cluster, tell):
            facts = Facts(state="", preflight=problems)
            files.write_whole(
                folder / "failure.json", as_json(classify(facts), job.id, None, platform.node())
            )
            text = f"this machine is not what recipes/clusters/{job.cluster}.yaml says: {'; and '.join(problems)}"
            emit({"kind": "error", "text": f"{job.id}: {text}"})
            return Exit.PREFLIGHT_FAILED
        environment = self._environment(order, job, tell)
        spec = NodeJob(
            job=job,
            cluster=cluster,
            runs=runs(job),
            found=Found(node=gpus.facts(cluster.devices.kind)),
            allocation=f"local-{uuid.uuid4().hex[:12]}",
            out=str(folder),
            tree=str(order.tree),
            base_tree=str(order.base_tree or ""),
            base_commit=order.plan.pair.commit if order.plan.pair else "",
            program=[str(environment.server)],
            base_program=[str(self._environment(order, job.of("base"), tell).server)],
            python=str(environment.python),
            environment="given" if order.environment else "locked",
            evaluator=_evaluator(job, tell),
            provenance=provenance.find(order.tree),
        )
        emit({"kind": "job", "name": job.id, "total": len(job.points)})
        code, ended_by = Exit.BUG, ""
        try:
            with metered(cluster.devices.kind, folder) as samples:
                sampled = spec.as_profile(order.profile).model_copy(update={"samples": str(samples)})
                code = _measure(environment, sampled, folder, emit)
        except KeyboardInterrupt as error:
            code, ended_by = Exit.CANCELLED, process.signal_of(error)
            raise
        finally:
            if code not in WELL:
                facts = Facts(state="", begun=True, ended=code, asked=True, started=True, signal=ended_by)
                why = classify(facts)
                files.write_whole(folder / "failure.json", as_json(why, job.id, None, platform.node()))
                unmeasured.leave(spec, code, why.cause)
            if code in {Exit.NODE_KILLED, Exit.OUT_OF_MEMORY}:
                scratch.clear(spec.allocation)  # a program that was killed left its folder
        return code

    @staticmethod
    def _environment(
        order: Order, job: Job, tell: Callable[[str], None], *, make: bool = True
    ) -> environments.Environment:
        image = job.points[0].image
        if not (make or order.environment):
            return environments.of_image(image)
        return environments.given_or_made(order.environment, image, tell)


def _evaluator(job: Job, tell: Callable[[str], None]) -> str:
    """The Python with lm-eval, which is made only where a recipe asks for a task."""
    wanted = any(point.accuracy for point in job.points)
    return str(environments.for_accuracy(tell).python) if wanted else ""


def gpus_are_not_there(cluster: Cluster, tell: Callable[[str], None]) -> tuple[str, ...]:
    """What this machine's GPUs have that the cluster file does not say, asked as a cluster's preflight asks; notes are passed on."""
    if cluster.devices.kind == "cpu":
        return ()
    found = list(gpu_checks.checks(questions.of_cluster(cluster), given=False))
    for one in found:
        if one.level == "note":
            tell(f"{one.name}: {one.cause}")
    return tuple(one.cause for one in found if not one.passed)


def _measure(
    environment: environments.Environment, spec: NodeJob, folder: Path, emit: Callable[[Event], None]
) -> Exit:
    """The runs; where there are two arms, a canary of each before, so that neither owns the cold machine or compiles in its runs.

    A profile is of steps long after the start, and has none.
    """
    if spec.job.base is None or spec.profile:
        return _start(environment, spec, folder, emit)
    with tempfile.TemporaryDirectory(prefix=scratch.CACHES, ignore_cleanup_errors=True) as caches:
        scratch.own(Path(caches))
        for arm in ARMS:
            canary = folder / canary_name(arm)
            files.write_whole(canary / record.BROKEN, b'{"why": "a canary, which nobody judges"}\n')
            one = spec.as_canary(str(canary), arm).model_copy(update={"caches": caches})
            code = _start(environment, one, canary, emit)
            if code not in WELL:  # its logs stay
                return code
            shutil.rmtree(canary)
        return _start(environment, spec.model_copy(update={"caches": caches}), folder, emit)


def _start(
    environment: environments.Environment, spec: NodeJob, folder: Path, emit: Callable[[Event], None]
) -> Exit:
    path = folder / "job.json"
    files.write_whole(path, spec.model_dump_json(indent=1, by_alias=True).encode())
    there = [name for name in spec.cluster.env_from.values() if name in os.environ]
    return _node(environment, path, {f"{TAKEN}{name}": os.environ[name] for name in there}, emit)


def _node(
    environment: environments.Environment, spec: Path, taken: dict[str, str], emit: Callable[[Event], None]
) -> Exit:
    """Run the node package and pass its events on; a signal to us becomes one to it, and its end is awaited.

    Args:
        environment: whose Python it is.
        spec: what to do.
        taken: what the cluster takes from this process's environment (`env_from`).
        emit: gets the events.
    """
    process.adopt_orphans()
    kills = memory_of_machine.kills()
    beside = process.descendants(os.getpid())  # the power meter, which goes on from one program to the next
    # A signal of the first moments waits until both sides can end in good order: we inside `try`, the node with its handlers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, process.ENDING)
    try:
        node = subprocess.Popen(
            [str(environment.python), "-P", "-m", "utils.node", str(spec)],
            cwd="/",
            env={
                **taken,
                "PYTHONPATH": str(environments.ROOT),
                "PATH": os.environ.get("PATH", os.defpath),
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": tempfile.gettempdir(),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for line in node.stdout or ():
            emit(events.from_line(line))
        node.wait()
    except BaseException as error:
        for number in process.ENDING:
            signal.signal(number, signal.SIG_IGN)  # a second one must not leave the node behind
        name = process.signal_of(error) if isinstance(error, KeyboardInterrupt) else signal.SIGTERM.name
        node.send_signal(signal.Signals[name])  # the node names it in its records
        try:
            rest, _ = node.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            node.kill()
            rest, _ = node.communicate()
        process.sweep(spare=beside)
        for line in rest.splitlines():
            emit(events.from_line(line))
        raise
    process.sweep(spare=beside)  # nothing, unless the node was killed
    if node.returncode >= 0:
        return next((code for code in Exit if code == node.returncode), Exit.BUG)
    why = memory_of_machine.told(kills, memory_of_machine.kills())
    how = f"the program that measures {process.how_it_ended(node.returncode)}"
    emit({"kind": "error", "text": f"{how}; {why}" if why else how})
    return Exit.OUT_OF_MEMORY if why else Exit.NODE_KILLED
