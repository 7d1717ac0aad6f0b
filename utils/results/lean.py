"""Records that hold no more than a verdict needs, and hold what many have in common once: 10,000 an arm fit into little memory."""

from __future__ import annotations

import json
import sys
from typing import Any, TypeVar

from pydantic import BaseModel

from matrix.metrics import METRICS
from utils.node.record import Accuracy, Record, ServerWindow, Summary, Window

STATISTICS = tuple(Summary.model_fields)
NOTHING = Summary(n=0, mean=0.0, std=0.0)
"""Figures that nobody asks for; a metric of 0 is none."""
PATHS = frozenset(path for metric in METRICS.values() for path in (metric.whole, metric.steady))
M = TypeVar("M", bound=BaseModel)
W = TypeVar("W", Window, ServerWindow)

DROPPED = (
    *(
        "phases",
        "serve_argv",
        "serve_env",
        "counts",
        "counters",
        "telemetry",
        "marker",
    ),
    *("caches", "derived", "files", "points_in_run"),
)
"""Fields that no verdict reads; they get their defaults, or an empty value of their kind."""
SHARED = (
    "parts",
    "observed",
    "rules",
    "node",
    "provenance",
    "points_before",
    "vary",
    "load",
    "model",
    "image",
    "job",
)
"""Fields of which many records have the same."""
EMPTY: dict[str, Any] = {"phases": [], "serve_argv": [], "serve_env": {}, "points_in_run": []}


def _word(one: Accuracy) -> Accuracy:
    """Of a parity that passed nothing is read but that; a task has scores, and a failure its reason."""
    bare = one.kind == "parity" and one.verdict == "passed"
    return one.model_copy(update={"figures": {}, "why": ""}) if bare else one


class Leaner:
    """Makes records lean; one object for all records of a comparison."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Any] = {}
        self._sets: dict[type, set[str]] = {}

    def __call__(self, one: Record) -> Record:
        """The same record without what no verdict reads."""
        fields = {name: getattr(one, name) for name in Record.model_fields if name not in DROPPED}
        if one.load:
            fields["load"] = one.load.model_copy(update={"argv": [], "warmup_argv": []})
        fields["gates"] = [gate for gate in one.gates if not gate.passed]
        if one.observed:  # its key is the record's own; what was found is alike on all nodes of a kind
            parts = self._shared("observed.parts", one.observed.parts)
            fields["observed"] = self._model(one.observed, {"parts": parts})
        fields |= {name: self._shared(name, fields[name]) for name in SHARED if name != "observed"}
        for name in ("whole", "steady"):
            fields[name] = self._window(name, fields[name])
        fields["accuracy"] = [self._shared("accuracy", _word(each)) for each in one.accuracy]
        if one.power:
            fields["power"] = self._model(one.power, {})
        if one.server:
            fields["server"] = self._window("server", one.server)
            if one.server.saturated:  # its remark says how often requests were preempted
                fields["counters"] = one.counters
        made = Record.model_construct(**EMPTY, **fields)
        return self._with_one_set(made)

    def _window(self, place: str, window: W | None) -> W | None:
        if window is None:
            return None
        summaries = {
            name: self._summary(f"{place}.{name}", value)
            for name in type(window).model_fields
            if isinstance(value := getattr(window, name), Summary)
        }
        return self._model(window, summaries)

    def _summary(self, place: str, one: Summary) -> Summary:
        """With the figures of it that are metrics, and no place for others: six fields take twice as much as five."""
        wanted = {name: getattr(one, name) for name in STATISTICS if f"{place}.{name}" in PATHS}
        return self._with_one_set(Summary.model_construct(**wanted)) if wanted else NOTHING

    def _model(self, one: M, changes: dict[str, Any]) -> M:
        return self._with_one_set(one.model_copy(update=changes))

    def _with_one_set(self, one: M) -> M:
        """Which fields were given is not asked here: one answer for all of a kind."""
        kind = type(one)
        every = self._sets.setdefault(kind, set(kind.model_fields))
        object.__setattr__(one, "__pydantic_fields_set__", every)
        return one

    def _shared(self, name: str, value: Any) -> Any:  # noqa: ANN401 - a field's value
        if value is None or isinstance(value, str):
            return value if value is None else sys.intern(value)
        text = (
            value.model_dump_json()
            if hasattr(value, "model_dump_json")
            else json.dumps(value, sort_keys=True)
        )
        return self._known.setdefault((name, text), value)
