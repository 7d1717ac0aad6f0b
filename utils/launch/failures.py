"""Whose fault a failure is. One table of evidence; without evidence a failure is the benchmark's, shown and not retried. Pure."""

from __future__ import annotations

import enum
import json
import re
import signal as signals
from dataclasses import dataclass, field, replace

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
    ends: bool = False
    """Slurm itself ended the job for it, so that its word CANCELLED does not mean a person."""
    alone: bool = False
    """Evidence against this node whatever others show; else many nodes with one cause clear each other (quarantine)."""
    same_node: bool = False
    """The node may be asked again at once."""
    used_up: bool = False
    """A run can bring it about: what is used up is there again once its job has ended."""
    code: Exit | None = None
    """Its own exit code, where the kind's does not say enough."""


LINES = (
    Row(r"/events\.jsonl: No such file or directory", Kind.INFRA, "the job's folder was removed while it ran, as a cleaner of old files does: name a folder that none touches as paths.spool"),
    # Slurm
    Row(r"DUE TO TIME LIMIT", Kind.TIMEOUT, "the job ran into its time limit"),
    Row(r"DUE TO NODE FAILURE", Kind.INFRA, "the node failed", node=True, ends=True, alone=True),
    Row(r"DUE TO PREEMPTION", Kind.INFRA, "a job of higher priority took the node", ends=True, same_node=True),
    Row(r"exceeded memory limit|Out Of Memory|oom[-_ ]kill", Kind.SERVER, "the job used more memory than it has", code=Exit.OUT_OF_MEMORY),
    Row(r"Prolog failure on node|Job prolog failed", Kind.INFRA, "the node's prolog failed", node=True, ends=True),
    Row(r"unrecognized option '--container-", Kind.INFRA, "pyxis is not installed on the node", node=True),
    Row(r"execve\((2)?\): .*: (No such file|Permission denied)", Kind.BENCHMARK, "the image lacks the program"),
    Row(r"Node failure on \S", Kind.INFRA, "the node failed", node=True, alone=True),
    Row(r"Unable to create step for job .*already completing", Kind.TIMEOUT, "the job's time was up before its next run"),
    Row(r"Communication connection failure|Zero Bytes were transmitted", Kind.INFRA, "the node did not answer", node=True),
    Row(r"Socket timed out on send/recv|Unable to contact slurm controller", Kind.INFRA, "Slurm's controller did not answer"),
    Row(r"[Tt]ask ?[Pp]rolog failed|Unable to create TMPDIR", Kind.INFRA, "the node could not prepare the job's step", node=True),
    Row(r"[Cc]ould not open stdout file|IO setup failed", Kind.INFRA, "the node could not write the job's output", node=True),
    Row(r"^servematrix: the payload did not come", Kind.INFRA, "the job's files did not reach the node in time"),
    # user namespaces
    Row(r"(failed to create user namespace|unshare failed|can.t init user\+mount namespaces): No space left", Kind.INFRA, "user namespaces are used up", node=True, used_up=True),
    Row(r"enroot-\w+: failed to set capabilities", Kind.INFRA, "enroot's helpers may not set capabilities on the node", node=True),
    Row(r"failed to create user namespace", Kind.INFRA, "user namespaces are forbidden", node=True),
    Row(r"(unshare failed|can.t init user\+mount namespaces): Operation not permitted", Kind.INFRA, "user namespaces are forbidden", node=True),
    # images and registries
    Row(r"^servematrix: (No such file or directory|Permission denied): ", Kind.BENCHMARK, "the image's archive is not there"),
    Row(r"fuse: failed to open /dev/fuse|squashfuse: Permission denied|too many FUSE errors", Kind.INFRA, "the node cannot mount squashfs files (fuse)", node=True),
    Row(r"returned error(?: code)?: (401|403)\b", Kind.BENCHMARK, "the registry wants credentials for the image"),
    Row(r"returned error(?: code)?: 404\b|manifest unknown", Kind.BENCHMARK, "the registry has no such image"),
    Row(r"returned error(?: code)?: (408|425|429|5\d\d)\b|toomanyrequests", Kind.INFRA, "the registry was busy or broken"),
    Row(r"returned error(?: code)?: 4\d\d\b", Kind.BENCHMARK, "the registry refuses what it is asked for"),
    # curl(1), EXIT CODES: what it could not read, could not write, could not transfer; all others are the network's or the registry's
    Row(r"curl: \([1-4]\)|curl: \(4[138]\)", Kind.BENCHMARK, "the image's address is none that curl can ask"),
    Row(r"curl: \((18|33|36)\)|pigz: skipping: .* corrupted", Kind.INFRA, "the image did not arrive whole"),
    Row(r"curl: \(23\)", Kind.INFRA, "a disk of the node takes nothing more, or forbids it", node=True, used_up=True),
    Row(r"curl: \((27|58|59|77|82)\)", Kind.INFRA, "curl lacks memory or certificates on the node", node=True),
    Row(r"curl: \(\d+\)", Kind.INFRA, "the registry could not be reached"),
    Row(r"FATAL ERROR: ?(Failed to create thread|Out of memory)|mksquashfs: .*(thread|memory)", Kind.INFRA, "memory or threads of the node ran out while the image was packed", node=True, used_up=True),
    Row(r"zstd: error \d+ : Write error|tar: .*: Wrote only", Kind.INFRA, "a disk of the node is full", node=True, used_up=True),
    Row(r"zstd: error|zstd: .*unsupported format|Read error \(39\)|premature end|[Uu]nexpected (end of file|EOF)|checksum did NOT match|not in gzip format|invalid compressed data", Kind.INFRA, "a cached layer of the image is damaged", node=True),
    Row(r"Write (on output file )?failed because No space left", Kind.INFRA, "a disk of the node is full", node=True, used_up=True),
    Row(r"Invalid image format|Read on filesystem failed|File system corruption|read_block: failed|Failed to mount: .*sqsh|can.t open SquashFS", Kind.INFRA, "the imported image is damaged, or the node cannot read it", node=True),
    Row(r"No such file or directory: .*\.sqsh|can.t (stat|read): .*\.sqsh: No such file", Kind.INFRA, "the imported image is gone", node=True),
    Row(r"enroot-switchroot: failed to execute", Kind.INFRA, "the container's files are incomplete", node=True),
    # disks and mounts
    Row(r"can.t mkdir: .*: Read-only file system", Kind.BENCHMARK, "the image has no folder for a mount: add it, or set container.workdir"),
    Row(r"No space left on device", Kind.INFRA, "a disk of the node is full", node=True, used_up=True),
    Row(r"Disk quota exceeded", Kind.INFRA, "a quota on the node is used up", node=True, used_up=True),
    Row(r"Read-only file system", Kind.INFRA, "a disk of the node is read-only", node=True),
    Row(r"Input/output error|Structure needs cleaning", Kind.INFRA, "a disk of the node fails", node=True),
    Row(r"Stale file handle|Transport endpoint is not connected", Kind.INFRA, "a file system of the node is gone", node=True),
    Row(r"source path does not exist|enroot-mount: failed to mount|can.t bind: source not found|mount point does not exist", Kind.INFRA, "a folder to mount is missing on the node", node=True),
    Row(r"mkdir: cannot create directory .*Permission denied", Kind.INFRA, "a folder of the cluster file cannot be made on the node", node=True),
    Row(r"Command not found: nvidia-container-cli", Kind.INFRA, "NVIDIA_VISIBLE_DEVICES is set on a node without NVIDIA's tools", node=True),
    Row(r"\[ERROR\] Command not found: ", Kind.INFRA, "a program that enroot needs is missing on the node", node=True),
    Row(r"This account is currently not available", Kind.INFRA, "the user has no login shell on the node", node=True),
    # general, last
    Row(r"enroot-[\w-]+: .*(Operation not (permitted|supported)|Permission denied)|pyxis: .*(Operation not permitted|Permission denied)", Kind.INFRA, "the node forbids what enroot needs", node=True),
    Row(r"Task launch for \S+ failed on node|Application launch failed|Invalid job credential", Kind.INFRA, "srun could not start the program on the node", node=True),
    Row(r"spank_pyxis\.so: task_init\(\) failed|Failed to invoke spank plugin stack|pyxis: (container start failed|child \d+ failed|couldn't start|failed to)", Kind.INFRA, "pyxis could not start the container", node=True),
)  # fmt: skip
"""The first row that matches decides, so what is more specific comes first."""

STATES = {
    "NODE_FAIL": Row("", Kind.INFRA, "Slurm lost the node", node=True, alone=True),
    "BOOT_FAIL": Row("", Kind.INFRA, "the node did not boot", node=True, alone=True),
    "LAUNCH_FAILED": Row("", Kind.INFRA, "the node could not start the job", node=True),
    "RECONFIG_FAIL": Row("", Kind.INFRA, "the node could not be configured", node=True),
    "PREEMPTED": Row("", Kind.INFRA, "a job of higher priority took the node", same_node=True),
    "REVOKED": Row("", Kind.INFRA, "another cluster of the federation took the job"),
    "TIMEOUT": Row("", Kind.TIMEOUT, "the job ran into its time limit"),
    "DEADLINE": Row("", Kind.TIMEOUT, "the job ran into its deadline"),
    "OUT_OF_MEMORY": Row("", Kind.SERVER, "the job used more memory than it has", code=Exit.OUT_OF_MEMORY),
}
"""Ends of a job that are evidence by themselves."""
HELD = {
    "launch_failed_requeued_held": Row(
        "", Kind.INFRA, "the node's prolog failed, and Slurm holds the job", node=True
    ),
    "JobHoldMaxRequeue": Row("", Kind.INFRA, "Slurm started the job too often, and holds it"),
    "DependencyNeverSatisfied": Row("", Kind.BENCHMARK, "the job waits for one that will never end well"),
    "PartitionTimeLimit": Row(
        "", Kind.BENCHMARK, "the partition takes no job that long: lower limits.walltime_s"
    ),
    "PartitionNodeLimit": Row("", Kind.BENCHMARK, "the partition is too small for the job"),
    "QOSMaxWallDurationPerJobLimit": Row(
        "", Kind.BENCHMARK, "the QOS takes no job that long: lower limits.walltime_s"
    ),
    "AssocMaxWallDurationPerJobLimit": Row(
        "", Kind.BENCHMARK, "the account takes no job that long: lower limits.walltime_s"
    ),
    "InvalidAccount": Row("", Kind.BENCHMARK, "Slurm does not know the account (slurm.options)"),
    "InvalidQOS": Row("", Kind.BENCHMARK, "Slurm does not know the QOS (slurm.options)"),
    "BadConstraints": Row("", Kind.BENCHMARK, "no node of the cluster fits the job, quarantined ones aside"),
    "AccountNotAllowed": Row("", Kind.BENCHMARK, "the partition does not take the account (slurm.options)"),
    "QOSNotAllowed": Row("", Kind.BENCHMARK, "the partition does not take the QOS (slurm.options)"),
    "ReservationDeleted": Row("", Kind.BENCHMARK, "the reservation is gone (slurm.options)"),
    "MaxMemPerLimit": Row("", Kind.BENCHMARK, "the job asks for more memory than one may have"),
}
"""Reasons of a waiting job for which waiting is no use."""
_OF_EACH_JOB = re.compile(r"(Assoc|QOS)Max\w+Per(Job|Node)(Limit)?|QOSMin\w+")
"""The same for what an account or a QOS allows a single job; limits of a user or a group pass when other jobs end."""


def held(reason: str) -> Row | None:
    """The row of a waiting job's reason, where waiting is no use."""
    if (row := HELD.get(reason)) or not _OF_EACH_JOB.fullmatch(reason):
        return row
    return Row("", Kind.BENCHMARK, "the account or its QOS allows no job of this size: see slurm.options")


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
    runs_ended: bool = True
    """Every run that was started also said its last word; srun's exit code is 0 after a node failure too."""
    started: bool = False
    """The first thing inside the container wrote its sentinel, in every run that was started."""
    some_started: bool = False
    """It did so in at least one of them."""
    asked: bool = False
    """At least one container start was asked for."""
    preflight: tuple[str, ...] = ()
    """Causes of failed checks outside the container."""
    node_at_fault: bool = True
    """At least one of them was of the node, not of what nodes share."""
    shared: bool = False
    """Results are written where all nodes write."""
    inside: tuple[str, ...] = ()
    """The last lines that the last run wrote inside its container: shown, never classified by, for they are the guest's."""
    lines: tuple[str, ...] = ()
    """Of slurm.log, *.srun.log, image.log."""
    slurm_lines: tuple[str, ...] = ()
    """Those that Slurm alone can have written; a guest's first words may stand among the others."""
    foreign: bool = False
    """Code of a checkout that nobody merged ran, or was to run, inside of the container."""
    image_known: bool = True
    """The default branch runs every image of the job too."""
    guest_lines: tuple[str, ...] = ()
    """Those of `lines` that the first program of an image can have written: *.srun.log, and image.log of an image that is not known."""
    all_here: bool = True
    """Everything that the job left has arrived."""
    cancelled_by_us: bool = False
    gave_up: str = ""
    """Why the launcher waited no longer and ended the job, in a sentence."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose fault it was, with the line that shows it."""

    kind: Kind | None
    """None: nothing failed that points do not tell themselves."""
    cause: str
    exit_code: Exit
    evidence: tuple[str, ...] = field(default=())
    node: bool = False
    alone: bool = False
    same_node: bool = False
    used_up: bool = False
    final: bool = False
    """Another try would only wait as long again."""
    once_more: bool = False
    """Nothing explains it: one more try on another node shows whether it was this one."""


def as_json(verdict: Verdict, job: str, slurm: int | None, node: str) -> bytes:
    """failure.json of a job: what ended it, as `collect` and reports read it."""
    content = {
        "kind": verdict.kind.value if verdict.kind else None,
        "cause": verdict.cause,
        "evidence": list(verdict.evidence),
        "exit": int(verdict.exit_code),
        "job": job,
        "slurm": slurm,
        "node": node,
    }
    return json.dumps(content, indent=1).encode()


_SERVER = {
    *(Exit.SERVER_EXITED, Exit.SERVER_NOT_READY, Exit.SERVER_UNHEALTHY, Exit.SERVER_DIED),
    Exit.OUT_OF_MEMORY,
}
NEVER_STARTED = "the container never started"
LAST = 8
"""Lines that are kept of an import that nothing explains."""
_INFRA = {Exit.PREFLIGHT_FAILED, Exit.PORT_TAKEN, Exit.STORAGE_FULL, Exit.INFRA_FAILED}
_CODES = {int(code): code for code in Exit}


def classify(facts: Facts) -> Verdict:
    """What an attempt's end means."""
    found = _classify(facts)
    if (
        found.alone
        and facts.state not in STATES
        and not set(found.evidence) & {line.strip()[:300] for line in facts.slurm_lines}
    ):
        found = replace(found, alone=False)
    return found if _may_blame(found, facts) else replace(found, node=False, alone=False)


def _may_blame(found: Verdict, facts: Facts) -> bool:
    """Whether the evidence is the machine's own word.

    What a container wrote, its exit code and its silence are the guest's, unless the default branch runs that image too and
    nothing of the checkout had run yet. Silence is so in any case: a run can take away the file that says that it began.
    So is a full disk, whoever says so, once a run was asked for: a run can fill it, and it is free again when the job has ended.
    A node that is not blamed is tried no more by this job, and stays everybody else's.
    """
    if not facts.foreign:
        return True
    ran, full = facts.started or facts.some_started, found.used_up or found.exit_code is Exit.STORAGE_FULL
    guests = {line.strip()[:300] for line in facts.guest_lines}
    ours = bool(found.evidence) and guests.isdisjoint(found.evidence)
    if found.cause == NEVER_STARTED or (full and (ran or (facts.asked and ours))):
        return False
    return ours or (facts.image_known and not ran)


def _classify(facts: Facts) -> Verdict:
    ended = _CODES.get(facts.ended) if facts.ended is not None else None
    well = ended in {Exit.OK, Exit.GATE_FAILED} and facts.runs_ended
    if not well and (ours := _by_us(facts)):
        return ours
    if facts.preflight:
        return Verdict(
            Kind.INFRA, facts.preflight[0], Exit.PREFLIGHT_FAILED, facts.preflight, node=facts.node_at_fault
        )
    if not well and (row := STATES.get(facts.state)):
        return _by_row(row, f"Slurm says {facts.state} {facts.reason}".strip())
    if ended is not None and facts.started and facts.runs_ended:
        return _by_code(ended, facts)
    if ended is Exit.IMAGE_FAILED:
        found = _by_line(facts.lines) or _unexplained(ended, facts)
        return found if found.kind is Kind.INFRA else replace(found, exit_code=ended)
    return _by_signs(facts) or _without_signs(facts, ended)


def _unexplained(code: Exit, facts: Facts) -> Verdict:
    """An import that failed and does not say why, with its last lines: nobody's fault until it fails on another node, too."""
    last = [line.strip()[:300] for line in facts.lines if line.strip()][-LAST:]
    return Verdict(Kind.BENCHMARK, code.meaning, code, tuple(last), once_more=True)


def _by_us(facts: Facts) -> Verdict | None:
    """Jobs that the launcher itself ended."""
    if facts.cancelled_by_us:
        return Verdict(Kind.CANCELLED, "cancelled by this command", Exit.CANCELLED)
    if facts.gave_up:
        said = f"Slurm says {facts.state or 'no state'} {facts.reason}".strip()
        return Verdict(Kind.INFRA, facts.gave_up, Exit.INFRA_FAILED, (said,), final=True)
    return None


def _by_signs(facts: Facts) -> Verdict | None:
    """By what Slurm, srun or a runtime wrote, where the node program did not say how it ended."""
    if facts.state == "PENDING" and (row := held(facts.reason)):
        return _by_row(row, f"Slurm says {facts.state} {facts.reason}")
    if facts.state == "CANCELLED" and not facts.begun and re.search(r"(?i)prolog", facts.node_reason):
        return _by_row(STATES["LAUNCH_FAILED"], f"Slurm says of {facts.node}: {facts.node_reason}")
    if facts.state == "FAILED" and not facts.begun and _never_launched(facts):
        return _by_row(STATES["LAUNCH_FAILED"], f"Slurm says FAILED {facts.exit_code} {facts.reason}")
    if facts.state == "CANCELLED":
        found = _by_line(facts.lines, tuple(row for row in LINES if row.ends))
        said = Verdict(
            Kind.CANCELLED, "somebody cancelled the job", Exit.CANCELLED, ("Slurm says CANCELLED",)
        )
        return found or said
    return _by_line(facts.lines)


def _never_launched(facts: Facts) -> bool:
    """Whether slurmd could not start the batch script: by its reason, or by the signal that newer versions report instead.

    Since 23.02 a node that cannot make the job's output file ends it by signal 53, with the reason RaisedSignal:53.
    """
    signal = facts.exit_code.partition(":")[2]
    return facts.reason == "JobLaunchFailure" or facts.reason.startswith("RaisedSignal:53") or signal == "53"


def _without_signs(facts: Facts, ended: Exit | None) -> Verdict:
    """The sentinel alone tells whether the container came up; without any evidence it is the benchmark's."""
    if facts.asked and not facts.started and facts.ended and facts.all_here:
        evidence = (
            f"the first thing inside the container never ran (no sentinel), and srun ended with {facts.ended}"
        )
        return Verdict(Kind.INFRA, NEVER_STARTED, Exit.INFRA_FAILED, (evidence,), node=True)
    if ended is not None and facts.runs_ended:
        return _by_code(ended, facts)
    signal = _signal(facts.ended or 0)
    if signal:
        told = (*facts.lines[-3:], *facts.inside)
        return Verdict(Kind.BENCHMARK, f"a run was ended by {signal}", Exit.NODE_KILLED, told)
    said = f"Slurm says {facts.state or 'nothing any more'} {facts.exit_code} {facts.reason}".strip()
    told = (said, *facts.lines[-3:], *facts.inside)
    return Verdict(
        Kind.BENCHMARK, "the job ended, for no known reason; see the job's log", Exit.JOB_FAILED, told
    )


def _signal(code: int) -> str:
    """The signal behind srun's 128 + n."""
    names = {one.value: one.name for one in signals.Signals}
    return names.get(code - 128, "") if code > 128 and code != Exit.CANCELLED else ""  # noqa: PLR2004 - a shell's offset


def _by_row(row: Row, evidence: str) -> Verdict:
    code = row.code or {
        Kind.INFRA: Exit.INFRA_FAILED,
        Kind.TIMEOUT: Exit.JOB_TIMEOUT,
        Kind.SERVER: Exit.SERVER_DIED,
        Kind.CANCELLED: Exit.CANCELLED,
    }.get(row.kind, Exit.JOB_FAILED)
    return Verdict(
        row.kind,
        row.cause,
        code,
        (evidence,),
        node=row.node,
        alone=row.alone,
        same_node=row.same_node,
        used_up=row.used_up,
    )


def _by_line(lines: tuple[str, ...], rows: tuple[Row, ...] = LINES) -> Verdict | None:
    for row in rows:
        for line in lines:
            if re.search(row.pattern, line):
                return _by_row(row, line.strip()[:300])
    return None


def _infra_by_code(code: Exit, facts: Facts) -> Verdict:
    """A line may tell more; a full disk that all nodes write to, and a job that did not get its files, are no node's fault."""
    found = _by_line(facts.lines)
    if code is Exit.INFRA_FAILED:
        return found or Verdict(Kind.INFRA, "the job's files did not reach the node whole", code)
    of_node = not (code is Exit.STORAGE_FULL and facts.shared)
    return Verdict(Kind.INFRA, code.meaning, code, found.evidence if found else (), node=of_node)


def _by_code(code: Exit, facts: Facts) -> Verdict:
    """The node program's own word, which its records explain."""
    if code in _INFRA and not (code is Exit.PREFLIGHT_FAILED and facts.started):
        return _infra_by_code(code, facts)
    if code in _SERVER:
        return Verdict(Kind.SERVER, code.meaning, code)
    if code is Exit.CANCELLED:
        rows = tuple(row for row in LINES if row.ends or row.kind is Kind.TIMEOUT)
        return _by_line(facts.lines, rows) or Verdict(Kind.CANCELLED, "somebody cancelled the job", code)
    if code in {Exit.OK, Exit.GATE_FAILED}:
        return Verdict(None, "", code)
    return Verdict(Kind.BENCHMARK, code.meaning, code)
