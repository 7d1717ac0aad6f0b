"""A file of vllm-project/recipes: its parts that decide a server, and the keys in it that nobody here knows.

Looked up in that repository at 8959cf6 (2026-08-21): 173 files, its CONTRIBUTING.md, and the code of its site.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from matrix import strict_yaml
from matrix.errors import Exit, HarnessError, Problem
from matrix.schema import validate

Word = str | int | float | bool
Text = str | int | float | bool


class Open(BaseModel):
    """A part of the file: unknown keys are kept, so that they can be reported."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, defer_build=True)
    words: ClassVar[frozenset[str]] = frozenset()
    """Keys that decide nothing of a server on one node."""


class Overrides(Open):
    """What a GPU, a generation of GPUs or a brand adds."""

    words = frozenset({"install_note"})
    docker_image: str | dict[str, Any] | None = None
    extra_args: list[Word] = []
    extra_env: dict[str, Text] = {}


class Arguments(Open):
    """What a feature says for some hardware in the place of its own arguments."""

    args: list[Word] = []


class Mode(Open):
    """One of a feature's modes."""

    words = frozenset({"label", "description"})
    args: list[Word] = []
    hardware_overrides: dict[str, Arguments] = {}
    hardware: dict[str, str] = {}
    """`unsupported` by GPU or generation."""
    variants: list[str] = []
    """The only ones that have it; all where none are named."""


class Feature(Open):
    """What a person may turn on."""

    words = frozenset({"label", "description"})
    args: list[Word] = []
    hardware_overrides: dict[str, Arguments] = {}
    modes: dict[str, Mode] = {}
    default_mode: str = ""


class Variant(Open):
    """A checkpoint."""

    words = frozenset({"precision", "description", "label", "min_vllm_version", "precision_hardware"})
    model_id: str = ""
    vram_minimum_gb: int | float = 0
    tp: int | dict[str, int] | None = None
    supported_hardware: list[str] = []
    docker_image: str | dict[str, Any] | None = None
    default_modes: dict[str, str] = {}
    extra_args: list[Word] = []
    extra_env: dict[str, Text] = {}
    hardware_overrides: dict[str, Overrides] = {}


class Strategy(Open):
    """What a recipe changes of a layout."""

    tp: int | dict[str, int] | None = None
    extra_args: list[Word] = []
    extra_env: dict[str, Text] = {}
    hardware_overrides: dict[str, Overrides] = {}


class Served(Open):
    """The model."""

    words = frozenset(
        {
            *("min_vllm_version", "architecture", "parameter_count", "active_parameters", "context_length"),
            *("install", "docker_source", "supports_dcp"),
        }
    )
    model_id: str
    docker_image: str | dict[str, Any] | None = None
    nightly_required: bool = False
    base_args: list[Word] = []
    base_env: dict[str, Text] = {}


class Meta(Open):
    """What the file says of itself; all of it is for people, but the dates."""

    date_added: str = ""
    date_updated: str = ""


class Official(Open):
    """The whole file."""

    words = frozenset(
        {"meta", "guide", "kv_offload_support", "default_strategy", "hardware_notes", "strategy_min_gpus"}
    )
    meta: Meta = Meta()
    model: Served
    features: dict[str, Feature] = {}
    opt_in_features: list[str] = []
    variants: dict[str, Variant] = {}
    compatible_strategies: list[str] = []
    hardware_overrides: dict[str, Overrides] = {}
    strategy_overrides: dict[str, Strategy] = {}


def read(content: bytes, file: str) -> tuple[Official, list[Problem]]:
    """The file, and the keys in it that are not understood, each at its place.

    Args:
        content: the file's bytes.
        file: the name that its places carry.

    Raises:
        HarnessError: RECIPE_UNREADABLE where it is no YAML; RECIPE_INVALID where a part that is needed has another form.
    """
    document = strict_yaml.read(content, file)
    unclear = [one for one in document.problems if one.message != strict_yaml.EMPTY]
    document.problems = []
    problems: list[Problem] = []
    found = validate(Official, document, problems)
    if found is None:
        raise HarnessError(
            Exit.RECIPE_INVALID,
            f"{file} has not the form of vllm-project/recipes that is known here; give a file such as models/ORG/MODEL.yaml",
            problems,
        )
    return found, unclear + [
        Problem(document.place(path), f"{path[-1]!r} is not known here, and nothing of it is compared")
        for path in _unknown(found, ())
    ]


def _unknown(part: object, path: strict_yaml.Path) -> list[strict_yaml.Path]:
    """Paths of the keys that no model names."""
    if isinstance(part, dict):
        return [one for name, inner in part.items() for one in _unknown(inner, (*path, name))]
    if not isinstance(part, Open) or isinstance(part, Meta):
        return []
    found = [(*path, name) for name in part.model_extra or {} if name not in part.words]
    if path[:1] == ("strategy_overrides",) and not str(path[1]).startswith("single_node_"):
        return []  # of several nodes, which no recipe here has
    return found + [
        one for name in type(part).model_fields for one in _unknown(getattr(part, name), (*path, name))
    ]
