"""The log of a run on a terminal, in Actions, and in a pipe: three golden files, from the same events."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import ROOT
from utils.node.events import Event
from utils.show import log

GOLDEN = ROOT / "tests/golden"
P = "qwen3moe-tiny-cpu-vllm/128x64-tp1-c4"
FACTS = {"failed": [], "figures": {"tput": 2134.0, "ttft": 17.8, "tpot": 5.33, "e2el": 0.323}}
EVENTS: list[tuple[float, Event]] = [
    (0, {"kind": "job", "name": "qwen3moe-tiny-cpu-vllm.tp1.1bb54965", "total": 2}),
    (0, {"kind": "run", "name": "run 1/1 head", "text": "qwen3moe-tiny-cpu-vllm.tp1.1bb54965"}),
    (0, {"kind": "phase", "name": "preflight", "text": ""}),
    (0, {"kind": "done", "name": "preflight", "seconds": 0.01}),
    (0, {"kind": "phase", "name": "server", "text": ""}),
    (20, {"kind": "progress", "seconds": 20.0}),
    (31, {"kind": "progress", "seconds": 31.0}),
    (32, {"kind": "done", "name": "server", "seconds": 32.0}),
    (32, {"kind": "point", "name": P, "facts": {"begins": True}}),
    (32, {"kind": "phase", "name": "warm-up", "text": "8 requests"}),
    (34, {"kind": "done", "name": "warm-up", "seconds": 2.0}),
    (34, {"kind": "phase", "name": "load", "text": "64 requests at 4"}),
    (36, {"kind": "progress", "done": 24, "total": 64}),
    (65, {"kind": "progress", "done": 48, "total": 64}),
    (70, {"kind": "done", "name": "load", "seconds": 36.0}),
    (70, {"kind": "point", "name": P, "text": "measured", "facts": FACTS}),
    (70, {"kind": "point", "name": P, "facts": {"begins": True}}),
    (75, {"kind": "point", "name": P, "text": "invalid", "facts": FACTS | {"failed": ["jit: found \x1b[31m::error::'a' ##[error]b"]}}),
    (76, {"kind": "note", "text": "::error::from a node\x07"}),
    (77, {"kind": "error", "text": "interrupted by SIGTERM; what was measured is kept\n::warning::x"}),
    (77, {"kind": "end", "facts": {"exit": 130}}),
]  # fmt: skip


def play(mode: str) -> str:
    """The whole output of a mode, on a clock of our own."""
    stream, clock = io.StringIO(), [0.0]
    made: log.Log
    if mode == "terminal":
        console = Console(
            file=stream,
            force_terminal=True,
            width=100,
            color_system="standard",
            legacy_windows=False,
            _environ={},
        )
        made = log.Terminal(console, lambda: clock[0])
        made.bar.live.auto_refresh = False
    else:
        made = {"pipe": log.Plain, "actions": log.Actions}[mode](stream, lambda: clock[0])
    for at, event in EVENTS:
        clock[0] = at
        made.event(event)
        if isinstance(made, log.Terminal):
            made.bar.refresh()
    made.close()
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["terminal", "actions", "pipe"])
def test_the_log_is_its_golden_file(mode: str) -> None:
    """Written by `python -m tests.utils.show.test_log`; look at the diff."""
    assert play(mode) == (GOLDEN / f"log-{mode}.txt").read_bytes().decode()


def test_colour_stands_only_on_a_terminal() -> None:
    """A pipe and a file get plain text, whatever a node sent."""
    assert "\x1b" in play("terminal")
    assert "\x1b" not in play("pipe") + play("actions")


@pytest.mark.parametrize(("status", "colour"), [("measured", "\x1b[32m"), ("invalid", "\x1b[31m")])
def test_a_points_colour_is_its_status(status: str, colour: str) -> None:
    """No word of its text, nor of a note, decides: a note that names a failure is no failure."""
    stream = io.StringIO()
    made = log.Terminal(
        Console(file=stream, force_terminal=True, color_system="standard", width=120), lambda: 0.0
    )
    made.bar.live.auto_refresh = False
    made.event({"kind": "note", "text": "a fetch failed and is tried again"})
    before = stream.getvalue()
    made.event({"kind": "point", "name": P, "text": status, "facts": {"figures": {}}})
    made.close()
    assert "\x1b[31m" not in before
    assert colour in stream.getvalue().removeprefix(before)


def test_a_nodes_text_is_no_command_of_actions() -> None:
    """No line but ours starts with two colons, and the old mark is broken anywhere."""
    ours = ("::group::run 1/1", "::endgroup::", "::error title=servematrix::interrupted")
    for line in play("actions").splitlines():
        assert not line.lstrip().startswith("::") or line.startswith(ours)
        assert "##[" not in line


def test_the_mode_follows_the_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Actions is told by its variable, a terminal by being one."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with (tmp_path / "x").open("w") as file:
        assert type(log.for_stream(file)) is log.Plain
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        assert type(log.for_stream(file)) is log.Actions


if __name__ == "__main__":
    for name in ("terminal", "actions", "pipe"):
        (GOLDEN / f"log-{name}.txt").write_bytes(play(name).encode())


def test_one_point_is_not_one_points() -> None:
    """Of a job's first line."""
    out = io.StringIO()
    plain = log.Plain(out)
    plain.event({"kind": "job", "name": "a", "total": 1})
    plain.event({"kind": "job", "name": "b", "total": 2})
    assert [line[6:] for line in out.getvalue().splitlines()] == ["job a: 1 point", "job b: 2 points"]


@pytest.mark.hostile
@pytest.mark.parametrize(
    "name",
    ["[link=https://evil.example]x[/link]", "[/]", "[red", "\u202ex", "\x1b]8;;https://evil.example\x1b\\x", "a\u200bb"],
    ids=ascii,
)  # fmt: skip
@pytest.mark.parametrize("kind", ["run", "phase", "job"])
def test_a_name_from_a_node_is_text(name: str, kind: str) -> None:
    """As its text is: no markup of the library that draws the bar, no link, no letter that turns a line round."""
    plain, drawn = io.StringIO(), io.StringIO()
    terminal = log.Terminal(Console(file=drawn, force_terminal=True, width=80))
    for one in (log.Plain(plain), terminal):
        one.event({"kind": kind, "name": name, "text": "", "done": 0, "total": 2})  # type: ignore[typeddict-item]  # one of the kinds
    terminal.bar.refresh()
    terminal.close()
    for said in (plain.getvalue(), drawn.getvalue()):
        assert not {"\u202e", "\u200b"} & set(said)
        assert "\x1b]8" not in said, "no link"
