"""The command line's part about verdicts: `compare`, `ledger`, `history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it


def takes_ledger(made: argparse.ArgumentParser) -> None:
    """The option that names the ledger."""
    made.add_argument(
        "--ledger",
        metavar="FILE",
        help="the A/A ledger that says what noise is (default: results/ledger.jsonl)",
    )


def verdicts(
    commands: Commands,
    command: Callable[..., argparse.ArgumentParser],
    formatter: type[argparse.HelpFormatter],
) -> None:
    """`compare`, `ledger show|add|accept|reset`, `history`."""
    compare = command(
        "compare",
        "utils.verdict_commands:compare_command",
        "judge a head against a base: regression, improvement, no change seen, invalid",
        "compare results/20261125-*",
    )
    compare.add_argument("base", metavar="BASE", help="folder with records; of both arms if no HEAD is given")
    compare.add_argument("head", metavar="HEAD", nargs="?", help="folder with records of the other side")
    compare.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="PART",
        help="a part of the key that is meant to differ besides what the plan named; anything else is refused",
    )
    compare.add_argument(
        "--waive-confirmation", action="store_true", help="call what stands out once by its word"
    )
    compare.add_argument(
        "--tree", metavar="DIR", help="the checkout whose changelog has the claims (default: this one)"
    )
    compare.add_argument(
        "--format", choices=["text", "json", "markdown"], default="text", help="default: text"
    )
    takes_ledger(compare)

    ledger = commands.add_parser(
        "ledger",
        help="what noise is: differences between runs of the same",
        description="What noise is: differences between runs of the same thing in one allocation.",
        formatter_class=formatter,
    )
    actions = ledger.add_subparsers(dest="action", metavar="ACTION", required=True)
    does = "utils.verdict_commands:ledger_"
    shown = command("show", f"{does}show", "what is known of noise, and alarms", "ledger show", actions)
    add = command(
        "add", f"{does}add", "add what records tell of it", "ledger add results/20261125-*", actions
    )
    add.add_argument("folders", nargs="+", metavar="DIR", help="folders with records")
    reset = command(
        "reset",
        f"{does}reset",
        "begin anew for a device",
        'ledger reset --device MI300X --why "new power supplies"',
        actions,
    )
    reset.add_argument("--device", required=True, metavar="MODEL", help="as `ledger show` names it")
    reset.add_argument("--driver", metavar="VERSION", help="only with this driver (default: any)")
    reset.add_argument("--why", required=True, metavar="TEXT", help="is kept in the ledger")
    accept = command(
        "accept",
        f"{does}accept",
        "count what an alarm held out",
        "ledger accept slurm-servematrix-…",
        actions,
    )
    accept.add_argument("allocation", metavar="ALLOCATION", help="as `ledger show` names it")
    for one in (shown, add, reset, accept):
        takes_ledger(one)

    history = command(
        "history",
        "utils.history_commands:history",
        "a point's figures over time, its entries, and where they stepped",
        "history qwen3moe-tiny-cpu-vllm/128x64-tp1-c4",
    )
    history.add_argument("point", metavar="POINT", help="a point's whole identifier")
    history.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DIR",
        help="folders with records, such as a checkout of the data branch (default: results)",
    )
    history.add_argument("--file", metavar="FILE", help="another file than perf-changelog.yaml")
    history.add_argument("--format", choices=["text", "markdown"], default="text", help="default: text")
