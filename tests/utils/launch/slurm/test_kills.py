"""The launcher is killed with SIGKILL at random moments, once or more, and started again: nothing lost, nothing doubled, nothing left."""

from __future__ import annotations

import contextlib
import random
import subprocess

import pytest

from tests.slurm.site import Site, wrapper

pytestmark = pytest.mark.slurm
SEEDS = 50
"""A fifth of them runs with every change, all at night."""
LONGEST_S = 4.5
"""About as long as the job of one point takes from the command to its end."""


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.nightly] if seed % 5 else []) for seed in range(SEEDS)]
)
def test_a_launcher_killed_at_random_moments(site: Site, seed: int) -> None:
    """One job in all, one record, no file on a node, no job in the queue."""
    draw = random.Random(seed)  # noqa: S311 - moments, not secrets
    storage = draw.choice(["shared", "staged"])
    point = f"{storage}/32x16-tp1-c1"
    arguments = ["run", point, "--environment", str(site.environment), "--out", str(site.out(storage))]
    for _ in range(draw.choice([1, 1, 2])):
        launcher = site.start_command(*arguments)
        with contextlib.suppress(subprocess.TimeoutExpired):
            launcher.wait(draw.uniform(0.2, LONGEST_S))
        launcher.kill()
        launcher.communicate()
    done = site.call(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses(storage) == ["measured"]
    site.wait(lambda: not site.jobs())
    why = [path.read_text() for path in site.out(storage).rglob("*.verdict.json")]
    assert list(site.every_job().values()) == ["COMPLETED"], (done.stdout, why)
    assert not (site.out(storage) / "broken").exists()
    with contextlib.suppress(AssertionError):
        site.wait(lambda: site.left_on_nodes() == [], limit_s=15)
    assert site.left_on_nodes() == [], done.stdout


def test_a_launcher_killed_while_sbatch_still_reads(site: Site) -> None:
    """A script that ends early would be taken as a whole one: the job is submitted as it was meant, and found again by its name."""
    real = site.slurm.which("sbatch")
    began = site.base / "began"
    wrapper(site, "sbatch", f'touch {began}\nsleep 1\nexec {real} "$@"')
    env = {"PATH": f"{site.base}/bin:{site.env['PATH']}"}
    arguments = [
        "run",
        "staged/32x16-tp1-c1",
        "--environment",
        str(site.environment),
        "--out",
        str(site.out("staged")),
    ]
    launcher = site.start_command(*arguments, env=env)
    site.wait(began.exists)
    launcher.kill()
    launcher.communicate()
    began.unlink()
    done = site.call(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(site.every_job().values()) == ["COMPLETED"]
