"""YAML with every value's place, and without YAML's surprises.

Refused, each with its place: duplicate keys, tags, merge keys, empty values, words and numbers that YAML 1.1 and 1.2
read differently (`on`, `012`, `1_000`, `12:30`), several documents, and aliases that grow beyond a budget.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

import yaml

from matrix.errors import Exit, HarnessError, Place, Problem

DEPTH_LIMIT = 32
VALUE_BUDGET = 1_000_000
"""Values a document may hold once aliases are expanded."""

Path = tuple[str | int, ...]
_LOADER = getattr(yaml, "CLoader", yaml.Loader)

_INT = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
INVISIBLE = re.compile("[\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]")
"""Spaces that are none to YAML, and letters of no width: what a copy from a page or a chat brings along."""
_GLUED = re.compile(r"([A-Za-z][\w-]*):(\S+)")
"""`{tp:8}`: a key, for YAML wants a space behind the colon."""
_PLAIN = {"true": True, "false": False, "null": None}
_TWO_MEANINGS = (
    (
        re.compile(r"(?i:yes|no|on|off|true|false)"),
        "is a boolean to some YAML readers; write true or false, or quote it",
    ),
    (
        re.compile(r"[-+]?0[0-9_]+"),
        "is octal to some YAML readers; write it without the leading zero, or quote it",
    ),
    (
        re.compile(r"[-+]?0(x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)"),
        "is a number to some YAML readers; write it in decimal, or quote it",
    ),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+"), "is a base-60 number to some YAML readers; quote it"),
    (
        re.compile(r"[-+]?[0-9][0-9,]*_[0-9_]*"),
        "is a number to some YAML readers; write it without underscores",
    ),
    (re.compile(r"(?i:[-+]?\.(inf|nan))"), "is not a number that can be meant here; quote it if it is text"),
    (
        re.compile(r"\+[0-9]+(\.[0-9]+)?|[-+]?\.[0-9]+|[-+]?[0-9]+\."),
        "write the number as 1, 1.5 or -1, or quote it",
    ),
    (re.compile(r"~|(?i:null)"), "write null, or leave the key out"),
)
_ANY_OF_THEM = re.compile("|".join(f"(?:{pattern.pattern})" for pattern, _ in _TWO_MEANINGS))
"""Asked first: a file of 10,000 points has 200,000 words, and hardly one of these."""

_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)

EMPTY = "the value is empty; give one, or leave the key out"
"""What is said of a key without a value: a fault in our files, and usual in those of others."""


@dataclass(slots=True)
class Document:
    """A value (dicts, lists, scalars) and the place of every part of it, by path."""

    value: Any
    places: dict[Path, Place] = field(default_factory=dict)
    """Where each value starts; of a mapping's entry, where its key starts."""
    problems: list[Problem] = field(default_factory=list)
    """What is wrong with the text although its structure could be read."""
    wrong: set[Path] = field(default_factory=set)
    """The values that these problems are about."""

    def place(self, path: Path) -> Place:
        """The place of a path, or of the nearest part above it that has one."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been read yet."""

    value: Any
    path: Path
    anchor: str | None
    key: str | None = None
    repeated: bool = False
    """The key was there before, and its value does not count."""
    size: int = 1
    key_places: dict[str, Place] = field(default_factory=dict)


@dataclass(slots=True)
class _Reader:
    file: str
    problems: list[Problem] = field(default_factory=list)
    places: dict[Path, Place] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    result: list[Any] = field(default_factory=list)
    size: int = 0
    wrong: set[Path] = field(default_factory=set)

    def at(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)

    def report(self, event: yaml.Event, message: str) -> None:
        self.problems.append(Problem(self.at(event), message))

    def next_path(self) -> Path:
        if not self.stack:
            return ()
        top = self.stack[-1]
        return (*top.path, top.key if isinstance(top.value, dict) else len(top.value))  # type: ignore[arg-type]  # a key is set before its value

    def add(self, value: object, size: int = 1) -> None:
        """Put a finished value where it belongs."""
        if not self.stack:
            self.result.append(value)
            return
        top = self.stack[-1]
        top.size += size
        if isinstance(top.value, dict):
            if top.key is not None:
                top.value.setdefault(
                    top.key, value
                )  # of a duplicate the first one counts; it is reported anyway
            top.key = None
        else:
            top.value.append(value)

    def take_key(self, event: yaml.Event) -> None:
        top = self.stack[-1]
        if not isinstance(event, yaml.ScalarEvent):
            self.report(event, "a key must be a plain word")
            raise _Stop
        key = event.value
        if key == "<<":
            self.report(event, "merge keys are not supported; `extends:` takes from another recipe")
        elif found := INVISIBLE.search(key):
            self.report(event, f"the key has {_named(found[0])} in it; {_ADVICE}")
        elif not event.style and (glued := _GLUED.fullmatch(key)):
            self.report(event, f"write '{glued[1]}: {glued[2]}', with a space behind the colon")
        elif not event.style and (surprise := _surprise(key)):
            self.report(event, f"the key {key!r} {surprise}")
        top.repeated = key in top.value or key in top.key_places
        if top.repeated:
            self.report(event, f"duplicate key {key!r}; the first is in line {top.key_places[key].line}")
        place = top.key_places.setdefault(key, self.at(event))
        self.places.setdefault((*top.path, key), place)
        top.key = key

    def scalar(self, event: yaml.ScalarEvent) -> object:
        if event.tag is not None:
            self.report(event, f"the tag {event.tag!r} is not allowed; write the value alone")
            return None
        text: str = event.value
        if event.style:
            return text
        if text in _PLAIN:
            return _PLAIN[text]
        if _INT.fullmatch(text):
            return int(text) if len(text) <= 18 else text  # noqa: PLR2004 - beyond 64 bits it is no count of anything
        if not text:
            if not (self.stack and _GLUED.fullmatch(self.stack[-1].key or "")):  # which is said of the key
                self.report(event, EMPTY)
        elif " " not in text and (found := INVISIBLE.search(text)) and INVISIBLE.sub("", text).isascii():
            self.report(event, f"the value has {_named(found[0])} in it; {_ADVICE}")
        elif surprise := _surprise(text):
            self.report(event, f"{text!r} {surprise}")
        elif _FLOAT.fullmatch(text):
            return float(text)
        return text

    def alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self.anchors:
            self.report(event, f"the alias *{event.anchor} names nothing that is complete here")
            raise _Stop
        value, size = self.anchors[event.anchor]
        self.places.setdefault(self.next_path(), self.at(event))
        self.count(event, size)
        self.add(value, size)

    def count(self, event: yaml.Event, size: int = 1) -> None:
        self.size += size
        if self.size > VALUE_BUDGET:
            self.report(
                event, f"more than {VALUE_BUDGET:,} values once aliases are expanded; write out what is meant"
            )
            raise _Stop

    def take(self, event: yaml.Event) -> None:
        """One event of the parser."""
        top = self.stack[-1] if self.stack else None
        if isinstance(event, _ENDS):
            done = self.stack.pop()
            if done.anchor:
                self.anchors[done.anchor] = (done.value, done.size)
            self.add(done.value, done.size)
        elif isinstance(event, yaml.DocumentStartEvent):
            if self.result:
                self.report(event, "a second document starts here; one file holds one")
                raise _Stop
        elif not isinstance(event, yaml.NodeEvent):
            return
        elif top is not None and isinstance(top.value, dict) and top.key is None:
            self.take_key(event)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)
        else:
            path = self.next_path()
            self.places.setdefault(path, self.at(event))
            self.count(event)
            if isinstance(event, yaml.ScalarEvent):
                known = len(self.problems)
                value = self.scalar(event)
                if len(self.problems) > known and not (top and top.repeated):
                    self.wrong.add(path)
                if event.anchor:
                    self.anchors[event.anchor] = (value, 1)
                self.add(value)
            elif isinstance(event, yaml.CollectionStartEvent):
                self.open(event, path)

    def open(self, event: yaml.CollectionStartEvent, path: Path) -> None:
        if event.tag is not None:
            self.report(event, f"the tag {event.tag!r} is not allowed; write the value alone")
        if len(self.stack) >= DEPTH_LIMIT:
            self.report(event, f"nested more than {DEPTH_LIMIT} deep; a recipe never is")
            raise _Stop
        empty: object = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Open(empty, path, event.anchor))


class _Stop(Exception):  # noqa: N818 - control flow, not an error: reading further would only mislead
    pass


_ADVICE = "type it again, with plain spaces"


def _named(letter: str) -> str:
    """An invisible letter in words."""
    return f"{unicodedata.name(letter, 'an unnamed letter').lower()} (U+{ord(letter):04X}), which cannot be seen,"


def _hidden(text: str, line: int, file: str) -> Problem | None:
    """An invisible letter in the line that YAML failed at, or in the one before it."""
    for number in (line - 1, line):
        lines = text.splitlines()
        written = lines[number].partition(" #")[0] if 0 <= number < len(lines) else ""
        if found := INVISIBLE.search(written):
            place = Place(file, number + 1, found.start() + 1)
            return Problem(place, f"{_named(found[0])} is here; {_ADVICE}")
    return None


def _plainly(problem: str, line: str) -> str:
    """The parser's words in plain ones, where it is known what was written."""
    if "\t" in line and "cannot start any token" in problem:
        return "a tab is in the indentation or before a value; YAML wants spaces"
    if "mapping values are not allowed" in problem:
        return "a second `: ` is in this line; quote the value, such as key: 'a: b'"
    if "cannot start any token" in problem or "expected" in problem:
        found = re.search(r": ?([>%@`]+)", line)
        return f"a value that begins with {found[1][0]} wants quotes, such as key: '>=8'" if found else ""
    return ""


def _surprise(text: str) -> str:
    if text in _PLAIN or not _ANY_OF_THEM.fullmatch(text):
        return ""
    return next(why for pattern, why in _TWO_MEANINGS if pattern.fullmatch(text))


def is_text(word: str) -> bool:
    """Whether a word of letters and digits is text without quotes, to this reader and those that it minds: not so 1e5, 0123, on."""
    numbers = _INT.fullmatch(word) or _FLOAT.fullmatch(word)
    return not (word in _PLAIN or numbers or _ANY_OF_THEM.fullmatch(word))


def read(content: bytes, file: str) -> Document:
    """Read one document.

    Args:
        content: the file's bytes.
        file: the name that its places carry.

    Raises:
        HarnessError: RECIPE_UNREADABLE if the structure cannot be read; lesser problems stand in the document.
    """
    reader = _Reader(file)
    broken = False
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, col = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        problem = Problem(
            Place(file, line, col), f"not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8"
        )
        raise HarnessError(Exit.RECIPE_UNREADABLE, "", [problem]) from error
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            reader.take(event)
    except _Stop:
        broken = True
    except yaml.MarkedYAMLError as error:
        broken = True
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        written = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
        hidden = _hidden(text, mark.line, file) if mark else None
        reader.problems.append(
            hidden
            or Problem(place, f"not YAML: {_plainly(error.problem or '', written) or error.problem or error}")
        )
    except yaml.YAMLError as error:  # a control character, before any mark
        broken = True
        reader.problems.append(Problem(Place(file), f"not YAML: {error}"))
    if not broken and not reader.result:
        broken = True
        reader.problems.append(Problem(Place(file, 1, 1), "the file is empty; write it, or take it away"))
    if broken:
        raise HarnessError(Exit.RECIPE_UNREADABLE, "", reader.problems)
    reader.places.setdefault((), Place(file, 1, 1))
    return Document(reader.result[0], reader.places, reader.problems, reader.wrong)
