"""perf-changelog.yaml: one section a recipe, newest entry first, one line a point."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, RootModel, StringConstraints, model_validator

from matrix import strict_yaml
from matrix.errors import Exit, HarnessError, Place, Problem
from matrix.metrics import HEADLINE, METRICS, WITH_NOISE
from matrix.schema import Strict, validate
from utils.results import summary
from utils.results.changelog import cells

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matrix.strict_yaml import Document

FILE = "perf-changelog.yaml"
WAITS = "the newest entry waits for its figures"

PercentText = Annotated[str, StringConstraints(pattern=r"^[-+][0-9]+(\.[0-9]+)?%$")]
Claim = Annotated[str, StringConstraints(pattern=r"^(<=|>=) [-+]?[0-9]+(\.[0-9]+)?%$")]
PointName = Annotated[str, StringConstraints(pattern=r"^[0-9]+[0-9kx]*-tp[0-9]+[a-z0-9-]*-c[0-9]+$")]
Key = Annotated[str, StringConstraints(pattern=r"^(k[0-9]+|local):[0-9a-f]{16,}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
_PERCENT = r"[-+]?[0-9]+(\.[0-9]+)?"
Said = Annotated[
    str,
    StringConstraints(
        pattern=rf"^((regression|improvement)( {_PERCENT}%)?|no change seen( >= {_PERCENT}%)?(, unchanged within {_PERCENT}%)?|change below the floor|invalid)"
        rf"( \({_PERCENT} to {_PERCENT}\))?$"
    ),
]
Scored = Annotated[
    str,
    StringConstraints(pattern=r"^(passed|failed|not tested)( [0-9]+(\.[0-9]+)?% to [0-9]+(\.[0-9]+)?%)?$"),
]
_METRICS = r"( [a-z0-9_]+)*"
Word = Annotated[
    str,
    StringConstraints(
        pattern=rf"^(|none|invalid|no change seen|change below the floor|(regression|improvement){_METRICS}(; (regression|improvement){_METRICS})?)$"
    ),
]
FORMAT = 3
"""Of an entry: 1 had TTFT in s; 2 had changes apart from their figures, and the verdict beyond them."""


_REASON = re.compile(r"(no verdict\b[^:]*?)(?:: *|, and )\S")
"""A note that is a reason: which figures have no verdict, then why."""


class PointLine(Strict):
    """A point's figures: means of whole runs."""

    accuracy: dict[str, Scored] = {}
    """Task -> whether the head's answers are as good as the base's, and both scores."""
    word: Word = ""
    """What was said of the point: the words of `verdict` in one; `none` where nothing could be said. In the file it is `verdict`."""
    verdict: dict[str, Said] = {}
    """Metric -> what was judged of its steady window, with its number and 95 % interval. In the file it is `judged`."""
    vs: dict[str, PercentText] = {}
    """Metric -> difference to the base. In the file it is behind its figure."""
    figures: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    """Metric -> value in its shown unit (matrix.metrics). In the file they stand beside the other keys; those of metrics
    that this version does not know are kept."""
    n: Annotated[str, StringConstraints(pattern=r"^[0-9]+\+[0-9]+$")]
    """Runs of base + head."""
    reused: bool = False
    """The figures are an earlier run's with the same observed key."""
    key: Key

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, content: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Every key that is no field is a figure, with its change behind it; format 2 had `vs`, and `verdict` by metric."""
        if not isinstance(content, dict) or "figures" in content:
            return content
        content = dict(content)
        said, judged = content.pop("verdict", ""), content.pop("judged", {})
        if isinstance(said, dict):
            said, judged = (
                summary.of_point(said) if all(isinstance(one, str) for one in said.values()) else "",
                said,
            )
        fields = {name: value for name, value in content.items() if name in cls.model_fields}
        figures, vs = {}, fields.get("vs", {})
        for name, value in content.items():
            if name not in fields:
                cell = cells.figure(value)
                figures[name] = cell[0] if cell else value
                if cell and cell[1] and isinstance(vs, dict):
                    vs = {**vs, name: cell[1]}
        return fields | {
            "word": said or (summary.NONE if vs else ""),
            "verdict": judged,
            "vs": vs,
            "figures": figures,
        }

    @model_validator(mode="after")
    def _has_its_headline(self) -> PointLine:
        if HEADLINE not in self.figures:
            raise ValueError(
                f"a point's line has no {HEADLINE} ({METRICS[HEADLINE].unit}); write it, such as `{HEADLINE}: 1000.1`"
            )
        return self


class Base(Strict):
    """What the change was measured against."""

    commit: Commit
    entry: int | None = None
    """The pull request of the entry that was measured there."""
    image: str | None = None
    recipe: str | None = None
    """Another recipe, if the change was compared with that one."""
    kernel: Literal["off"] | None = None
    """`off` if it was compared with the same points without their kernel."""


class Head(Strict):
    """What was measured."""

    commit: Commit
    image: str
    vllm: str
    device: str
    kernel: str | None = None
    environment: Literal["own"] | None = None
    """`own` where a person's own vLLM ran instead of the locked one."""


class Entry(Strict):
    """What is kept of one change. The author writes pr, title, why and expect; the tool the rest."""

    pr: int | None = Field(None, ge=1)
    title: str = Field(min_length=1)
    why: list[str] = Field(min_length=1)
    expect: dict[PointName, dict[str, Claim]] = {}
    format: Literal[1, 2, 3] = 1
    """Of the figures as written: `FORMAT`, unless an older harness wrote them. Figures read are always in today's units."""
    date: (
        Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")]
        | None
    ) = None
    changed: dict[str, str] = {}
    """Part of the key -> `before → after`: what differs between the arms."""
    result: str = ""
    """The change in one line: throughput with its interval, and how many points have which word."""
    notes: list[str] = []
    """What a reader must know before believing it: why there is no verdict, arms whose own runs differ more than the change."""
    base: Base | None = None
    head: Head | None = None
    runs: list[str] = []
    source: str | None = None
    """Where figures come from that this harness did not measure; they never feed a verdict."""
    claims: dict[PointName, dict[str, Literal["holds", "fails", "undecided", "not counted"]]] = {}
    """What became of `expect`."""
    points: dict[PointName, PointLine] = {}
    missing: dict[PointName, str] = {}
    """Points without figures, with the reason."""
    stale: str | None = None
    """Why figures that it had were taken out; it waits for new ones."""

    @model_validator(mode="before")
    @classmethod
    def _in_todays_units(cls, content: Any) -> Any:  # noqa: ANN401 - any YAML value
        if not isinstance(content, dict) or content.get("format", 1) != 1:
            return content
        points = content.get("points")
        if not isinstance(points, dict):
            return content
        return content | {"format": 2, "points": {name: _in_ms(line) for name, line in points.items()}}

    @model_validator(mode="before")
    @classmethod
    def _says_its_format(cls, content: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Changes stand behind their figures from format 3 on: an entry that has them so is no older one, and its rules hold."""
        if not isinstance(content, dict) or content.get("format", 1) == FORMAT:
            return content
        points = content.get("points")
        for name, line in points.items() if isinstance(points, dict) else ():
            for cell in line.values() if isinstance(line, dict) else ():
                known = cells.figure(cell)
                if known and known[1]:
                    raise ValueError(f"a figure of {name} has its change behind it; write `format: {FORMAT}`")
        return content

    @property
    def is_stub(self) -> bool:
        """Whether it still waits for its figures."""
        return not self.points and not self.missing


def _in_ms(line: Any) -> Any:  # noqa: ANN401 - any YAML value
    """A point's line of format 1, with its TTFT in ms."""
    if isinstance(line, dict) and isinstance(line.get("ttft"), int | float):
        return line | {"ttft": round(1000 * line["ttft"], 9)}
    return line


class Changelog(RootModel[dict[str, list[Entry]]]):
    """All sections."""


def read(content: bytes, file: str = FILE) -> Changelog:
    """Read and check a changelog.

    Raises:
        HarnessError: CHANGELOG_INVALID with every problem at its place.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HarnessError(
            Exit.CHANGELOG_INVALID, "", [Problem(Place(file), "not UTF-8; save it as UTF-8")]
        ) from error
    if not re.sub(r"(?m)#.*$", "", text).strip():
        return Changelog({})
    try:
        document = strict_yaml.read(content, file)
    except HarnessError as error:
        raise HarnessError(Exit.CHANGELOG_INVALID, "", error.problems) from error
    problems: list[Problem] = []
    log = validate(Changelog, document, problems)
    if log is not None:
        problems += _rules(log, document)
    problems += _lines(text, file)
    if problems or log is None:
        raise HarnessError(Exit.CHANGELOG_INVALID, "", problems)
    return log


def points(log: Mapping[str, list[Entry]]) -> list[str]:
    """The points that its entries name, with figures or without."""
    found = [
        f"{recipe}/{name}"
        for recipe, entries in log.items()
        for entry in entries
        for name in (*entry.points, *entry.missing)
    ]
    return list(dict.fromkeys(found))


def _rules(log: Changelog, document: Document) -> Iterable[Problem]:
    """What a type cannot say: order, doubles, stubs, claims about the wrong things."""

    def problem(message: str, *path: str | int) -> Problem:
        return Problem(document.place(path), message)

    names = list(log.root)
    for before, name in itertools.pairwise(names):
        if name < before:
            yield problem(f"section {name!r} comes after {before!r}; sections are sorted by name", name)
    for name, entries in log.root.items():
        seen: set[Any] = set()
        last = ""
        if not entries:
            yield problem(f"section {name!r} is empty; take it out", name)
        for number, entry in enumerate(entries):
            if entry.pr in seen:
                yield problem(f"pull request {entry.pr} has two entries in this section", name, number, "pr")
            seen |= {entry.pr} - {None}
            if entry.is_stub and number:
                yield problem(
                    "an entry without points can only be the newest; fill it, or take it out", name, number
                )
            if not entry.is_stub and not (entry.date and (entry.source or entry.head)):
                yield problem("an entry with points needs date and head, or date and source", name, number)
            if last and entry.date and entry.date > last:
                yield problem(
                    f"{entry.date} is below {last}; the newest entry comes first", name, number, "date"
                )
            last = entry.date or last
            for point, metric in _undecidable(entry):
                text = f"nothing is known of the noise of {metric!r}; claims are about {', '.join(WITH_NOISE)}, whose noise is known"
                yield problem(text, name, number, "expect", point)
            if silent := _without_reason(entry):
                text = "a change without a verdict needs a reason; write `no verdict: WHY` in `notes`, or fill the entry again with `changelog add`"
                yield problem(text, name, number, "points", silent)
            for point in entry.missing.keys() & entry.points.keys():
                yield problem("a point cannot have figures and be missing", name, number, "missing", point)


def _undecidable(entry: Entry) -> list[tuple[str, str]]:
    """Claims about what nothing judges: point and metric."""
    return [
        (point, metric)
        for point, claims in entry.expect.items()
        for metric in sorted(claims.keys() - set(WITH_NOISE))
    ]


def _without_reason(entry: Entry) -> str | None:
    """The first point with a change, no verdict, and nothing that says why; older formats had no place for it."""
    if entry.format != FORMAT:
        return None
    reasons = [found[1] for note in entry.notes if (found := _REASON.match(note))]
    return next(
        (
            name
            for name, line in entry.points.items()
            if line.vs and line.word == summary.NONE and not any(_is_about(one, name) for one in reasons)
        ),
        None,
    )


def _is_about(which: str, point: str) -> bool:
    """Whether a reason speaks of a point: it names it, or no single one."""
    named = re.search(r"of (?:\S+/)?([0-9]\S*-c[0-9]+)$", which)
    return named is None or named[1] == point


def _lines(text: str, file: str) -> Iterable[Problem]:
    """Each point is one line, so that a diff reads like a table."""
    inside = False
    if "\r" in text or not text.endswith("\n"):
        yield Problem(
            Place(file, 1, 1),
            "not every line ends in a line feed alone; save the file with line ends of Linux, the last line too",
        )
    section = False
    for number, line in enumerate(text.splitlines(), 1):
        if section and re.match(r"\s+-", line):
            yield Problem(
                Place(file, number, 1), "an entry that is indented; start it in the first column: `- pr: N`"
            )
        section = (bool(re.match(r"\S", line)) and not line.startswith(("-", "#"))) or (
            section and not re.match(r"\s*-", line)
        )
        if not re.match(r"([A-Za-z0-9\"'][^:]*:\s*(#.*)?$|- [a-z]+:|  |\s*(#|$))", line):
            yield Problem(
                Place(file, number, 1),
                "no line of a section, entry or key; write sections as `name:`, entries as `- pr: N` in the first column, their keys two columns in",
            )
        if re.match(r"(- |  )[a-z]", line) or re.match(r"\S", line):
            inside = bool(re.match(r"(- |  )points:\s*(#.*)?$", line))
        elif inside and line.strip() and not re.fullmatch(r"    [^\s{}]+: +\{.*\}", line):
            yield Problem(
                Place(file, number, 1),
                "not a point; write each on one line: four spaces, its name, a colon, and {…}",
            )


def stale(entries: list[Entry], keys: dict[str, str]) -> list[str]:
    """How the newest entry of a section differs from the tree's keys, in words; empty when it speaks for the tree."""
    entry = entries[0]
    if entry.is_stub:
        return [f"{WAITS}{f' ({entry.stale})' if entry.stale else ''}"]
    found = []
    for point, now in keys.items():
        line = entry.points.get(point)
        if line is None and point not in entry.missing:
            found.append(f"{point} has no figures and is not listed as missing")
        elif line is not None and line.key != now:
            found.append(f"{point} was measured as {line.key} and is {now} now")
    found += [f"{point} is not a point any more" for point in entry.points if point not in keys]
    return found
