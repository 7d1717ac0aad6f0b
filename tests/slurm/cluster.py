"""A throw-away Slurm: real slurmctld, slurmd and munged in one private folder, gone without a trace afterwards.

Each node is a slurmd in a PID and mount namespace of its own, so that losing power is one SIGKILL, and so that a node
can have a /tmp of its own. Needs Debian's slurmctld, slurmd, slurm-client and munge, and root for the namespaces.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.slurm import ports
from utils.node import process

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
READY_S = 60.0
CHECKOUT = Path(__file__).resolve().parent.parent.parent

CONF = """\
ClusterName=servematrix
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/nodes/%n/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/nodes/%n/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/nodes/%n/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
ReturnToService=2
MinJobAge={min_job_age}
SlurmdTimeout=8
KillWait={kill_wait}
MpiDefault=none
SwitchType=switch/none
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/jobcomp.log
MailProg=/bin/true
RebootProgram=/bin/true
Prolog={root}/prolog
{more}
{nodes}
PartitionName=compute Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=64 RealMemory=100000 Gres=gpu:mi300x:8"
GRES = "NodeName={name} Name=gpu Type=mi300x File={root}/gpu[0-7] Flags=amd_gpu_env"
PROLOG = '#!/bin/sh\n[ ! -e "{root}/prolog-fails-on-$SLURMD_NODENAME" ]\n'


def missing() -> list[str]:
    """Programs that this machine lacks."""
    return [name for name in PROGRAMS if not shutil.which(name, path=_PATH)]


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass
class Cluster:
    """A running cluster; `env` is what a client needs to reach it."""

    names: tuple[str, ...] = ("mi0", "mi1")
    private: tuple[Path, ...] = ()
    """Folders that every node sees empty, its own instead of the login node's."""
    min_job_age: int = 86400
    kill_wait: int = 4
    more: str = ""
    root: Path = field(init=False)
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)
    controller: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.root = Path(tempfile.mkdtemp(prefix="smc-", dir="/var/tmp"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def env(self) -> dict[str, str]:
        """Environment of a client: this cluster, and nothing of a cluster around the tests."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))
        }
        return kept | {"SLURM_CONF": str(self.root / "slurm.conf"), "PATH": _PATH}

    def call(self, *command: str, check: bool = True) -> str:
        """What a Slurm client prints."""
        done = subprocess.run(
            command,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def states(self) -> dict[str, str]:
        """Job id -> state, of every job that the controller remembers."""
        lines = self.call("squeue", "--states=all", "--noheader", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def power_off(self, name: str) -> None:
        """Every process of a node dies at once, as when it loses power."""
        _end(self.nodes.pop(name))

    def power_on(self, name: str) -> None:
        """Start a node's slurmd."""
        inside = []
        for path in self.private:
            own = self._own(name, path)
            if CHECKOUT.is_relative_to(path):  # the tests' own Python must stay in sight
                seen = own / CHECKOUT.relative_to(path)
                inside.append(f"mkdir -p {seen}; mount --bind {CHECKOUT} {seen}")
            inside.append(f"mkdir -p {path}; mount --rbind {own} {path}")
        for path in self.private:
            self._own(name, path).mkdir(parents=True, exist_ok=True)
            self._own(name, path).chmod(0o1777)
        command = ["unshare", "--fork", "--pid", "--mount", "--kill-child", "--mount-proc", "sh", "-ec"]
        daemon = f"slurmd -D -N {name} -f {self.root}/slurm.conf"
        script = "\n".join([*inside, f"while :; do {daemon} || sleep 0.2; done"])
        self.nodes[name] = self._daemon([*command, script], f"{name}.out")

    def restart_daemon(self, name: str) -> None:
        """A node's slurmd is killed, and started again as a service manager does; its jobs' steps live on."""
        first = int(
            Path(f"/proc/{self.nodes[name].pid}/task/{self.nodes[name].pid}/children").read_text().split()[0]
        )
        for child in Path(f"/proc/{first}/task/{first}/children").read_text().split():
            if Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0].endswith(b"slurmd"):
                os.kill(int(child), signal.SIGKILL)
                return
        raise LookupError(f"no slurmd runs on {name}")

    def node_path(self, name: str, path: Path) -> Path:
        """Where a file of a node's private folder lies on this machine."""
        for own in self.private:
            if path.is_relative_to(own):
                return self._own(name, own) / path.relative_to(own)
        return path

    def inside(self, name: str, script: str) -> None:
        """Run a script in a node's namespaces, below its root: in another release's folder that is not the machine's."""
        process = (
            Path(f"/proc/{self.nodes[name].pid}/task/{self.nodes[name].pid}/children").read_text().split()[0]
        )
        subprocess.run(
            ["nsenter", f"--target={process}", "--mount", "--pid", "--root", "sh", "-ec", script],
            check=True,
            timeout=30,
        )

    def which(self, program: str) -> str:
        """Where a client of Slurm is."""
        found = shutil.which(program, path=_PATH)
        assert found
        return found

    def stop_controller(self) -> None:
        """The controller is gone, jobs live on."""
        if self.controller:
            self.controller.terminate()
            self.controller.wait()
            self.controller = None

    def start_controller(self) -> None:
        """Bring the controller up, and wait for its answer."""
        self.controller = self._daemon(
            ["slurmctld", "-D", "-f", str(self.root / "slurm.conf")], "slurmctld.out"
        )

    def wait_ready(self, *, of_nodes: bool = True) -> None:
        """Until every node is idle, or at least until the controller answers."""
        end = time.monotonic() + READY_S
        found = ""
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                found = self.call("sinfo", "--noheader", "--Node", "--format=%N %T")
                if not of_nodes or [line.split()[1] for line in found.splitlines()] == ["idle"] * len(
                    self.names
                ):
                    return
            time.sleep(0.05)
        log = (self.root / "slurmctld.out").read_text()[-3000:]
        raise RuntimeError(f"the test's Slurm did not come up: {found}\n{log}")

    def heal(self) -> None:
        """No jobs, every node up and idle: what a test expects at its start."""
        if not self.controller:
            self.start_controller()
            self.wait_ready(of_nodes=False)
        with contextlib.suppress(AssertionError):
            self.call("scancel", "--full", "--signal=KILL", "--user=root")
            self.call("scancel", "--user=root")
        for flag in self.root.glob("prolog-fails-on-*"):
            flag.unlink()
        for name in self.names:
            if name not in self.nodes:
                self.power_on(name)
            for state in ("down reason=heal", "resume"):
                self.call("scontrol", "update", f"nodename={name}", *f"state={state}".split(), check=False)
        self.wait_ready()

    def stop(self) -> None:
        """End everything and remove the folder."""
        self.stop_controller()
        for one in [*self.nodes.values(), *self.daemons]:
            _end(one)
        shutil.rmtree(self.root, ignore_errors=True)

    def _own(self, name: str, path: Path) -> Path:
        return self.root / "nodes" / name / "private" / "-".join(path.parts[1:])

    def _start(self) -> None:
        root, host = self.root, socket.gethostname()
        root.chmod(0o755)
        (root / "state").mkdir()
        numbers = ports.own(len(self.names) + 1)
        self._ports = dict(zip(self.names, numbers[1:], strict=True))
        for name in self.names:
            (root / "nodes" / name / "spool").mkdir(parents=True)
        for number in range(8):
            (root / f"gpu{number}").symlink_to("/dev/null")
        nodes = "\n".join(NODE.format(name=n, host=host, port=p) for n, p in self._ports.items())
        values = {"root": root, "host": host, "port": numbers[0], "nodes": nodes, "more": self.more}
        values |= {"min_job_age": self.min_job_age, "kill_wait": self.kill_wait}
        (root / "slurm.conf").write_text(CONF.format(**values))
        (root / "gres.conf").write_text("".join(GRES.format(name=n, root=root) + "\n" for n in self.names))
        if _version() >= (
            23,
            11,
        ):  # since then a slurmd wants a cgroup plugin, which a namespace in a folder cannot give it
            (root / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        (root / "prolog").write_text(PROLOG.format(root=root))
        (root / "prolog").chmod(0o755)
        (root / "munge.key").write_bytes(os.urandom(128))
        (root / "munge.key").chmod(0o400)
        munge = [
            "munged",
            "--foreground",
            "--force",
            f"--socket={root}/munge.socket",
            f"--key-file={root}/munge.key",
        ]
        munge += [f"--{what}-file={root}/munge.{what}" for what in ("pid", "log", "seed")]
        self.daemons.append(self._daemon(munge, "munged.out"))
        end = time.monotonic() + READY_S
        while not (root / "munge.socket").exists():
            assert time.monotonic() < end, (root / "munged.out").read_text()
            time.sleep(0.01)
        self.start_controller()
        for name in self.names:
            self.power_on(name)
        self.wait_ready()

    def _daemon(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self.root / log).open("ab") as sink:
            return subprocess.Popen(
                command,
                env=self.env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                preexec_fn=lambda: process.die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - the tests have no threads
            )


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """Kill a daemon; of a node the namespace's first process, with which all others die, so that unshare reaps it."""
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children")
    if daemon.args[0] == "unshare" and children.exists():  # type: ignore[index]  # always a list here
        for child in children.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(5)
    daemon.kill()
    daemon.wait()


def _version() -> tuple[int, int]:
    """Of this machine's Slurm, such as (22, 5)."""
    said = subprocess.run(["slurmctld", "-V"], capture_output=True, text=True, check=True).stdout
    year, month = said.split()[1].split(".")[:2]
    return int(year), int(month)
