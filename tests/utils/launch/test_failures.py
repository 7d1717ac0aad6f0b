"""The table of evidence, on what real failures wrote (tests/data, captured with the tools that its head names)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from matrix.errors import Exit
from tests.conftest import ROOT
from utils.launch.failures import Facts, classify
from utils.launch.signs_of_failures import HELD, LINES, STATES, Kind, held

CAPTURED = ROOT / "tests/data/slurm-22.05-enroot-4.1-pyxis-0.24.yaml"
CASES: dict[str, dict[str, Any]] = {
    case["case"]: case for case in yaml.safe_load(CAPTURED.read_text())["captured"]
}

CHARLIECLOUD: dict[str, dict[str, Any]] = {
    case["case"]: case
    for case in yaml.safe_load((ROOT / "tests/data/charliecloud-0.31.yaml").read_text())["captured"]
}

NODE = (Kind.INFRA, True)
PASSING = (Kind.INFRA, False)
NOT_STARTED = {
    NODE: "image-missing image-empty not-a-squashfs image-truncated image-truncated-header image-flipped-metadata "
    "image-not-readable mount-source-missing mount-file-on-directory mount-source-not-permitted workdir-missing "
    "nvidia-variable-on-amd pyxis-bad-option data-path-full runtime-dir-unset runtime-dir-missing home-not-writable "
    "login-shell-nologin node-without-unsquashfs rootfs-left-by-power-loss enroot-missing userns-exhausted "
    "userns-forbidden pyxis-missing fuse-closed squashfuse-missing image-missing-on-one-of-two-nodes prolog-fails-srun "
    "node-set-down-srun-container node-set-down-no-requeue prolog-fails-second-node",
    PASSING: "preempted",
    (Kind.BENCHMARK, False): "container-command-missing container-command-not-executable command-missing "
    "not-executable bad-interpreter",
    (Kind.CANCELLED, False): "scancel-during-container-setup",
}
STARTED = {
    NODE: "node-power-loss node-power-loss-second-node slurmd-dies-step-lives node-set-down-second-node",
    (Kind.BENCHMARK, False): "container-good exit-3 killed-9 killed-11 container-killed-9 image-flipped-bits "
    "container-read-only-rootfs scancel-step batch-exit-3",
    (Kind.SERVER, False): "memory-limit memory-limit-container memory-limit-batch",
    (Kind.TIMEOUT, False): "time-limit time-limit-graceful-program time-limit-container",
    (
        Kind.CANCELLED,
        False,
    ): "scancel scancel-graceful-program scancel-program-ignores-term scancel-full scancel-container",
}
IMPORT = {
    NODE: "import-output-full import-temp-full import-cache-full cached-layer-truncated",
    PASSING: "registry-refused dns registry-plain-http registry-self-signed registry-transfer-timeout "
    "registry-connect-timeout registry-stalled-layer registry-network-unreachable registry-429 registry-500 registry-502 registry-503 registry-504 registry-layer-503 "
    "registry-layer-cut-off registry-layer-corrupt",
    (Kind.BENCHMARK, False): "registry-401 registry-403 registry-404 registry-token-401 registry-tag-unknown "
    "registry-digest-unknown registry-layer-404 registry-html-answer registry-empty-manifest import-bad-reference",
}


def table(groups: dict[tuple[Kind, bool], str]) -> list[Any]:
    return [
        pytest.param(name, *wanted, id=name) for wanted, names in groups.items() for name in names.split()
    ]


def facts(name: str, **more: Any) -> Facts:
    """What the launcher knows of a captured case."""
    case = CASES[name]
    slurm = case.get("slurm") or {}
    lines = (case.get("stderr") or "").splitlines() + (case.get("batch_output") or "").splitlines()
    known = {
        "state": slurm.get("state", ""),
        "reason": slurm.get("reason", ""),
        "exit_code": slurm.get("exit_code", ""),
        "begun": True,
        "asked": True,
        "ended": case["rc"],
        "runs_ended": False,
        "lines": tuple(lines),
    }
    return Facts(**(known | more))


@pytest.mark.parametrize(("name", "kind", "node"), table(NOT_STARTED))
def test_a_container_that_never_started(name: str, kind: Kind, node: bool) -> None:  # noqa: FBT001 - a table's column
    """No sentinel, and what Slurm, pyxis and enroot wrote."""
    found = classify(facts(name, started=False))
    assert (found.kind, found.node) == (kind, node), found
    assert found.evidence


@pytest.mark.parametrize(("name", "kind", "node"), table(STARTED))
def test_a_container_that_started(name: str, kind: Kind, node: bool) -> None:  # noqa: FBT001 - a table's column
    """The sentinel is there, so that an exit code alone is nobody's infrastructure."""
    inside = {
        "container-read-only-rootfs": ()
    }  # what a program says inside goes elsewhere than srun's stderr
    lines = inside.get(name, facts(name).lines)
    found = classify(facts(name, started=True, lines=lines))
    assert (found.kind, found.node) == (kind, node), found


@pytest.mark.parametrize(("name", "kind", "node"), table(IMPORT))
def test_an_import_that_failed(name: str, kind: Kind, node: bool) -> None:  # noqa: FBT001 - a table's column
    """The registry's word decides whether trying again is of use."""
    found = classify(facts(name, asked=False, ended=int(Exit.IMAGE_FAILED), runs_ended=True))
    assert (found.kind, found.node) == (kind, node), found


def test_charliecloud() -> None:
    """What ch-run says when it cannot start a container."""
    benchmark = {"bind-target-missing", "command-missing", "not-executable"}
    for name, case in CHARLIECLOUD.items():
        lines = tuple(case["stderr"].splitlines())
        found = classify(
            Facts(state="FAILED", begun=True, asked=True, ended=case["rc"], runs_ended=False, lines=lines)
        )
        assert (found.kind, found.node) == ((Kind.BENCHMARK, False) if name in benchmark else NODE), name
        assert found.cause != "the container never started", name


def test_a_prolog_that_fails_is_told_from_a_scancel_by_the_nodes_reason() -> None:
    """Both say CANCELLED 0:0 with --no-requeue."""
    silent = facts("prolog-fails-no-requeue", begun=False, asked=False, lines=())
    assert classify(silent).kind is Kind.CANCELLED
    drained = facts(
        "prolog-fails-no-requeue", begun=False, asked=False, lines=(), node="mi0", node_reason="Prolog error"
    )
    found = classify(drained)
    assert (found.kind, found.node, found.evidence) == (
        Kind.INFRA,
        True,
        ("Slurm says of mi0: Prolog error",),
    )
    held = facts("prolog-fails-requeue", begun=False, asked=False, lines=())
    assert classify(held).kind is Kind.INFRA


def test_a_batch_script_that_could_not_be_started_is_the_nodes_fault() -> None:
    """Slurm says FAILED 0:53 JobLaunchFailure, and nothing else; the same reason after a beginning is not."""
    never = facts("batch-output-folder-missing", begun=False, asked=False, ended=None)
    assert (classify(never).kind, classify(never).node) == NODE
    newer = replace(never, reason="RaisedSignal:53(Real-time_signal_19)", exit_code="0:53")
    assert (classify(newer).kind, classify(newer).node) == NODE
    begun = facts("batch-output-folder-missing", begun=True, asked=False, ended=None)
    assert classify(begun).kind is Kind.BENCHMARK


def test_an_import_that_a_node_forbids_is_the_nodes_fault() -> None:
    """Enroot's helper may not set capabilities there; other nodes import the same image well."""
    lines = (
        "[INFO] Converting whiteouts...",
        "enroot-aufs2ovlfs: failed to set capabilities: Operation not permitted",
    )
    end = Facts(
        state="FAILED",
        exit_code="24:0",
        reason="NonZeroExitCode",
        node="n1",
        begun=True,
        ended=24,
        lines=lines,
    )
    assert (classify(end).kind, classify(end).node) == NODE


def test_srun_says_0_after_a_node_failure() -> None:
    """So a run counts as ended only by its own last word."""
    zero = facts("node-set-down-srun-container", started=True, ended=0, runs_ended=False, state="COMPLETED")
    assert classify(zero).kind is Kind.INFRA
    silent = Facts(state="COMPLETED", begun=True, asked=True, started=True, ended=0, runs_ended=False)
    assert (classify(silent).kind, classify(silent).exit_code) == (Kind.BENCHMARK, Exit.JOB_FAILED)
    well = Facts(state="COMPLETED", begun=True, asked=True, started=True, ended=0, runs_ended=True)
    assert (classify(well).kind, classify(well).exit_code) == (None, Exit.OK)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Exit.GATE_FAILED, None),
        (Exit.SERVER_EXITED, Kind.SERVER),
        (Exit.SERVER_NOT_READY, Kind.SERVER),
        (Exit.SERVER_DIED, Kind.SERVER),
        (Exit.CLIENT_FAILED, Kind.BENCHMARK),
        (Exit.MODEL_MISSING, Kind.BENCHMARK),
        (
            Exit.PREFLIGHT_FAILED,
            Kind.BENCHMARK,
        ),  # inside: the image lacks vLLM, or the cluster file asks too many cores
        (Exit.PORT_TAKEN, Kind.INFRA),
        (Exit.STORAGE_FULL, Kind.INFRA),
        (Exit.BUG, Kind.BENCHMARK),
    ],
)
def test_the_node_programs_own_word(code: Exit, kind: Kind | None) -> None:
    """It knows best, once it has started."""
    found = classify(Facts(state="FAILED", begun=True, asked=True, started=True, ended=int(code)))
    assert (found.kind, found.exit_code) == (kind, code)


def test_a_guests_words_do_not_hold_against_a_node_alone() -> None:
    """What stands in srun's log may be the image's own shell; in Slurm's own log, or with its state, it is evidence."""
    line = "error: *** JOB 7 ON mi0 CANCELLED DUE TO NODE FAILURE ***"
    known = Facts(state="FAILED", begun=True, asked=True, ended=1, runs_ended=False, lines=(line,))
    assert (classify(known).kind, classify(known).alone) == (Kind.INFRA, False)
    assert classify(replace(known, slurm_lines=(line,))).alone
    assert classify(Facts(state="NODE_FAIL")).alone


def test_a_scancel_is_no_infra_for_a_hiccup_before_it() -> None:
    """A registry that answered the second time left its line in a log."""
    known = Facts(
        state="CANCELLED", begun=True, asked=True, started=True, ended=130, lines=("curl: (28) Timeout",)
    )
    assert classify(known).kind is Kind.CANCELLED


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "RUNNING", ""])
def test_a_scancel_while_a_container_starts_is_no_fault_of_the_node(state: str) -> None:
    """Slurm can say so late, or not at all; the script knows of the signal."""
    line = "error: pyxis: couldn't start container"
    known = Facts(state=state, begun=True, asked=True, ended=130, node="mi0", lines=(line,), all_here=True)
    for facts in (known, replace(known, lines=())):
        found = classify(facts)
        assert (found.kind, found.node, found.exit_code) == (Kind.CANCELLED, False, Exit.CANCELLED)
    late = "slurmstepd: error: *** JOB 7 ON mi0 CANCELLED AT 2026-11-28T05:00:00 DUE TO TIME LIMIT ***"
    assert (classify(replace(known, lines=(late,))).kind is Kind.TIMEOUT) == (state != "CANCELLED")
    assert classify(replace(known, state="NODE_FAIL")).kind is Kind.INFRA
    lost = "srun: error: Node failure on mi0"  # a node that is shut down ends all that runs there before Slurm misses it
    assert classify(replace(known, lines=(lost,))).kind is Kind.INFRA


@pytest.mark.parametrize(
    "facts",
    [
        Facts("CANCELLED", begun=True, preflight=("the port is taken",), ended=20),
        Facts("CANCELLED", begun=True, ended=24, lines=("some line of an import",)),
        Facts("CANCELLED", begun=True, ended=26),
        Facts("CANCELLED", begun=True, asked=True, started=True, some_started=True, ended=23),
    ],
)
def test_what_a_script_says_while_it_is_cancelled_is_no_infra(facts: Facts) -> None:
    """It would be tried again, although somebody ended it; a cp that was ended would be a full disk."""
    found = classify(facts)
    assert (found.kind, found.node, found.once_more) == (Kind.CANCELLED, False, False)
    assert classify(replace(facts, state="FAILED")).kind is not Kind.CANCELLED


def test_what_is_known_of_a_cancellation_is_said() -> None:
    """The signal that came to the launcher, or whom Slurm's accounting names; where nothing is known, no more than before."""
    ended = Facts("", begun=True, asked=True, started=True, ended=130)
    assert classify(ended).cause == "somebody cancelled the job"
    assert classify(replace(ended, signal="SIGHUP")).cause == "somebody cancelled the job, by SIGHUP"
    for code in (130, None):
        found = classify(replace(ended, state="CANCELLED", ended=code, by="1000"))
        assert found.cause == "somebody cancelled the job, as the user with the id 1000"
    assert found.evidence == ("Slurm says CANCELLED by 1000",)


def test_a_sentinel_that_did_not_arrive_is_no_proof() -> None:
    """Only where everything is here does its absence tell."""
    known = Facts(state="FAILED", begun=True, asked=True, ended=30, all_here=False)
    assert classify(known).kind is Kind.SERVER
    assert classify(replace(known, all_here=True)).cause == "the container never started"


def test_without_evidence_it_is_the_benchmarks() -> None:
    """And Slurm's last word is shown."""
    found = classify(Facts(state="FAILED", exit_code="7:0", reason="NonZeroExitCode", begun=True))
    assert found.kind is Kind.BENCHMARK
    assert found.evidence[0] == "Slurm says FAILED 7:0 NonZeroExitCode"


def test_a_failed_check_outside_the_container_is_its_own_evidence() -> None:
    """One line, as the check said it."""
    found = classify(Facts(state="FAILED", begun=True, ended=20, preflight=("7 GPUs where 8 are wanted",)))
    assert (found.kind, found.node, found.cause) == (Kind.INFRA, True, "7 GPUs where 8 are wanted")


def test_every_row_has_a_line_that_was_captured() -> None:
    """Rows without one are named here with their reason, so that none is invented unseen."""
    texts = [
        line
        for case in [*CASES.values(), *CHARLIECLOUD.values()]
        for line in f"{case.get('stderr') or ''}\n{case.get('batch_output') or ''}".splitlines()
    ]
    unseen = {row.pattern for row in LINES if not any(re.search(row.pattern, text) for text in texts)}
    assert (
        unseen
        == {
            r"(unshare failed|can.t init user\+mount namespaces): Operation not permitted",  # unshare(2): EPERM
            r"^servematrix: (No such file or directory|Permission denied): ",  # our own words: test_image.py
            r"/events\.jsonl: No such file or directory",  # test_orders.py, on a real Slurm
            r"^servematrix: the payload did not come",  # our own words: test_faults.py
            r"Unable to create step for job .*already completing",  # test_faults.py, at a time limit
            r"Communication connection failure|Zero Bytes were transmitted",  # slurm_strerror(3): a node's network
            r"[Cc]ould not open stdout file|IO setup failed",  # slurmstepd's own texts; here the job was refused before
            r"[Tt]ask ?[Pp]rolog failed|Unable to create TMPDIR",  # slurmstepd's own texts
            r"curl: \([1-4]\)|curl: \(4[138]\)",  # curl(1), EXIT CODES, as is the one below
            r"curl: \((27|58|59|77|82)\)",
            r"FATAL ERROR: ?(Failed to create thread|Out of memory)|mksquashfs: .*(thread|memory)",  # mksquashfs' sources
            r"enroot-\w+: failed to set capabilities",  # NVIDIA/enroot issue 44, InferenceX pull request 1467
            r"Disk quota exceeded",  # errno(3), as are the three below
            r"Input/output error|Structure needs cleaning",
            r"Stale file handle|Transport endpoint is not connected",
        }
    )
    states = {(case.get("slurm") or {}).get("state") for case in CASES.values()}
    assert set(STATES) - states == {
        "BOOT_FAIL",
        "LAUNCH_FAILED",
        "RECONFIG_FAIL",
        "REVOKED",
        "DEADLINE",
        "OUT_OF_MEMORY",
    }
    reasons = {(case.get("slurm") or {}).get("reason") for case in CASES.values()}
    seen = {"launch_failed_requeued_held", "DependencyNeverSatisfied", "PartitionNodeLimit"}
    assert set(HELD) & reasons == seen  # the others are from squeue(1), JOB REASON CODES


@pytest.mark.parametrize(
    "reason",
    ["QOSMaxGRESPerJob", "QOSMaxCpuPerJobLimit", "QOSMaxNodePerJobLimit", "AssocMaxGRESPerJob", "AssocMaxMemPerNode", "QOSMinGRES",
     "QOSMinCpuNotSatisfied", "AccountNotAllowed", "QOSNotAllowed", "ReservationDeleted", "MaxMemPerLimit"],
)  # fmt: skip
def test_a_limit_of_each_job_is_not_waited_for(reason: str) -> None:
    """It stays as it is for a week; limits of a user or a group pass when other jobs end."""
    assert held(reason)
    found = classify(Facts("PENDING", reason=reason))
    assert (found.kind, found.evidence) == (Kind.BENCHMARK, (f"Slurm says PENDING {reason}",))
    for passing in (
        "QOSMaxGRESPerUser",
        "AssocGrpGRES",
        "QOSMaxJobsPerUserLimit",
        "AssocMaxJobsLimit",
        "Resources",
        "Priority",
        "",
    ):
        assert held(passing) is None


GUEST = "sh: write error: No space left on device"
HOSTILE: dict[str, Any] = {"asked": True, "started": False, "foreign": True, "image_known": False}


@pytest.mark.parametrize(
    ("facts", "blamed"),
    [
        (Facts("FAILED", ended=1, lines=(GUEST,), guest_lines=(GUEST,), **HOSTILE), False),
        (Facts("FAILED", ended=1, lines=(GUEST,), guest_lines=(GUEST,), **HOSTILE | {"image_known": True}), True),
        (Facts("FAILED", ended=1, lines=(GUEST,), guest_lines=(GUEST,), asked=True), True),
        (Facts("FAILED", ended=1, **HOSTILE), False),
        (Facts("FAILED", ended=1, **HOSTILE | {"image_known": True}), False),
        (Facts("FAILED", ended=23, asked=True, started=True, foreign=True), False),
        (Facts("FAILED", ended=22, asked=True, started=True, foreign=True), False),
        (Facts("FAILED", ended=1, lines=("servematrix: x", "srun: error: Zero Bytes were transmitted or received"), guest_lines=("srun: error: Zero Bytes were transmitted or received",), runs_ended=False, asked=True, started=True, foreign=True), False),
        (Facts("FAILED", ended=20, preflight=("no space on /raid",), **HOSTILE), True),
        (Facts("NODE_FAIL", lines=(GUEST,), guest_lines=(GUEST,), **HOSTILE), True),
        (Facts("FAILED", lines=("slurmstepd: error: *** JOB 1 ON n CANCELLED DUE TO NODE FAILURE ***",), slurm_lines=("slurmstepd: error: *** JOB 1 ON n CANCELLED DUE TO NODE FAILURE ***",), **HOSTILE), True),
    ],
    ids=[
        "an image's own sh", "the default branch's image", "a person's own run", "silence", "silence of a known image", "exit code of a full disk",
        "exit code of a port", "a killed srun", "the preflight outside", "Slurm's state", "Slurm's log",
    ],
)  # fmt: skip
def test_a_guest_blames_no_node(facts: Facts, blamed: bool) -> None:  # noqa: FBT001 - a table's column
    """What an image of a pull request says, how it ends and that it is silent is no evidence against a node; the machine's own words are."""
    found = classify(facts)
    assert found.kind is Kind.INFRA
    assert found.node is blamed


FULL = "slurm_script: line 140: printf: write error: No space left on device"


@pytest.mark.hostile
@pytest.mark.parametrize("ended", [None, 1, int(Exit.STORAGE_FULL)])
@pytest.mark.parametrize(
    "line", [FULL, "tee: /raid/x: Disk quota exceeded", "unshare: unshare failed: No space left on device"]
)
def test_a_run_that_used_something_up_blames_no_node(ended: int | None, line: str) -> None:
    """Slurm's and the batch script's own words say so, and the node is as before once the job has ended; before any run it is the node's."""
    facts = Facts("FAILED", ended=ended, lines=(line,), slurm_lines=(line,), foreign=True, asked=True)
    for run in (replace(facts, started=True), replace(facts, some_started=True)):
        assert classify(run).node is False
    assert classify(replace(facts, ended=1)).node is False, "it took away what says that it began"
    assert classify(replace(facts, ended=1, asked=False)).node is True


@pytest.mark.hostile
def test_a_run_before_may_have_broken_the_next_ones_start() -> None:
    """A process that it left can end what starts a container, whose image is known: the machine's own word is Slurm's alone then."""
    line = "slurmstepd: error: pyxis: container start failed with error code: 1"
    facts = Facts("FAILED", ended=1, lines=(line,), guest_lines=(line,), asked=True, foreign=True)
    assert classify(facts).node
    assert not classify(replace(facts, some_started=True)).node


def test_a_guest_excuses_no_node() -> None:
    """It can show a true cause on many nodes; as none of them is blamed, the cause is never remembered as one that nodes share."""
    found = classify(Facts("FAILED", ended=1, lines=(GUEST,), guest_lines=(GUEST,), **HOSTILE))
    assert (found.node, found.alone, found.cause) == (False, False, "a disk of the node is full")


def test_a_payload_that_came_too_late_is_no_nodes_fault() -> None:
    """But worth another try."""
    line = "servematrix: the payload did not come within 300 s"
    verdict = classify(Facts(state="", ended=int(Exit.INFRA_FAILED), lines=(line,)))
    assert (verdict.kind, verdict.node, verdict.evidence) == (Kind.INFRA, False, (line,))


def test_a_full_disk_that_nodes_share_is_no_nodes_fault() -> None:
    """Found by the check before, or by the node program; on a disk of its own it is."""
    for shared in (True, False):
        facts = Facts(state="", ended=int(Exit.STORAGE_FULL), asked=True, started=True, shared=shared)
        assert classify(facts).node is not shared
        checked = Facts(state="", preflight=("0.01 GB free",), node_at_fault=not shared)
        assert (classify(checked).kind, classify(checked).node) == (Kind.INFRA, not shared)


SIBLINGS = {
    PASSING: [
        *("curl: (52) Empty reply from server", "curl: (56) Recv failure: Connection reset by peer", "curl: (5) Could not resolve proxy: p"),
        *("curl: (92) HTTP/2 stream 1 was not closed cleanly", "curl: (16) Error in the HTTP2 framing layer", "curl: (55) Send failure"),
        *("curl: (47) Maximum (50) redirects followed", "curl: (33) HTTP server doesn't seem to support byte ranges", "curl: (97) proxy closed"),
        *("curl: (22) The requested URL returned error: 503", "[ERROR] URL https://r/v2/x returned error code: 408 Request Timeout"),
        *("toomanyrequests: You have reached your pull rate limit", "srun: error: Socket timed out on send/recv operation"),
    ],
    NODE: [
        *("curl: (23) Failure writing output to destination", "curl: (77) error setting certificate verify locations"),
        *("[ERROR] Command not found: mksquashfs", "mksquashfs: FATAL ERROR: Failed to create thread", "FATAL ERROR: Out of memory in write_file"),
        *("gzip: stdin: unexpected end of file", "tar: Unexpected EOF in archive", "sha256sum: WARNING: 1 computed checksum did NOT match"),
        *("pyxis: couldn't start container", "slurmstepd: error: pyxis: child 123 failed with error code: 1"),
        *("slurmstepd: error: pyxis: [ERROR] Permission denied: /run/enroot", "enroot-aufs2ovlfs: failed to create whiteout: Operation not supported"),
        *("slurmstepd: error: TaskProlog failed", "srun: error: Application launch failed: Invalid job credential"),
        *("slurmstepd: error: Could not open stdout file /x: No such file or directory",),
    ],
    (Kind.BENCHMARK, False): [
        *("curl: (22) The requested URL returned error: 404", "curl: (22) The requested URL returned error: 401", "curl: (3) URL rejected"),
        *("[ERROR] URL https://r/v2/x returned error code: 416 Range Not Satisfiable",),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "line"), [(wanted, line) for wanted, lines in SIBLINGS.items() for line in lines]
)
def test_a_line_of_the_same_class_has_the_same_meaning(wanted: tuple[Kind, bool], line: str) -> None:
    """Texts that were not captured, of programs' own manuals and sources: curl's exit codes, enroot 3 and 4, pyxis, srun."""
    found = classify(Facts("FAILED", "24:0", "NonZeroExitCode", "n1", begun=True, ended=24, lines=(line,)))
    assert (found.kind, found.node, found.once_more) == (*wanted, False), found
    assert found.evidence == (line,)


def test_an_import_that_nothing_explains_keeps_its_last_lines_and_is_tried_once_more() -> None:
    """It is nobody's fault as yet."""
    lines = (*(f"line {number}" for number in range(20)), "", "the last word")
    found = classify(Facts("FAILED", "24:0", "NonZeroExitCode", "n1", begun=True, ended=24, lines=lines))
    assert (found.kind, found.node, found.once_more) == (Kind.BENCHMARK, False, True)
    assert found.evidence == (*(f"line {number}" for number in range(13, 20)), "the last word")
