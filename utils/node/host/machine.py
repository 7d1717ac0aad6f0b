"""What a machine has besides GPUs: its Python, memory, kernel settings, cached models, and whether registries answer it."""

from __future__ import annotations

import platform
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.node import preflight
from utils.node.preflight import Check, check, note

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_LEAST_GB = 4.0
"""Available memory below which a server's start is likely to be ended by the kernel."""
REGISTRY_S = 5.0
"""A registry that says nothing for so long is not waited for."""
_ANSWERS = {200, 401, 403, 404}
"""HTTP codes of a registry that is there; 401 asks for a token, which an import then gets."""


def checks(host: dict[str, Any]) -> Iterator[Check]:
    """Python, memory, kernel settings. NUMA balancing and huge pages matter to servers on GPUs, so that only there they are notes."""
    yield check(
        "python", sys.version_info >= (3, 9), platform.python_version(), "slurm.python wants 3.9 or newer"
    )
    yield _memory()
    facts = preflight.machine()
    gpus = host["kind"] != "cpu"
    numa = str(facts.get("numa_balancing", ""))
    said = {"0": "off", "1": "on", "2": "for memory tiers", "": "not reported by the kernel"}.get(numa, numa)
    yield note(
        "NUMA balancing",
        numa in {"0", ""} or not gpus,
        said,
        "it moves memory while servers run: sysctl kernel.numa_balancing=0",
    )
    pages = str(facts.get("transparent_hugepage", "")) or "not reported by the kernel"
    yield note(
        "huge pages",
        pages in {"always", "madvise"} or not gpus,
        pages,
        "GPU servers want transparent huge pages: echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",
    )


def _memory() -> Check:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError as error:
        return Check("memory", passed=True, found=f"/proc/meminfo: {error.strerror}", advice="look by hand")
    kib = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    total, free = (kib.get(name, 0) * 1024 / 1e9 for name in ("MemTotal", "MemAvailable"))
    enough = free >= MEMORY_LEAST_GB
    return note(
        "memory",
        enough,
        f"{free:.0f} of {total:.0f} GB available",
        "end what holds it, or servers may be killed",
    )


def cached_models(host: dict[str, Any]) -> Iterator[Check]:
    """Whether the Hugging Face cache has what recipes serve, as huggingface_hub lays it out: models--ORG--NAME/snapshots/REVISION."""
    cache = Path(host["models"]) if host["models"] else None
    if cache is None or not cache.is_dir():
        return
    for name, revision in host["hub"]:
        folder = cache / f"models--{name.replace('/', '--')}" / "snapshots"
        at = f" at {revision}" if revision else ""
        try:
            there = (folder / revision).is_dir() if revision else folder.is_dir() and any(folder.iterdir())
        except OSError as error:
            yield Check(
                "model cache",
                passed=False,
                found=f"{folder}: {error.strerror}",
                advice="can this user read it?",
            )
            continue
        found = f"{name}{at}" if there else f"{name}{at} is not in {cache}"
        if host["offline"]:
            advice = (
                "the cluster file says HF_HUB_OFFLINE, so that no server can fetch it: put it there by hand"
            )
            yield check("model cache", there, found, advice)
        else:
            yield note("model cache", there, found, "the first server downloads it, within its start's limit")


def registry(name: str) -> Check:
    """Ask a registry's /v2/ for a sign of life. One that does not answer is a note: imported images need none."""
    advice = "images that are not on the node yet cannot be imported: set a proxy, or use paths.archives"
    local = name.split(":", maxsplit=1)[0] in {"localhost", "127.0.0.1"}
    try:
        for scheme in (
            ("https", "http") if local else ("https",)
        ):  # a registry of this machine need not have TLS
            code = _code(f"{scheme}://{name}/v2/")
            if isinstance(code, int):
                break
    except ValueError as error:
        return Check("registry", passed=True, found=f"{name}: {error}", advice=advice)
    if not isinstance(code, int):
        return Check("registry", passed=True, found=f"{name} does not answer ({code})", advice=advice)
    return note("registry", code in _ANSWERS, f"{name} answers ({code})", advice)


def _code(address: str) -> int | str:
    """The HTTP code, or why there is none."""
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - https, or http to this machine
    try:
        with urllib.request.urlopen(request, timeout=REGISTRY_S) as answer:  # noqa: S310 - the same
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, urllib.error.URLError) as error:
        return str(getattr(error, "reason", error))[:120]
