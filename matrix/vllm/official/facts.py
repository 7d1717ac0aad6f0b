"""What an official recipe says for one model and GPU, as facts in a structure of our own: `recipes/official/NAME.yaml`.

They are in the tree, because a pull request's plan is made without a network, and so that a change of them is a diff with a date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from matrix import strict_yaml
from matrix.errors import Exit, HarnessError
from matrix.schema import Strict, validate

if TYPE_CHECKING:
    from matrix.errors import Problem
    from matrix.source import Source

FOLDER = "recipes/official"
HEAD = (
    "# Facts of vLLM's official recipe, resolved for one GPU: ./servematrix upstream RECIPE --official FILE --write\n"
    "# Order of layers and meaning of the parts: docs/recipes.md.\n"
)
Value = bool | str | list[str]
"""Of a flag: true is the bare flag, false its `--no-` form, a list several words."""


class Layer(Strict):
    """What a part of an official recipe adds to a server."""

    flags: dict[str, Value] = {}
    """By vLLM's names without dashes; a part of a JSON flag by its dotted name."""
    env: dict[str, str] = {}
    """Environment of the server."""


class Feature(Layer):
    """What a person turns on or off at the official site; a mode of one is FEATURE.MODE."""

    default: bool = False
    """Whether it is on unless a person turns it off."""


class Origin(Strict):
    """Where the facts are from."""

    repository: str = "vllm-project/recipes"
    path: str
    """Of the file in the repository."""
    commit: str = ""
    """40 hex, where the file came from a checkout."""
    date: str
    """Of the official recipe's last change, as it says itself."""


class Facts(Layer):
    """An official recipe, resolved."""

    source: Origin
    """Where from, and when."""
    model: str
    """The checkpoint's name."""
    variant: str
    """The official recipe's name for it."""
    gpu: str
    """The official recipes' name of the GPU, such as mi300x."""
    gpus: int
    """On a node."""
    image: str
    """As the official site shows it."""
    features: dict[str, Feature] = {}
    """What may be turned on."""
    layouts: dict[str, Layer] = {}
    """Parallelism on one node, named as in a point's identifier -> what only it has."""

    def resolved(self, layout: str, features: list[str] | None) -> Layer:
        """Flags and environment of one layout, with features; those that are on by default where None are named."""
        layers = [self, self.layouts.get(layout, Layer())]
        layers += [
            one
            for name, one in self.features.items()
            if (one.default if features is None else name in features)
        ]
        found = Layer()
        for one in layers:
            found = Layer(flags=found.flags | one.flags, env=found.env | one.env)
        return found

    @property
    def title(self) -> str:
        """In a line."""
        at = f" at {self.source.commit[:10]}" if self.source.commit else ""
        return f"{self.source.repository} {self.source.path}{at} of {self.source.date}: {self.variant} on {self.gpu}"


def path(name: str) -> str:
    """The file of a name."""
    return f"{FOLDER}/{name}.yaml"


def names(source: Source) -> list[str]:
    """The facts that a tree has."""
    files = source.files(FOLDER)
    return [one.removeprefix(f"{FOLDER}/").removesuffix(".yaml") for one in files if one.endswith(".yaml")]


def load(source: Source, name: str) -> Facts:
    """Read and check one file.

    Raises:
        HarnessError: RECIPE_INVALID or RECIPE_UNREADABLE, with every problem at its place.
    """
    document = strict_yaml.read(source.read(path(name)), path(name))
    problems: list[Problem] = []
    found = validate(Facts, document, problems)
    if found is None or problems:
        raise HarnessError(Exit.RECIPE_INVALID, "", problems)
    return found


def text(facts: Facts) -> str:
    """The file's text."""
    order = ("source", "model", "variant", "gpu", "gpus", "image", "flags", "env", "features", "layouts")
    body = facts.model_dump(mode="json")
    return HEAD + yaml.safe_dump({name: body[name] for name in order}, sort_keys=False, width=110)
