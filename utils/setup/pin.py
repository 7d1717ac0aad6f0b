"""Digests in recipes: which file says an image, and that file with nothing else changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import yaml

from matrix import image as images
from matrix import recipe as recipes
from matrix.errors import Exit, HarnessError, Problem
from utils.setup.registry import without_digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matrix.errors import Place
    from matrix.image import Reference
    from matrix.source import Source
    from utils.setup.registry import Registry


@dataclass(frozen=True, slots=True)
class Pin:
    """An image that a file says, and what its tag is today."""

    place: Place
    """Where `image` is, in the recipe itself or in what it extends."""
    old: Reference
    new: Reference

    @property
    def file(self) -> str:
        """Relative to the tree."""
        return self.place.file


def wanted(source: Source, names: Iterable[str]) -> tuple[dict[Place, Reference], list[str]]:
    """Where the recipes' images are said, each place once; and a line for each that no registry has.

    Raises:
        HarnessError: RECIPE_INVALID for an image that is none.
    """
    found: dict[Place, Reference] = {}
    told: list[str] = []
    for name in names:
        recipe, document = recipes.load(source, name)
        place = document.place(("image",))
        if recipe.image.startswith(images.ARCHIVE):
            told.append(f"{place}: {recipe.image} is a file, and no registry's")
        elif "==" in recipe.image:
            told.append(f"{place}: {recipe.image} is a package, which requirements/*.lock pins")
        else:
            try:
                found[place] = images.parse(recipe.image)
            except ValueError as error:
                raise HarnessError(Exit.RECIPE_INVALID, "", [Problem(place, str(error))]) from error
    return found, list(dict.fromkeys(told))


def asked(registry: Registry, places: dict[Place, Reference]) -> list[Pin]:
    """What each tag is today; a reference without a tag stays as it is, if the registry has it.

    Raises:
        HarnessError: REGISTRY_FAILED.
    """
    known: dict[Reference, str] = {}
    made = []
    for place, old in places.items():
        tag = without_digest(old)
        if tag not in known:
            known[tag] = registry.digest(tag)
        made.append(Pin(place, old, replace(old, digest=known[tag])))
    return made


def rewritten(content: bytes, pin: Pin) -> bytes:
    """The file with the new reference in the place of the old one; every other byte stays.

    Raises:
        HarnessError: RECIPE_INVALID where the value is not written out there.
    """
    text = content.decode("utf-8")
    start, end = _value(text, pin)
    at = text.rfind(str(pin.old), start, end)
    if at < 0:
        raise HarnessError(
            Exit.RECIPE_INVALID,
            "",
            [Problem(pin.place, f"the image is not written out here; write image: {pin.old}, and pin again")],
        )
    return f"{text[:at]}{pin.new}{text[at + len(str(pin.old)) :]}".encode()


def _value(text: str, pin: Pin) -> tuple[int, int]:
    """From where to where the value of the top level's `image` goes, in characters."""
    depth, key = 0, None
    for event in yaml.parse(text, Loader=yaml.SafeLoader):  # the one in Python: it counts in characters
        if depth == 1 and isinstance(event, yaml.ScalarEvent) and key is None:
            key = event.value
            continue
        if depth == 1 and isinstance(event, yaml.NodeEvent):
            if key == "image" and event.start_mark and event.end_mark:
                return event.start_mark.index, event.end_mark.index
            key = None
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    raise HarnessError(
        Exit.RECIPE_INVALID, "", [Problem(pin.place, "the image is not found here; write it as image: NAME")]
    )
