"""Whether a node is fit, asked outside the container before GPU time is spent: `python3 -m utils.node.host.ready HOST.json FOUND.json`."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.node import preflight
from utils.node.host import gpus
from utils.node.preflight import Check

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
"""HOST.json: runtime, folders (name -> path), shared (a folder that all nodes write to), devices, kind, gpus, power_cap_w, clock_mhz, port, model."""
WHOLE = "SPX/NPS1"
"""An MI300X as one device with one memory, which is what tp counts."""


def checks(host: Host) -> Iterator[Check]:
    """Every question, cheapest first."""
    for name, folder in host["folders"].items():
        yield _folder(name, Path(folder))
    if host["shared"]:
        yield _folder("--out", Path(host["shared"]), of_node=False)
    if host["models"]:
        there = Path(host["models"]).is_dir()
        yield Check(
            "models", there, f"{host['models']} is missing (paths.models); is the node's disk mounted?"
        )
    for device in host["devices"]:
        yield _device(Path(device))
    if host["runtime"] != "none":
        yield user_namespaces()
        yield _runtime(host["runtime"])
    yield preflight.port(host["port"])
    yield from _gpu_checks(host)


def _gpu_checks(host: Host) -> Iterator[Check]:
    kind, wanted = host["kind"], host["gpus"]
    there = gpus.count(kind)
    if there is not None:
        why = (
            "one is lost, or its driver"
            if there < wanted
            else "they are partitioned, or the cluster file is wrong"
        )
        yield Check("gpus", there == wanted, f"{there} GPUs where {wanted} are wanted (devices.count); {why}")
        strays = gpus.strays(kind)
        yield Check("strays", not strays, f"GPU memory is held by {'; '.join(strays)}; end these processes")
    visible = os.environ.get("ROCR_VISIBLE_DEVICES") or os.environ.get("CUDA_VISIBLE_DEVICES")
    if there is not None and visible:
        given = len(visible.split(","))
        yield Check(
            "given", given >= wanted, f"Slurm gave {given} GPUs where {wanted} are wanted; see slurm.gres"
        )
    found = gpus.facts(kind)
    partition = found.get("partition", WHOLE)
    cause = f"GPUs are partitioned as {partition}, wanted {WHOLE}: amd-smi set --compute-partition SPX --memory-partition NPS1"
    yield Check("partition", partition == WHOLE, cause)
    for name, unit in (("power_cap_w", "W"), ("clock_mhz", "MHz")):
        if host[name]:
            said = f"{found[name]} {unit}" if found.get(name) else "not reported by the vendor's tool"
            cause = f"{name} is {said}, {host[name]} {unit} are wanted (devices.{name})"
            yield Check(name, found.get(name) == host[name], cause)


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
        return Check("disk", passed=False, cause=f"{folder} ({where}): {error.strerror}", of_node=of_node)
    return Check("disk", found.passed, found.cause.split(";")[0] + f" ({where}); free some", of_node)


def _device(path: Path) -> Check:
    usable = any(path.iterdir()) if path.is_dir() else os.access(path, os.R_OK | os.W_OK)
    return Check("device", usable, f"{path} is missing, empty or closed to this user (container.devices)")


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
    return Check("userns", error == 0, f"a user namespace cannot be made ({name}){why}")


def _runtime(runtime: str) -> Check:
    if runtime == "charliecloud":
        return Check("runtime", bool(shutil.which("ch-run")), "ch-run is missing on this node (charliecloud)")
    if not shutil.which("enroot"):
        return Check("runtime", passed=False, cause="enroot is missing on this node")
    knows = "--container-image" in gpus.tool("srun", "--help")
    return Check("runtime", knows, "pyxis is missing on this node: srun knows no --container-image")


def runtime_version(runtime: str) -> str:
    """The container runtime in words, for the record; pyxis itself tells none."""
    if runtime == "charliecloud":
        return f"charliecloud {_charliecloud()}"
    if runtime == "pyxis":
        return f"enroot {gpus.tool('enroot', 'version').strip()}, pyxis"
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
    job, restarts = os.environ.get("SLURM_JOB_ID", "0"), os.environ.get("SLURM_RESTART_COUNT", "0")
    facts = gpus.facts(host["kind"])
    return {
        "allocation": f"slurm-{os.environ.get('SLURM_CLUSTER_NAME', '')}-{job}-{restarts}",
        "node": {
            **facts,
            "name": os.environ.get("SLURMD_NODENAME", ""),
            "runtime": runtime_version(host["runtime"]),
        },
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    private = path.with_name(f".{path.name}.{os.getpid()}")
    private.write_text(json.dumps(content, indent=1))
    private.replace(path)


def emit(**event: object) -> None:
    """One line for the launcher, in the shape of utils.node.events; the token says that it is not from a container."""
    ours = {"at_s": round(time.monotonic(), 6), "token": os.environ.get("SERVEMATRIX_TOKEN", "")}
    sys.stdout.write(json.dumps({**ours, **event}) + "\n")
    sys.stdout.flush()


def main(host_file: str, found_file: str) -> int:
    """Ask everything; the first thing that is wrong ends the job, and all of it is told."""
    host = json.loads(Path(host_file).read_text())
    failed: Check | None = None
    for check in checks(host):
        emit(
            kind="check",
            name=check.name,
            text=check.cause,
            facts={"passed": check.passed, "of_node": check.of_node},
        )
        if not check.passed:
            failed = failed or check
    write(Path(found_file), found(host))
    return NOT_FIT if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
