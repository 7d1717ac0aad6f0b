"""Options of sbatch that a site adds: beside the harness' own, and each value as it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from matrix.slurm.section import Slurm
from tests.slurm.site import Site
from tests.utils.launch.slurm.test_batch import some_attempts
from utils.launch.slurm import batch


def test_a_site_may_add_options() -> None:
    """Beside the harness' own; nodes that the site leaves out are left out beside those in quarantine."""
    attempt = replace(next(iter(some_attempts().values())), exclude=("n1", "n2"))
    slurm = (attempt.cluster.slurm or Slurm()).model_copy(
        update={"options": {"account": "perf", "exclusive": "", "exclude": "n2,n3"}}
    )
    lines = batch.options(replace(attempt, cluster=attempt.cluster.model_copy(update={"slurm": slurm})))
    wanted = {"--account=perf", "--exclusive", "--no-requeue", "--dependency=singleton", "--exclude=n1,n2,n3"}
    assert wanted <= set(lines)


ODD = ("perf team", 'night #1 of "x"', "it's", "a\\b", "[r1*2&r2]|(x&y)", " in front")
"""Values as a site may have them: in a comment, a reservation, an account of two words."""


def test_an_options_value_is_one_word() -> None:
    """Quoted where sbatch would end it at a space or a #; else as it is written."""
    attempt = next(iter(some_attempts().values()))
    slurm = (attempt.cluster.slurm or Slurm()).model_copy(
        update={"options": {"comment": ODD[1], "constraint": ODD[4]}}
    )
    lines = batch.options(replace(attempt, cluster=attempt.cluster.model_copy(update={"slurm": slurm})))
    assert {r'--comment="night #1 of \"x\""', f"--constraint={ODD[4]}"} <= set(lines)


@pytest.mark.slurm
def test_a_real_sbatch_reads_every_value_as_it_is(site: Site, tmp_path: Path) -> None:
    """What it takes for an account of two words is that account."""
    attempt = next(iter(some_attempts().values()))
    script = tmp_path / "job.sh"
    for value in ODD:
        slurm = Slurm(options={"comment": value})
        lines = batch.options(replace(attempt, cluster=attempt.cluster.model_copy(update={"slurm": slurm})))
        comment = next(line for line in lines if line.startswith("--comment="))
        script.write_text(f"#!/bin/sh\n#SBATCH {comment}\n#SBATCH --output=/dev/null --chdir=/\ntrue\n")
        job = site.slurm.call("sbatch", "--parsable", str(script)).strip()
        shown = site.slurm.call("scontrol", "show", "job", job)
        assert f"Comment={value} \n" in shown or f"Comment={value}\n" in shown, shown
