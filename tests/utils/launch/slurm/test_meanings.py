"""Words of Slurm's commands become meanings in one module; decisions are made by these."""

from __future__ import annotations

import pytest

from utils.launch.slurm import client
from utils.launch.slurm.client import SlurmError
from utils.launch.slurm.meanings import Meaning, meanings

SAID = {
    "sbatch: error: invalid partition specified: gone": {Meaning.PARTITION},
    "sbatch: error: Batch job submission failed: Invalid node name specified": {Meaning.NO_SUCH_NODES},
    "sbatch: error: Batch job submission failed: Requested node configuration is not available": {Meaning.NO_SUCH_NODES},
    "sbatch: error: Batch job submission failed: Invalid qos specification": set(),
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)": {Meaning.UNANSWERED},
    "sinfo: error: Zero Bytes were transmitted or received": {Meaning.UNANSWERED, Meaning.NOT_GENUINE},
    "sinfo: error: resolve_ctls_from_dns_srv: res_nsearch error\nfailed to fetch config, no configuration source": {Meaning.NO_CONTROLLER},
    "srun: error: Unable to allocate resources: Requested nodes are busy": {Meaning.BUSY, Meaning.NOT_ALLOCATED},
    "slurmstepd: error: execve(): python9: No such file or directory": {Meaning.NO_PROGRAM},
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_each_message_has_its_meanings(said: str) -> None:
    """And no other one."""
    assert meanings(said) == SAID[said]


def test_an_error_carries_what_the_command_meant() -> None:
    """By a real command; one that is missing said nothing."""
    with pytest.raises(SlurmError) as lost:
        client.call(["sh", "-c", "echo Unable to contact slurm controller >&2; exit 1"])
    assert (lost.value.means, lost.value.unanswered) == (frozenset({Meaning.UNANSWERED}), True)
    with pytest.raises(SlurmError) as refused:
        client.call(["sh", "-c", "echo invalid partition specified: gone >&2; exit 1"])
    assert (refused.value.means, refused.value.unanswered) == (frozenset({Meaning.PARTITION}), False)
    with pytest.raises(SlurmError) as missing:
        client.call(["/nosuch/sbatch"])
    assert missing.value.means == frozenset()
