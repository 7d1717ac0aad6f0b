"""One real Slurm for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.slurm.site import Site, base_folder, hidden


@pytest.fixture(scope="session")
def running_site() -> Iterator[Site]:
    """Slurm with two nodes, and a checkout beside it."""
    assert not missing(), f"install Debian's slurmctld slurmd slurm-client munge: {missing()} are missing"
    base = base_folder()
    try:
        with Cluster(private=hidden(base)) as slurm:
            yield Site.make(base, slurm)
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def site(running_site: Site) -> Iterator[Site]:
    """The same, as if it were new."""
    running_site.fresh()
    yield running_site
    running_site.stop()
