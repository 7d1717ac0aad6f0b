"""The tool's part of an entry, made from records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from matrix.key import is_local
from matrix.metrics import HEADLINE, METRICS, known
from utils.node import devices
from utils.results import summary
from utils.results.changelog import cells, rows
from utils.results.changelog import entries as changelog
from utils.results.changelog.changed import changed
from utils.results.changelog.doubts import doubts
from utils.results.changelog.lines import mapping, scalar, sha
from utils.results.verdict import metrics, present

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from utils.node.record import Record
    from utils.results.verdict.outcome import Comparison, PointVerdict


def facts(
    head: Sequence[Record],
    base: Sequence[Record],
    comparison: Comparison | None,
    *,
    runs: Sequence[str],
    below: changelog.Entry | None,
    absent: Mapping[str, str],
) -> list[str]:
    """The lines of one recipe's entry.

    Args:
        head: its records.
        base: what they are compared with.
        comparison: the comparison.
        runs: addresses of runs.
        below: the entry before it.
        absent: point without its recipe -> why it has no record at all.
    """
    newest = max(
        (record for record in head if record.block == 1), key=lambda record: record.clock.wall_unix_s
    )
    mine = _of_recipe(comparison, newest.point.split("/")[0])
    day = datetime.fromtimestamp(newest.clock.wall_unix_s, UTC).strftime("%Y-%m-%d")
    lines = [f"  format: {changelog.FORMAT}\n", f"  date: {day}\n"]
    if different := changed(head, base):
        lines.append(
            f"  changed: {mapping({scalar(name): scalar(text) for name, text in different.items()})}\n"
        )
    if mine:
        lines.append(f"  result: {scalar(summary.result(mine))}\n")
    if mine and mine.claims:
        lines.append(f"  claims: {_claims(mine)}\n")
    if said := doubts(head, base, mine):
        lines += ["  notes:\n", *(f"    - {scalar(' '.join(text.split()))}\n" for text in said)]
    lines += _where(newest, base, below)
    if runs:
        lines.append(f"  runs: [{', '.join(map(scalar, runs))}]\n")
    return [*lines, *_points(head, mine, absent)]


def _of_recipe(comparison: Comparison | None, recipe: str) -> Comparison | None:
    """Without points of other recipes, which have entries of their own; the headline is kept where it is of these points alone."""
    if comparison is None:
        return None
    points = [one for one in comparison.points if one.point.startswith(f"{recipe}/")]
    claims = [one for one in comparison.claims if one.point.startswith(f"{recipe}/")]
    update: dict[str, object] = {"points": points, "claims": claims}
    if len(points) < len(comparison.points):
        update["headline"] = comparison.headline.model_copy(
            update={"percent": None, "low_percent": None, "high_percent": None}
        )
    return comparison.model_copy(update=update)


def _where(newest: Record, base: Sequence[Record], below: changelog.Entry | None) -> list[str]:
    """Commits, images and the device."""
    lines = []
    if base:
        lines.append(f"  base: {{{', '.join(_base(base[0], newest, below))}}}\n")
    device = devices.name(newest)
    if device == newest.node.cpu_model:
        device += f", {newest.node.cores} cores"
    of_head = [
        f"commit: {sha(newest.provenance.tree_commit)}",
        f"image: {scalar(newest.image)}",
        f"vllm: {scalar(newest.vllm_version or 'unknown')}",
        *(["environment: own"] if is_local(newest.key) else []),
        f"device: {scalar(device)}",
    ]
    if kernel := newest.parts.get("kernel"):
        of_head.append("kernel: " + scalar(f"{kernel['name']}@{kernel['files'][:7]}"))
    return [*lines, f"  head: {{{', '.join(of_head)}}}\n"]


def _base(base: Record, head: Record, below: changelog.Entry | None) -> list[str]:
    """What it was compared with: a commit, the entry that was measured there, and what else differs from the head's recipe."""
    commit = base.provenance.tree_commit
    made = [f"commit: {sha(commit)}"]
    if below and below.pr and below.head and below.head.commit == commit:
        made.append(f"entry: {below.pr}")
    made.append(f"image: {scalar(base.image)}")
    if base.recipe:
        made.append(f"recipe: {scalar(base.recipe)}")
    if commit == head.provenance.tree_commit and head.parts.get("kernel") and not base.parts.get("kernel"):
        made.append("kernel: 'off'")
    return made


def _points(head: Sequence[Record], comparison: Comparison | None, absent: Mapping[str, str]) -> list[str]:
    """Rows of points with figures, then the others with their reason."""
    compared = {one.point: one for one in comparison.points} if comparison else {}
    good: dict[str, list[Record]] = {}
    bad: dict[str, Record] = {}
    for record in head:
        if record.block > 1:  # it confirmed the verdict; the figures are those of the whole list of points
            continue
        if record.status == "measured" and HEADLINE in metrics.whole([record]):
            good.setdefault(record.point, []).append(record)
        else:
            bad.setdefault(record.point, record)
    lines = []
    if good:
        made = {point.split("/")[1]: _point(records, compared.get(point)) for point, records in good.items()}
        lines += [rows.heading(made), *rows.written(made)]
    short = {point.split("/")[1] for point in good}
    missing = {point.split("/")[1]: _reason(record) for point, record in bad.items() if point not in good}
    missing |= {point: why for point, why in absent.items() if point not in missing and point not in short}
    if missing:
        lines.append("  missing:\n")
    return [*lines, *(f"    {point}: {scalar(' '.join(why.split()))}\n" for point, why in missing.items())]


def _point(records: Sequence[Record], compared: PointVerdict | None) -> changelog.PointLine:
    """A point's line: means of whole runs, and what was judged of its steady window."""
    figures = metrics.whole(records)
    published = [name for name in known(figures) if METRICS[name].in_changelog]
    words, vs, runs, word = {}, {}, f"0+{len(records)}", ""
    if compared is not None:
        words, runs = summary.judged(compared), f"{compared.runs[0]}+{compared.runs[1]}"
        word = summary.of_verdict(compared)
        vs = {name: f"{compared.whole[name].percent:+z.1f}%" for name in published if name in compared.whole}
    return changelog.PointLine(
        word=word,
        verdict=words,
        accuracy=present.scores(compared) if compared else {},
        vs=vs,
        figures={name: cells.rounded(figures[name]) for name in published},
        n=runs,
        key=records[0].key,
    )


def _claims(comparison: Comparison) -> str:
    by_point: dict[str, dict[str, str]] = {}
    for one in comparison.claims:  # what was committed comes first, and wins over what was written since
        by_point.setdefault(one.point.split("/")[1], {}).setdefault(one.metric, scalar(one.outcome))
    return mapping({point: mapping(said) for point, said in by_point.items()})


def _reason(record: Record) -> str:
    if record.failure:
        return record.failure.message.splitlines()[0][:200]
    failed = "; ".join(f"gate {gate.name}: {gate.found}" for gate in record.gates if not gate.passed)
    return failed[:200] or "it has no figures"
