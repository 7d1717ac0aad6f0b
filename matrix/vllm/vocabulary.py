"""What one vLLM version knows, as files in `vocabulary/` that `generate` made from vLLM's own parser. Read only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal

from matrix.schema import Strict

FOLDER = Path(__file__).resolve().parent / "vocabulary"
NEAR = 0.6
"""How alike two words must be for a hint; as in `matrix.errors.nearest`."""
Scalar = bool | int | float | str
Kind = Literal["bool", "int", "float", "str", "choice", "json", "list"]
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class Flag(Strict):
    """A flag of `vllm serve`, without its dashes."""

    type: Kind
    of: Kind | None = None
    """What a list holds."""
    choices: list[Scalar] = []
    """All that vLLM takes, on every device."""
    known: list[str] = []
    """What vLLM has; a plugin may add to it, or a device may take another part of it."""
    any_case: bool = False
    """Choices may be written in small letters."""
    aliases: list[str] = []
    """Other spellings; short ones have their dash."""
    no: bool = False
    """There is a `--no-` form."""
    opposites: list[str] = []
    """Spellings that turn it off; from 0.33 on, `enable-x` and `disable-x` are one flag."""
    bare: bool = False
    """May be given without a value, and with one."""
    human: bool = False
    """A number may be 1k (1000) or 1K (1024)."""
    words: list[str] = []
    """Words that a number may be instead."""
    text: bool = False
    """Text that is no JSON is taken too."""
    default: Scalar | None = None
    """Where it is a plain value, and vLLM's own on every device that was asked."""
    min: float | None = None
    above: float | None = None
    """The value must be greater."""
    max: float | None = None
    below: float | None = None
    """The value must be less."""
    fields: dict[str, str | list[Scalar]] = {}
    """Parts of a JSON flag by dotted name: a type, or choices."""
    more: bool = False
    """Other parts than these are taken too."""
    platform: bool = False
    """Which of the values work depends on the device."""
    deprecated: bool = False
    instead: str = ""
    """What vLLM says to use instead of a deprecated one."""


class Variable(Strict):
    """A `VLLM_…` variable of the environment."""

    type: Kind | Literal["path"]
    choices: list[str] = []
    any_case: bool = False
    on: list[str] = []
    """Texts that turn a switch on; others turn it off, if it is not strict."""
    strict: bool = False
    """vLLM ends with an error on any text but 0 and 1."""
    undecided: bool = False
    """Only 0 turns it off; with another text vLLM decides, as if the variable were not set."""
    default: Scalar | None = None


class _File(Strict):
    version: str
    made: Literal["parser", "read"]
    """By running vLLM's parser, or by reading its sources."""
    package: str
    devices: list[str]
    """For which the parser was built."""
    flags: dict[str, Flag]
    env: dict[str, Variable]
    elsewhere: list[str]
    """Variables that vLLM reads beside its table."""
    client: list[str]
    """Flags of `vllm bench serve`."""
    series: list[str]
    """Series of /metrics without `vllm:`; counters end in `_total` on the wire."""
    routes: list[str]
    """Paths of the server; some exist with certain flags alone."""


@dataclass(frozen=True)
class Vocabulary:
    """What a version knows."""

    file: _File
    exact: bool
    """It is of the version that was asked for, and not of the nearest known one."""

    @classmethod
    def of(cls, version: str) -> Vocabulary:
        """The vocabulary of a version such as 0.32.0 or v0.32.0+cpu.

        Without a file of its own: that of the same minor version, else of the next lower, else of the oldest.

        Raises:
            ValueError: for a text that is no version.
        """
        wanted, known = _numbers(version), [_numbers(name) for name in versions()]
        below = [one for one in known if one[:2] <= wanted[:2]]
        taken = wanted if wanted in known else max(below, default=known[0])
        plain = re.fullmatch(r"v?[\d.]+(\+\w+)?", version) is not None
        return cls(_read(".".join(map(str, taken))), exact=taken == wanted and plain)

    @property
    def version(self) -> str:
        """Whose words these are."""
        return self.file.version

    @property
    def names(self) -> dict[str, str]:
        """Every spelling of two dashes -> the flag's own name."""
        return _names(self.file.version)

    def flag(self, name: str) -> Flag | None:
        """A flag by its name or another spelling."""
        return self.file.flags.get(self.names.get(name, ""))

    def env(self, name: str) -> Variable | None:
        """A variable by its name."""
        return self.file.env.get(name)

    def suggest(self, name: str) -> str | None:
        """The flag that was probably meant: the one that begins so, else the one that is most alike."""
        begun = [known for known in self.names if known.startswith(name)]
        near = begun if len(begun) == 1 else get_close_matches(name, list(self.names), n=1, cutoff=NEAR)
        return self.names[near[0]] if near else None


def version_in(image: str) -> str | None:
    """The vLLM version that an image or a package names, such as 0.32.0 of vllm/vllm-openai-rocm:v0.32.0; None for others."""
    name, _, tag = image.partition("@")[0].rpartition(":")
    if match := re.fullmatch(r"vllm(?:-[a-z0-9]+)*==(\d+\.[\w.+]+)", image):
        return match[1]
    match = re.fullmatch(r"v?(\d+\.\d+\.\d+(?:(?:rc|\.post)\d+)?)(?:[-_+].*)?", tag)
    return match[1] if match and "vllm" in name.rsplit("/", 1)[-1] else None


@cache
def versions() -> tuple[str, ...]:
    """The versions that have a file, oldest first."""
    return tuple(sorted((path.stem for path in FOLDER.glob("*.json")), key=_numbers))


def known_in(part: Literal["flags", "env"], name: str) -> list[str]:
    """The versions that know a flag or a variable by this name."""
    return [version for version in versions() if name in getattr(_read(version), part)]


def is_known(part: Literal["flags", "env"], name: str) -> bool:
    """Whether any version knows a flag or a variable by this name; the newest is asked first, which knows most of them."""
    return any(name in getattr(_read(version), part) for version in reversed(versions()))


def _numbers(version: str) -> tuple[int, int, int]:
    match = _VERSION.match(version.removeprefix("v"))
    if not match:
        raise ValueError(f"{version!r} is no version of vLLM")
    return int(match[1]), int(match[2]), int(match[3] or 0)


@cache
def _read(version: str) -> _File:
    return _File.model_validate_json((FOLDER / f"{version}.json").read_bytes())


@cache
def _names(version: str) -> dict[str, str]:
    flags = _read(version).flags
    others = {one: name for name, flag in flags.items() for one in flag.aliases if not one.startswith("-")}
    return {**others, **{name: name for name in flags}}
