"""Actions of others that our workflows use, each pinned to a commit with its version behind it. Pure but for the reading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

COOLDOWN = timedelta(days=7)
"""A release younger than that is not asked for: .github/dependabot.yml waits as long."""
_USES = re.compile(r"^\s*-?\s*uses:\s*([\w.-]+/[\w.-]+)[\w./-]*@(\S+)(?:\s+#\s*(\S+))?", re.MULTILINE)
_PINNED = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Pin:
    """An action in one version."""

    action: str
    """OWNER/NAME."""
    commit: str
    version: str
    """As the comment behind the commit says; empty without one."""

    @property
    def is_pinned(self) -> bool:
        """To a commit, not to a name that can be moved."""
        return _PINNED.fullmatch(self.commit) is not None


def read(root: Path) -> list[Pin]:
    """Of all workflows and actions of a checkout, each once, in order."""
    files = sorted((*root.glob(".github/**/*.yml"), *root.glob(".github/**/*.yaml")))
    found = {Pin(*groups) for path in files for groups in _USES.findall(path.read_text())}
    return sorted(found, key=lambda pin: (pin.action, pin.version, pin.commit))


def judge(pin: Pin, latest: dict[str, Any], now: datetime) -> tuple[bool, str]:
    """Whether a pin is of the newest release, and what it is.

    Args:
        pin: as a workflow has it.
        latest: GitHub's answer for the action's newest release.
        now: with a time zone.
    """
    newest, since = str(latest["tag_name"]), datetime.fromisoformat(latest["published_at"])
    if not pin.is_pinned:
        return False, f"{pin.commit}, which can be moved to another commit"
    if newest == pin.version:
        return True, pin.version
    days = (now.astimezone(UTC) - since).days
    words = f"{pin.version or pin.commit[:12]}; {newest} is {days} days old"
    return now - since < COOLDOWN, words
