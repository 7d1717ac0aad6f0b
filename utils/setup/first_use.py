"""Makes the environment that `servematrix` runs in: `python -I first_use.py VENV LOCK`, called by ./servematrix, under its lock.

Standard library alone. pip brings uv, and uv the rest of the lock, in a fifth of pip's time; where uv has no build for a
machine, pip brings everything. The light environment (no uv in its lock) is pip's alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from utils.setup import installers  # noqa: E402 - the line above lets it be found

SETUP_FAILED = 13
"""As matrix.errors.Exit, which cannot be imported yet."""

MARK = "made-by-servematrix"
"""A file in an environment of ours, there before anything else."""
LITTLE_ROOM_BYTES = 100_000_000
"""About half of what the environment takes; packages that did not fit are taken away again."""


class SetupError(Exception):
    """Why there is no environment, and what to do."""


def main(venv: Path, lock: Path) -> None:
    """Make it, and leave a copy of the lock in it as the last act, so that an interrupted set-up is made again."""
    text = lock.read_text(encoding="utf-8")
    packages = len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE))
    _say(f"first use: making {venv.name} with {packages} packages (once)")
    _refuse(venv)
    _leave_a_removed_folder()
    shutil.rmtree(venv, ignore_errors=True)
    with contextlib.suppress(OSError):  # `venv` says why there can be no folder
        venv.mkdir(exist_ok=True)
        (venv / MARK).touch()
    own = importlib.util.find_spec("pip") is not None
    pip = [*_pip(venv, own=own), "--require-hashes", "--no-deps"]
    asks = sys.executable if own else str(venv / "bin" / "python")
    environment = installers.for_pip(asks)
    if (uv := _requirement(text, "uv")) and _brings(pip, environment, uv):
        python = str(venv / "bin" / "python")
        settings = installers.uv_arguments(installers.settings(asks))
        command = [
            python,
            "-I",
            "-m",
            "uv",
            "pip",
            "install",
            "--python",
            python,
            "--no-deps",
            "--require-hashes",
            "--compile-bytecode",
        ]
        _run(
            [*command, *settings, "-r", str(lock)],
            installers.for_uv(asks, ROOT / ".cache" / "uv"),
            lock,
        )
    else:
        _run([*pip, "-r", str(lock)], environment, lock)
    shutil.copyfile(lock, venv / "made-from.lock")


def _refuse(venv: Path) -> None:
    """Say which places no environment can be made in.

    Raises:
        SetupError: what to move, or to remove.
    """
    if os.pathsep in str(venv):
        raise SetupError(
            f"{ROOT} has a colon in it, and no Python environment can be there; rename or move the folder"
        )
    try:
        str(venv).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(ROOT).decode(errors="backslashreplace")
        raise SetupError(
            f"{shown} is no UTF-8, and no Python environment can be there; rename or move the folder"
        ) from error
    if venv.is_symlink() or venv.is_file():
        raise SetupError(
            f"{venv} is a link or a file, and an environment is made there; remove it and try again"
        )
    if (venv / "pyvenv.cfg").exists() and not any(
        (venv / name).exists() for name in (MARK, "made-from.lock")
    ):
        raise SetupError(
            f"{venv} is an environment that servematrix did not make, and its own goes there; move it away and try again"
        )
    if os.statvfs(ROOT).f_flag & os.ST_NOEXEC:
        raise SetupError(f"the disk of {ROOT} runs no programs (noexec); use a checkout on another one")


def _leave_a_removed_folder() -> None:
    """Pip asks in which folder it is, and fails where that is gone."""
    try:
        Path.cwd()
    except OSError:
        os.chdir(ROOT)


def _pip(venv: Path, *, own: bool) -> list[str]:
    """A pip for a new environment: this Python's own, else one that ensurepip puts into it."""
    make = [sys.executable, "-I", "-m", "venv"]
    if own:
        _make(make, venv, "--without-pip")
        return [
            sys.executable,
            "-I",  # else a pip.py in the caller's folder is taken for it
            "-m",
            "pip",
            "--python",
            str(venv / "bin" / "python"),
            "install",
            "--no-compile",
        ]
    _make(make, venv)
    return [str(venv / "bin" / "python"), "-I", "-m", "pip", "install"]


def _make(make: list[str], venv: Path, *options: str) -> None:
    done = subprocess.run([*make, *options, str(venv)], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        lacking = not all(map(importlib.util.find_spec, ("venv", "ensurepip")))
        debian = "on Debian and Ubuntu install the package python3-venv, or " if lacking else ""
        raise SetupError(
            f"'{sys.executable} -m venv' failed ({said[-1] if said else 'without a word'}); {debian}"
            "name another Python with SERVEMATRIX_PYTHON=/path/to/python3"
        )


def _requirement(lock: str, name: str) -> str:
    """A package's lines of a lock, or an empty text."""
    match = re.search(rf"^{name}==[^\n]*(?:\n[ \t]+[^\n]*)*", lock, re.MULTILINE)
    return match[0] + "\n" if match else ""


def _brings(pip: list[str], environment: dict[str, str], uv: str) -> bool:
    """Whether pip could bring uv; where not, its errors are no news, because pip brings all that it can itself.

    That it waits for a network is news.
    """
    _say("fetching uv (about 25 MB), which fetches the rest")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(uv)
        file.flush()
        quiet = [] if sys.stderr.isatty() else ["--quiet"]
        command = [*pip, *quiet, "--only-binary", ":all:", "-r", file.name]
        with subprocess.Popen(
            command, env=environment, stdout=sys.stderr, stderr=subprocess.PIPE, text=True
        ) as done:
            for line in done.stderr or ():
                if line.startswith("WARNING: Retrying"):
                    sys.stderr.write(line)
                    sys.stderr.flush()
    return done.returncode == 0


def _run(command: list[str], environment: dict[str, str], lock: Path) -> None:
    quiet = ["--quiet"] if "uv" not in command and not sys.stderr.isatty() else []
    done = subprocess.run([*command, *quiet], env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        if (free := shutil.disk_usage(ROOT).free) < LITTLE_ROOM_BYTES:
            raise SetupError(f"{free / 1e6:.0f} MB are free in {ROOT}, which is too little; make room there")
        raise SetupError(
            f"the packages of {lock.relative_to(ROOT)} could not be installed; the messages are above. servematrix asks where pip "
            "asks: an index or a proxy of your own goes into pip's configuration (index-url, proxy, cert)"
        )


def _say(text: str) -> None:
    sys.stderr.write(f"servematrix: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (SetupError, OSError) as error:
        _say(str(error))
        sys.exit(SETUP_FAILED)
    except KeyboardInterrupt:
        _say("interrupted; the next call begins the set-up again")
        sys.exit(130)
