"""`servematrix profile TRACE [TRACE2 …]`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matrix.errors import Exit, HarnessError
from utils.cli.options import natural, positive
from utils.profile import marker, present, present_compare, svg, timeline
from utils.profile.analyse import analysis
from utils.profile.compare import phases
from utils.profile.source import MOST_GB
from utils.profile.trace import MOST_EVENTS, Bounds

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from utils.profile.analyse import Analysis
    from utils.profile.figures import Profile
    from utils.profile.marker import Told
    from utils.profile.present import Block

EXAMPLE = "profile base.pt.trace.json.gz head.pt.trace.json.gz --steps decode"
SCHEMA = 1


def configure(parser: ArgumentParser) -> None:
    """Traces, and what of them."""
    parser.add_argument(
        "traces",
        nargs="+",
        metavar="TRACE",
        help="a trace of torch's profiler, plain or gzip, or a folder of them; further ones are compared with the first",
    )
    parser.add_argument(
        "--steps",
        choices=["decode", "prefill", "mixed", "all"],
        default="all",
        help="default: all, each kind apart",
    )
    parser.add_argument(
        "--rank", type=natural, metavar="N", help="of a folder: this rank's trace (default: the lowest)"
    )
    parser.add_argument(
        "--step", type=positive, metavar="N", help="show this step's kernels and gaps in order of time"
    )
    parser.add_argument("--svg", metavar="FILE", help="draw that step (default: the first one)")
    parser.add_argument("--top", type=positive, default=15, metavar="N", help="kernels listed (default: 15)")
    parser.add_argument(
        "--marker", metavar="FILE", help="an answer of the kernel's marker, to show what it counted"
    )
    parser.add_argument(
        "--format", choices=["text", "markdown", "json"], default="text", help="default: text"
    )
    parser.add_argument(
        "--max-gb",
        type=positive,
        default=MOST_GB,
        metavar="N",
        help=f"read no more unpacked (default: {MOST_GB:g})",
    )
    parser.add_argument(
        "--max-events",
        type=positive,
        default=MOST_EVENTS,
        metavar="N",
        help=f"hold no more (default: {MOST_EVENTS:,})",
    )


def run(arguments: Namespace) -> Exit:
    """Show profiles."""
    bounds = Bounds(float(arguments.max_gb), arguments.max_events)
    told = marker.read(Path(arguments.marker)) if arguments.marker else None
    if (arguments.step or arguments.svg) and len(arguments.traces) > 1:
        raise HarnessError(Exit.USAGE, "--step and --svg show a step of one trace; give one")
    profiles: list[Profile] = []
    blocks: list[Block] = []
    for path in arguments.traces:
        one = analysis(Path(path), rank=arguments.rank, bounds=bounds)
        profiles.append(_picked(one.profile(), arguments.steps))
        if arguments.step or arguments.svg:
            blocks = _one_step(one, arguments)
        del one  # the next trace needs its memory
    if arguments.format == "json":
        json.dump(_as_json(profiles, told), sys.stdout)
        sys.stdout.write("\n")
        return Exit.OK
    if not blocks:
        blocks = _blocks(profiles, told, arguments.top)
    sys.stdout.write(present.as_markdown(blocks) if arguments.format == "markdown" else present.text(blocks))
    return Exit.OK


def _picked(one: Profile, steps: str) -> Profile:
    """A profile with only the phases that were asked for."""
    if steps == "all":
        return one
    if (phase := one.phase(steps)) is None:
        known = ", ".join(f"{len(other.steps)} {other.phase}" for other in one.phases)
        raise HarnessError(Exit.NOTHING_SELECTED, f"{one.trace}: no {steps} step; it has {known}")
    return replace(one, phases=[phase])


def _one_step(one: Analysis, arguments: Namespace) -> list[Block]:
    number = arguments.step or 1
    shown = [timeline.step(one, number)] if arguments.step else []
    if arguments.svg:
        try:
            Path(arguments.svg).write_text(svg.step(one, number), encoding="utf-8")
        except OSError as error:
            why = (
                f"{arguments.svg} cannot be written ({error.strerror}); name a file in a folder that is there"
            )
            raise HarnessError(Exit.USAGE, why) from error
        sys.stderr.write(f"wrote {arguments.svg}\n")
    return shown


def _blocks(profiles: list[Profile], told: Told | None, top: int) -> list[Block]:
    more = [f"marker: {told.words()}"] if told else []
    if len(profiles) == 1:
        return present.profile(profiles[0], top, more)
    return present_compare.against_first(profiles, top)


def _as_json(profiles: list[Profile], told: Told | None) -> dict[str, Any]:
    made: dict[str, Any] = {"schema": SCHEMA, "profiles": [asdict(one) for one in profiles]}
    if told:
        made["marker"] = asdict(told)
    if len(profiles) > 1:
        made["differences"] = [[asdict(d) for d in phases(profiles[0], head)] for head in profiles[1:]]
    return made
