"""Whether a run has processes of its own: it then sees, and can signal, nothing of the batch script's or of another job's.

A PID namespace ends all that is in it with its first process (pid_namespaces(7)), so that nothing of a run outlives it either. pyxis makes
none, and has no switch for it; what ends a program of the batch script there is noticed by that script.
"""

from __future__ import annotations

import subprocess

APART = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Of unshare(1)."""
WAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "none": ((), ("--user", "--map-current-user")),
    "charliecloud": (("--user", "--map-root-user"),),
    "pyxis": (),
}
"""Container runtime -> words of unshare that may make the namespaces, in the order in which they are tried: root needs no user namespace."""
OTHERWISE: dict[str, tuple[str, ...]] = {
    "none": (),
    "charliecloud": ("unshare", "--user", "--map-root-user", "--mount"),
}
"""How a run begins where none of them works."""
OWN, SHARED = "own processes", "the node's processes"


def way(runtime: str) -> tuple[str, ...] | None:
    """The first that works on this machine; None where none does."""
    for words in WAYS[runtime]:
        try:
            done = subprocess.run(
                ["unshare", *words, *APART, "true"], capture_output=True, check=False, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode == 0:
            return words
    return None


def held(runtime: str) -> str:
    """What a record says of it."""
    return SHARED if way(runtime) is None else OWN


def entering(runtime: str) -> list[str]:
    """Words before a run's program: they try what `way` tries, on the node where it runs."""
    tries = [" ".join(["unshare", *words, *APART]) for words in WAYS[runtime]]
    lines = [f'if {line} true 2>/dev/null; then exec {line} "$@"; fi' for line in tries]
    return ["sh", "-c", "\n".join([*lines, " ".join(["exec", *OTHERWISE[runtime], '"$@"'])]), "sh"]
