"""The way through the code that docs/architecture.md tells of is the code's."""

from __future__ import annotations

import pytest

from benchmarks.walk import MOST_MODULES, WAY, broken, steps, walk


def test_the_way_is_there_and_short() -> None:
    """Each step calls the next; few enough modules that a newcomer keeps them in mind."""
    way = steps()
    assert broken(way) == []
    assert len(walk(way).modules) <= MOST_MODULES == 10


@pytest.mark.parametrize(
    ("was", "is_now", "problem"),
    [
        ("tables: results", "tables: result", "utils.show.tables: result is not there"),
        (
            "point: measure",
            "point: _settled",
            "utils.node.run: _Run._point does not call utils.node.point: _settled",
        ),
        (
            "utils.node.__main__: main",
            "utils.cli.main: main",
            "utils.launch.local: _node does not call utils.cli.main: main",
        ),
        ("Local._job_once", "Local.claim", "Local.run does not call utils.launch.local: Local.claim"),
    ],
)
def test_a_way_that_the_code_left_is_named(was: str, is_now: str, problem: str) -> None:
    """A function by its import, a method by its name, a program by its package."""
    assert WAY.count(was) == 1
    assert any(problem in line for line in broken(steps(WAY.replace(was, is_now))))


def test_climbs_are_returns_to_a_package_above() -> None:
    """Within a package, or down, a reader goes on without one."""
    way = "utils.cli.run: run\n  utils.pipeline.run: run\n    utils.node.run: outcome\n    utils.pipeline.plan: plan\n  utils.cli.run: _print\n"
    assert walk(steps(way)).climbs == (
        ("utils.node.run", "utils.pipeline.run"),
        ("utils.pipeline.plan", "utils.cli.run"),
    )
