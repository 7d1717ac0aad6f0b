"""`servematrix github …`: what jobs of GitHub Actions call. Each reads the event that started its job, and imports its own part alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from utils.cli.options import action, actions

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from matrix.errors import Exit

TREE = "checkout of the pull request's commit"
PLAN = "folder with the sweep's plan.json"


EXAMPLE = "github plan --out plan"


def configure(parser: ArgumentParser) -> None:
    """The jobs of all workflows."""
    to = actions(parser)

    def job(name: str, text: str, example: str, run: object, **folders: str) -> ArgumentParser:
        made = action(to, name, text, f"github {name} {example}".strip(), run)  # type: ignore[arg-type] # each is one
        for option, meaning in folders.items():
            made.add_argument(f"--{option}", metavar="DIR", type=Path, required=True, help=meaning)
        return made

    job("plan", "plan a pull request", "--out plan", _plan, out="where plan.json goes")
    job("comment-plan", "write a plan as a comment", "", _comment_plan)
    job("command", "do what a comment asks for", "", _command)
    out = "where plan.json goes, or why.txt"
    job(
        "plan-asked",
        "plan what a comment asks for",
        "--tree head --out plan",
        _plan_asked,
        tree=TREE,
        out=out,
    )
    left = "folder with what plan-asked made"
    job("comment-asked", "write that plan as a comment", "--plan plan", _comment_asked, plan=left)
    job("pushed", "measure new keys of the default branch", "", _pushed)
    out = "where the result goes"
    job("sweep-plan", "plan an approved commit", "--tree head --out plan", _sweep_plan, tree=TREE, out=out)
    job("sweep-queue", "wait for the cluster", "--plan plan", _sweep_queue, plan=PLAN)
    example = "--tree head --plan plan --job ID --out results"
    run = job("sweep-run", "measure one job", example, _sweep_run, tree=TREE, plan=PLAN, out=out)
    run.add_argument("--job", metavar="ID", required=True, help="one of the plan's")
    example = "--tree head --plan plan --results results --out again"
    left = "folder with what the runs left"
    judge = job(
        "sweep-judge",
        "judge what came back",
        example,
        _sweep_judge,
        tree=TREE,
        plan=PLAN,
        results=left,
        out=out,
    )
    judge.add_argument(
        "--ledger", metavar="FILE", type=Path, help="the A/A ledger; one that is not there is empty"
    )
    judge.add_argument("--final", action="store_true", help="make the report instead of the plan to confirm")
    example, report = "--tree head --report report", "folder with the report and the records"
    job(
        "sweep-publish",
        "write comment, entry, records and ledger",
        example,
        _sweep_publish,
        tree=TREE,
        report=report,
    )
    job(
        "nightly-plan",
        "plan something against itself",
        "--out plan",
        _nightly_plan,
        out="where plan.json goes",
    )
    example = "--plan plan --results results --out report"
    job(
        "nightly-keep",
        "keep records that can be read",
        example,
        _nightly_keep,
        plan=PLAN,
        results=left,
        out="where they go",
    )
    example, tree = "--tree harness --report report", "a checkout whose origin has the data branch"
    job("nightly-publish", "write records and ledger", example, _nightly_publish, tree=tree, report=report)
    site = "folder with index.html, records.csv and digest.md"
    job(
        "site-publish",
        "write the dashboard",
        "--tree harness --site site",
        _site_publish,
        tree=tree,
        site=site,
    )


def _plan(arguments: Namespace) -> Exit:
    from utils.sweeps import pull_plan

    return pull_plan.of_event(arguments.out)


def _comment_plan(arguments: Namespace) -> Exit:
    from utils.github.trigger import from_environment
    from utils.sweeps import react

    del arguments
    return react.to_plan(from_environment())


def _command(arguments: Namespace) -> Exit:
    from matrix.errors import Exit
    from utils.github.trigger import from_environment
    from utils.sweeps import react

    del arguments
    react.to_comment(from_environment())
    return Exit.OK  # a refused one has its answer, so that the job did what it should


def _plan_asked(arguments: Namespace) -> Exit:
    from utils.sweeps import pull_plan

    return pull_plan.of_comment(arguments.tree.resolve(), arguments.out)


def _comment_asked(arguments: Namespace) -> Exit:
    from utils.sweeps import pull_plan

    return pull_plan.answer(arguments.plan)


def _pushed(arguments: Namespace) -> Exit:
    from utils.sweeps import baseline

    del arguments
    return baseline.start_where_new()


def _sweep_plan(arguments: Namespace) -> Exit:
    from utils.sweeps import plan

    return plan.plan_sweep(arguments.tree.resolve(), arguments.out)


def _sweep_queue(arguments: Namespace) -> Exit:
    from utils.sweeps import measure

    return measure.wait_for_clusters(arguments.plan)


def _sweep_run(arguments: Namespace) -> Exit:
    from utils.sweeps import measure

    given = arguments
    return measure.measure(given.tree.resolve(), given.plan, given.job, given.out)


def _sweep_judge(arguments: Namespace) -> Exit:
    from utils.sweeps import judge

    given = arguments
    return judge.judge(
        given.tree.resolve(), given.plan, given.results, given.out, given.ledger, final=given.final
    )


def _sweep_publish(arguments: Namespace) -> Exit:
    from utils.sweeps import publish

    return publish.publish(arguments.tree, arguments.report)


def _nightly_plan(arguments: Namespace) -> Exit:
    from utils.sweeps import nightly

    return nightly.plan_night(arguments.out)


def _nightly_keep(arguments: Namespace) -> Exit:
    from utils.sweeps import nightly

    return nightly.keep_night(arguments.plan, arguments.results, arguments.out)


def _nightly_publish(arguments: Namespace) -> Exit:
    from utils.sweeps import publish

    return publish.publish_night(arguments.tree, arguments.report)


def _site_publish(arguments: Namespace) -> Exit:
    from utils.sweeps import publish_site

    return publish_site.publish(arguments.tree.resolve(), arguments.site)
