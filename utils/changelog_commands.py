"""`servematrix changelog …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.source import commit_of, git, merge_base
from utils.log import clean
from utils.results import changelog
from utils.setup.environments import ROOT

if TYPE_CHECKING:
    from argparse import Namespace


def _file(arguments: Namespace) -> Path:
    return Path(arguments.file) if arguments.file else ROOT / changelog.FILE


def _content(path: Path, *, may_be_new: bool = False) -> bytes:
    if may_be_new and not path.exists():
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        raise HarnessError(Exit.USAGE, f"{path}: {error.strerror}") from error


def add(arguments: Namespace) -> Exit:
    """Fill the author's stub from records."""
    from utils.node.record import write_whole  # noqa: PLC0415 - only this command writes
    from utils.results.changelog_edit import Stub, add  # noqa: PLC0415
    from utils.results.collect import collect  # noqa: PLC0415
    from utils.verdict_commands import judged  # noqa: PLC0415

    path = _file(arguments)
    records = collect([Path(folder) for folder in arguments.folders])
    base = collect([Path(folder) for folder in arguments.base])
    head = records
    if not base:
        base, head = ([one for one in records if one.arm == arm] for arm in ("base", "head"))
    found = judged(base, head, arguments, ROOT) if base else None
    stub = Stub(arguments.pr, arguments.title or "", tuple(arguments.why))
    write_whole(
        path,
        add(
            _content(path, may_be_new=True),
            path.name,
            head,
            base,
            stub,
            found=found,
            runs=arguments.run,
        ).encode(),
    )
    sys.stdout.write(f"{path.name}: figures of {len({one.point for one in head})} points\n")
    return Exit.OK


def rebase(arguments: Namespace) -> Exit:
    """Put this branch's entries onto another one's changelog, also in the middle of a merge or rebase that stopped there."""
    from utils.node.record import write_whole  # noqa: PLC0415
    from utils.results.changelog_rebase import rebase as put_onto  # noqa: PLC0415

    path = _file(arguments)
    root = path.resolve().parent
    ours, onto = _sides(root, arguments.onto)
    base = merge_base(root, ours or "HEAD", onto)
    mine = _content(path) if ours is None else _committed(root, ours)
    text = put_onto(_committed(root, base), mine, _committed(root, onto), commit_of(root, onto))
    write_whole(path, text.encode())
    stale_now = sum(
        bool(entry.stale) for entries in changelog.read(text.encode()).root.values() for entry in entries
    )
    sys.stdout.write(f"{path.name}: onto {onto}; {stale_now} entries wait to be measured again\n")
    return Exit.OK


def _sides(root: Path, onto: str | None) -> tuple[str | None, str]:
    """Our commit (None means the file as it is) and theirs: as asked for, else those of the merge or rebase that is under way."""
    if onto:
        return None, onto
    for ours, theirs in (("REBASE_HEAD", "HEAD"), ("HEAD", "MERGE_HEAD")):
        try:
            commit_of(root, ours), commit_of(root, theirs)
        except HarnessError:
            continue
        return ours, theirs
    raise HarnessError(
        Exit.USAGE, "no merge or rebase is under way; name the branch to go onto: changelog rebase main"
    )


def _committed(root: Path, commit: str) -> bytes:
    try:
        return git(root, "cat-file", "blob", f"{commit}:{changelog.FILE}")
    except HarnessError:
        return b""


def show(arguments: Namespace) -> Exit:
    """Print the entries of a recipe, or the lines of points."""
    log = changelog.read(_content(_file(arguments)), _file(arguments).name)
    recipe, _, point = arguments.what.partition("/")
    if recipe not in log.root:
        raise HarnessError(
            Exit.NOTHING_SELECTED, f"no section {recipe!r}; there are: {', '.join(log.root) or 'none'}"
        )
    for entry in log.root[recipe]:
        about = f"#{entry.pr} " if entry.pr else ""
        sys.stdout.write(f"{entry.date or 'not measured yet'}  {about}{clean(entry.title)}\n")
        for name, line in entry.points.items():
            if point in {"", name}:
                versus = "  ".join(f"{metric} {change}" for metric, change in line.vs.items())
                figures = f"{line.tput:>10.1f} tok/s/device  TTFT {line.ttft:.4g} s  TPOT {line.tpot:.4g} ms  n {line.n}"
                sys.stdout.write(f"  {name:<24}{figures}  {versus}".rstrip() + "\n")
        sys.stdout.writelines(
            f"  {name:<24}missing: {clean(why)}\n"
            for name, why in entry.missing.items()
            if point in {"", name}
        )
    return Exit.OK


def check(arguments: Namespace) -> Exit:
    """Check the file's rules, and tell where it does not speak for the tree any more."""
    path = _file(arguments)
    log = changelog.read(_content(path), path.name)
    found = stale(log) if path == ROOT / changelog.FILE else []
    waiting = [line for line in found if changelog.WAITS in line]
    sys.stdout.writelines(f"note: {line}\n" for line in found)
    points = sum(len(entry.points) for entries in log.root.values() for entry in entries)
    sys.stdout.write(f"{path.name}: {len(log.root)} sections, {points} point lines, in order\n")
    if arguments.strict and len(found) > len(waiting):
        sys.stdout.write(
            "write a stub (pr, title, why) on top of such a section; its sweep fills it: docs/changelog.md\n"
        )
        return Exit.CHANGELOG_INVALID
    return Exit.OK


def stale(log: changelog.Changelog, root: Path = ROOT) -> list[str]:
    """Where the newest entries differ from a checkout's recipes."""
    from matrix.expand import expand  # noqa: PLC0415 - the rules alone need no recipes
    from matrix.recipe import names  # noqa: PLC0415
    from matrix.source import Folder  # noqa: PLC0415
    from matrix.tree import Tree  # noqa: PLC0415

    tree = Tree.of(Folder(root))
    known = names(tree.recipes)
    found = []
    for recipe, entries in log.root.items():
        if recipe not in known:
            found.append(f"{recipe}: no such recipe any more")
            continue
        keys = {cell.id.split("/")[1]: cell.key for cell in expand(tree, recipe)}
        found += [f"{recipe}: {line}" for line in changelog.stale(entries, keys)]
    return found
