"""`servematrix changelog …`."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from matrix.errors import Exit, HarnessError
from matrix.select import hint, names_of
from matrix.source import commit_of, git, merge_base
from utils.cli.example import POINT
from utils.cli.options import SELECTORS, action, actions, ledger_path, positive, takes_ledger
from utils.node.files import write_whole
from utils.pipeline.judge import judged
from utils.pipeline.reasons import with_reasons
from utils.results.changelog import edit, present
from utils.results.changelog import entries as changelog
from utils.results.changelog.absent import absent
from utils.results.changelog.rebase import rebase as onto_another
from utils.results.changelog.stale import stale
from utils.results.collect import collect
from utils.setup.environments import ROOT
from utils.show.tables import counted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


EXAMPLE = "changelog check"


def configure(parser: ArgumentParser) -> None:
    """Its actions."""
    to = actions(parser)
    example = "changelog add results/after --pr 42"
    add = action(to, "add", "fill the author's stub from records", example, _add)
    add.add_argument("folders", nargs="+", metavar="DIR", help="folders with the head's records")
    add.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with the base's records, if it was not measured with --pair",
    )
    add.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="PART",
        help="a part of the key that is meant to differ from the base",
    )
    add.add_argument(
        "--pr", type=positive, metavar="N", help="pull request; an entry of the same one is replaced"
    )
    add.add_argument("--title", metavar="TEXT", help="makes a new entry, where no stub waits")
    add.add_argument(
        "--why",
        action="append",
        default=[],
        metavar="TEXT",
        help="a reason, for a new entry; may be given several times",
    )
    add.add_argument(
        "--run", action="append", default=[], metavar="URL", help="address of a run that measured this"
    )
    takes_ledger(add)
    shown = action(
        to,
        "show",
        "print a recipe's entries, or a point's lines",
        f"changelog show {POINT}",
        _show,
    )
    shown.add_argument(
        "selectors", nargs="+", metavar="SELECTOR", help=SELECTORS.removesuffix("; none means all")
    )
    shown.add_argument("--format", choices=["text", "markdown"], default="text", help="default: text")
    checked = action(to, "check", "check the file's rules", "changelog check", _check)
    checked.add_argument(
        "--strict",
        action="store_true",
        help="fail where the newest entry is not of this tree's keys, unless it waits for its figures",
    )
    rebased = action(
        to,
        "rebase",
        "put this branch's entries onto another one's changelog; figures that have another base then wait to be measured again",
        "changelog rebase main",
        _rebase,
    )
    rebased.add_argument(
        "onto",
        nargs="?",
        metavar="ONTO",
        help="a branch or commit (default: that of the merge or rebase under way)",
    )
    for one in (add, shown, checked, rebased):
        one.add_argument("--file", metavar="FILE", help="another file than perf-changelog.yaml")


def _file(arguments: Namespace) -> Path:
    return Path(arguments.file) if arguments.file else ROOT / changelog.FILE


def _content(path: Path, *, may_be_new: bool = False) -> bytes:
    if may_be_new and not path.exists():
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        raise HarnessError(Exit.USAGE, f"{path}: {error.strerror}; name the changelog with --file") from error


def _add(arguments: Namespace) -> Exit:
    """Fill the author's stub from records."""
    path = _file(arguments)
    records = collect([Path(folder) for folder in arguments.folders])
    base = collect([Path(folder) for folder in arguments.base])
    head = records
    if not base:
        base, head = ([one for one in records if one.arm == arm] for arm in ("base", "head"))
    found = judged(base, head, ledger_path(arguments), ROOT) if base else None
    found = found and with_reasons(found, map(Path, arguments.folders))
    stub = edit.Stub(arguments.pr, arguments.title or "", tuple(arguments.why))
    write_whole(
        path,
        edit.add(
            _content(path, may_be_new=True),
            path.name,
            head,
            base,
            stub,
            comparison=found,
            runs=arguments.run,
            absent=absent(ROOT, head, [Path(folder) for folder in arguments.folders]),
        ).encode(),
    )
    sys.stdout.write(f"{path.name}: figures of {len({one.point for one in head})} points\n")
    return Exit.OK


def _rebase(arguments: Namespace) -> Exit:
    """Put this branch's entries onto another one's changelog, also in the middle of a merge or rebase that stopped there."""
    path = _file(arguments)
    root = path.resolve().parent
    ours, onto = _sides(root, arguments.onto)
    base = merge_base(root, ours or "HEAD", onto)
    mine = _content(path) if ours is None else _committed(root, ours)
    text = onto_another(_committed(root, base), mine, _committed(root, onto), commit_of(root, onto))
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


def _show(arguments: Namespace) -> Exit:
    """Print the entries of a recipe, or the lines of points."""
    log = changelog.read(_content(_file(arguments)), _file(arguments).name)
    every = changelog.points(log.root)
    whole = [name for name in log.root if any(fnmatchcase(name, one) for one in arguments.selectors)]
    shown = {*names_of(every, arguments.selectors)}
    for one in arguments.selectors:
        if not names_of(every, [one]) and not any(fnmatchcase(name, one) for name in log.root):
            near = hint(one, every, log.root) or "it is empty"
            raise HarnessError(Exit.NOTHING_SELECTED, f"{_file(arguments).name} has nothing of {one}; {near}")
    sections = [
        name for name in log.root if name in whole or any(point.startswith(f"{name}/") for point in shown)
    ]
    for name in sections:
        points = {point.split("/")[1] for point in shown if point.startswith(f"{name}/")}
        if arguments.format == "markdown":
            sys.stdout.write(present.markdown(name, log.root[name], points))
        else:
            present.write_text(sys.stdout, name, log.root[name], points)
    return Exit.OK


def _check(arguments: Namespace) -> Exit:
    """Check the file's rules, and tell where it does not speak for the tree any more."""
    path = _file(arguments)
    log = changelog.read(_content(path), path.name)
    found = stale(log, ROOT) if path == ROOT / changelog.FILE else []
    waiting = [line for line in found if changelog.WAITS in line]
    sys.stdout.writelines(f"note: {line}\n" for line in found)
    points = sum(len(entry.points) for entries in log.root.values() for entry in entries)
    sys.stdout.write(
        f"{path.name}: {counted(len(log.root), 'section')}, {counted(points, 'point line')}, in order\n"
    )
    if arguments.strict and len(found) > len(waiting):
        sys.stdout.write(
            "write a stub (pr, title, why) on top of such a section; its sweep fills it: docs/changelog.md\n"
        )
        return Exit.CHANGELOG_INVALID
    return Exit.OK
