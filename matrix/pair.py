"""Points with what they are compared with: the same point of another revision or another recipe, or itself without its kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from matrix import key
from matrix.errors import Exit, HarnessError, Problem
from matrix.expand import all_recipes, expand
from matrix.plan import Pairing, Plan, Selected, make
from matrix.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matrix.expand import Cell
    from matrix.tree import Tree


LOAD = ("protocol", "workload")
"""Parts of the key that say what is sent; arms that are sent different things are not compared."""


@dataclass(frozen=True, slots=True)
class Base:
    """One side of a comparison."""

    pairing: Pairing
    tree: Tree
    """Where its recipes and kernels are."""
    rules: Tree
    """Whose recipes say how the change is judged; never the change itself."""


def paired(
    selected: Iterable[Selected],
    base: Base | None,
    runs: int | None,
    *,
    gone: Iterable[str] = (),
    problems: Iterable[str] = (),
    alone: bool = False,
) -> Plan:
    """The plan of selected points, each with its base where that has the point; the others are `new`, and run alone.

    Args:
        selected: the points.
        base: what they are compared with, if with anything.
        runs: fresh servers of each arm.
        gone: points that only the base has.
        problems: of the base's recipes.
        alone: whether the points are to be measured even if none of them has a base.

    Raises:
        HarnessError: NOTHING_SELECTED where no point has a base; RECIPE_INVALID where a base recipe cannot be read.
    """
    if base is None:
        return make(selected, gone=gone, problems=problems, runs=runs)
    told = list(problems)
    wanted = list(selected)
    theirs = _that_fit(_cells(wanted, base, told), base.pairing, told)
    found = [_with_base(one, theirs.get(one.cell.id), base) for one in wanted]
    if wanted and not any(one.base for one in found) and not alone:
        raise HarnessError(Exit.NOTHING_SELECTED, "\n".join([*told, _nobody(base.pairing)]))
    if base.pairing.kind == "kernel":  # a point without a kernel would be compared with itself
        found = [one for one in found if one.base]
    return make(found, gone=gone, problems=told, runs=runs, pair=base.pairing)


def _nobody(pairing: Pairing) -> str:
    if pairing.kind == "kernel":
        return "no selected point asks for a kernel; none can be compared with kernel=off"
    return f"none of the selected points is in {pairing.name}; nothing can be compared with it"


def _cells(wanted: list[Selected], base: Base, problems: list[str]) -> dict[str, Cell]:
    """The base's cell of each wanted point, by the wanted point's identifier."""
    kind, name = base.pairing.kind, base.pairing.name
    if kind == "kernel":
        return {one.cell.id: _without_kernel(one.cell) for one in wanted if one.cell.kernel}
    if kind == "recipe":
        cells = {cell.id.split("/")[1]: cell for cell in expand(base.tree, name)}
        return {one.cell.id: cell for one in wanted if (cell := cells.get(one.cell.id.split("/")[1]))}
    known = set(all_recipes(base.tree.recipes))
    found: dict[str, Cell] = {}
    for recipe in dict.fromkeys(one.cell.id.split("/")[0] for one in wanted):
        if recipe not in known:
            continue
        try:
            found |= {cell.id: cell for cell in expand(base.tree, recipe)}
        except HarnessError as error:
            problems.append(f"{recipe} of {name} cannot be read; nothing is compared with it:\n{error}")
    return found


def _that_fit(cells: dict[str, Cell], pairing: Pairing, problems: list[str]) -> dict[str, Cell]:
    """Without those whose server cannot start.

    Raises:
        HarnessError: RECIPE_INVALID where that is the selected point itself without its kernel: no other recipe was meant.
    """
    no_room = {name: cell for name, cell in cells.items() if cell.room.refusal}
    if no_room and pairing.kind == "kernel":
        name, cell = next(iter(no_room.items()))
        beside = cell.recipe.extends or "a recipe with more GPUs"
        advice = (
            f"so there is no kernel=off here: compare with another revision (--pair main), or run {beside} beside it "
            "and look at the throughput of a GPU"
        )
        raise HarnessError(
            Exit.RECIPE_INVALID, "", [Problem(cell.place, f"{name} {cell.room.refusal}; {advice}")]
        )
    problems += [
        f"{name} of {pairing.name} {cell.room.refusal}; nothing is compared with it"
        for name, cell in no_room.items()
    ]
    return {name: cell for name, cell in cells.items() if name not in no_room}


def _without_kernel(cell: Cell) -> Cell:
    """The same point without the kernel, on the engine's own path."""
    parts = {name: part for name, part in cell.parts.items() if name != "kernel"}
    return replace(
        cell,
        kernel=None,
        parts=parts,
        server=key.server(parts),
        key=key.key(parts),
        room=cell.room.bare or cell.room,
    )


def _with_base(one: Selected, cell: Cell | None, base: Base) -> Selected:
    if cell is None:
        return replace(one, why="new: the base has no such point")
    if cell.recipe.cluster != one.cell.recipe.cluster:
        raise HarnessError(
            Exit.NOT_COMPARABLE,
            f"{one.cell.id} runs on {one.cell.recipe.cluster} and {cell.id} on {cell.recipe.cluster}; "
            "two arms share one allocation; they must name one cluster",
        )
    vary = tuple(key.differences(cell.parts, one.cell.parts))
    if load := [name for name in vary if name.split(".")[0] in LOAD]:
        return replace(one, why=f"alone: the base has another load ({', '.join(load)})")
    why = f"against {base.pairing.name}: {', '.join(vary) or 'nothing differs'}"
    return replace(one, base=cell, vary=vary, why=why, rules=_rules(cell, base))


def _rules(cell: Cell, base: Base) -> Rules:
    """As the recipe says where the rules come from; the defaults where it is not there, or cannot be read."""
    name = cell.id.split("/")[0]
    if base.rules is base.tree:
        return cell.recipe.verdict
    if name not in all_recipes(base.rules.recipes):
        return Rules()
    try:
        return expand(base.rules, name)[0].recipe.verdict
    except HarnessError:
        return Rules()
