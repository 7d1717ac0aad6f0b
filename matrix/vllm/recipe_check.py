"""What a recipe says to its server, compared with the words of its vLLM and with what else is known; each problem at its place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, cast

from matrix import cluster as clusters
from matrix import image as images
from matrix import secrets, strict_yaml
from matrix.errors import HarnessError, Problem, nearest
from matrix.vllm import env_mistakes, meanings, mistakes, refused
from matrix.vllm.canonical import mapping
from matrix.vllm.vocabulary import Vocabulary, version_in, versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matrix.cluster import Cluster
    from matrix.recipe import Env, Flag, Flags, Recipe
    from matrix.strict_yaml import Document, Path

_WIDE_BITS = 16
_BITS = {
    **dict.fromkeys(("int2", "int3"), 3),
    **dict.fromkeys(("mxfp4", "nvfp4", "fp4", "nf4", "int4", "w4a16", "w4a8", "awq", "gptq"), 4),
    **dict.fromkeys(("mxfp6", "fp6", "int6"), 6),
    **dict.fromkeys(("mxfp8", "fp8", "float8", "int8", "w8a8", "w8a16"), 8),
    **dict.fromkeys(("bf16", "fp16", "float16", "bfloat16", "half"), _WIDE_BITS),
    **dict.fromkeys(("fp32", "float32"), 32),
}
"""Words for a precision -> bits of a weight."""
_NAMED = re.compile(rf"(?i)(?<![a-z0-9])({'|'.join(sorted(_BITS, key=len, reverse=True))})(?![0-9])")


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
        _takes_nothing_away(served, said)
    _parts_beside_the_whole(served)
    _one_thing_twice(served)
    _secrets_elsewhere(served)
    _image(served)
    _precision(served)
    return served


@lru_cache(maxsize=64)
def of_cluster(content: bytes, path: str) -> tuple[Cluster | None, tuple[Problem, ...]]:
    """A cluster from its file, and all that is wrong there; looked at once for all recipes that run on it."""
    found: list[Problem] = []
    try:
        document = strict_yaml.read(content, path)
        found += _variables(document)
        return clusters.checked(document), tuple(found)
    except HarnessError as error:
        return None, (*found, *error.problems)


def _variables(document: Document) -> list[Problem]:
    """Variables of a cluster file that no known version of vLLM reads, or that blind a gate, whichever recipe runs there."""
    env = document.value.get("env") if isinstance(document.value, dict) else None
    newest = Vocabulary.of(versions()[-1])
    found = []
    for name, value in (env if isinstance(env, dict) else {}).items():
        texts = (
            [value, *meanings.variables(newest, {str(name): value}).values()]
            if isinstance(value, str)
            else []
        )
        row = next((row for text in texts if (row := refused.of_variable(str(name), text))), None)
        wrong = str(row) if row and row.grade == "error" else env_mistakes.of_no_version(str(name))
        if wrong and not secrets.names_a_secret(str(name)):
            found.append(Problem(document.place(("env", name)), wrong))
    return found


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
    row = next((row for one in _spellings(served, said) if (row := _row(one))), None)
    if row is None:
        return False
    if row.grade == "error":
        served.problem(said.path, str(row))
    elif not served.recipe.because.get(said.name, "").strip():
        served.problem(said.path, f"{row}. If it is meant, say why: because: {{{said.name}: …}}")
    return True


def _row(said: _Said) -> refused.Refused | None:
    if said.kind == "flag":
        return refused.of_flag(said.name, said.value)
    return refused.of_variable(said.name, str(said.value))


def _spellings(served: Served, said: _Said) -> Iterator[_Said]:
    """As the recipe has it, and as the server gets it: another spelling of a value that is refused is refused."""
    yield said
    given = {said.name: said.value}
    handed: Mapping[str, object] = (
        meanings.flags(served.vocabulary, given)
        if said.kind == "flag"
        else meanings.variables(
            served.vocabulary, {said.name: None if said.value is None else str(said.value)}
        )
    )
    for name, value in handed.items():
        yield _Said(said.path, said.kind, name, cast("Flag", value))


def _unknown(served: Served, said: _Said) -> bool:
    """Whether its vLLM has no such flag or variable, or not with such a value."""
    known = served.vocabulary
    if (
        said.kind == "flag"
        and (eats := mistakes.eats_the_next(said.name, said.value))
        and not (known and known.exact)
    ):
        served.problem(said.path, eats)
        return True
    if known is None or said.value is None:
        return False
    wrong = (
        mistakes.of_flag(known, said.name, said.value)
        if said.kind == "flag"
        else env_mistakes.of_variable(known, said.name, str(said.value))
    )
    if not wrong and said.kind == "flag":
        others = (one for one in _spellings(served, said) if one.name in meanings.AS_A_FLAG.values())
        wrong = next(filter(None, (mistakes.of_flag(known, one.name, one.value) for one in others)), None)
    if not wrong and said.kind == "flag" and (doubt := mistakes.doubt_of_flag(known, said.name, said.value)):
        served.note(said.path, doubt)
    if wrong and known.exact:
        served.problem(said.path, wrong)
    elif wrong:
        served.note(said.path, f"{wrong}, as of {known.version}")
    return wrong is not None


def _contradicts_cluster(served: Served, said: _Said) -> None:
    if said.kind == "env" and served.cluster and said.name in served.cluster.env_from:
        name = served.recipe.cluster
        served.problem(said.path, f"{said.name} is set by env_from of {name}, which would win; take it out")


def _takes_nothing_away(served: Served, said: _Said) -> None:
    """Null is for what another recipe, the cluster or the recipe itself has set before."""
    if said.value is not None:
        return
    serve, cluster = served.recipe.serve, served.cluster
    before: set[str] = set(cluster.env) if cluster and said.kind == "env" else set()
    part = "flags" if said.kind == "flag" else "env"
    if said.path[1] == "when":
        earlier = [rule for number, rule in enumerate(serve.when) if number < int(said.path[2])]
        for one in (serve, *earlier):
            before |= getattr(one, part).keys()
    if said.name not in before:
        served.problem(said.path, f"null takes {said.name} away, and nothing has set it; leave it out")


def _parts_beside_the_whole(served: Served) -> None:
    """VLLM makes one JSON of dotted flags and lays it in the place of the whole one, which is lost without a word."""
    flags = [one for one in _all(served.recipe) if one.kind == "flag" and one.value is not None]
    names = {one.name for one in flags}
    for said in flags:
        whole, _, part = said.name.partition(".")
        if part and whole in names:
            served.problem(
                said.path,
                f"{whole} is a mapping here, too, and vLLM forgets that where a part is given by itself; "
                f"write {part} into the mapping",
            )


def _one_thing_twice(served: Served) -> None:
    """Under two names, of which vLLM takes the last one, or ends with an error."""
    first: dict[str, str] = {}
    for said in _all(served.recipe):
        if said.kind != "flag" or said.value is None:
            continue
        name = meanings.own_name(served.vocabulary, said.name)
        value = mapping(said.value)
        inside = [f"{name}.{part}" for part in value] if isinstance(value, dict) else []
        for spelt, raw in ((name, said.name), *((one, one) for one in inside)):
            before = first.setdefault(meanings.ONE_THING.get(spelt, spelt), raw)
            if before != raw:
                served.problem(said.path, f"{raw} and {before} are one thing to vLLM; take one of them out")


def _image(served: Served) -> None:
    image, cluster = served.recipe.image, served.cluster
    if cluster is None or cluster.container.runtime == "none":
        return
    if image.startswith(images.ARCHIVE):
        if not cluster.paths.archives:
            served.problem(
                ("image",), f"{served.recipe.cluster} has no paths.archives, where {image} would be"
            )
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
    flags = recipe.serve.flags
    said, of_flag = _bits(recipe.precision), _bits(flags.get("quantization"))
    named = _bits(recipe.model.rsplit("/", 1)[-1])
    what = (
        of_flag if of_flag and not (named and named[1] < _WIDE_BITS) else named
    )  # a wide model may be narrowed at load
    if named and of_flag and named[1] != of_flag[1] and named[1] < _WIDE_BITS:
        served.problem(
            ("serve", "flags", "quantization"),
            f"quantization {of_flag[0]} cannot be: the weights are {named[0]} by the model's name; take it out, or take the model for it",
        )
    elif what and said and what[1] != said[1]:
        served.problem(
            ("precision",),
            f"precision {recipe.precision} cannot be: the weights are {what[0]}; write {what[0].lower()}",
        )
    if said is None and (hint := nearest(recipe.precision, _BITS)):
        served.problem(("precision",), f"precision {recipe.precision} is none that is known; {hint}")


def _bits(text: object) -> tuple[str, int] | None:
    """A word for a precision in a text, and the bits of a weight; None where it has none, or only a plugin knows."""
    found = _NAMED.search(text) if isinstance(text, str) else None
    return (found[1], _BITS[found[1].lower()]) if found else None
