"""How many modules a newcomer passes through from the verb `run` to the table, and how often the way climbs back.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/walk.py

The way is WAY: who hands the work on to whom. What a step only asks, such as `matrix` for the points, is behind its name and
not followed. Each step must be called by the one that it is indented under, or the way is not the code's any more.
"""

from __future__ import annotations

import ast
import itertools
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_MODULES = 10
WAY = """\
utils.cli.run: run
  utils.pipeline.run: run
    utils.pipeline.plan: plan
    utils.pipeline.execute: order_of
    utils.pipeline.execute: execute
      utils.launch.local: Local.run
        utils.launch.local: Local._job_once
          utils.launch.local: Local._job
            utils.launch.local: _measure
              utils.launch.local: _start
                utils.launch.local: _node
                  utils.node.__main__: main
                    utils.node.run: outcome
                      utils.node.run: run_job
                        utils.node.run: _Run.execute
                          utils.node.run: _Run._point
                            utils.node.point: measure
      utils.pipeline.execute: _show
        utils.pipeline.execute: _table
          utils.results.collect: collect
          utils.show.tables: results
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A function on the way, and the one that calls it."""

    module: str
    function: str
    caller: Step | None

    def __str__(self) -> str:
        return f"{self.module}: {self.function}"


@dataclass(frozen=True, slots=True)
class Walk:
    """What the way costs its reader."""

    modules: tuple[str, ...]
    """Each once, in the order in which they are entered."""
    climbs: tuple[tuple[str, str], ...]
    """From which module back to which one of a package above, to go on from there."""


def steps(way: str = WAY) -> list[Step]:
    """The lines of a way; a step's caller is the nearest line above it that is indented less."""
    found: list[Step] = []
    open_steps: list[Step] = []
    for line in way.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        module, _, function = line.strip().partition(": ")
        del open_steps[depth:]
        open_steps.append(Step(module, function, open_steps[-1] if open_steps else None))
        found.append(open_steps[-1])
    return found


def broken(way: list[Step], root: Path = ROOT) -> list[str]:
    """Steps that are not in the code, or that their caller does not call by name."""
    problems = []
    for step in way:
        if _function(root, step) is None:
            problems.append(f"{step} is not there")
        elif step.caller and (body := _function(root, step.caller)):
            imports = _imports(_parsed(root, step.caller.module))
            if not any(_is_call(node, step, step.caller, imports) for node in ast.walk(body)):
                problems.append(f"{step.caller} does not call {step}")
    return problems


def walk(way: list[Step], root: Path = ROOT) -> Walk:
    """What a way costs; a reader who comes to a step by another one than the last goes back to its caller first."""
    climbs = []
    for last, step in itertools.pairwise(way):
        if step.caller and step.caller is not last:
            back = (last.module, step.caller.module)
            climbs += [back] if _floor(back[0], root) > _floor(back[1], root) else []
    return Walk(tuple(dict.fromkeys(step.module for step in way)), tuple(climbs))


def _parsed(root: Path, module: str) -> ast.Module:
    return ast.parse((root / f"{module.replace('.', '/')}.py").read_text())


def _function(root: Path, step: Step) -> ast.AST | None:
    found: ast.AST | None = _parsed(root, step.module)
    for name in step.function.split("."):
        inside = getattr(found, "body", ())
        found = next((node for node in inside if getattr(node, "name", None) == name), None)
    return found


def _imports(tree: ast.Module) -> dict[str, str]:
    """What a module's names stand for, as dotted paths."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _is_call(node: ast.AST, step: Step, caller: Step, imports: dict[str, str]) -> bool:
    """Whether a node of the caller calls the step: a function by its imported name, a method by its own name, a program by `-m`."""
    if step.module.endswith(".__main__"):
        return isinstance(node, ast.Constant) and node.value == step.module.removesuffix(".__main__")
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return imports.get(name, f"{caller.module}.{name}") == f"{step.module}.{step.function}"
        case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if module in imports:
            return f"{imports[module]}.{name}" == f"{step.module}.{step.function}"
        case ast.Call(func=ast.Attribute(attr=name)):
            return "." in step.function and step.function.endswith(f".{name}")
    return False


def _floor(module: str, root: Path) -> int:
    """Which layer of the import contract a module is in, counted from the top."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    packages = [layer.split(" | ") for layer in layers]
    return next(
        number
        for number, names in enumerate(packages)
        if any(f"{module}.".startswith(f"{name}.") for name in names)
    )


def main() -> None:
    """Print the way, or what is wrong with it."""
    way = steps()
    if problems := broken(way):
        sys.exit("\n".join(problems))
    found = walk(way)
    print(*found.modules, sep="\n")
    print(f"{len(found.modules)} modules (at most {MOST_MODULES}), {len(found.climbs)} climbs:")
    print(*(f"  from {low} back to {high}" for low, high in found.climbs), sep="\n")
    sys.exit(len(found.modules) > MOST_MODULES)


if __name__ == "__main__":
    main()
