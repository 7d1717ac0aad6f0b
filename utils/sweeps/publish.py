"""`servematrix github sweep-publish`: the only part of a sweep that writes. What it reads was made by other jobs, and is checked here."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from matrix.errors import Exit, HarnessError
from utils.github import comments, pulls, settings
from utils.github.api import GitHubError
from utils.github.push import Git, onto
from utils.github.trigger import Event, from_environment, summary
from utils.node.files import write_whole
from utils.results.changelog import entries as changelog
from utils.results.changelog.stale import stale
from utils.results.collect import collect
from utils.results.verdict import kept, ledger
from utils.show.markdown import code, escape
from utils.sweeps import approval, baseline, quarantine_copy, queue, report
from utils.sweeps.entry import committed_changelog
from utils.sweeps.inputs import asked_of
from utils.sweeps.publish_site import PAGES
from utils.sweeps.queue import CONTEXT
from utils.sweeps.report import REPORT

if TYPE_CHECKING:
    from pathlib import Path

    from utils.github.pulls import Pull
    from utils.sweeps.report import Report

LEDGER = "ledger.jsonl"
JOBS = ("plan", "queue", "run", "collect", "confirm", "judge")
"""Before this one, in order: the last that failed is why there is no report, for a broken block alone is none."""
NEEDS = "NEEDS"
"""Variable with how the jobs before this one ended, as Actions tells it: job -> result and outputs."""
MOST_REPORT = 20_000_000
MOST_FILE = 2_000_000
MOST_FILES = 50_000
MOST_LEDGER = 20_000_000
"""Bytes of a ledger's copy; a larger one is not kept."""


def publish(tree: Path, folder: Path) -> Exit:
    """Comment, entry, records, ledger, statuses; where it came to no report, say why. Then tell those that wait that it is over.

    Args:
        tree: checkout of the pull request's commit.
        folder: with the report and the records.
    """
    event = from_environment()
    try:
        if (folder / REPORT).exists():
            return _publish(event, tree, folder)
        return _no_report(event)
    except HarnessError as error:
        with suppress(GitHubError):
            said = f"it could not be published: {error}"
            pulls.status(event.api, asked_of(event)[1], CONTEXT, "error", description=said, url=event.run_url)
        raise
    finally:
        with suppress(GitHubError):  # what it tells is no part of this sweep
            queue.tell_waiting(event.api, int(event.run))


def _no_report(event: Event) -> Exit:
    """Nothing to measure, or something broke on the way: on the commit, and as an answer to whoever asked for the sweep."""
    number, sha = asked_of(event)
    needs = json.loads(os.environ.get(NEEDS) or "{}")
    planned = needs.get("plan", {}).get("outputs", {})
    is_planned = needs.get("plan", {}).get("result") == "success"  # outputs of a job that failed say nothing
    if is_planned and planned.get("count") == "0":
        pulls.status(event.api, sha, CONTEXT, "success", description="nothing to measure", url=event.run_url)
        return Exit.OK
    ends = {name: needs.get(name, {}).get("result", "") for name in JOBS}
    failed = [name for name, result in ends.items() if result == "failure"]
    why = planned.get("why") or (f"the job {failed[-1]} failed" if failed else "it was cancelled")
    if ends["judge"] == "success":
        failed, why = ["publish"], "what was judged could not be fetched"
    pulls.status(event.api, sha, CONTEXT, "error", description=f"no report: {why}", url=event.run_url)
    if number and failed:
        text = f"The sweep of `{sha[:10]}` came to no report: {code(why)} ([log]({event.run_url}))"
        event.api.call("POST", f"issues/{number}/comments", {"body": text})
    return Exit.OK


def _publish(event: Event, tree: Path, folder: Path) -> Exit:
    """Comment, entry, statuses only while the commit is still the head; records are kept in any case."""
    number, sha = asked_of(event)
    found = _report(folder / REPORT)
    if (found.sha, found.pull) != (sha, number):
        raise HarnessError(
            Exit.ARTIFACT_INVALID,
            "the report is of another commit than the sweep; it is not published; comment /sweep run again for today's head",
        )
    data = _data(event, folder, tree, "sweep" if number else "pushed")
    if number == 0:
        return _baseline(event, found, tree)
    pull = pulls.get(event.api, number)
    if not _is_current(event, pull, sha):
        text = f"{sha[:10]} is not the head any more; nothing is written"
        pulls.status(event.api, sha, CONTEXT, "error", description=text, url=event.run_url)
        summary(f"{text}\n")
        return Exit.OK
    commit, patch = _entry(event, pull, found, tree)
    pair = str(event.payload["inputs"].get("pair") or "main")
    picture = (
        f"{event.server}/{event.repository}/raw/{data}/{_picture_name(event, sha)}"
        if data and _picture(folder)
        else ""
    )
    parts = report.parts(found, event.run_url, pair, picture)
    address = comments.upsert(event.api, number, "report", [*parts, *patch], event.run_url)
    headline = found.comparison.headline.text if found.comparison else "no verdict"
    for one in filter(None, (sha, commit)):
        pulls.status(
            event.api,
            one,
            CONTEXT,
            _state(found),
            description=headline,
            url=address,
        )
    if commit:
        _checks(event, sha, commit, tree)
    summary(f"{address}\n")
    return Exit.OK


def _state(found: Report) -> str:
    """Of the commit: a sweep that says nothing is never green, nor one whose head hides behind noise of its own."""
    if found.missing:
        return "failure"
    said = found.comparison
    if said and said.points and (not said.judged or any(one.noisier_head for one in said.noise)):
        return "failure"
    return "success" if said or found.alone else "failure"


def _baseline(event: Event, found: Report, tree: Path) -> Exit:
    """The entry on a branch of its own, and a pull request that proposes it."""
    before = committed_changelog(tree).decode()
    text = f"{len(found.alone)} figures, {len(found.missing)} missing"
    state = "failure" if found.missing else "success"
    address = event.run_url
    if found.changelog and found.changelog != before:
        git, branch = Git(tree, event.api.token), f"{baseline.BRANCH}{found.sha[:12]}-{event.run}"
        (tree / changelog.FILE).write_text(found.changelog)
        commit = git.commit(f"Figures of {found.sha[:10]}\n\n{event.run_url}", changelog.FILE)
        if commit:
            git.run("push", "--quiet", "origin", f"{commit}:refs/heads/{branch}")
            address = baseline.open_pull(event, found.sha, branch, text)
            _checks(event, found.sha, commit, tree)
    pulls.status(event.api, found.sha, CONTEXT, state, description=text, url=address)
    summary(f"{address}\n")
    return Exit.OK


def _checks(event: Event, sha: str, commit: str, tree: Path) -> None:
    """No workflow runs on a commit of ours: what checks found of its parent holds for it, where its changelog agrees with its tree."""
    log = changelog.read((tree / changelog.FILE).read_bytes())
    if any(changelog.WAITS not in line for line in stale(log, tree)):
        return
    said = f"as on {sha[:10]}: only {changelog.FILE} differs, and agrees with the recipes"
    with suppress(GitHubError):  # a person can run them again
        for name in settings.REQUIRED:
            if pulls.passed(event.api, sha, name):
                pulls.status(event.api, commit, name, "success", description=said, url=event.run_url)


def publish_night(tree: Path, folder: Path) -> Exit:
    """Records of something against itself, the ledger, and the copy of the quarantine, which a night without records has too.

    Args:
        tree: a checkout whose origin has the data branch.
        folder: with the records.
    """
    event = from_environment()
    _data(event, folder, tree, "nightly")
    if (folder / quarantine_copy.FILE).exists():

        def change(data: Path) -> str:
            quarantine_copy.keep(folder, data)
            return f"Quarantine of {event.run_url}"

        onto(Git(tree, event.api.token), settings.DATA, change)
    return Exit.OK


def _report(path: Path) -> Report:
    """A report of another job, which had read what foreign code left."""
    try:
        if path.stat().st_size > MOST_REPORT:
            raise HarnessError(
                Exit.ARTIFACT_INVALID, f"the report has more than {MOST_REPORT:,} bytes; select fewer points"
            )
        return report.Report.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        raise HarnessError(
            Exit.ARTIFACT_INVALID,
            f"the report cannot be read ({type(error).__name__}); run the job judge again",
        ) from error


def _is_current(event: Event, pull: Pull, sha: str) -> bool:
    """Whether the pull request is open and its head is what was measured, or our own commit of the entry on top of it."""
    if not pull.is_open:
        return False
    if pull.head == sha:
        return True
    same = approval.tree_digest(event.api, pull.head) == approval.tree_digest(event.api, sha)
    return same and approval.is_approved(event.api, pull.head)


def _entry(event: Event, pull: Pull, found: Report, tree: Path) -> tuple[str, list[str]]:
    """The changelog onto the pull request's branch, fast-forward and alone; for a fork, and where a push is refused, as a patch."""
    before = committed_changelog(tree).decode()
    if not found.changelog or found.changelog == before:
        return "", []
    _only_filled(before, found.changelog)
    old, new = (text.splitlines(keepends=True) for text in (before, found.changelog))
    lines = list(difflib.unified_diff(old, new, f"a/{changelog.FILE}", f"b/{changelog.FILE}"))
    summary(f"```diff\n{''.join(lines).replace('```', '` ` `')}```\n")
    ours = {str(event.at("repository", "default_branch")), settings.DATA, PAGES}
    if pull.head_repository != event.repository or pull.branch in ours:  # anybody may propose one of those
        return "", [report.patch(lines)]
    git = Git(tree, event.api.token)
    if pull.head != found.sha:  # our own commit of an earlier attempt: the new figures go on top of it
        git.run("fetch", "--quiet", "origin", pull.head)
        git.run("checkout", "--quiet", "--detach", pull.head)
        committed_changelog(tree)
    (tree / changelog.FILE).write_text(found.changelog)
    commit = git.commit(f"Figures of {found.sha[:10]}\n\n{event.run_url}", changelog.FILE)
    if not commit:
        return "", []
    try:
        git.run("push", "--quiet", "origin", f"{commit}:refs/heads/{pull.branch}")
    except HarnessError as error:
        summary(f"{error}\n")
        return "", [report.patch(lines)]
    approval.approve(event.api, commit, "the sweep's own commit", event.run_url)
    return commit, []


def _only_filled(before: str, after: str) -> None:
    """The new file may differ in what the tool writes of one entry a section, and in nothing that a person wrote.

    Raises:
        HarnessError: ARTIFACT_INVALID.
    """
    old, new = changelog.read(before.encode()).root, changelog.read(after.encode()).root
    for name in {*old, *new}:
        was, now = old.get(name, []), new.get(name, [])
        words = [
            [(one.pr, one.title, one.why, one.expect, one.source) for one in entries]
            for entries in (was, now)
        ]
        changed = sum(a != b for a, b in zip(was, now, strict=False))
        if words[0] != words[1] or changed > 1:
            raise HarnessError(
                Exit.ARTIFACT_INVALID,
                f"the report would change more of {name} in {changelog.FILE} than figures, so the entry is not written; "
                "comment /sweep run again, and report it if it comes back",
            )


def _picture(folder: Path) -> bytes:
    """The picture that the judging job drew; empty where there is none, or where it is more than marks and words."""
    path = folder / report.PICTURE
    if path.is_symlink() or not path.is_file() or path.stat().st_size > report.MOST_PICTURE:
        return b""
    content = path.read_bytes()
    return content if report.safe_picture(content) else b""


def _judged_by(folder: Path) -> tuple[str, bytes]:
    """Where the ledger that a sweep was judged by is kept on the data branch, and the ledger; empty where it used none."""
    path = folder / kept.FILE
    if path.is_symlink() or not path.is_file() or not 0 < path.stat().st_size <= MOST_LEDGER:
        return "", b""
    ledger.read(path)
    content = path.read_bytes()
    return f"ledgers/{hashlib.sha256(content).hexdigest()}.jsonl", content


def _picture_name(event: Event, sha: str) -> str:
    """Its place on the data branch: of this run alone, so that no cache shows an older one."""
    return f"pictures/{sha[:10]}-{event.run}.svg"


def _data(event: Event, left: Path, tree: Path, issuer: ledger.Issuer) -> str:
    """Raw records, what they tell of noise, and the picture, onto the data branch; its commit."""
    records = left / "records"
    files = _checked(records)
    if not files:
        return ""
    picture, sha = _picture(left), str(event.payload.get("inputs", {}).get("sha", ""))

    judged_by, noise = _judged_by(left)

    def change(folder: Path) -> str:
        _add(files, records, folder / "records")
        if picture:
            write_whole(folder / _picture_name(event, sha), picture)
        if judged_by:
            write_whole(folder / judged_by, noise)
        known, new, alarms = ledger.read(folder / LEDGER).with_records(collect([records]), issuer)
        write_whole(folder / LEDGER, ledger.text(known).encode())
        summary("".join(f"alarm: {escape(line)}\n\n" for line in alarms))
        return f"Records of {event.run_url}\n\n{len(new)} differences for the ledger"

    return onto(Git(tree, event.api.token), settings.DATA, change)


def _add(files: list[Path], records: Path, kept: Path) -> None:
    """Files to their places on the branch; one that is there is of a run that was published before, and no sweep changes it."""
    for path in files:
        target = kept / path.relative_to(records)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _checked(records: Path) -> list[Path]:
    """Files that are regular, small, and named as ours are; anything else is left."""
    found = []
    for path in sorted(records.rglob("*")):
        parts = path.relative_to(records).parts
        good = all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,200}", part) for part in parts)
        status = path.lstat()
        if good and len(parts) == 5 and stat.S_ISREG(status.st_mode) and status.st_size <= MOST_FILE:  # noqa: PLR2004 - recipe, allocation, run, point, file
            found.append(path)
    if len(found) > MOST_FILES:
        raise HarnessError(
            Exit.ARTIFACT_INVALID, f"more than {MOST_FILES:,} files of records; select fewer points"
        )
    return found
