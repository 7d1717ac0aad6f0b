"""Pushes by git, with a token that no file and no argument has; never with force."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable

NAME, MAIL = "github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com"
TRIES = 5


class Git:
    """A repository on disk and its `origin`."""

    def __init__(self, folder: Path, token: str) -> None:
        self.folder, self.token = folder, token

    def run(self, *arguments: str, check: bool = True) -> str:
        """What a command prints.

        Raises:
            HarnessError: GITHUB_FAILED with git's own words, without the token.
        """
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode and check:
            words = done.stderr.strip()[-500:].replace(self.token or "\0", "***")
            raise HarnessError(Exit.GITHUB_FAILED, f"git {arguments[0]} failed: {words}; run the job again")
        return done.stdout.strip() if done.returncode == 0 else ""

    def commit(self, message: str, *paths: str) -> str:
        """Commit these files alone; the commit, or nothing if they are as they were."""
        self.run("add", "--", *paths)
        if not self.run("status", "--porcelain", "--", *paths):
            return ""
        self.run("commit", "--quiet", "--no-verify", "-m", message, "--", *paths)
        return self.run("rev-parse", "HEAD")

    def _environment(self) -> dict[str, str]:
        """The token goes by the environment (https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT)."""
        credentials = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        settings = {
            "user.name": NAME,
            "user.email": MAIL,
            "http.extraheader": f"AUTHORIZATION: basic {credentials}",
            "core.hooksPath": os.devnull,
            "commit.gpgSign": "false",
        }
        found = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(settings))}
        for number, (name, value) in enumerate(settings.items()):
            found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return found


def onto(repository: Git, branch: str, change: Callable[[Path], str]) -> str:
    """Change a branch of `origin` that several jobs write, and push; the commit. A branch that is not there is begun.

    Args:
        repository: whose origin it is.
        branch: its name.
        change: is given a checkout of the branch, changes it, and returns the commit's message; it may be called again when
            somebody else was faster.
    """
    url = repository.run("remote", "get-url", "origin")
    for attempt in range(TRIES):
        with tempfile.TemporaryDirectory(prefix="servematrix-data-") as name:
            copy = Git(Path(name), repository.token)
            copy.run("init", "--quiet", "-b", branch)
            copy.run("remote", "add", "origin", url)
            if copy.run("ls-remote", "--heads", "origin", f"refs/heads/{branch}"):
                copy.run("fetch", "--quiet", "--depth=1", "origin", f"refs/heads/{branch}")
                copy.run("reset", "--quiet", "--hard", "FETCH_HEAD")
            commit = copy.commit(change(Path(name)), ".")
            if not commit:
                return ""
            try:
                copy.run("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
            except HarnessError:
                if attempt == TRIES - 1:
                    raise
                time.sleep(attempt + 1)
            else:
                return commit
    raise AssertionError
