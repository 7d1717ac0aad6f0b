"""Write measured figures into perf-changelog.yaml; what the author wrote stays as it is, to the letter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.key import is_local
from matrix.metrics import HEADLINE, METRICS, known
from utils.node.spec import UNKNOWN
from utils.results.changelog import entries as changelog
from utils.results.changelog.lines import (
    entry_lines,
    mapping,
    point_line,
    scalar,
    section_lines,
    without_tools_part,
)
from utils.results.verdict import metrics, presentation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from utils.node.record import Record
    from utils.results.verdict.comparison import Comparison, PointVerdict

TITLE = "# What changed, and what it did to the numbers. See docs/changelog.md.\n"


@dataclass(frozen=True, slots=True)
class Stub:
    """What a person says of a change, where it does not stand in the file yet."""

    pr: int | None
    title: str
    why: tuple[str, ...]


def add(
    content: bytes,
    file: str,
    head: Sequence[Record],
    base: Sequence[Record],
    stub: Stub,
    *,
    found: Comparison | None = None,
    runs: Sequence[str] = (),
) -> str:
    """The changelog with the figures of one recipe's records.

    Args:
        content: the file as it is.
        file: its name, for errors.
        head: what was measured.
        base: what it is compared with; empty for a first entry.
        stub: finds the entry by its pull request, and makes one if it says title and why.
        found: the comparison with the base.
        runs: addresses of the runs.

    Raises:
        HarnessError: CHANGELOG_INVALID, NOT_COMPARABLE where no commit is that of the records.
    """
    recipes = sorted({record.point.split("/")[0] for record in head})
    if len(recipes) != 1:
        raise HarnessError(
            Exit.USAGE,
            f"the records are of {len(recipes)} recipes ({', '.join(recipes)}); name the folders of one at a time",
        )
    if unknown := [
        record for record in head if UNKNOWN in {record.provenance.commit, record.provenance.tree_commit}
    ]:
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"{len(unknown)} records do not say which commit they are of: git could not read the checkout when they were "
            "measured (the run said why at its start); let git read it, and measure again",
        )
    if unclean := [
        record for record in head if not (record.provenance.clean and record.provenance.tree_clean)
    ]:
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"{len(unclean)} records were measured with uncommitted changes, so no commit describes them; commit, and measure again",
        )
    log = changelog.read(content, file)
    text = content.decode("utf-8-sig")
    lines = text.splitlines(keepends=True) if text.strip() else [TITLE]
    start, end = section_lines(lines, recipes[0])
    entries = log.root.get(recipes[0], [])
    number = _find(entries, stub)
    older = entries[0 if number is None else number + 1 :]
    facts = _facts(head, base, found, runs, older[0] if older else None)
    if number is None:
        author = _author_lines(stub, recipes[0])
        at = start + 1 if entries else end
        heading = [] if entries else [f"{recipes[0]}:\n"]
        new = [*lines[:at], *heading, *author, *facts, *lines[at:]]
    else:
        first, last = entry_lines(lines, start, end, number)
        new = [*lines[:first], *without_tools_part(lines[first:last]), *facts, *lines[last:]]
    result = "".join(new)
    changelog.read(result.encode(), file)
    return result


def _find(entries: Sequence[changelog.Entry], stub: Stub) -> int | None:
    """The entry that is meant: of the same pull request, else one that waits at the top."""
    for number, entry in enumerate(entries):
        if stub.pr is not None and entry.pr == stub.pr:
            return number
    if entries and entries[0].is_stub and entries[0].pr is None and not stub.title:
        return 0
    if entries and entries[0].is_stub and stub.pr in {None, entries[0].pr} and not stub.title:
        return 0
    return None


def _author_lines(stub: Stub, recipe: str) -> list[str]:
    if not stub.title or not stub.why:
        raise HarnessError(
            Exit.CHANGELOG_INVALID,
            f"no entry of {recipe} waits for figures{f' of pull request {stub.pr}' if stub.pr else ''}; "
            "write one with pr, title and why, or give --title and --why",
        )
    lines = [f"pr: {stub.pr}\n"] if stub.pr else []
    lines.append(f"title: {scalar(stub.title)}\n")
    lines.append(f"why: [{', '.join(scalar(reason) for reason in stub.why)}]\n")
    return [("- " if number == 0 else "  ") + line for number, line in enumerate(lines)]


def _facts(
    head: Sequence[Record],
    base: Sequence[Record],
    found: Comparison | None,
    runs: Sequence[str],
    below: changelog.Entry | None,
) -> list[str]:
    """The tool's part of an entry."""
    newest = max(
        (record for record in head if record.block == 1), key=lambda record: record.clock.wall_unix_s
    )
    day = datetime.fromtimestamp(newest.clock.wall_unix_s, UTC).strftime("%Y-%m-%d")
    lines = [f"  format: {changelog.FORMAT}\n", f"  date: {day}\n"]
    if base:
        lines.append(f"  base: {{{', '.join(_base(base[0], newest, below))}}}\n")
    device = newest.node.gpu_model or f"{newest.node.cpu_model}, {newest.node.cores} cores"
    version = newest.vllm_version or "unknown"
    facts = [
        f"commit: {newest.provenance.tree_commit}",
        f"image: {scalar(newest.image)}",
        f"vllm: {scalar(version)}",
        *(["environment: own"] if is_local(newest.key) else []),
        f"device: {scalar(device)}",
    ]
    if kernel := newest.parts.get("kernel"):
        facts.append("kernel: " + scalar(f"{kernel['name']}@{kernel['files'][:7]}"))
    lines.append(f"  head: {{{', '.join(facts)}}}\n")
    if runs:
        lines.append(f"  runs: [{', '.join(map(scalar, runs))}]\n")
    if found and found.claims:
        lines.append(f"  claims: {_claims(found)}\n")
    compared = {one.point: one for one in found.points} if found else {}
    good: dict[str, list[Record]] = {}
    bad: dict[str, Record] = {}
    for record in head:
        if record.block > 1:  # it confirmed the verdict; the figures are those of the whole list of points
            continue
        if record.status == "measured" and HEADLINE in metrics.whole([record]):
            good.setdefault(record.point, []).append(record)
        else:
            bad.setdefault(record.point, record)
    if good:
        lines.append("  points:\n")
    lines += [
        point_line(point.split("/")[1], _point(records, compared.get(point)))
        for point, records in good.items()
    ]
    missing = {point: record for point, record in bad.items() if point not in good}
    if missing:
        lines.append("  missing:\n")
    lines += [f"    {point.split('/')[1]}: {scalar(_reason(record))}\n" for point, record in missing.items()]
    return lines


def _base(base: Record, head: Record, below: changelog.Entry | None) -> list[str]:
    """What it was compared with: a commit, the entry that was measured there, and what else differs from the head's recipe."""
    commit = base.provenance.tree_commit
    facts = [f"commit: {commit}"]
    if below and below.pr and below.head and below.head.commit == commit:
        facts.append(f"entry: {below.pr}")
    if base.recipe:
        facts.append(f"recipe: {base.recipe}")
    if commit == head.provenance.tree_commit and head.parts.get("kernel") and not base.parts.get("kernel"):
        facts.append("kernel: 'off'")
    return facts


def _point(records: Sequence[Record], compared: PointVerdict | None) -> changelog.PointLine:
    """A point's line: means of whole runs, and what was judged of its steady window."""
    figures = metrics.whole(records)
    published = [name for name in known(figures) if METRICS[name].in_changelog]
    words, vs, runs = {}, {}, f"0+{len(records)}"
    if compared is not None:
        words, runs = presentation.words(compared), f"{compared.runs[0]}+{compared.runs[1]}"
        vs = {name: f"{compared.whole[name].percent:+.1f}%" for name in published if name in compared.whole}
    return changelog.PointLine(
        verdict=words,
        vs=vs,
        figures={name: figures[name] for name in published},
        n=runs,
        key=records[0].key,
    )


def _claims(found: Comparison) -> str:
    by_point: dict[str, dict[str, str]] = {}
    for one in found.claims:  # what was committed comes first, and wins over what was written since
        by_point.setdefault(one.point.split("/")[1], {}).setdefault(one.metric, scalar(one.outcome))
    return mapping({point: mapping(said) for point, said in by_point.items()})


def _reason(record: Record) -> str:
    if record.failure:
        return record.failure.message.splitlines()[0][:200]
    failed = "; ".join(f"gate {gate.name}: {gate.found}" for gate in record.gates if not gate.passed)
    return failed[:200] or "it has no figures"
