"""What shows whose fault a failure is: words of Slurm, srun, container runtimes and our own steps, ends of a job, and reasons why it waits."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

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
    Row(r"Node failure on \S", Kind.INFRA, "the node failed", node=True, alone=True, ends=True),
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
    Row(r"curl: \([1-4]\)|curl: \(4[138]\)", Kind.BENCHMARK, "curl cannot use the image's address"),
    Row(r"curl: \((18|33|36)\)|pigz: skipping: .* corrupted", Kind.INFRA, "the image did not arrive whole"),
    Row(r"curl: \(23\)", Kind.INFRA, "a disk of the node is full, or may not be written", node=True, used_up=True),
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
    Row(r"can.t mkdir: .*: Read-only file system|can.t bind: destination not found", Kind.BENCHMARK, "the image has no folder for a mount: add it, or set container.workdir"),
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


def prolog_failed(node_reason: str) -> bool:
    """Whether a node was closed because its prolog failed: Slurm's reason, or a site's own words."""
    return re.search(r"(?i)prolog", node_reason) is not None


def never_launched(reason: str, exit_code: str) -> bool:
    """Whether slurmd could not start the batch script: by its reason, or by the signal that newer versions report instead.

    Since 23.02 a node that cannot make the job's output file ends it by signal 53, with the reason RaisedSignal:53.
    """
    signal = exit_code.partition(":")[2]
    return re.match(r"JobLaunchFailure$|RaisedSignal:53", reason) is not None or signal == "53"
