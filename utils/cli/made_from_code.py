"""Files, and tables inside docs, that are made from code; `check` holds them, `check --write` writes them."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from matrix import cluster, editor_schema, key, recipe
from matrix.errors import Exit
from matrix.metrics import METRICS
from matrix.protocol import PROTOCOL_VERSION, Protocol
from matrix.rules import Rules
from matrix.source import Folder
from matrix.tree import Tree
from utils.cli.descriptions import describe_all
from utils.node.blind_spots import CANNOT_SEE
from utils.node.record import VALUES_NEEDED
from utils.results.recompute import fields as trust
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel


LINES_DEPTH = 4
"""Of the recipe's schema: a flag of the server is a line."""


def _schema(model: type[BaseModel], title: str) -> str:
    """A JSON schema for editors."""
    describe_all()
    schema = model.model_json_schema(by_alias=True)
    body = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}
    return json.dumps(body, indent=1) + "\n"


def _comparison() -> str:
    """What `compare --format json` writes."""
    from utils.results.verdict.outcome import Comparison  # noqa: PLC0415 - it knows Student's t, which is slow to import

    text = _schema(Comparison, "servematrix comparison")
    return text.replace('"schema_version"', '"schema"')


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _fields(model: type[BaseModel]) -> str:
    describe_all()
    rows = []
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else repr(field.get_default(call_default_factory=True))
        default = default if len(default) < 24 else "…"  # noqa: PLR2004 - nested defaults have a table of their own
        rows.append(
            (
                f"`{field.alias or name}`",
                f"`{default}`" if default else "must be given",
                (field.description or "").replace("\n", " "),
            )
        )
    return _table(("key", "default", "meaning"), rows)


def _gates() -> str:
    return "Each gate's condition, as its code says; a failed one makes the record invalid.\n\n" + _table(
        ("gate", "holds when", "cannot see"),
        [(f"`{name}`", text, CANNOT_SEE[name]) for name, text in GATE_TEXTS.items()],
    )


def _metrics() -> str:
    rows = [
        (
            f"`{name}`",
            metric.heading,
            metric.meaning,
            f"{metric.about}; from {metric.floor:g} % on" if metric.judged_as else "",
        )
        for name, metric in METRICS.items()
    ]
    return _table(("name", "heading", "what it is", "judged as; smallest effect that matters"), rows)


def _owners(old: str) -> str:
    """CODEOWNERS: its lines by hand, then a line of each recipe that names its owners."""
    source = Folder(ROOT)
    rows = [(name, recipe.load(source, name)[0].owners) for name in recipe.names(source)]
    lines = [f"/recipes/{name}.yaml {' '.join(owners)}\n" for name, owners in rows if owners]
    return "".join([old.partition(OWNERS)[0], OWNERS, *lines])


def _trust() -> str:
    """Where each field of a record comes from."""
    meanings = "".join(f"- {word}: {text}\n" for word, text in trust.MEANING.items())
    rows = [(f"`{name}`", word, text) for name, (word, text) in trust.FIELDS.items()]
    return f"{meanings}\n{_table(('field', 'where it comes from', 'checked with'), rows)}"


def _inside(name: str, body: Callable[[], str]) -> Callable[[str], str]:
    """Replace what is between two marks of a page."""

    def make(old: str) -> str:
        pattern = rf"(<!-- made from code: {name} -->\n).*?(<!-- end -->)"
        return re.sub(pattern, lambda match: f"{match[1]}{body()}{match[2]}", old, flags=re.DOTALL)

    return make


def _all(*makers: Callable[[str], str]) -> Callable[[str], str]:
    def make(old: str) -> str:
        for maker in makers:
            old = maker(old)
        return old

    return make


def _gate_texts() -> dict[str, str]:
    """First lines of the gates' docstrings, read as text: the modules need numpy, which this environment may lack."""
    names = ("gates.py", "gates_of_machine.py", "gates_of_pace.py")
    text = "\n".join((Path(__file__).parent.parent / "node" / name).read_text() for name in names)
    return dict(re.findall(r'^def ([a-z]\w*)\(e: Evidence\) -> Gate:\n    """(.*?)"""', text, re.MULTILINE))


GATE_TEXTS = _gate_texts()
DOCUMENTED: tuple[type[BaseModel], ...] = (
    *(
        recipe.Recipe,
        recipe.Serve,
        recipe.When,
        recipe.Kernel,
        recipe.Official,
        recipe.Client,
        recipe.Workload,
        recipe.Search,
        Protocol,
        Rules,
    ),
    *cluster.SECTIONS,
)


def _recipe_schema() -> str:
    """For editors: what this tree has, and what each known version of the server takes."""
    describe_all()
    model = recipe.Recipe.model_json_schema(by_alias=True)
    found = editor_schema.schema(model, editor_schema.Known.of(Tree.of(Folder(ROOT))))
    return _lines({**found, "title": "servematrix recipe"}, LINES_DEPTH) + "\n"


def _cluster_schema() -> str:
    """The same for cluster files."""
    describe_all()
    found = editor_schema.of_cluster(cluster.Cluster.model_json_schema(by_alias=True))
    return json.dumps({**found, "title": "servematrix cluster"}, indent=1) + "\n"


def _lines(value: object, depth: int) -> str:
    """JSON with a line an entry down to a depth, so that a diff shows which flag changed."""
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value)
    entries = (f"{json.dumps(name)}: {_lines(inner, depth - 1)}" for name, inner in value.items())
    return "{\n" + ",\n".join(entries) + "\n}"


OWNERS = "# Made by `./servematrix check --write` from the recipes' `owners:`; the last line that fits a file counts.\n"
GENERATED: dict[str, Callable[[str], str]] = {
    "matrix/recipe.schema.json": lambda _: _recipe_schema(),
    "matrix/cluster.schema.json": lambda _: _cluster_schema(),
    "utils/results/verdict/comparison.schema.json": lambda _: _comparison(),
    "docs/recipes.md": _all(
        *(_inside(model.__name__, partial(_fields, model)) for model in DOCUMENTED),
    ),
    ".github/CODEOWNERS": _owners,
    "docs/trust.md": _inside("trust", _trust),
    "docs/metrics.md": _inside("metrics", _metrics),
    "docs/keys.md": _inside(
        "parts",
        lambda: _table(("part", "what it holds"), [(f"`{name}`", text) for name, text in key.PARTS.items()]),
    ),
    "docs/gates.md": _inside("gates", _gates),
    "docs/records.md": _inside(
        "percentiles",
        lambda: (
            f"Protocol version {PROTOCOL_VERSION}.\n\n"
            + _table(
                ("percentile", "values needed"),
                [(name, str(needed)) for name, needed in VALUES_NEEDED.items()],
            )
        ),
    ),
    "docs/exit-codes.md": _inside(
        "exit",
        lambda: _table(
            ("code", "name", "meaning"), [(str(int(code)), f"`{code.name}`", code.meaning) for code in Exit]
        ),
    ),
}
