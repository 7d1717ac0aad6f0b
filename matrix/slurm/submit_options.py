"""More options of sbatch that a cluster file asks for: their names, and those that the harness sets by itself."""

from __future__ import annotations

import re
from difflib import get_close_matches

SET_ELSEWHERE = {
    "partition": "slurm.partition",
    "gres": "slurm.gres",
    "cpus-per-task": "slurm.cpus_per_task",
    "time": "limits.walltime_s",
} | dict.fromkeys(
    (
        *(
            "job-name",
            "output",
            "error",
            "input",
            "export",
            "export-file",
            "nodes",
            "ntasks",
            "ntasks-per-node",
        ),
        *("requeue", "no-requeue", "dependency", "array", "wrap", "chdir", "open-mode", "hold", "wait"),
        *("parsable", "test-only", "clusters", "nodefile", "ignore-pbs", "quiet", "signal"),
    ),
    "the harness itself",
)
"""Option -> who sets it."""
KNOWN = (
    *(
        "account",
        "acctg-freq",
        "bb",
        "begin",
        "deadline",
        "nodelist",
        "bbf",
        "burst-buffer",
        "cluster-constraint",
        "comment",
        "constraint",
        "container",
    ),
    *(
        "container-id",
        "contiguous",
        "core-spec",
        "cores-per-socket",
        "cpu-freq",
        "cpus-per-gpu",
        "delay-boot",
    ),
    *(
        "distribution",
        "exclude",
        "exclusive",
        "extra",
        "extra-node-info",
        "get-user-env",
        "gid",
        "gpu-bind",
        "gpu-freq",
    ),
    *(
        "gpus",
        "gpus-per-node",
        "gpus-per-socket",
        "gpus-per-task",
        "gres-flags",
        "hint",
        "kill-on-invalid-dep",
    ),
    *(
        "licenses",
        "mail-type",
        "mail-user",
        "mcs-label",
        "mem",
        "mem-bind",
        "mem-per-cpu",
        "mem-per-gpu",
        "mincpus",
    ),
    *(
        "network",
        "nice",
        "no-kill",
        "ntasks-per-core",
        "ntasks-per-gpu",
        "ntasks-per-socket",
        "oom-kill-step",
    ),
    *("overcommit", "oversubscribe", "power", "prefer", "priority", "profile", "propagate", "qos", "reboot"),
    *(
        "reservation",
        "resv-ports",
        "segment",
        "sockets-per-node",
        "spread-job",
        "stepmgr",
        "switches",
        "thread-spec",
    ),
    *("threads-per-core", "time-min", "tmp", "tres-bind", "tres-per-task", "uid", "use-min-nodes", "verbose"),
    *("wait-all-nodes", "wckey", "x11"),
)
"""The others, by the manual pages of sbatch 22.05 to 26.05; a site's plugins may add to them."""

ALIKE = 0.85
"""So alike that it is a slip: `acount`, but not pyxis' `container-name`."""


def check(name: str) -> str:
    """An option's long name.

    Raises:
        ValueError: for what is no name, is set elsewhere, or was probably meant otherwise.
    """
    if name.startswith("-"):
        raise ValueError(f"write {name.lstrip('-')!r}, without the dashes in front")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        hint = name.strip().lower().replace("_", "-")
        raise ValueError(f"{name!r} is no long name of an option of sbatch; write {hint}")
    if owner := SET_ELSEWHERE.get(name):
        raise ValueError(f"the option {name!r} is set by {owner}; take it out here")
    if name not in KNOWN and (meant := get_close_matches(name, [*KNOWN, *SET_ELSEWHERE], n=1, cutoff=ALIKE)):
        raise ValueError(f"sbatch has no option {name!r}; did you mean {meant[0]!r}?")
    return name
