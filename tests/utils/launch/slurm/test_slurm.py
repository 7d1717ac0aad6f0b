"""Jobs on a real Slurm, from `run` to records, with the FAKE vLLM."""

from __future__ import annotations

import pytest

from tests.slurm.site import Site

pytestmark = pytest.mark.slurm
STORAGES = pytest.mark.parametrize("storage", ["shared", "staged"])


@STORAGES
def test_a_run_brings_its_records_and_leaves_nothing(site: Site, storage: str) -> None:
    """Two runs of two points; the canary is not recorded; nodes are clean afterwards."""
    done = site.run(storage, "--runs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.statuses(storage) == ["measured"] * 4
    assert done.stdout.splitlines()[-1] == f"records: {site.out(storage)}"
    assert "canary: " in done.stdout
    first = site.records(storage)[0]
    assert first["allocation"].startswith("slurm-servematrix-")
    assert first["node"]["name"] in site.slurm.names
    assert site.left_on_nodes() == []
    site.wait(lambda: not site.jobs())
