"""Every verb with its line of help: a table, so that `--help` imports nothing else and a verb imports itself alone."""

from __future__ import annotations

VERBS = {
    "plan": "show what would run, and why",
    "run": "run points and show their figures; with --pair also a verdict",
    "upstream": "compare recipes with the official ones",
    "pin": "write the digests of images into recipes",
    "collect": "show the records below folders",
    "compare": "judge a head against a base: regression, improvement, no change seen, invalid",
    "report": "one page with pictures, tables and every point, which opens without a network",
    "site": "the dashboard over a data branch and the changelog",
    "history": "a point's figures over time, its entries, and where they stepped",
    "profile": "steps, kernels and layers of a trace, or where two differ",
    "ledger": "what noise is: differences between runs of the same",
    "changelog": "read and fill perf-changelog.yaml",
    "migrate": "write records, ledgers and changelogs of older versions in today's format",
    "nodes": "nodes in quarantine, and why",
    "cancel": "end jobs that a run left on a cluster",
    "doctor": "what a cluster, this machine, or the repository on GitHub lacks",
    "check": "check recipes, clusters, changelog and generated files",
    "test": "linters and tests",
    "lock": "make requirements/*.lock again",
    "github": "for jobs of GitHub Actions",
}
"""Verb -> what it does. Each is a module of this package with `configure(parser)` and `run(arguments)`."""
ACTS = frozenset({"run", "cancel", "github"})
"""Those that measure or end jobs: they wait for nobody who reads."""
READS = frozenset({"plan", "upstream", "compare", "history", "profile", "doctor"})
"""Those that only show: a reader that had enough, as `| head` has, is no failure."""
