"""Slurm's words for a node's state, in lists; one that is in none of them is unknown, and never taken for good. Pure."""

from __future__ import annotations

TAKES = frozenset({"idle", "mixed", "allocated", "completing", "planned", "reserved"})
"""States of nodes that run jobs, or will (sinfo(1), NODE STATE CODES; long form, %T)."""
CLOSED = frozenset(
    {
        *(
            "blocked",
            "down",
            "drained",
            "draining",
            "fail",
            "failing",
            "future",
            "inval",
            "maint",
            "perfctrs",
        ),
        *("power_down", "power_up", "powered_down", "powering_down", "powering_up", "reboot", "rebooting"),
        *("reboot_issued", "reboot_requested", "unknown"),
    }
)
"""States of nodes that start no job now."""
COMES = "~#+-"
"""Marks behind a state that take nothing away: saves power, powers up, still completes, planned for a job."""
AWAY = "*!%$@^"
"""Marks of a node that does not answer, powers down, is in maintenance, or reboots."""


def takes(state: str) -> bool | None:
    """Whether jobs start on a node; None for a word or mark that is in no list."""
    word = state.rstrip(COMES + AWAY)
    marks = set(state[len(word) :])
    if word in CLOSED or marks & set(AWAY):
        return False
    return True if word in TAKES else None


def silent(state: str) -> bool:
    """Whether a node that runs jobs, or may, does not answer just now: as when the controller or the node's daemon was started again."""
    word = state.rstrip(COMES + AWAY)
    marks = set(state[len(word) :]) & set(AWAY)
    return word == "unknown" or (word in TAKES and marks == {"*"})
