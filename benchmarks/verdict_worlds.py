"""How often verdicts are right in SIMULATED worlds, into docs/verdict-worlds.json and the table of docs/verdict.md.

    PYTHONPATH=. .environments/dev/bin/python benchmarks/verdict_worlds.py            # about 35 minutes on one core
    PYTHONPATH=. .environments/dev/bin/python benchmarks/verdict_worlds.py --jobs 8 --only t3

Changes are judged by the functions that `compare` calls, from figures of runs; records are left out.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from tests.simulation.odd_worlds import OddWorld
from tests.simulation.rates import Case, bounds, come_true, count
from tests.simulation.worlds import Change, World

DOCS = Path(__file__).resolve().parent.parent / "docs"
FILE = DOCS / "verdict-worlds.json"
PAGE = DOCS / "verdict.md"
PLAIN = World()
ODD = OddWorld()
NOTHING, ONE, FIVE = Change(), Change(one=0.0296), Change(one=0.0488)
MANY, SOME = 2000, 500
SEED = 20261126
"""Never used while the rule's bounds were chosen."""
CASES: dict[str, tuple[Case, str, int]] = {
    "unchanged, right ledger": (Case(PLAIN), "called", MANY),
    "unchanged, ledger calmer x 0.7": (Case(PLAIN, ledger=replace(PLAIN, sd=0.0063)), "called", MANY),
    "unchanged, ledger calmer x 0.5": (Case(PLAIN, ledger=replace(PLAIN, sd=0.0045)), "called", MANY),
    "unchanged, heavy tails (t3)": (Case(replace(PLAIN, tails=3)), "called", MANY),
    "unchanged, a step of 3 % in one of ten allocations": (Case(replace(PLAIN, step=0.03)), "called", MANY),
    "unchanged, another model's noise x 0.33": (
        Case(PLAIN, ledger=replace(PLAIN, sd=0.003), recipe="other"),
        "called",
        MANY,
    ),
    "unchanged, unequal points, 1 sweep of ledger": (
        Case(replace(PLAIN, unequal=0.5), sweeps=1),
        "called",
        MANY,
    ),
    "unchanged, no ledger, c1 three times as loud": (
        Case(replace(PLAIN, loud_one=3.0), sweeps=0),
        "called",
        MANY,
    ),
    "unchanged, figures in steps of 5 %": (Case(replace(ODD, coarse=0.05)), "called", MANY),
    "unchanged, skewed noise": (Case(replace(ODD, skewed=True)), "called", MANY),
    "unchanged, AR(1) noise of 0.9": (Case(replace(ODD, owed=0.9)), "called", MANY),
    "unchanged, AR(1) noise of -0.8": (Case(replace(ODD, owed=-0.8)), "called", MANY),
    "unchanged, one draw in twenty five times as far off": (Case(replace(ODD, loud=0.05)), "called", MANY),
    "unchanged, one server start in five 5 % slower, no ledger": (
        Case(replace(PLAIN, bimodal=0.05), sweeps=0),
        "called",
        MANY,
    ),
    "unchanged, points share 90 % of their luck, in the ledger none": (
        Case(replace(PLAIN, share=0.9), ledger=replace(PLAIN, share=0.0)),
        "called",
        MANY,
    ),
    "unchanged, single runs of single points 10 % off, one in fifty": (
        Case(replace(ODD, off=0.1)),
        "called",
        MANY,
    ),
    "unchanged, a random walk of 2 % from run to run, no ledger": (
        Case(replace(ODD, walk=0.02), sweeps=0),
        "called",
        MANY,
    ),
    "unchanged, noise that all jobs share, half of a run's variance": (
        Case(replace(ODD, shared_by_jobs=0.5)),
        "called",
        MANY,
    ),
    "unchanged, noise that all jobs share, twice a run's variance": (
        Case(replace(ODD, shared_by_jobs=2.0)),
        "called",
        MANY,
    ),
    "one point 3 % slower, right ledger": (Case(PLAIN, ONE), "found", SOME),
    "one point 3 % slower, 1 sweep of ledger": (Case(PLAIN, ONE, sweeps=1), "found", SOME),
    "one point 3 % slower, no ledger": (Case(PLAIN, ONE, sweeps=0), "found", SOME),
    "one point 3 % slower, drift of 1.5 %": (Case(replace(PLAIN, drift=0.015), ONE), "found", SOME),
    "one point 3 % slower, drift of 1.5 %, ledger of pull requests' bases": (
        Case(replace(PLAIN, drift=0.015), ONE, how="pulls"),
        "found",
        SOME,
    ),
    "one point 3 % slower, no shared luck": (Case(replace(PLAIN, share=0.0), ONE), "found", SOME),
    "one point 5 % slower": (Case(PLAIN, FIVE), "found", SOME),
    "one point 5 % slower, no shared luck": (Case(replace(PLAIN, share=0.0), FIVE), "found", SOME),
    "a whole job 2 % slower, said as such": (Case(PLAIN, Change(job=0.0198)), "job", SOME),
    "everything 1.2 % slower, said as such": (Case(PLAIN, Change(everything=0.0119)), "everything", SOME),
    "half of a job's points 3 % slower: a wrong word": (Case(PLAIN, Change(half=0.0296)), "wrong", SOME),
}
SEEN = {"could have seen X comes true": PLAIN, "the same, no shared luck": replace(PLAIN, share=0.0)}


def one(wanted: tuple[str, float, int]) -> tuple[str, dict[str, object]]:
    """A row, by its title, the share of the changes that are drawn, and the seed."""
    title, share, seed = wanted
    if title in SEEN:
        k, n = come_true(SEEN[title], round(share * SOME), seed=seed)
        return title, {"what": "come true", "k": k, "n": n}
    case, what, draws = CASES[title]
    found = asdict(count(case, round(share * draws), seed=seed))
    return title, {"what": what, "k": found[what], "n": found["n"], "all": found}


def row(title: str, found: dict[str, object]) -> str:
    """As Markdown."""
    k, n = int(str(found["k"])), int(str(found["n"]))
    low, high = bounds(k, n)
    return f"| {title} | {100 * k / n:.2f} % ({k} of {n}; {100 * low:.1f} to {100 * high:.1f}) |"


def write_page(kept: dict[str, dict[str, Any]]) -> None:
    """The table of docs/verdict.md, between its marks."""
    begin, end = "<!-- worlds -->\n", "<!-- /worlds -->"
    before, _, rest = PAGE.read_text().partition(begin)
    _, _, after = rest.partition(end)
    rows = [row(title, kept[title]) for title in (*CASES, *SEEN) if title in kept]
    sure = [(one["covered"], one["intervals"]) for title in CASES if (one := kept[title].get("all"))]
    shares = sorted(100 * covered / intervals for covered, intervals in sure)
    cover = f"| intervals cover: lowest, middle, highest of the worlds above | {shares[0]:.1f}, {shares[len(shares) // 2]:.1f}, {shares[-1]:.1f} % |"
    table = "\n".join(["| world | said so |", "| --- | --- |", *rows, cover])
    PAGE.write_text(f"{before}{begin}\n{table}\n\n{end}{after}")


def main() -> None:
    """Count every row, keep the figures, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="titles with this text")
    parser.add_argument("--file", type=Path, default=FILE, help="where the counts are kept")
    parser.add_argument("--share", type=float, default=1.0, help="of the changes, for a quick look")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="of the draws; 0 to 5 were seen while rules were chosen"
    )
    parser.add_argument(
        "--page", action="store_true", help="count nothing; write the page's table from the file"
    )
    given = parser.parse_args()
    if given.page:
        write_page(json.loads(given.file.read_text()))
        return
    titles = [title for title in (*CASES, *SEEN) if given.only in title]
    kept = json.loads(given.file.read_text()) if given.file.exists() else {}
    wanted = [(title, given.share, given.seed) for title in titles]
    results = map(one, wanted) if given.jobs == 1 else Pool(given.jobs).imap(one, wanted)
    for title, found in results:
        kept[title] = found
        given.file.write_text(json.dumps(kept, indent=1) + "\n")
        print(row(title, found), flush=True)


if __name__ == "__main__":
    main()
