"""A job on a node: its runs one after another, each with a fresh server and the job's points in order."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import tree as trees
from matrix.errors import Exit, HarnessError
from matrix.metrics import figures
from utils.node import (
    afterwards,
    again,
    caches,
    events,
    files,
    marker,
    memory,
    preflight,
    process,
    record,
    record_file,
    scratch,
    variables,
)
from utils.node.agreed import Agreed
from utils.node.exceptions import Cancelled, RunFailed
from utils.node.host import witness
from utils.node.point import Bench, Phases, measure
from utils.node.power_meter import PowerMeter
from utils.node.recorder import Recorder
from utils.node.spec import REQUESTS
from utils.node.vllm import invocation, parity_probe, plugin, profiling
from utils.node.vllm.client import Client, client_environment
from utils.node.vllm.engine import Engine
from utils.node.vllm.server import Server, free_port
from utils.node.vllm.server_apart import Apart
from utils.node.vllm.server_process import Here

if TYPE_CHECKING:
    from matrix.plan import Point
    from utils.node.events import Emit
    from utils.node.spec import NodeJob, Run
    from utils.node.variables import Wanted
    from utils.node.vllm.server_process import Starter

FIRST_COMPLETION_S = 120.0


def run_job(spec: NodeJob, emit: Emit) -> Exit:
    """Run a job to its end; the outcome is the largest exit code of its points, or the one that ended it."""
    worst = Exit.OK
    emit = events.as_notes(emit) if spec.canary else emit
    folder, remarks = scratch.prepare(spec.allocation)
    for text in remarks:
        emit({"kind": "note", "text": text})
    try:
        for run in spec.runs:
            code = _Run(spec.of(run.arm), run, folder, emit).execute()
            if Exit.PREFLIGHT_FAILED <= code <= Exit.SERVER_UNHEALTHY:
                # A server that does not start now does not start next time; the rest would only take long to say so.
                return code if worst <= Exit.GATE_FAILED else worst
            worst = max(worst, code)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return worst


@dataclass(slots=True)
class _Run:
    spec: NodeJob
    run: Run
    scratch: Path
    emit: Emit
    folder: Path = field(init=False)
    phases: Phases = field(init=False)
    recorder: Recorder = field(init=False)
    agreed: Agreed = field(init=False)
    kills_before: int | None = field(default_factory=memory.kills)
    server: Server | None = None
    client: Client | None = None
    apart: Apart | None = None

    def execute(self) -> Exit:
        """Start, measure every point, stop; whatever happens, each point has a record or a reason."""
        points = self.spec.job.points
        self.folder = Path(self.spec.run_folder or self.job_folder / f"run-{self.run.index}-{self.run.arm}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.emit(
            {
                "kind": "run",
                "name": f"run {self.run.index + 1}/{self.spec.runs_in_all or len(self.spec.runs)} {self.run.arm}"
                if not self.spec.canary
                else f"canary {self.run.arm}",
                "text": self.spec.job.id,
            }
        )
        self.phases = Phases(self.emit)
        self.recorder = Recorder(self.spec, self.run)
        self.agreed = Agreed(self.job_folder / REQUESTS, points)
        left = list(points)
        worst = Exit.OK
        try:
            bench = self._start()
            while left:
                code = self._point(bench, left[0])
                worst = worst if self._compiles_only(left[0]) else max(worst, code)
                left.pop(0)
            first = self.run.arm == self.spec.job.arms[0]
            where = parity_probe.Where(self.folder, self.job_folder, first=first)
            found = afterwards.accuracy(bench, self.spec, where, self.phases)
            for point in points:
                self._add(point, found.get(point.id, []))
        except RunFailed as known:
            if known.exit_code is Exit.STORAGE_FULL:
                raise
            why = memory.blamed(known, self.kills_before)
            if not (left and self._compiles_only(left[0])):
                worst = max(worst, why.exit_code)
            for number, point in enumerate(left):
                self._fail(point, why, quiet=number > 0)
        except Exception as error:
            for point in left:
                self._fail(point, RunFailed(Exit.BUG, f"an error in servematrix: {error!r}"), quiet=True)
            raise
        except Cancelled as signal:
            process.cancellation_seen()
            for point in left:
                self._fail(point, RunFailed(Exit.CANCELLED, f"interrupted by {signal}"), quiet=True)
            raise
        finally:
            self._stop()
            self._clear(keep=worst in {Exit.OK, Exit.GATE_FAILED})
        return worst

    def _clear(self, *, keep: bool) -> None:
        """Take the run's folders away; what a canary compiled is kept for its arm's runs."""
        if keep and self.spec.canary and self.spec.caches:
            caches.keep(self.home, Path(self.spec.caches) / self.run.arm)
        for folder in {*self._folders(self.at), *self._folders(self.scratch)}:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def at(self) -> Path:
        """Where the server's folders are, which its own container sees too, if it has one; the same path in each run."""
        return Path(self.spec.serve_in) if self.spec.serve_in else self.scratch

    @property
    def home(self) -> Path:
        """The server's."""
        return self._folders(self.at)[0]

    @staticmethod
    def _folders(at: Path) -> tuple[Path, Path]:
        """HOME and TMPDIR."""
        return at / "home", at / "t"

    @property
    def job_folder(self) -> Path:
        return Path(self.spec.out)

    def _start(self) -> Bench:
        spec, cluster = self.spec, self.spec.cluster
        first = spec.job.points[0]
        model = trees.model_path(first.model, spec.tree)
        with self.phases.phase("preflight"):
            self._preflight(model)
        server_cores, client_cores = preflight.split_cores(cluster.client_cores)
        mine, servers = self._environments()
        env = servers.whole()
        with self.phases.phase("server"):
            starter = self._starter()
            self.client = Client(
                spec.python,
                client_environment(mine.whole(), spec.job.serve.env),
                client_cores,
                self.folder / "client.log",
                revision=(model, first.revision or ""),
                ready_s=cluster.limits.client_start_s,
            )
            self.server = self._serve(starter, model, servers, server_cores)
        with self.phases.phase("first completion"):
            self.server.complete_once(FIRST_COMPLETION_S)
            self.recorder.server_is(self.server.version(), self.server.port, self.server.started_s)
            special = self.server.special_tokens()
            streamed = self.server.stream_once(FIRST_COMPLETION_S)
        with self.phases.phase("client"):
            self.client.wait_ready()
        speculative = any(arg.startswith("--speculative-config") for arg in spec.job.serve.argv)
        asked = Path(env[marker.FOLDER]) if marker.FOLDER in env else None
        return Bench(
            self.server,
            self.client,
            special,
            speculative,
            cluster.limits.client_s,
            self.emit,
            asked,
            cores=[*server_cores, *client_cores],
            foreign_most=cluster.limits.foreign_share,
            power=PowerMeter.of(spec, env),
            version=self.recorder.version,
            profile=profiling.maker(self.server, spec, self.folder, self.recorder.version),
            streamed=streamed,
            home=self.home,
            engines=[Engine.read(self.server.process, self.server.metrics())],
        )

    def _serve(self, starter: Starter, model: str, wanted: Wanted, cores: list[int]) -> Server:
        """A server that is healthy. A free port may be taken by another program until the server binds it: then another one."""
        fixed = self.spec.cluster.port
        self.recorder.more_argv = profiling.of_server(self.spec, self.folder)
        for tries_left in (0,) if fixed else (2, 1, 0):
            port = fixed or free_port()
            argv = [
                *invocation.serve(self.spec.job.serve, model, port),
                *self.recorder.more_argv,
            ]
            log = self.folder / "server.log"
            command = [*self.spec.program, *argv]
            server = Server.start(starter, command, wanted, cores, port=port, log=log, model=model)
            self.server = server
            try:
                server.wait_healthy(
                    self.spec.cluster.limits.ready_s,
                    lambda age, doing: self.emit({"kind": "progress", "seconds": age, "text": doing}),
                )
            except RunFailed as error:
                if error.exit_code is not Exit.PORT_TAKEN or not tries_left:
                    raise
                server.stop()
                self.emit({"kind": "note", "text": f"port {port} was taken meanwhile; another one is tried"})
            else:
                break
        files.write_whole(self.folder / witness.PORT, f"{port}\n".encode())
        return server

    def _stop(self) -> None:
        if self.server:
            with self.phases.phase("stop"):
                if self.client:
                    self.client.stop()
                self.server.stop()
        if self.apart:
            self.apart.close()

    def _preflight(self, model: str) -> None:
        cluster = self.spec.cluster
        checks = [
            preflight.disk(self.folder),
            preflight.scratch(self.scratch),
            preflight.model(model),
            preflight.port(cluster.port),
            preflight.program(self.spec.program[0]),
            preflight.cores(cluster.client_cores),
        ]
        codes = {
            "model": Exit.MODEL_MISSING,
            "port": Exit.PORT_TAKEN,
            "disk": Exit.STORAGE_FULL,
            "scratch": Exit.STORAGE_FULL,
        }
        for check in checks:
            if not check.passed:
                raise RunFailed(codes.get(check.name, Exit.PREFLIGHT_FAILED), check.cause)

    def _environments(self) -> tuple[Wanted, Wanted]:
        """The client's and the server's, whose folder has all that it needs before anybody else sees it."""
        for folder in dict.fromkeys([*self._folders(self.scratch), *self._folders(self.at)]):
            folder.mkdir()
        spec = self.spec
        if not spec.canary and spec.caches:
            source = Path(spec.caches) / self.run.arm
            self.recorder.caches = caches.fill(self.home, source, f"the canary of {self.run.arm}")
        servers = variables.wanted(spec, *self._folders(self.at))
        staged = plugin.stage(spec.job, spec.tree, spec.cluster.devices.arch, self.home, {})
        modules = staged.pop("PYTHONPATH", "")
        mine = variables.wanted(spec, *self._folders(self.scratch))
        return mine, replace(servers, given=servers.given | staged, modules=modules)

    def _starter(self) -> Starter:
        if not self.spec.serve_in:
            return Here()
        self.apart = Apart(self.at, self.at.parent, self.folder, self.spec.cluster.limits.ready_s)
        return self.apart

    def _point(self, bench: Bench, point: Point) -> Exit:
        folder = self._point_folder(point)
        self.emit({"kind": "point", "name": point.id, "facts": {"begins": True}})
        phases = Phases(self.emit, list(self.phases.done))
        try:
            start_s = sum(phase.duration_s for phase in self.phases.done)
            until_s = again.until(self.spec, self.run, point, start_s)
            measured = measure(
                bench, point, folder, phases, count=self.agreed.of(point), again_until_s=until_s
            )
        except RunFailed as error:
            if not bench.server.alive or error.exit_code is Exit.STORAGE_FULL:
                raise
            blamed = memory.blamed(error, self.kills_before)
            self.kills_before = memory.kills()
            self._fail(point, blamed)
            bench.client.restart()
            return blamed.exit_code
        with process.uninterrupted():
            self.agreed.note(point, measured.requests)
            written = self.recorder.record(point, phases.done, measured.fields)
            record_file.save(written, folder)
        failed = [gate for gate in written.gates if not gate.passed]
        if self.spec.profile:
            return self._profiled(point, written)
        if self.spec.canary:  # its load is too short for the gates of figures, which nobody reads
            failed = [gate for gate in failed if gate.name == "kernel_path"]
        self.emit(
            {
                "kind": "point",
                "name": point.id,
                "text": written.status if failed or not self.spec.canary else "works",
                "facts": {
                    "failed": [f"{gate.name}: {gate.found}" for gate in failed],
                    "figures": figures(written),
                },
            }
        )
        if self.spec.canary and failed:
            return Exit.KERNEL_INACTIVE  # nor would the runs take it: the job ends here
        return Exit.OK if written.status == "measured" else Exit.GATE_FAILED

    def _add(self, point: Point, found: list[record.Accuracy]) -> None:
        """Put what was found of a point's answers into its record, where it has one."""
        folder = self._point_folder(point)
        one = record_file.read(folder / record.FILE) if found and (folder / record.FILE).exists() else None
        if one and one.whole:
            with process.uninterrupted():
                record_file.save(one.model_copy(update={"accuracy": found}), folder)

    def _profiled(self, point: Point, written: record.Record) -> Exit:
        """What became of a profile; its record is invalid, and that is no failure."""
        traces = written.traces
        facts = {"failed": [] if traces else written.notes}
        text = "profiled" if traces else "no trace"
        self.emit({"kind": "point", "name": point.id, "text": text, "facts": {**facts, "figures": {}}})
        for trace in traces:
            self.emit({"kind": "note", "text": f"{self.folder.name}/{trace}"})
        return Exit.OK if traces else Exit.GATE_FAILED

    def _fail(self, point: Point, error: RunFailed, *, quiet: bool = False) -> None:
        """Leave a record that tells why there is no measurement."""
        folder = self._point_folder(point)
        if (folder / record.FILE).exists():
            return  # it was measured before the interruption came
        failure = record.Failure.of(error.exit_code, error.message, error.evidence)
        status = "cancelled" if error.exit_code is Exit.CANCELLED else "failed"
        fields = {"status": status, "failure": failure}
        record_file.save(self.recorder.record(point, self.phases.done, fields), folder)
        if not quiet:
            self.emit({"kind": "point", "name": point.id, "text": status, "facts": {"failed": [str(error)]}})

    def _compiles_only(self, point: Point) -> bool:
        """Whether a canary loads it only for its caches: what is wrong with it is for the runs to say, which keep their other points."""
        return self.spec.canary and point is not self.spec.job.points[0]

    def _point_folder(self, point: Point) -> Path:
        folder = self.folder / point.id.split("/")[1]
        folder.mkdir(exist_ok=True)
        return folder


def outcome(spec: NodeJob, emit: Emit) -> Exit:
    """`run_job`, with every way in which it can end turned into an exit code."""
    try:
        return run_job(spec, emit)
    except OSError as error:
        if error.filename is None and not files.is_full(error):
            raise  # of a pipe or a socket, and of no disk: the traceback says which
        failed = files.storage_error(Path(error.filename or spec.out), error)
        emit({"kind": "error", "text": str(failed)})
        return failed.exit_code
    except HarnessError as error:
        emit({"kind": "error", "text": str(error)})
        return error.exit_code
    except Cancelled as signal:
        process.cancellation_seen()
        emit({"kind": "error", "text": f"interrupted by {signal}"})
        return Exit.CANCELLED
