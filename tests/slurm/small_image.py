"""Small container images with the FAKE vLLM: what they lack is mounted from the machine, so that one takes a moment to make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = (
    "etc",
    "dev",
    "proc",
    "sys",
    "tmp",
    "home",
    "root",
    "mnt",
    "workspace",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/local/bin",
)
LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}


def _of_machine() -> list[Path]:
    """Folders of the machine that programs in a small image need, under the names that they have here: the tests' own Python and its packages."""
    packages = Path(sys.prefix)
    return [Path("/usr/bin"), Path("/usr/lib"), Path("/usr/lib64"), Path(sys.base_prefix), packages]


def mounts() -> dict[str, str]:
    """For `container.mounts` of a cluster file."""
    return {str(path): f"{path}:ro" for path in _of_machine() if path.is_dir()}


def make(file: Path, site: Path, before: str = "") -> Path:
    """An image.

    Args:
        file: to be written.
        site: with the fake's packages, as nodes see it; a copy goes into the image.
        before: shell commands that its `vllm` runs first.
    """
    root = file.with_suffix(".root")
    for name in (*FOLDERS, *(str(path).lstrip("/") for path in _of_machine())):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("passwd", "group", "hosts", "resolv.conf"):  # ch-run mounts the machine's over them
        (root / "etc" / name).touch()
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    shutil.copytree(site, root / "opt/fake")
    for name, text in (
        ("python3", f'exec "{sys.executable}" "$@"'),
        ("vllm", f'{before}\nexec "{sys.executable}" -m vllm.entrypoints.cli.main "$@"'),
    ):
        script = root / "usr/local/bin" / name
        script.write_text(f'#!/bin/sh\nexport PYTHONPATH="/opt/fake:$PYTHONPATH"\n{text}\n')
        script.chmod(0o755)
    subprocess.run(
        ["mksquashfs", str(root), str(file), "-comp", "lz4", "-noappend", "-quiet", "-no-progress"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(root)
    return file
