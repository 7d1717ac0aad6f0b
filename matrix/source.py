"""Where the files of a tree come from: a folder, or a revision of a git repository."""

from __future__ import annotations

import os
import stat
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Protocol

from matrix.errors import Exit, HarnessError, Place, Problem, nearest

SIZE_LIMIT_BYTES = 1_000_000
"""No recipe, cluster file or model description needs more; a larger one is a mistake or an attack."""
_OF_HOOKS = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
}
"""Variables that name a repository (git(1)); its settings are left."""
_TREE_FOLDERS = ("recipes", "kernels", "requirements")


class Source(Protocol):
    """A read-only view of a tree's files, by path relative to its root."""

    name: str

    def files(self, folder: str) -> list[str]:
        """Every file below a folder, sorted; empty if the folder is missing."""

    def read(self, path: str) -> bytes:
        """The content of one regular file of at most `SIZE_LIMIT_BYTES`."""

    def __hash__(self) -> int:
        """By identity: hashes of what a source holds are kept as long as it lives."""


def unreadable(path: str, why: str) -> HarnessError:
    """The error for a file that cannot be taken at all."""
    return HarnessError(Exit.RECIPE_UNREADABLE, "", [Problem(Place(path), why)])


_LINK = "is a symbolic link; put the file itself there, so that the tree says all it means"
_LARGE = f"is larger than {SIZE_LIMIT_BYTES:,} bytes; a file of a recipe tree never needs that"


def _plain(path: str) -> str:
    """A path whose every letter can be shown: control characters and letters that turn a line round could speak for us in a log.

    Raises:
        HarnessError: RECIPE_UNREADABLE, with the path as it may be shown.
    """
    if not path.isprintable():
        shown = path.encode("unicode_escape", errors="surrogateescape").decode("ascii", errors="replace")
        raise unreadable(shown, "has a letter in its name that cannot be shown; rename the file")
    return path


def _is_link(path: Path, folder: str) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)  # `is_symlink` has no errors since Python 3.14
    except OSError as error:  # as of a path that is too long
        raise unreadable(
            _plain(folder)[:100], f"holds a folder that cannot be read: {error.strerror}"
        ) from error


class Folder:
    """A working tree. Links are refused: they could leave the tree, or loop."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.name = "the working tree"

    def files(self, folder: str) -> list[str]:
        """Every file below a folder, sorted; links are listed, so that reading them tells why not."""
        found: list[str] = []
        for base, folders, names in os.walk(self.root / folder):
            relative = Path(base).relative_to(self.root).as_posix()
            found += [f"{relative}/{name}" for name in folders if _is_link(Path(base) / name, relative)]
            folders[:] = [name for name in folders if name != "__pycache__"]
            found += [f"{relative}/{name}" for name in names]
        return sorted(map(_plain, found))

    def read(self, path: str) -> bytes:
        """The content of one file, opened without following a link in its last part."""
        full = self.root / path
        try:
            if full.is_symlink() or not full.resolve(strict=True).is_relative_to(self.root):
                raise unreadable(path, _LINK)
            status = full.stat()
            if not stat.S_ISREG(status.st_mode):
                raise unreadable(path, "is not a regular file; put a plain file there")
            if status.st_size > SIZE_LIMIT_BYTES:
                raise unreadable(path, _LARGE)
            return full.read_bytes()
        except (OSError, RuntimeError) as error:
            raise unreadable(path, getattr(error, "strerror", None) or str(error)) from error


class Revision:
    """One commit of a git repository, read without a checkout."""

    def __init__(self, repository: Path, revision: str) -> None:
        self.repository = repository
        self.commit = commit_of(repository, revision)
        self.name = f"commit {self.commit[:12]}"

    @cached_property
    def _entries(self) -> dict[str, tuple[str, str, int]]:
        """Path -> (mode, object, size) of the folders that a plan reads."""
        listing = git(self.repository, "ls-tree", "-r", "-l", "-z", self.commit, "--", *_TREE_FOLDERS)
        entries = {}
        for line in listing.decode(errors="surrogateescape").split("\0"):
            if line:
                head, path = line.split("\t", 1)
                mode, _, name, size = head.split()
                entries[path] = (mode, name, int(size) if size != "-" else 0)
        return entries

    def files(self, folder: str) -> list[str]:
        """Every file below a folder, sorted."""
        return sorted(_plain(path) for path in self._entries if path.startswith(f"{folder}/"))

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        """Object -> bytes of every file within the size limit, from one `git cat-file`."""
        wanted = {
            name
            for mode, name, size in self._entries.values()
            if mode[:3] == "100" and size <= SIZE_LIMIT_BYTES
        }
        answer = git(self.repository, "cat-file", "--batch", stdin="\n".join(wanted).encode())
        contents, at = {}, 0
        while at < len(answer):
            end = answer.index(b"\n", at)
            name, _, size = answer[at:end].decode().split()
            contents[name] = answer[end + 1 : end + 1 + int(size)]
            at = end + int(size) + 2
        return contents

    def read(self, path: str) -> bytes:
        """The content of one file as it was committed."""
        if path not in self._entries:
            raise unreadable(path, f"is not in {self.name}")
        mode, name, size = self._entries[path]
        if mode == "120000":
            raise unreadable(path, _LINK)
        if not mode.startswith("100"):
            raise unreadable(path, "is a submodule; put the files themselves there")
        if size > SIZE_LIMIT_BYTES:
            raise unreadable(path, _LARGE)
        return self._contents[name]


def outside_of_hooks() -> dict[str, str]:
    """Our environment without what git tells a hook of its own repository, which would win over the folder that we name."""
    return {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}


class GitError(HarnessError):
    """A git command that failed, with its exit status: 1 where it answered no, 128 where it could not answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(Exit.SETUP_FAILED, message)
        self.status = status


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """What a git command prints.

    Raises:
        GitError: SETUP_FAILED with git's own words, or with what to do where that is known.
    """
    command = ["git", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, env={**outside_of_hooks(), "LC_ALL": "C"}
        )
    except FileNotFoundError as error:
        raise HarnessError(
            Exit.SETUP_FAILED, "git is not installed; --changed and provenance need it"
        ) from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        raise GitError(_advice(repository, words) or f"git {arguments[0]}: {words}", done.returncode)
    return done.stdout


def _advice(repository: Path, words: str) -> str:
    """What to do, for the errors of git that have nothing to do with what was asked of it."""
    if "dubious ownership" in words:
        return (
            f"git does not read {repository}, because it belongs to another user; if that is as it should be: "
            f"git config --global --add safe.directory {repository.resolve()}"
        )
    if "not a git repository" in words:
        return f"{repository} is no git repository; --changed, --pair and provenance need one: git clone it, or git init"
    return ""


def commit_of(repository: Path, revision: str) -> str:
    """The 40-hex commit that a revision names.

    Raises:
        HarnessError: USAGE where it names none, with what there is instead.
    """
    if revision.startswith("-"):
        raise HarnessError(Exit.USAGE, f"{revision!r} is not a revision; name a branch, a tag or a commit")
    try:
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        answer = git(repository, *asked)
    except GitError as error:
        if error.status != 1:
            raise
        raise HarnessError(
            Exit.USAGE, f"git knows no revision {revision!r} here; {_branches(repository, revision)}"
        ) from error
    return answer.decode().strip()


def names_of_revisions(repository: Path) -> list[str]:
    """Branches and tags, those of remotes too."""
    listed = git(
        repository, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes", "refs/tags"
    )
    return listed.decode(errors="replace").split()


def _branches(repository: Path, revision: str) -> str:
    if hint := nearest(revision, names_of_revisions(repository)):
        return hint
    shallow = " (this clone is shallow: git fetch --unshallow)" if is_shallow(repository) else ""
    return f"a branch, a tag or a commit is wanted; a branch of origin comes with: git fetch origin {revision}{shallow}"


def is_shallow(repository: Path) -> bool:
    """Whether a clone lacks a part of its history."""
    return git(repository, "rev-parse", "--is-shallow-repository").strip() == b"true"


def merge_base(repository: Path, one: str, other: str) -> str:
    """The commit from which two revisions parted.

    Raises:
        HarnessError: USAGE where there is none, or none in this clone.
    """
    commits = [commit_of(repository, name) for name in (one, other)]
    try:
        return git(repository, "merge-base", *commits).decode().strip()
    except HarnessError as error:
        if is_shallow(repository):
            raise HarnessError(
                Exit.USAGE,
                f"this clone is shallow, and the commit from which {one} and {other} parted is not in it; git fetch --unshallow",
            ) from error
        raise HarnessError(
            Exit.USAGE,
            f"{one} and {other} have no commit in common; rebase one onto the other, or name another base",
        ) from error
