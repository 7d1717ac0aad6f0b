"""Want of memory is told from other ends by the kernel's own count; a fixture stands for /proc/vmstat."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.errors import Exit
from utils.node import memory
from utils.node.exceptions import RunFailed


def test_the_kernels_count(tmp_path: Path) -> None:
    """None where a kernel has none."""
    path = tmp_path / "vmstat"
    path.write_text("nr_free_pages 7\noom_kill 12\ndrop_pagecache 0\n")
    assert memory.kills(path) == 12
    path.write_text("nr_free_pages 7\n")
    assert memory.kills(path) is None
    assert memory.kills(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("code", "now", "wanted"),
    [
        (Exit.SERVER_DIED, 13, Exit.OUT_OF_MEMORY),
        (Exit.CLIENT_FAILED, 14, Exit.OUT_OF_MEMORY),
        (Exit.SERVER_DIED, 12, Exit.SERVER_DIED),
        (Exit.PORT_TAKEN, 13, Exit.PORT_TAKEN),
    ],
)
def test_a_process_that_is_gone_is_explained(code: Exit, now: int, wanted: Exit) -> None:
    """Nothing else is, and its own words and evidence stay."""
    found = memory.blamed(RunFailed(code, "the server ended", ["a line"]), 12, now)
    assert found.exit_code is wanted
    assert found.evidence == ["a line"]
    assert found.message.startswith("the server ended")
    assert ("memory ran out" in found.message) is (wanted is Exit.OUT_OF_MEMORY)
