"""The comments of a pull request: golden files, at most 40 visible lines, texts of others that stay text. `python -m …` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from matrix import select
from matrix.plan import BLOCK
from matrix.source import Folder
from matrix.tree import Tree
from tests.conftest import ROOT
from tests.utils.results.conftest import _record
from utils.github import comments
from utils.node.record import Failure, Record
from utils.pipeline import other_arm as basis
from utils.results.collect import Missing
from utils.results.verdict.compare import compare
from utils.results.verdict.ledger import Ledger
from utils.results.verdict.outcome import ClaimVerdict
from utils.sweeps import plan_comment
from utils.sweeps.report import Report, parts, patch

GOLDEN = ROOT / "tests/golden/comments"
SHA = "1a2b3c4d5e" * 4
RUN = "https://github.com/acme/bench/actions/runs/991"
PICTURE = "https://github.com/acme/bench/raw/" + "c" * 40 + "/pictures/1a2b3c4d5e-991.svg"
EVIL = (
    "<!-- servematrix:report --> @everyone [x](http://e.org) `y` | z\n<img src=x onerror=1> ghp_"
    + "a" * 36
    + " ghs_12345_"
    + "b" * 30
)


def arms(slower: float, block: int = 1, allocation: str = "a", noise: float = 1.0) -> list[Record]:
    found = []
    for index, arm in enumerate(BLOCK):
        for position in (0, 1):
            factor = (noise if index % 2 else 1.0) * (slower if arm == "head" else 1.0)
            one = _record(position, index, slower=factor, clean=True, parts={"model": "m"})
            update: dict[str, Any] = {
                "arm": arm,
                "run_index": index,
                "block": block,
                "allocation": f"{allocation}{block}",
            }
            found.append(one.model_copy(update=update))
    return found


def quiet() -> Ledger:
    ledger = Ledger()
    for number in range(10):
        ledger, _, _ = ledger.with_records(
            arms(1.0, allocation=f"l{number}", noise=1.0142 if number % 2 else 0.986)
        )
    return ledger


def report(records: list[Record], ledger: Ledger, **more: Any) -> Report:
    base, head = ([one for one in records if one.arm == arm] for arm in ("base", "head"))
    content: dict[str, Any] = {
        "sha": SHA,
        "pull": 42,
        "comparison": compare(base, head, ledger) if base else None,
        "alone": [],
        "missing": [],
        "changelog": "",
        "notes": [],
    }
    return Report.model_validate(content | more)


def bodies() -> dict[str, str]:
    """What each golden file shows."""
    regression = report(arms(1.1) + arms(1.1, block=2), quiet())
    claim = ClaimVerdict(
        point="r/32x16-tp1-c1",
        metric="tpot",
        claim="<= -2%",
        outcome="fails",
        why="95 % interval +7.8 to +12.2 %",
    )
    assert regression.comparison
    regression = regression.model_copy(
        update={"comparison": regression.comparison.model_copy(update={"claims": [claim]})}
    )
    gone = [
        Missing(point="r/32x16-tp1-c4", why="infra: the node went away (mi3)", retry=True),
        Missing(point="r/32x16-tp1-c8", why="SERVER_DIED: the server ended", retry=False),
    ]
    many = [Missing(point=f"r/32x16-tp1-c{n}", why=EVIL, retry=False) for n in range(40)]
    died = Failure(reason="SERVER_DIED", message=EVIL)
    bad = [one.model_copy(update={"status": "failed", "failure": died, "whole": None}) for one in arms(1.0)]
    tree = Tree.of(Folder(ROOT))
    m3 = "minimaxm3-fp8-mi300x-vllm"
    plan = select.chosen(tree, [m3], basis.base_of(m3, ROOT, tree, [m3]))
    plan = plan.model_copy(
        update={
            "lines": [f"recipes/x.yaml:{n}: + {EVIL}" for n in range(30)],
            "gone": [EVIL],
            "upstream": [
                "theirs only: recipes/x.yaml:8:3: flag async-scheduling: true",
                f"different: {EVIL}",
            ],
        }
    )
    return {
        "regression": comments.fitted(
            parts(regression.model_copy(update={"missing": gone}), RUN, "main", PICTURE), RUN
        ),
        "no-change": comments.fitted(parts(report(arms(1.0), quiet()), RUN, "main")),
        "no-ledger": comments.fitted(parts(report(arms(1.1), Ledger()), RUN, "main")),
        "nothing-measured": comments.fitted(
            parts(report([], Ledger(), missing=[*many], notes=[EVIL]), RUN, "main")
        ),
        "invalid": comments.fitted(parts(report(bad, quiet()), RUN, "main")),
        "fork": comments.fitted(
            [
                *parts(report(arms(1.0), quiet()), RUN, "main"),
                patch(["--- a\n", "+++ b\n", "+- pr: 42 ```\n"]),
            ]
        ),
        "plan": comments.fitted(plan_comment.parts(plan, SHA)),
        "empty-plan": comments.fitted(
            plan_comment.parts(
                plan.model_copy(update={"jobs": [], "points": 0, "lines": [], "gone": [], "upstream": []}),
                SHA,
            )
        ),
    }


NAMES = ("regression", "no-change", "no-ledger", "nothing-measured", "invalid", "fork", "plan", "empty-plan")


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """Every comment, once."""
    return bodies()


@pytest.mark.parametrize("name", NAMES)
def test_each_comment_is_its_golden_file(made: dict[str, str], name: str) -> None:
    """So that a change of what people read is read in a diff."""
    assert made[name] == (GOLDEN / f"{name}.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_at_most_forty_lines_are_visible(made: dict[str, str], name: str) -> None:
    """However many points, lines and failures there are; the first line says it all."""
    visible = re.sub(r"<details>.*?</details>", "", made[name], flags=re.DOTALL)
    assert len(visible.splitlines()) <= 40
    assert re.match(r"\*\*[^*]+\*\*\n", visible)
    assert len(made[name]) < comments.LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_texts_of_others_stay_text(made: dict[str, str], name: str) -> None:
    """No tag but our own, no link but our own, no mention, no mark of ours, outside of code."""
    outside = "".join(part for number, part in enumerate(made[name].split("`")) if number % 2 == 0)
    tags = set(re.findall(r"<[^>]*>", outside)) - {"<details>", "</details>", "<summary>", "</summary>"}
    assert tags == set()
    assert not re.search(r"@\w", outside)
    assert "ghs_" not in made[name].replace("\\", "")
    assert "ghp_" not in made[name].replace("\\", "")
    links = re.findall(r"(?<!\\)\]\(([^)]*)\)", outside)
    assert set(links) <= {RUN, PICTURE}
    for line in outside.splitlines():
        assert not re.match(r"\s*(#|- \[)", line)


def test_names_are_all() -> None:
    """No golden file is of the past."""
    assert {path.stem for path in GOLDEN.glob("*.md")} == set(NAMES) == set(bodies())


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for stem, body in bodies().items():
        Path(GOLDEN / f"{stem}.md").write_text(body)
