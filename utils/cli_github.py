"""The command line's part for jobs of GitHub Actions: `github`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it


def github(
    commands: Commands,
    command: Callable[..., argparse.ArgumentParser],
    formatter: type[argparse.HelpFormatter],
) -> None:
    """`github plan|comment-plan|command`."""
    group = commands.add_parser(
        "github",
        help="for jobs of GitHub Actions",
        description="What jobs of GitHub Actions call; each reads the event that started it.",
        formatter_class=formatter,
    )
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    does = "utils.github_commands:"
    plan = command("plan", f"{does}plan", "plan a pull request", "github plan --out plan", actions)
    plan.add_argument("--out", metavar="DIR", required=True, help="where plan.json goes")
    command(
        "comment-plan", f"{does}comment_plan", "write a plan as a comment", "github comment-plan", actions
    )
    command("command", f"{does}command", "do what a comment asks for", "github command", actions)
