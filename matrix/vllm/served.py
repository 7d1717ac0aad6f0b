"""What a recipe says to its server, compared with the words of its vLLM and with what else is known; each problem at its place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from matrix import image as images
from matrix import secrets
from matrix.errors import Problem
from matrix.vllm import env_mistakes, mistakes, refused
from matrix.vllm.vocabulary import Vocabulary, version_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matrix.cluster import Cluster
    from matrix.recipe import Env, Flag, Flags, Recipe
    from matrix.strict_yaml import Document, Path

_QUANTIZED = re.compile(r"(?i)(mxfp8|mxfp4|nvfp4|fp8|fp4|int8|int4|w8a8|w4a16|awq|gptq)")
_WIDE = {"bf16", "fp16", "fp32", "float16", "bfloat16"}


@dataclass(frozen=True, slots=True)
class Served:
    """What was found about a recipe."""

    recipe: Recipe
    document: Document
    cluster: Cluster | None
    vocabulary: Vocabulary | None
    """Of the image's vLLM, or the nearest one; None where the image does not say it."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person should know, and nothing refuses."""

    def problem(self, path: Path, text: str) -> None:
        """Something to change, at its place."""
        self.problems.append(Problem(self.document.place(path), text))

    def note(self, path: Path, text: str) -> None:
        """Something to know."""
        self.notes.append(f"{self.document.place(path)}: {text}")


@dataclass(frozen=True, slots=True)
class _Said:
    """One flag or variable of a recipe."""

    path: Path
    kind: Literal["flag", "env"]
    name: str
    value: Flag


def check(recipe: Recipe, document: Document, cluster: Cluster | None) -> Served:
    """Look at every flag, variable and reference of a recipe."""
    version = version_in(recipe.image)
    served = Served(recipe, document, cluster, Vocabulary.of(version) if version else None)
    if served.vocabulary is None:
        served.note(
            ("image",),
            f"{recipe.image} does not say which vLLM it has, so flags and variables are not checked",
        )
    elif not served.vocabulary.exact:
        served.note(
            ("image",),
            f"vLLM {version} is not known here; its flags, variables and load client are taken for those of {served.vocabulary.version}",
        )
    for said in _all(recipe):
        _secret(served, said) or _refused(served, said) or _unknown(served, said)
        _contradicts_cluster(served, said)
    _secrets_elsewhere(served)
    _image(served)
    _precision(served)
    return served


def _all(recipe: Recipe) -> Iterator[_Said]:
    places: list[tuple[Path, Flags, Env]] = [(("serve",), recipe.serve.flags, recipe.serve.env)]
    places += [(("serve", "when", n), rule.flags, rule.env) for n, rule in enumerate(recipe.serve.when)]
    for path, flags, env in places:
        for name, value in flags.items():
            yield _Said((*path, "flags", name), "flag", name, value)
        for name, text in env.items():
            yield _Said((*path, "env", name), "env", name, text)


def _secret(served: Served, said: _Said) -> bool:
    named = said.kind == "env" and secrets.names_a_secret(said.name)
    secret = named or secrets.has_a_secret(said.value)
    if secret:
        served.problem(said.path, f"{said.name} looks like a secret: {secrets.ADVICE}")
    return secret


def _secrets_elsewhere(served: Served) -> None:
    """A description and a reason are shown to everybody as well."""
    others = served.recipe.model_dump(by_alias=True, exclude={"serve"})
    for name, value in others.items():
        if secrets.has_a_secret(value):
            served.problem((name,), f"{name} looks like a secret: {secrets.ADVICE}")


def _refused(served: Served, said: _Said) -> bool:
    """Whether it blinds the harness, or measures something else without a word of the recipe."""
    row = (
        refused.of_flag(said.name, said.value)
        if said.kind == "flag"
        else refused.of_variable(said.name, str(said.value))
    )
    if row is None:
        return False
    if row.grade == "error":
        served.problem(said.path, str(row))
    elif said.name not in served.recipe.because:
        served.problem(said.path, f"{row}. If it is meant, say why: because: {{{said.name}: …}}")
    return True


def _unknown(served: Served, said: _Said) -> bool:
    """Whether its vLLM has no such flag or variable, or not with such a value."""
    known = served.vocabulary
    if known is None or said.value is None:
        return False
    wrong = (
        mistakes.of_flag(known, said.name, said.value)
        if said.kind == "flag"
        else env_mistakes.of_variable(known, said.name, str(said.value))
    )
    if wrong and known.exact:
        served.problem(said.path, wrong)
    elif wrong:
        served.note(said.path, f"{wrong}, as of {known.version}")
    return wrong is not None


def _contradicts_cluster(served: Served, said: _Said) -> None:
    if said.kind == "env" and served.cluster and said.name in served.cluster.env_from:
        name = served.recipe.cluster
        served.problem(said.path, f"{said.name} is set by env_from of {name}, which would win; take it out")


def _image(served: Served) -> None:
    image, cluster = served.recipe.image, served.cluster
    if cluster is None or cluster.container.runtime == "none" or image.startswith(images.ARCHIVE):
        return
    if "==" in image:
        return  # a package: said where the parts of the key are made
    try:
        images.parse(image)
    except ValueError as error:
        served.problem(("image",), str(error))


def _precision(served: Served) -> None:
    """The recipe's precision is for people, who compare by it: it must not say the opposite of the model or its flags."""
    recipe = served.recipe
    named = _QUANTIZED.search(recipe.model.rsplit("/", 1)[-1])
    flag = recipe.serve.flags.get("quantization")
    what = named[1] if named else flag if isinstance(flag, str) and _QUANTIZED.search(flag) else None
    if what and recipe.precision in _WIDE:
        served.problem(
            ("precision",),
            f"precision {recipe.precision} cannot be: the weights are {what}; write what they are, such as fp8",
        )
