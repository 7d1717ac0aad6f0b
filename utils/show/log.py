"""What a person sees while jobs run: a live line on a terminal, folded groups in Actions, plain lines in a pipe."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

from utils.show import foreign
from utils.show.tables import counted, measured_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from utils.node.events import Event

PLAIN_PROGRESS_EVERY_S = 30.0
LF, NEXT = "\n", "\n  | "
"""What comes before the second and further lines of a text."""
COLOURS = {"measured": "green", "failed": "red", "invalid": "red"}
"""Of a point's line on a terminal, by its status."""


class Log(Protocol):
    """Shows events as they come."""

    def event(self, event: Event) -> None:
        """One thing that happened."""

    def close(self) -> None:
        """Nothing more will come."""


class Guarded:
    """A log whose own errors are said once and change nothing: what is shown must not decide what is done."""

    def __init__(self, log: Log) -> None:
        self.log, self.said = log, False

    def event(self, event: Event) -> None:
        """Show it, if it can be shown."""
        try:
            self.log.event(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, a measurement is running
            self._say(f"an event {event.get('kind')!r} cannot be shown: {error!r}")

    def close(self) -> None:
        """Nothing more will come."""
        try:
            self.log.close()
        except Exception as error:  # noqa: BLE001 - as above
            self._say(f"the log cannot be closed: {error!r}")

    def _say(self, text: str) -> None:
        if not self.said:
            sys.stderr.write(f"servematrix: {text}; what was asked for goes on\n")
        self.said = True


def for_stream(stream: TextIO) -> Log:
    """The log that fits where the output goes."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return Actions(stream)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        from rich.console import Console  # noqa: PLC0415 - only a terminal needs it

        return Terminal(Console(file=stream))
    return Plain(stream)


def clean(text: str) -> str:
    """Text from a node: lines without control sequences, none of which is a command of Actions."""
    return foreign.lines(text)


class Plain:
    """One line a phase, with the time since the start; long phases tell about every half minute."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.now = stream, now
        self.start = self.told = now()
        self.phase = self.point = ""

    def event(self, event: Event) -> None:
        """Write what the event says, if it says something new."""
        kind, name, text = event["kind"], clean(event.get("name", "")), clean(event.get("text", ""))
        if kind == "job":
            self.line(f"job {name}: {counted(event['total'], 'point')}")
        elif kind == "run":
            self.begin_run(f"{name}  {text}")
        elif kind == "phase":
            self.phase = f"{name} ({text})" if text else name
            self.told = self.now()
        elif kind == "progress":
            self.progress(event)
        elif kind == "done":
            self.finished(event)
        elif kind == "point":
            self.about_point(event)
        elif kind == "error":
            self.end_run()
            self.error(text)
        elif kind == "note":
            self.line(f"note: {text}")
        elif kind == "end":
            self.end_run()

    def close(self) -> None:
        """Close what is open."""
        self.end_run()

    def begin_run(self, title: str) -> None:
        """A server is about to start."""
        self.line(title)

    def end_run(self) -> None:
        """The server is gone."""

    def error(self, text: str) -> None:
        """Something that a person must read."""
        self.line(f"error: {text}")

    def progress(self, event: Event) -> None:
        """Tell now and then that a long phase is alive."""
        if self.now() - self.told >= PLAIN_PROGRESS_EVERY_S:
            self.told = self.now()
            doing = f", {clean(event['text'])}" if event.get("text") else ""
            far = (
                f"{event['done']}/{event['total']} requests"
                if "total" in event
                else f"{event.get('seconds', 0):.0f} s"
            )
            self.line(f"  {self.point}{self.phase}: {far}{doing}")

    def finished(self, event: Event) -> None:
        """A phase is over; short ones are nobody's interest."""
        if event["seconds"] >= 0.5:  # noqa: PLR2004 - below that a line tells nothing
            self.line(f"  {self.point}{self.phase}: {event['seconds']:.1f} s")

    def about_point(self, event: Event) -> None:
        """A point begins, or has its result."""
        short = event["name"].split("/")[1]
        if event.get("facts", {}).get("begins"):
            self.point = f"{short} "
            return
        self.line(f"  {clean(measured_line(short, event))}", COLOURS.get(event.get("text", "")))
        for failed in event.get("facts", {}).get("failed", []):
            self.line("    " + clean(failed))
        self.point = ""

    def line(self, text: str, style: str | None = None) -> None:  # noqa: ARG002 - a terminal's
        """Write a line after the time; further lines get a mark, for Actions reads commands at the beginning of one."""
        seconds = int(self.now() - self.start)
        self.stream.write(f"{seconds // 60:02}:{seconds % 60:02} {text.replace(LF, NEXT)}\n")
        self.stream.flush()


class Actions(Plain):
    """Plain lines, folded a run; errors as annotations."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, now)
        self.open = False

    def begin_run(self, title: str) -> None:
        """Open a group."""
        self.end_run()
        self.stream.write(foreign.command("group", title))
        self.open = True

    def end_run(self) -> None:
        """Close the group."""
        if self.open:
            self.stream.write("::endgroup::\n")
            self.stream.flush()
        self.open = False

    def error(self, text: str) -> None:
        """An annotation; its text cannot become a second command."""
        self.stream.write(foreign.command("error", text, title="servematrix"))
        self.stream.flush()


class Terminal(Plain):
    """A live line with a bar for what is going on; results stay above it."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - slow to import

        super().__init__(sys.stdout, now)
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[far]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            get_time=now,
        )
        self.task = self.bar.add_task("", visible=False, far="")
        self.bar.start()

    def event(self, event: Event) -> None:
        """As a plain log does, and keep the live line."""
        super().event(event)
        if event["kind"] == "phase":
            self.bar.reset(
                self.task, description=f"  {self.point}{self.phase}", total=None, visible=True, far=""
            )
        elif event["kind"] in {"done", "end", "error"}:
            self.bar.update(self.task, visible=False)

    def close(self) -> None:
        """Take the live line away."""
        self.bar.stop()

    def progress(self, event: Event) -> None:
        """Move the bar."""
        if "total" in event:
            far = f"{event['done']}/{event['total']}"
            self.bar.update(self.task, total=event["total"], completed=event["done"], far=far)

    def error(self, text: str) -> None:
        """In red."""
        self.console.print(
            f"error: {text.replace(LF, NEXT)}", style="bold red", markup=False, highlight=False
        )

    def line(self, text: str, style: str | None = None) -> None:
        """Above the live line."""
        seconds = int(self.now() - self.start)
        stamped = f"{seconds // 60:02}:{seconds % 60:02} {text.replace(LF, NEXT)}"
        self.console.print(stamped, style=style, markup=False, highlight=False, soft_wrap=True)
