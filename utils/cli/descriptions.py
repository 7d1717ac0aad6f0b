"""The words behind a model's fields, for schemas and tables that are made from code.

Pydantic can read them itself while a class is made, which costs every command a third of its start-up.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from functools import cache
from typing import TYPE_CHECKING

from matrix.schema import Strict, Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel


_DESCRIBED: set[type[BaseModel]] = set()


def describe_all() -> None:
    """Give every field of every model that is imported the text below it."""
    models = [*_below(Strict), *_below(Value)]
    new = [model for model in dict.fromkeys(models) if model not in _DESCRIBED]
    for model in new:
        texts = [fields(one) for one in reversed(model.__mro__) if issubclass(one, (Strict, Value))]
        for name, text in ((name, text) for of_class in texts for name, text in of_class.items()):
            if name in model.model_fields:
                model.model_fields[name].description = text
    for model in new:
        model.model_rebuild(force=True)
    _DESCRIBED.update(new)


@cache
def fields(model: type[BaseModel]) -> dict[str, str]:
    """Name -> the text that follows the field in the class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    if not isinstance(body, ast.ClassDef):
        return {}
    found = {}
    for line, after in itertools.pairwise(body.body):
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[line.target.id] = inspect.cleandoc(after.value.value)
    return found


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in model.__subclasses__():
        yield one
        yield from _below(one)
