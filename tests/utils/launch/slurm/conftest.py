"""One real Slurm for all tests here that want one, and a block whose jobs never run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.slurm.cluster import Cluster, missing
from tests.slurm.site import Site, base_folder, hidden
from tests.utils.launch.slurm.made import an_attempt
from tests.utils.launch.slurm.test_batch import PROVENANCE
from utils.launch.quarantine import Quarantine
from utils.launch.slurm import attempts, client, names
from utils.launch.slurm.client import Node
from utils.launch.slurm.poll import Poll


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


@pytest.fixture
def a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> attempts.Block:
    """A block whose jobs are accepted and never run."""
    monkeypatch.setattr(client, "submit", lambda _: 7)
    monkeypatch.setattr(client, "nodes", lambda _: [Node(f"mi{number}", "idle", "") for number in range(4)])
    return attempts.Block(
        attempt=an_attempt(tmp_path / "out"),
        identity=names.identity(ROOT, "a" * 40, tmp_path / "out"),
        root=ROOT,
        provenance=PROVENANCE,
        poll=Poll(tmp_path / "state", 1.0),
        quarantine=Quarantine(tmp_path / "state"),
        emit=lambda _: None,
    )
