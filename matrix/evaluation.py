"""What a recipe asks of a model's answers: a task of lm-eval, on the servers that run anyway."""

from __future__ import annotations

from pydantic import Field

from matrix.schema import Strict

FOLDER = "recipes/tasks"


class Evaluation(Strict):
    """A task and how much of it. It is no part of a key: it moves no figure of speed."""

    task: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")
    """A name that lm-eval knows, or that of a YAML file in `recipes/tasks/`."""
    limit: int | None = Field(None, ge=1)
    """The first so many questions; all unless set."""
