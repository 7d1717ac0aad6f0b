"""Locks serve every Python and processor, not the one of the machine that made them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from utils.setup import environments, lock_files

PURE = {
    "certifi==2026.10.19.post1",
    "rouge-score==0.1.2",
    "sqlitedict==2.1.0",
    "word2number==1.1",
}
"""Packages that publish one file alone, a pure wheel or sources (`lock` takes the hashes of all files). Of the locks of harness and light the test
below resolves them for every Python and processor; those of accuracy are sources, which no test here builds."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")


def narrow(text: str) -> list[str]:
    """Packages of a lock that hold a single hash: of one file, which may serve one Python and processor alone."""
    entries = re.findall(r"^([A-Za-z0-9][^\s;]*)[^\n]*\n((?:[ \t]+--hash[^\n]*\n)+)", text, re.MULTILINE)
    return [name for name, hashes in entries if hashes.count("--hash") == 1]


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_no_lock_holds_the_hash_of_one_file(lock: Path) -> None:
    """One hash is one wheel: of one Python and one processor, where it is not a pure package."""
    assert set(narrow(lock.read_text())) <= PURE


def test_a_narrow_lock_is_seen() -> None:
    """The fault that this is about: a folder of wheels at the time of locking."""
    text = "pure==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nnarrow==2 ; python_version > '3' \\\n    --hash=sha256:cc\ntorch==2+cpu\n"
    assert narrow(text) == ["narrow==2"]


@pytest.mark.parametrize("name", ["harness", "light"])
def test_hashes_serve_every_python_and_processor(name: str, tmp_path: Path) -> None:
    """Resolved against the index with these hashes alone, without a build from source."""
    lock = ROOT / "requirements" / f"{name}.lock"
    for python in PYTHONS:
        for processor in ("x86_64", "aarch64"):
            where = [
                "--python-version",
                python,
                "--python-platform",
                f"{processor}-manylinux_2_28",
                "--target",
                str(tmp_path),
            ]
            what = ["--dry-run", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
            command = [
                *environments.UV,
                "pip",
                "install",
                "--quiet",
                *where,
                *what,
                *lock_files._index_alone(),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"Python {python} on {processor}: {done.stderr}"


def test_a_lock_of_both_places_is_sorted_and_keeps_hashes() -> None:
    """Builds of elsewhere carry no hash: each place that offers them has its own."""
    hashed = "tqdm==4 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    assert lock_files.merged(hashed, ["torch==2.13.0+cpu"]) == "torch==2.13.0+cpu\n" + hashed


def test_the_light_environment_is_a_part_of_the_whole() -> None:
    """The same versions and hashes, so that a command answers the same in both."""
    light, whole = (
        set((ROOT / f"requirements/{name}.lock").read_text().splitlines()) for name in ("light", "harness")
    )
    assert light < whole
