"""Whether a node is fit, asked outside the container before GPU time is spent: `python3 -m utils.node.host.ready HOST.json FOUND.json`."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.node import preflight
from utils.node.host import allocation, gpu_checks, gpus, isolation, machine
from utils.node.host.tools import ask, emit, tool
from utils.node.preflight import Check, check

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_FIT = 20
"""Exit code, the same as PREFLIGHT_FAILED's."""
_CLONE_NEWUSER = 0x10000000
_SWITCHES = {
    "/proc/sys/user/max_user_namespaces": "0",
    "/proc/sys/kernel/unprivileged_userns_clone": "0",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
}
"""What can forbid user namespaces, and at which value."""

Host = dict[str, Any]
"""HOST.json (utils/launch/questions.py writes it): runtime, folders (name -> path), shared (a folder that all nodes write to), models,
archives, hub (pairs of a model and its revision, or empty), offline, registries, devices, kind, gpus, gpu_model, power_cap_w, clock_mhz, port."""


def checks(host: Host) -> Iterator[Check]:
    """Every question, cheapest first."""
    yield from machine.checks(host)
    for name, folder in host["folders"].items():
        yield _folder(name, Path(folder))
    if host["shared"]:
        yield _folder("--out", Path(host["shared"]), of_node=False)
    for name in ("models", "archives"):
        if host[name]:
            there = Path(host[name]).is_dir()
            found = host[name] if there else f"{host[name]} is missing (paths.{name})"
            yield check(name, there, found, "is the node's disk mounted?")
    yield from machine.cached_models(host)
    for device in host["devices"]:
        yield _device(Path(device))
    if host["runtime"] != "none":
        yield user_namespaces()
        yield _runtime(host["runtime"])
    for registry in host["registries"]:
        yield machine.registry(registry)
    yield preflight.port(host["port"])
    yield from gpu_checks.checks(host)


def _folder(name: str, folder: Path, *, of_node: bool = True) -> Check:
    """A folder that can be made and written, with room in it."""
    where = f"paths.{name}" if of_node else name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / f".servematrix-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
        found = preflight.disk(folder)
    except OSError as error:
        why = f"{folder} ({where}): {error.strerror}"
        return Check("disk", passed=False, found=why, of_node=of_node)
    return check("disk", found.passed, f"{found.found} ({where})", "free some", of_node=of_node)


def _device(path: Path) -> Check:
    usable = any(path.iterdir()) if path.is_dir() else os.access(path, os.R_OK | os.W_OK)
    closed = f"{path} is missing, empty or closed to this user (container.devices)"
    return Check("device", usable, str(path) if usable else closed)


def user_namespaces() -> Check:
    """Make one, in a child, as every container runtime without root does."""
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        os._exit(ctypes.get_errno() if libc.unshare(_CLONE_NEWUSER) else 0)
    error = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    off = [path for path, value in _SWITCHES.items() if _read(path) == value]
    why = f"; {', '.join(off)} forbids them" if off else ""
    name = os.strerror(error) if error > 0 else ""
    if error == errno.ENOSPC:
        name += ", which means that their number is used up"
    found = f"a user namespace cannot be made ({name}){why}" if error else "user namespaces can be made"
    return Check("userns", error == 0, found)


def _runtime(runtime: str) -> Check:
    if runtime == "charliecloud":
        there = bool(shutil.which("ch-run"))
        words = runtime_version(runtime) if there else "ch-run is missing on this node (charliecloud)"
        return Check("runtime", there, words)
    if not shutil.which("enroot"):
        return Check("runtime", passed=False, found="enroot is missing on this node")
    said = ask("srun", "--help")
    if "--container-image" not in said.text:
        missing = "pyxis is missing on this node: srun knows no --container-image"
        silent = f"whether pyxis is on this node cannot be seen: {said.failure}"
        return Check("runtime", passed=False, found=silent if said.failure else missing)
    version, advice = ask("enroot", "version"), ""
    found = version.text.strip()
    if not re.match(r"\d+\.\d+", found):
        found = f"of a version that cannot be read ({version.failure or found[:60] or 'no word'})"
        advice = "records of this node lack it; `enroot version` by hand shows why"
    return Check("runtime", passed=True, found=f"enroot {found}, pyxis", advice=advice)


def runtime_version(runtime: str) -> str:
    """The container runtime in words, for the record; pyxis itself tells none."""
    if runtime == "charliecloud":
        return f"charliecloud {_charliecloud()}"
    if runtime == "pyxis":
        return f"enroot {tool('enroot', 'version').strip()}, pyxis"
    return "none"


def _charliecloud() -> str:
    environment = {**os.environ, "USER": "servematrix"}  # ch-run refuses to start without it
    said = subprocess.run(
        ["ch-run", "--version"], capture_output=True, text=True, check=False, env=environment
    )
    return (said.stdout + said.stderr).strip()  # it tells its version on stderr


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def found(host: Host) -> dict[str, Any]:
    """What a record wants to know and what only the outside of the container can tell."""
    facts = gpus.facts(host["kind"])
    return {
        "allocation": allocation.name(),
        "began_s": time.monotonic(),
        "visible": {name: os.environ[name] for name in gpus.VISIBLE if name in os.environ},
        "node": {
            **facts,
            "name": allocation.node(),
            "runtime": runtime_version(host["runtime"]),
            "isolation": isolation.held(host["runtime"]),
            **({"load_image": host["load_image"]} if host.get("load_image") else {}),
        },
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    private = path.with_name(f".{path.name}.{os.getpid()}")
    private.write_text(json.dumps(content, indent=1))
    private.replace(path)


def main(host_file: str, found_file: str) -> int:
    """Ask everything; a single thing that is wrong ends the job, and all of it is reported."""
    host = json.loads(Path(host_file).read_text())
    failed: Check | None = None
    for one in checks(host):
        emit(
            kind="check",
            name=one.name,
            text=one.cause,
            facts={
                "passed": one.passed,
                "of_node": one.of_node,
                "level": one.level,
                "found": one.found,
                "advice": one.advice,
            },
        )
        if not one.passed:
            failed = failed or one
    write(Path(found_file), found(host))
    return NOT_FIT if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
