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
    asked = command(
        "plan-asked",
        f"{does}plan_asked",
        "plan what a comment asks for",
        "github plan-asked --tree head",
        actions,
    )
    asked.add_argument("--tree", metavar="DIR", required=True, help="checkout of the pull request's commit")
    command(
        "pushed", "utils.baseline:pushed", "measure new keys of the default branch", "github pushed", actions
    )
    _sweep(actions, command)


def _sweep(actions: Commands, command: Callable[..., argparse.ArgumentParser]) -> None:
    """The jobs of a sweep."""
    does = "utils.sweep_commands:sweep_"
    plan = command(
        "sweep-plan",
        f"{does}plan",
        "plan an approved commit",
        "github sweep-plan --tree head --out plan",
        actions,
    )
    turn = command(
        "sweep-turn", f"{does}turn", "wait for the cluster", "github sweep-turn --plan plan", actions
    )
    turn.add_argument("--plan", metavar="DIR", required=True, help="folder with the sweep's plan.json")
    run = command(
        "sweep-run",
        f"{does}run",
        "measure one job",
        "github sweep-run --tree head --plan plan --job ID --out results",
        actions,
    )
    judge = command(
        "sweep-judge",
        f"{does}judge",
        "judge what came back",
        "github sweep-judge --tree head --plan plan --results results --out again",
        actions,
    )
    publish = command(
        "sweep-publish",
        "utils.publish_command:sweep_publish",
        "write comment, entry, records and ledger",
        "github sweep-publish --tree head --report report",
        actions,
    )
    for one in (plan, run, judge, publish):
        one.add_argument("--tree", metavar="DIR", required=True, help="checkout of the pull request's commit")
    for one in (plan, run, judge):
        one.add_argument("--out", metavar="DIR", required=True, help="where the result goes")
    for one in (run, judge):
        one.add_argument("--plan", metavar="DIR", required=True, help="folder with the sweep's plan.json")
    run.add_argument("--job", metavar="ID", required=True, help="one of the plan's")
    run.add_argument("--environment", metavar="DIR", help="a vLLM of your own, as for `run`")
    judge.add_argument("--results", metavar="DIR", required=True, help="folder with what the runs left")
    judge.add_argument("--ledger", metavar="FILE", help="the A/A ledger; one that is not there is empty")
    judge.add_argument("--final", action="store_true", help="make the report instead of the plan to confirm")
    publish.add_argument(
        "--report", metavar="DIR", required=True, help="folder with the report and the records"
    )
    nightly = "utils.sweep_commands:nightly_"
    night = command(
        "nightly-plan",
        f"{nightly}plan",
        "plan something against itself",
        "github nightly-plan --out plan",
        actions,
    )
    night.add_argument("--out", metavar="DIR", required=True, help="where plan.json goes")
    keep = command(
        "nightly-keep",
        f"{nightly}keep",
        "keep records that can be read",
        "github nightly-keep --results results --out report",
        actions,
    )
    keep.add_argument("--plan", metavar="DIR", required=True, help="folder with the night's plan.json")
    keep.add_argument("--results", metavar="DIR", required=True, help="folder with what the runs left")
    keep.add_argument("--out", metavar="DIR", required=True, help="where they go")
    noted = command(
        "nightly-publish",
        "utils.publish_command:nightly_publish",
        "write records and ledger",
        "github nightly-publish --tree harness --report report",
        actions,
    )
    noted.add_argument(
        "--tree", metavar="DIR", required=True, help="a checkout whose origin has the data branch"
    )
    noted.add_argument("--report", metavar="DIR", required=True, help="folder with the records")
