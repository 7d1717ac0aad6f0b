"""A recipe beside the facts of an official one: what only one of them has, and what differs, each at its place in our recipe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from matrix import recipe as recipes
from matrix.expand import expand, shape
from matrix.vllm import meanings
from matrix.vllm.canonical import flag_text, is_default
from matrix.vllm.flag_names import OWNED_FLAGS
from matrix.vllm.official import facts as official
from matrix.vllm.vocabulary import Vocabulary, version_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matrix.errors import Place
    from matrix.expand import Cell
    from matrix.recipe import Recipe
    from matrix.strict_yaml import Document, Path
    from matrix.tree import Tree
    from matrix.vllm.official.facts import Facts

Where = Literal["ours only", "theirs only", "different"]
LISTS: tuple[Where, ...] = ("ours only", "theirs only", "different")
Kind = Literal["model", "image", "flag", "env", "layout", "kernel", "vehicle"]
Said = dict[tuple[Kind, str], str]
"""What a point's server is, by kind and name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the comparison."""

    where: Where
    kind: Kind
    name: str
    ours: str
    theirs: str
    place: Place
    """In our recipe: where it says so, or where it would."""
    points: int
    """How many points it is about."""
    of: int
    because: str
    """The recipe's reason, where it gives one."""

    def __str__(self) -> str:
        what = self.kind if self.kind == self.name else f"{self.kind} {self.name}"
        values = {
            "ours only": self.ours,
            "theirs only": self.theirs,
            "different": f"{self.ours}, theirs {self.theirs}",
        }
        share = "" if self.points == self.of else f" ({self.points} of {self.of} points)"
        reason = f", because {self.because}" if self.because else ""
        value = f": {said}" if (said := values[self.where]) else ""
        return f"{self.place}: {what}{value}{share}{reason}"


def of_recipe(tree: Tree, name: str, facts: Facts | None = None) -> list[Difference]:
    """All differences of a recipe, in the order of the lists; none for one that names no official counterpart.

    Args:
        tree: where the recipe is.
        name: of the recipe.
        facts: what to compare with; None means what the recipe names.

    Raises:
        HarnessError: where the recipe or the facts cannot be read.
    """
    recipe, document = recipes.load(tree.recipes, name)
    named = recipe.official
    if facts is None:
        if named is None:
            return []
        cells = expand(tree, name)  # refuses facts that are not there
        return _compared(cells, recipe, document, official.load(tree.recipes, named.facts))
    return _compared(expand(tree, name), recipe, document, facts)


def unexplained(tree: Tree, names: list[str]) -> list[str]:
    """Differences without a reason, of the recipes that name an official counterpart, as lines."""
    return [f"{one.where}: {one}" for name in names for one in of_recipe(tree, name) if not one.because]


def _compared(cells: list[Cell], recipe: Recipe, document: Document, facts: Facts) -> list[Difference]:
    version = version_in(recipe.image)
    words = Vocabulary.of(version) if version else None
    features = recipe.official.features if recipe.official else None
    counted: dict[tuple[Where, Kind, str, str, str], int] = {}
    for cell in cells:
        ours = _ours(cell, words)
        layer = facts.resolved(shape(cell.search), features)
        theirs = _theirs(facts, layer.flags, layer.env, words)
        for key in sorted(ours.keys() | theirs.keys()):
            if found := _difference(key, ours.get(key), theirs.get(key), cell):
                counted[found] = counted.get(found, 0) + 1
    measured = {shape(cell.search): cell for cell in cells}
    made = [
        Difference(
            *(where, kind, name, ours, theirs),
            _place(document, recipe, (kind, name, ours), words),
            *(points, len(cells)),
            _because(recipe, name),
        )
        for (where, kind, name, ours, theirs), points in counted.items()
    ]
    if facts.layouts:
        made += _layouts(measured, cells, recipe, facts)
        made += [
            Difference(
                *("theirs only", "layout", name, "", ""),
                document.place(("workloads",)),
                *(len(cells), len(cells)),
                _because(recipe, name),
            )
            for name in facts.layouts
            if name not in measured
        ]
    return sorted(made, key=lambda one: (LISTS.index(one.where), one.place, one.kind, one.name))


def _layouts(
    measured: Mapping[str, Cell], cells: list[Cell], recipe: Recipe, facts: Facts
) -> Iterator[Difference]:
    """Layouts that only we measure."""
    for name, cell in measured.items():
        if name not in facts.layouts:
            count = sum(shape(one.search) == name for one in cells)
            yield Difference(
                *("ours only", "layout", name, "", ""), cell.place, count, len(cells), _because(recipe, name)
            )


def _ours(cell: Cell, words: Vocabulary | None) -> Said:
    """What a point's server is by the recipe; what the cluster gives every server is no part of it."""
    recipe = cell.recipe
    set_here = {*recipe.serve.env, *(name for rule in recipe.serve.when for name in rule.env)}
    said: Said = {("model", "model"): recipe.model, ("image", "image"): recipe.image.partition("@")[0]}
    said |= {("env", name): value for name, value in cell.env.items() if name in set_here}
    said |= _flags(cell.flags, words)
    if cell.kernel:
        said["kernel", "kernel"] = " ".join((cell.kernel["name"], cell.kernel["variant"])).strip()
    if cell.vehicle:
        said["vehicle", "vehicle"] = cell.vehicle["name"]
    return said


def _theirs(
    facts: Facts, flags: Mapping[str, official.Value], env: Mapping[str, str], words: Vocabulary | None
) -> Said:
    said: Said = {("model", "model"): facts.model, ("image", "image"): facts.image.partition("@")[0]}
    said |= {("env", name): value for name, value in meanings.variables(words, env).items()}
    return said | _flags(flags, words)


def _flags(flags: Mapping[str, Any], words: Vocabulary | None) -> Said:
    """Flags in one spelling; a mapping by its parts, and without what vLLM does anyway."""
    said: Said = {}
    for name, value in meanings.flags(words, flags).items():
        if words and is_default(words, name, value):
            continue
        for part, inner in _parts(name, value):
            said["flag", part] = _text(inner)
    return said


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any value of a flag
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            value = str(value)
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from _parts(f"{name}.{key}", inner)


def _text(value: object) -> str:
    """As a recipe writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    text = flag_text(value, words=True)
    return " ".join(text) if isinstance(text, list) else str(text)


def _difference(
    key: tuple[Kind, str], ours: str | None, theirs: str | None, cell: Cell
) -> tuple[Where, Kind, str, str, str] | None:
    kind, name = key
    if ours == theirs:
        return None
    if theirs is None:
        return None if kind == "flag" and name in OWNED_FLAGS else ("ours only", kind, name, ours or "", "")
    if ours is None:
        if kind == "env" and cell.env.get(name) == theirs:
            return None  # the cluster gives it
        return "theirs only", kind, name, "", theirs
    return "different", kind, name, ours, theirs


def _because(recipe: Recipe, name: str) -> str:
    """Of a part of a flag also the whole flag's reason."""
    names = [name, *(part for part, flag in meanings.ONE_THING.items() if flag == name)]
    spelt = [one for name in names for one in (name, name.partition(".")[0])]
    return next((recipe.because[one] for one in spelt if recipe.because.get(one)), "")


def _place(
    document: Document, recipe: Recipe, what: tuple[Kind, str, str], words: Vocabulary | None
) -> Place:
    """Where our recipe says it: the last rule with that value, else the server's own; of what it lacks, where it would be."""
    kind, name, ours = what
    if kind not in {"flag", "env"}:
        return document.place((kind,))
    group = "flags" if kind == "flag" else "env"
    places: list[tuple[Path, Mapping[str, Any]]] = [(("serve", group), getattr(recipe.serve, group))]
    places += [
        (("serve", "when", n, group), getattr(rule, group)) for n, rule in enumerate(recipe.serve.when)
    ]
    for path, said in reversed(places):
        for whole, value in said.items():
            one = {whole: value}
            meant = meanings.flags(words, one) if kind == "flag" else meanings.variables(words, one)
            parts = {
                part: _text(inner) for spelt, below in meant.items() for part, inner in _parts(spelt, below)
            }
            if parts.get(name) == ours:
                inside = name[len(whole) + 1 :].split(".") if name.startswith(f"{whole}.") else []
                return document.place((*path, whole, *inside))
    return document.place(("serve", group, name))
