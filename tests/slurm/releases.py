"""The Slurm tests on newer Slurms: Debian's later releases, each in a folder of its own that is gone afterwards.

    sudo PYTHONPATH=. .environments/dev/bin/python -m tests.slurm.releases trixie sid -- tests/utils/launch/slurm/test_slurm.py
    sudo PYTHONPATH=. .environments/dev/bin/python -m tests.slurm.releases trixie sid --capture   # tests/data/slurm-outputs/

Each release is made by debootstrap (about a minute, 300 MB), gets this commit and the packages of requirements/dev.lock for its own Python, and
runs `pytest -m "slurm and not real"` as root. Nightly by name, not a part of `./servematrix test`: it needs root, a network and minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = "slurmctld,slurmd,slurm-client,munge,python3,python3-venv,git,procps,util-linux,ca-certificates,shellcheck"
DEFAULT = ("tests/utils/launch/slurm/test_slurm.py", "tests/utils/launch/slurm/test_faults.py")
INSIDE = """
set -e
cd /opt/checkout
python3 -m venv /opt/env
/opt/env/bin/pip install -q --no-deps -r requirements/dev.lock 2>&1 | tail -3
slurmctld -V; python3 --version
if [ "$1" = --capture ]; then
  PYTHONPATH=. exec /opt/env/bin/python -m tests.slurm.capture /opt/outputs.yaml
fi
PYTHONPATH=. exec /opt/env/bin/python -m pytest -q -p no:cacheprovider -m 'slurm and not real and not debian' "$@"
"""


def main() -> int:
    """Every release that is named; the exit code says how many failed."""
    words = [word for word in sys.argv[1:] if word != "--capture"]
    capture = "--capture" in sys.argv[1:]
    if {"-h", "--help"} & set(words):
        sys.stdout.write(__doc__ or "")
        return 0
    split = words.index("--") if "--" in words else len(words)
    releases, tests = words[:split] or ["trixie", "sid"], words[split + 1 :] or list(DEFAULT)
    if odd := [name for name in releases if not re.fullmatch(r"[a-z]+", name)]:
        sys.exit(f"{odd[0]} is no release of Debian such as trixie or sid; --help says how this is called")
    if os.geteuid():
        sys.exit("this wants root: it mounts folders and changes into them")
    return sum(_run(release, ["--capture"] if capture else tests) != 0 for release in releases)


def _run(release: str, tests: list[str]) -> int:
    with _machine(release) as root:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(root / "opt/checkout")], check=True)
        command = ["chroot", str(root), "bash", "-c", INSIDE, "bash", *tests]
        code = subprocess.run(command, check=False, env=_environment()).returncode
        if (made := root / "opt/outputs.yaml").is_file():
            version = yaml.safe_load(made.read_text())["slurm"].split()[-1].rsplit(".", 1)[0]
            shutil.copyfile(made, ROOT / f"tests/data/slurm-outputs/{version}.yaml")
    sys.stdout.write(f"{release}: {'passed' if code == 0 else f'pytest ended with {code}'}\n")
    return code


def _environment() -> dict[str, str]:
    """Where packages come from, and nothing else of ours."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return kept | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}


@contextmanager
def _machine(release: str) -> Iterator[Path]:
    """A release in a folder that is a mount point of its own, so that tests can make namespaces in it."""
    folder = Path(tempfile.mkdtemp(prefix=f"slurm-{release}-"))
    root, mounts = folder / "root", []
    try:
        made = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(folder / "made")]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        root.mkdir()
        sources = [(str(folder / "made"), ""), ("/proc", "proc"), ("/sys", "sys"), ("/dev", "dev")]
        for source, inside in sources:
            subprocess.run(["mount", "--rbind", source, str(root / inside)], check=True)
            subprocess.run(["mount", "--make-rslave", str(root / inside)], check=True)
            mounts.append(root / inside)
        for name in ("resolv.conf", "pip.conf", "ssl/certs/ca-certificates.crt"):
            if (file := Path("/etc") / name).exists():
                shutil.copyfile(file, root / "etc" / name, follow_symlinks=True)
        yield root
    finally:
        for one in reversed(mounts):
            subprocess.run(["umount", "-R", "-l", str(one)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
