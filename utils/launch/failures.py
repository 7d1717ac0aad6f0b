"""Whose fault a failure is. One table of evidence; without evidence a failure is the benchmark's, shown and not retried. Pure."""

from __future__ import annotations

import json
import re
import signal as signals
from dataclasses import dataclass, field, replace

from matrix.errors import Exit
from utils.launch import signs_of_failures as signs
from utils.launch.signs_of_failures import LINES, STATES, Kind, Row, held


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
    signal: str = ""
    """That came to the launcher, which ended the job for it."""
    by: str = ""
    """The user id that Slurm names as who cancelled the job."""
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
    if not well and (found := _by_us(facts) or _by_somebody(facts)):
        return found
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


def _by_somebody(facts: Facts) -> Verdict | None:
    """Jobs of which Slurm says that they were ended: what their script says then may be of its end."""
    return _by_signs(facts) if facts.state == "CANCELLED" else None


def _by_signs(facts: Facts) -> Verdict | None:
    """By what Slurm, srun or a runtime wrote, where the node program did not say how it ended."""
    if facts.state == "PENDING" and (row := held(facts.reason)):
        return _by_row(row, f"Slurm says {facts.state} {facts.reason}")
    if facts.state == "CANCELLED" and not facts.begun and signs.prolog_failed(facts.node_reason):
        return _by_row(STATES["LAUNCH_FAILED"], f"Slurm says of {facts.node}: {facts.node_reason}")
    if facts.state == "FAILED" and not facts.begun and signs.never_launched(facts.reason, facts.exit_code):
        return _by_row(STATES["LAUNCH_FAILED"], f"Slurm says FAILED {facts.exit_code} {facts.reason}")
    # The script can know before Slurm says so.
    if facts.state == "CANCELLED" or facts.ended == Exit.CANCELLED:
        late = facts.state != "CANCELLED"
        rows = tuple(row for row in LINES if row.ends or (late and row.kind is Kind.TIMEOUT))
        who = f" by {facts.by}" if facts.by else ""
        said = f"Slurm says {facts.state or 'nothing any more'}{who}"
        return _by_line(facts.lines, rows) or Verdict(
            Kind.CANCELLED, _somebody(facts), Exit.CANCELLED, (said,)
        )
    return _by_line(facts.lines)


def _somebody(facts: Facts) -> str:
    """That a job was cancelled, with what is known of it."""
    known = [f"by {facts.signal}"] if facts.signal else []
    known += [f"as the user with the id {facts.by}"] if facts.by else []
    return ", ".join(["somebody cancelled the job", *known])


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
        return _by_line(facts.lines, rows) or Verdict(Kind.CANCELLED, _somebody(facts), code)
    if code in {Exit.OK, Exit.GATE_FAILED}:
        return Verdict(None, "", code)
    return Verdict(Kind.BENCHMARK, code.meaning, code)
