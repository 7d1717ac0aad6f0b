"""Whose fault a failure is. One table of evidence; without evidence a failure is the benchmark's, shown and not retried. Pure."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from matrix.errors import Exit


class Kind(enum.Enum):
    """Classes of failures. Only `INFRA` is tried again."""

    INFRA = "infra"
    SERVER = "server"
    BENCHMARK = "benchmark"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of evidence."""

    pattern: str
    """Searched in each line of what Slurm, srun, the runtime and our own steps outside the container wrote."""
    kind: Kind
    cause: str
    """In words, for a person."""
    node: bool = False
    """Whether the node is unfit for the next job too."""


LINES = (
    # Slurm
    Row(r"DUE TO TIME LIMIT", Kind.TIMEOUT, "the job ran into its time limit"),
    Row(r"DUE TO NODE FAILURE", Kind.INFRA, "the node failed", node=True),
    Row(r"DUE TO PREEMPTION", Kind.INFRA, "a job of higher priority took the node"),
    Row(r"exceeded memory limit|Out Of Memory|oom[-_ ]kill", Kind.SERVER, "the job used more memory than it has"),
    Row(r"Prolog failure on node|Job prolog failed", Kind.INFRA, "the node's prolog failed", node=True),
    Row(r"unrecognized option '--container-", Kind.INFRA, "pyxis is not installed on the node", node=True),
    Row(r"execve\(\): .*: (No such file|Permission denied)", Kind.BENCHMARK, "the image lacks the program"),
    Row(r"Unable to create step for job|Job step creation .*(disabled|timed out)", Kind.INFRA, "Slurm made no step"),
    Row(r"Communication connection failure|Zero Bytes were transmitted", Kind.INFRA, "the node did not answer", node=True),
    Row(r"could not open stdout file|IO setup failed", Kind.INFRA, "the node could not write the job's output", node=True),
    # user namespaces
    Row(r"failed to create user namespace: No space left", Kind.INFRA, "user namespaces are used up", node=True),
    Row(r"failed to create user namespace|unshare failed: (Operation not permitted|No space)", Kind.INFRA, "user namespaces are forbidden", node=True),
    Row(r"can.t init user\+mount namespaces", Kind.INFRA, "user namespaces are forbidden", node=True),
    # images and registries
    Row(r"returned error code: (401|403)\b", Kind.BENCHMARK, "the registry wants credentials for the image"),
    Row(r"returned error code: 404\b|manifest unknown", Kind.BENCHMARK, "the registry has no such image"),
    Row(r"returned error code: (429|5\d\d)\b", Kind.INFRA, "the registry was busy or broken"),
    Row(r"curl: \((6|7|28|35|52|56)\)", Kind.INFRA, "the registry could not be reached", node=True),
    Row(r"Invalid image format|Read on filesystem failed|File system corruption|Failed to mount: .*sqsh", Kind.INFRA, "the imported image is damaged", node=True),
    Row(r"zstd: error|Read error \(39\)|premature end", Kind.INFRA, "a cached layer of the image is damaged", node=True),
    Row(r"enroot-switchroot: failed to execute", Kind.INFRA, "the container's files are incomplete", node=True),
    # disks and mounts
    Row(r"No space left on device|Disk quota exceeded", Kind.INFRA, "a disk of the node is full", node=True),
    Row(r"Read-only file system", Kind.INFRA, "a disk of the node is read-only", node=True),
    Row(r"Input/output error|Structure needs cleaning", Kind.INFRA, "a disk of the node fails", node=True),
    Row(r"Stale file handle|Transport endpoint is not connected", Kind.INFRA, "a file system of the node is gone", node=True),
    Row(r"source path does not exist|enroot-mount: failed to mount|can.t bind: source not found", Kind.INFRA, "a folder to mount is missing on the node", node=True),
    Row(r"can.t bind: destination not found", Kind.BENCHMARK, "the image has no folder for a mount: add it, or set container.workdir"),
    Row(r"mkdir: cannot create directory .(/run|/run/user|/raid|/tmp)\b.*Permission denied", Kind.INFRA, "the runtime's folder cannot be made (paths.runtime)", node=True),
    Row(r"fuse: failed to open /dev/fuse", Kind.INFRA, "/dev/fuse is closed to users", node=True),
    Row(r"Command not found: nvidia-container-cli", Kind.INFRA, "NVIDIA_VISIBLE_DEVICES is set on a node without NVIDIA's tools", node=True),
    # general, last
    Row(r"image .* could not be imported: .*: (No such file|Permission denied)|No such file or directory: .*sqsh", Kind.BENCHMARK, "the image is not there"),
    Row(r"spank_pyxis\.so: task_init\(\) failed|Failed to invoke spank plugin stack", Kind.INFRA, "pyxis could not start the container", node=True),
)  # fmt: skip
"""The first row that matches decides, so what is more specific stands first."""

STATES = {
    "NODE_FAIL": Row("", Kind.INFRA, "Slurm lost the node", node=True),
    "BOOT_FAIL": Row("", Kind.INFRA, "the node did not boot", node=True),
    "LAUNCH_FAILED": Row("", Kind.INFRA, "the node could not start the job", node=True),
    "RECONFIG_FAIL": Row("", Kind.INFRA, "the node could not be configured", node=True),
    "PREEMPTED": Row("", Kind.INFRA, "a job of higher priority took the node"),
    "REVOKED": Row("", Kind.INFRA, "another cluster of the federation took the job"),
    "TIMEOUT": Row("", Kind.TIMEOUT, "the job ran into its time limit"),
    "DEADLINE": Row("", Kind.TIMEOUT, "the job ran into its deadline"),
    "OUT_OF_MEMORY": Row("", Kind.SERVER, "the job used more memory than it has"),
}
"""Ends of a job that are evidence by themselves."""
HELD = {
    "launch_failed_requeued_held": Row(
        "", Kind.INFRA, "the node's prolog failed, and Slurm holds the job", node=True
    ),
    "JobHoldMaxRequeue": Row("", Kind.INFRA, "Slurm started the job too often, and holds it"),
    "DependencyNeverSatisfied": Row("", Kind.BENCHMARK, "the job waits for one that will never end well"),
    "BadConstraints": Row("", Kind.BENCHMARK, "no node of the cluster fits the job, quarantined ones aside"),
}
"""Reasons of a waiting job for which waiting is no use."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about an attempt that has ended."""

    state: str
    """Slurm's, empty if it has forgotten the job."""
    exit_code: str = ""
    reason: str = ""
    node: str = ""
    node_reason: str = ""
    """Why Slurm or an administrator closed the node, if it is closed."""
    begun: bool = False
    """The batch script told that it began."""
    ended: int | None = None
    """The exit code in the batch script's last word."""
    started: bool = False
    """The first thing inside the container wrote its sentinel, in every run that was started."""
    asked: bool = False
    """At least one container start was asked for."""
    preflight: tuple[str, ...] = ()
    """Causes of failed checks outside the container."""
    lines: tuple[str, ...] = ()
    """Of slurm.log, *.srun.log, image.log."""
    cancelled_by_us: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose fault it was, with the line that shows it."""

    kind: Kind | None
    """None: nothing failed that points do not tell themselves."""
    cause: str
    exit_code: Exit
    evidence: tuple[str, ...] = field(default=())
    node: bool = False


_SERVER = {Exit.SERVER_EXITED, Exit.SERVER_NOT_READY, Exit.SERVER_UNHEALTHY, Exit.SERVER_DIED}
_INFRA = {Exit.PREFLIGHT_FAILED, Exit.PORT_TAKEN, Exit.STORAGE_FULL}
_CODES = {int(code): code for code in Exit}


def classify(facts: Facts) -> Verdict:
    """What an attempt's end means."""
    if facts.cancelled_by_us:
        return Verdict(Kind.CANCELLED, "cancelled by this command", Exit.CANCELLED)
    if facts.preflight:
        return Verdict(Kind.INFRA, facts.preflight[0], Exit.PREFLIGHT_FAILED, facts.preflight, node=True)
    if (row := STATES.get(facts.state)) and facts.ended is None:
        return _by_row(row, f"Slurm says {facts.state} {facts.reason}".strip())
    if facts.started and facts.ended in _CODES:
        return _by_code(_CODES[facts.ended], facts)
    if facts.state == "PENDING" and (row := HELD.get(facts.reason)):
        return _by_row(row, f"Slurm says {facts.state} {facts.reason}")
    if found := _by_line(facts.lines):
        return found
    if facts.state == "CANCELLED":
        if not facts.begun and facts.node_reason and re.search(r"prolog", facts.node_reason, re.IGNORECASE):
            return _by_row(STATES["LAUNCH_FAILED"], f"Slurm says of {facts.node}: {facts.node_reason}")
        return Verdict(
            Kind.CANCELLED, "somebody cancelled the job", Exit.CANCELLED, ("Slurm says CANCELLED",)
        )
    if facts.asked and not facts.started and facts.ended not in {None, 0}:
        evidence = (
            f"the first thing inside the container never ran (no sentinel), and srun ended with {facts.ended}"
        )
        return Verdict(Kind.INFRA, "the container never started", Exit.INFRA_FAILED, (evidence,), node=True)
    if facts.ended in _CODES:
        return _by_code(_CODES[facts.ended], facts)
    said = f"Slurm says {facts.state or 'nothing any more'} {facts.exit_code} {facts.reason}".strip()
    return Verdict(
        Kind.BENCHMARK, "the job ended, and nothing tells why", Exit.JOB_FAILED, (said, *facts.lines[-3:])
    )


def _by_row(row: Row, evidence: str) -> Verdict:
    code = {
        Kind.INFRA: Exit.INFRA_FAILED,
        Kind.TIMEOUT: Exit.JOB_TIMEOUT,
        Kind.SERVER: Exit.SERVER_DIED,
        Kind.CANCELLED: Exit.CANCELLED,
    }.get(row.kind, Exit.JOB_FAILED)
    return Verdict(row.kind, row.cause, code, (evidence,), node=row.node)


def _by_line(lines: tuple[str, ...]) -> Verdict | None:
    for row in LINES:
        for line in lines:
            if re.search(row.pattern, line):
                return _by_row(row, line.strip()[:300])
    return None


def _by_code(code: Exit, facts: Facts) -> Verdict:
    """The node program's own word, which its records explain."""
    if code in _INFRA:
        found = _by_line(facts.lines)
        return Verdict(Kind.INFRA, code.meaning, code, found.evidence if found else (), node=True)
    if code in _SERVER:
        return Verdict(Kind.SERVER, code.meaning, code)
    if code is Exit.CANCELLED:
        if row := STATES.get(facts.state):
            return _by_row(row, f"Slurm says {facts.state} {facts.reason}".strip())
        if found := _by_line(facts.lines):
            return found
        return Verdict(Kind.CANCELLED, "somebody cancelled the job", code)
    if code is Exit.IMAGE_FAILED:
        return _by_line(facts.lines) or Verdict(Kind.BENCHMARK, code.meaning, code)
    if code in {Exit.OK, Exit.GATE_FAILED}:
        return Verdict(None, "", code)
    return Verdict(Kind.BENCHMARK, code.meaning, code)
