"""Which points: by pattern, or by what changed between two trees."""

from __future__ import annotations

from contextlib import suppress
from fnmatch import fnmatchcase, translate
from pathlib import PurePosixPath
from re import compile as compile_pattern
from typing import TYPE_CHECKING, NoReturn

from matrix import key
from matrix.errors import Exit, HarnessError, did_you_mean, nearest
from matrix.expand import all_recipes, expand
from matrix.pair import paired
from matrix.plan import Selected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matrix.expand import Cell
    from matrix.pair import Base
    from matrix.plan import Plan
    from matrix.tree import Tree


MOST_POINTS = 10_000
"""Of all recipes that are read at once."""

MOST_BROKEN = 20
"""Recipes whose problems are told at once."""


def chosen(tree: Tree, selectors: Sequence[str], base: Base | None = None, runs: int | None = None) -> Plan:
    """The plan of the points that match any selector, compared with a base where one is given; no selector means all of them."""
    recipes = all_recipes(tree.recipes)
    wanted = recipes
    if selectors and not any(set("*?[") & set(text.split("/")[0]) for text in selectors):
        wanted = [name for name in recipes if name in {text.split("/")[0] for text in selectors}]
    cells = [cell for cells in _expand_all(tree, wanted).values() for cell in cells]
    found = [Selected(cell) for cell in matching(cells, selectors)]
    for selector in selectors or [""]:
        if not (matching(cells, [selector]) if selector else cells):
            _nothing(selector, recipes, [cell.id for cell in cells])
    return paired(found, base, runs, gone=_gone(base, selectors, {one.cell.id for one in found}))


def changed(
    base: Tree,
    head: Tree,
    selectors: Sequence[str],
    with_base: Base | None = None,
    runs: int | None = None,
) -> Plan:
    """The plan of the points whose key differs between two trees, both read by this code.

    A recipe of the base that cannot be read any more counts as changed as a whole; its error is in the plan.
    """
    after = {
        cell.id: cell for cells in _expand_all(head, all_recipes(head.recipes)).values() for cell in cells
    }
    before: dict[str, Cell] = {}
    problems: list[str] = []
    unread: set[str] = set()
    for name in all_recipes(base.recipes):
        try:
            before |= {cell.id: cell for cell in expand(base, name)}
        except HarnessError as error:
            unread.add(name)
            problems.append(
                f"the base's {name} cannot be read, so all of its points count as changed:\n{error}"
            )
    selected = []
    for cell in matching(list(after.values()), selectors):
        old = before.get(cell.id)
        if cell.id.split("/")[0] in unread:
            selected.append(Selected(cell, "changed: the base's recipe cannot be read"))
        elif old is None:
            selected.append(Selected(cell, "new"))
        elif old.key != cell.key:
            vary = tuple(key.differences(old.parts, cell.parts))
            selected.append(Selected(cell, f"changed: {', '.join(vary)}", vary))
    gone = [cell.id for cell in matching(list(before.values()), selectors) if cell.id not in after]
    return paired(selected, with_base, runs, gone=gone, problems=problems, alone=True)


def _gone(base: Base | None, selectors: Sequence[str], there: set[str]) -> list[str]:
    """Points of the base's revision that were selected and that the head has not; a recipe that cannot be read is told elsewhere."""
    if base is None or base.pairing.kind != "revision":
        return []
    found: list[Cell] = []
    for name in all_recipes(base.tree.recipes):
        if not selectors or any(fnmatchcase(name, text.split("/")[0]) for text in selectors):
            with suppress(HarnessError):
                found += expand(base.tree, name)
    return [cell.id for cell in matching(found, selectors) if cell.id not in there]


def matching(cells: Sequence[Cell], selectors: Sequence[str]) -> list[Cell]:
    """The cells that match any selector."""
    wanted = set(names_of([cell.id for cell in cells], selectors))
    return [cell for cell in cells if cell.id in wanted]


def names_of(points: Sequence[str], selectors: Sequence[str]) -> list[str]:
    """The points that match any selector, as a pattern on the identifier or on the recipe's name; every verb asks here."""
    if not selectors:
        return list(points)
    patterns = [compile_pattern(translate(form)) for text in selectors for form in (text, f"{text}/*")]
    return [point for point in points if any(pattern.match(point) for pattern in patterns)]


def recipes_of(known: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Recipes by name or pattern, each once.

    Raises:
        HarnessError: NOTHING_SELECTED.
    """
    found: dict[str, None] = {}
    for one in asked:
        fitting = [name for name in known if fnmatchcase(name, one)]
        if not fitting:
            raise HarnessError(Exit.NOTHING_SELECTED, f"no recipe {one!r}; {did_you_mean(one, known)}")
        found |= dict.fromkeys(fitting)
    return list(found)


def hint(selector: str, points: Iterable[str], recipes: Iterable[str] = ()) -> str:
    """What may have been meant by a selector that matches nothing; empty where nothing is known at all.

    Args:
        selector: as it was given.
        points: what there is.
        recipes: more names, of recipes whose points are not known.
    """
    known = sorted({*recipes, *(point.split("/")[0] for point in points)})
    if selector.endswith((".yaml", ".yml")):  # a shell completes the name of the file
        name = PurePosixPath(selector).stem
        if name in known:
            return f"write {name!r}, the recipe's name"
        return f"recipes are files of recipes/, not of its folders: move it there, and write {name!r}"
    recipe, _, short = selector.partition("/")
    if not any(fnmatchcase(name, recipe) for name in known):
        more = [name for name in known if name.startswith(recipe)] if recipe else []
        inside = [name for name in known if recipe in name] if len(recipe) > 2 else []  # noqa: PLR2004 - a word
        if more or inside:
            whole = (more or inside) if len(more or inside) == 1 else [f"{'' if more else '*'}{recipe}*"]
            return f"did you mean {whole[0]!r}?"
        near = nearest(recipe, known)
        return near or f"known: {', '.join(known[:_SHOWN])}{', …' if len(known) > _SHOWN else ''}"
    inside = [point for point in points if fnmatchcase(point.split("/")[0], recipe)]
    if near := nearest(f"{recipe}/{short}", inside):
        return near
    shorts = sorted({point.split("/")[1] for point in inside})
    return f"points of {recipe}: {', '.join(shorts[:_SHOWN])}{', …' if len(shorts) > _SHOWN else ''}"


_SHOWN = 6
"""Points in a hint: a line that a person reads to its end."""


def _expand_all(tree: Tree, names: Sequence[str]) -> dict[str, list[Cell]]:
    """Every recipe's cells; the problems of all recipes are told at once."""
    found: dict[str, list[Cell]] = {}
    errors: list[HarnessError] = []
    for name in names:
        try:
            found[name] = expand(tree, name)
        except HarnessError as error:
            errors.append(error)
            if len(errors) >= MOST_BROKEN:
                break
        if sum(map(len, found.values())) > MOST_POINTS:
            raise HarnessError(
                Exit.RECIPE_INVALID,
                f"the recipes have more than {MOST_POINTS:,} points in all; take some out",
            )
    if errors:
        worst = max(error.exit_code for error in errors)
        raise HarnessError(worst, "", [problem for error in errors for problem in error.problems])
    return found


def _nothing(selector: str, recipes: Sequence[str], points: Sequence[str]) -> NoReturn:
    if not recipes:
        raise HarnessError(
            Exit.NOTHING_SELECTED, "there is no recipe in recipes/; write recipes/NAME.yaml (docs/recipes.md)"
        )
    raise HarnessError(
        Exit.NOTHING_SELECTED,
        f"no point matches {selector}; {hint(selector, points, recipes)}\nsee what there is: ./servematrix plan",
    )
