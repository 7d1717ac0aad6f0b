"""Imports images once a node, and compares their hash before use: `python3 -m utils.node.host.image HOST.json FOUND.json`.

A squashfs carries no checksum of its data: with flipped bits it mounts, and programs die later without a word. So the
hash taken at import is kept beside each file and compared by every job that uses it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.node.host.ready import write
from utils.node.host.tools import emit

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED = 24
"""Exit code, the same as IMAGE_FAILED's."""
OUTPUT = "@OUTPUT@"
"""Is replaced by the private file in an import command."""
UNUSED_DAYS = 30.0
CREDENTIALS = ("CH_IMAGE_", "REGISTRY_", "DOCKER_")
"""How variables begin that tell importers who one is."""
ASK_S = 60
"""A registry that says nothing for so long is not waited for."""

Entry = dict[str, Any]
"""Of HOST.json: image (as the recipe names it), path (where it belongs), import (a command) or archive (a file to copy),
digest (a command that asks the registry what the reference names today; empty where nothing can be asked), anonymous (nobody merged
its recipe, so that the user's own credentials are not for it)."""


class ImportFailedError(Exception):
    """The command that imports did not."""


def ensure(entry: Entry) -> dict[str, Any]:
    """Have an image with a known hash at its place.

    Raises:
        ImportFailedError: with the importer's last line; its whole text went to stderr.
        OSError: when a copy or a rename fails.
    """
    path, note = Path(entry["path"]), Path(entry["path"] + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        for dead in path.parent.glob(
            f".{path.name}.*.part"
        ):  # its importer is gone, else we would not hold the lock
            emit(kind="note", text=f"removed {dead}: an import was killed while it wrote")
            dead.unlink()
        source = _source(entry)
        if path.exists() and _intact(path, note, source):
            os.utime(note)
        else:
            _import(entry, path, note, source)
        known = json.loads(note.read_text())
    return {"sha256": known["sha256"], "bytes": known["bytes"]}


def _source(entry: Entry) -> str:
    """What an image would be made from now: the digest behind its reference, or an archive's size and time; empty if unknown."""
    if entry["archive"]:
        with contextlib.suppress(OSError):
            found = Path(entry["archive"]).stat()
            return f"{found.st_size} bytes of {found.st_mtime_ns}"
        return ""
    if not entry["digest"]:
        return ""
    try:
        done = subprocess.run(
            entry["digest"],
            env=_environment(entry),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=ASK_S,
        )
        said, told = (
            done.stdout.strip(),
            (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1],
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        said, told = "", str(error)
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", said):
        emit(kind="note", text=f"the registry does not say what {entry['image']} is today ({told})")
        return ""
    return said


def _intact(path: Path, note: Path, source: str) -> bool:
    """Whether a file is still what was imported, and that still what is wanted; says what is wrong, and that it is made anew."""
    try:
        content = json.loads(note.read_text())
        known, made_from = str(content["sha256"]), str(content["source"])
    except (OSError, ValueError, KeyError, TypeError):
        emit(
            kind="note",
            text=f"{path} has no hash beside it, so that nobody knows what it is; it is imported anew",
        )
        return False
    if source and source != made_from:
        emit(
            kind="note",
            text=f"{path} was made from {made_from or 'nobody knows what'}, now it is {source}; it is imported anew",
        )
        return False
    emit(kind="phase", name="image", text=f"hash of {path.name}")
    start = time.monotonic()
    same = digest(path) == known
    emit(kind="done", name="image", seconds=time.monotonic() - start)
    if not same:
        emit(
            kind="note",
            text=f"{path} is not what was imported (its sha256 differs; is the disk failing?); it is imported anew. "
            f"To clear it by hand: rm {path} {note}",
        )
    return same


def _import(entry: Entry, path: Path, note: Path, source: str) -> None:
    private = path.with_name(f".{path.name}.{os.getpid()}.part")
    emit(kind="phase", name="image", text=f"import of {entry['image']}")
    start = time.monotonic()
    try:
        if entry["archive"]:
            shutil.copyfile(entry["archive"], private)
        else:
            command: list[str] = [str(private) if word == OUTPUT else word for word in entry["import"]]
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env=_environment(entry),
            )
            sys.stderr.write(done.stderr)
            if done.returncode:
                lines = [line for line in done.stderr.splitlines() if line.strip()]
                _name_damaged_layers(done.stderr)
                raise ImportFailedError(lines[-1] if lines else f"{command[0]} ended with {done.returncode}")
        if entry["mounts_by_itself"]:
            _refuse_mounts(private)
        with private.open("rb") as file:
            os.fsync(file.fileno())
        facts = {
            "image": entry["image"],
            "source": source,
            "sha256": digest(private),
            "bytes": private.stat().st_size,
        }
        write(note, facts | {"imported": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        private.replace(path)
    finally:
        if private.exists():
            private.unlink()
        emit(kind="done", name="image", seconds=time.monotonic() - start)


def _environment(entry: Entry) -> dict[str, str] | None:
    """Of the importer: ours, or for an image that nobody merged one without a way to the user's registry credentials."""
    if not entry.get("anonymous"):
        return None
    nothing = tempfile.mkdtemp(prefix="anonymous-")  # below TMPDIR, which goes with the job
    ours = {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)}
    return ours | dict.fromkeys(("HOME", "ENROOT_CONFIG_PATH", "XDG_CONFIG_HOME", "DOCKER_CONFIG"), nothing)


VOLUME = re.compile(r"\$\{ENROOT_ROOTFS\}(?P<folder>(?:/[\w.+-]+)+) (?P=folder) none [\w,=-]+")
"""How `enroot import` writes a volume of the image: one of its own folders, bound to itself."""


def _refuse_mounts(path: Path) -> None:
    """Hold an image's /etc/fstab against what may stand there: the image's own volumes.

    The runtime mounts what it says before it closes the container: any folder of the node, if it were let.
    """
    if _has_link(path, Path("/etc/fstab")):
        raise ImportFailedError(
            "the image mounts folders by itself, which is not allowed: its /etc/fstab is a link"
        )
    if " squashfs-root/etc/fstab\n" not in _inside(path, "-ll", "etc/fstab"):
        return
    for line in _inside(path, "-cat", "etc/fstab").splitlines():
        volume = VOLUME.fullmatch(line.strip())
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        folder = Path(volume["folder"]) if volume else Path("/..")
        if ".." in folder.parts or _has_link(path, folder):
            raise ImportFailedError(
                f"the image mounts folders by itself, which is not allowed: {line.strip()[:200]}"
            )


def _has_link(path: Path, wanted: Path) -> bool:
    """Whether a file of an image, or a folder above it, is a link."""
    names = [str(one).lstrip("/") for one in [wanted, *wanted.parents][:-1]]
    listed = _inside(path, "-ll", *names)
    return any(
        re.search(rf"^l.* squashfs-root/{re.escape(name)} -> ", listed, re.MULTILINE) for name in names
    )


def _inside(path: Path, *question: str) -> str:
    """What unsquashfs tells of files in an image."""
    command = ["unsquashfs", question[0], str(path), *question[1:]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    except OSError as error:
        raise ImportFailedError(
            f"unsquashfs is missing on this node ({error.strerror}), which looks into images: install squashfs-tools there"
        ) from error
    if done.returncode:
        raise ImportFailedError(
            f"the image cannot be looked into: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        )
    return done.stdout


def _name_damaged_layers(said: str) -> None:
    """A layer that is damaged in the importer's cache stays so: the next import fails as this one did."""
    layers = os.environ.get("ENROOT_CACHE_PATH", "")
    if layers and re.search(r"zstd: error|Read error \(39\)|premature end", said):
        emit(kind="note", text=f"a cached layer is damaged; to clear them all on this node: rm -r {layers}")


def digest(path: Path) -> str:
    """The sha256 of a file, in 64 hex digits."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            made.update(block)
    return made.hexdigest()


def unused(folder: Path, now: float) -> list[str]:
    """Images that no job used for a month, with the command that clears them."""
    lines = []
    for note in sorted(folder.glob("*.sqsh.json")):
        image = Path(str(note)[: -len(".json")])
        days = (now - note.stat().st_mtime) / 86400
        if days > UNUSED_DAYS and image.exists():
            size = image.stat().st_size / 1e9
            lines.append(
                f"{image} ({size:.1f} GB) was not used for {days:.0f} days; clear it: rm {image} {note}"
            )
    return lines


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            emit(kind="note", text=f"waiting: another job imports {path.name} on this node")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(host_file: str, found_file: str) -> int:
    """Have every image of the job; what was found goes into FOUND.json."""
    entries: list[Entry] = json.loads(Path(host_file).read_text())["images"]
    found = json.loads(Path(found_file).read_text())
    images = {}
    for entry in entries:
        try:
            images[entry["image"]] = ensure(entry)
        except (ImportFailedError, OSError) as error:
            text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
            sys.stderr.write(f"servematrix: {text}\n")
            emit(kind="error", text=f"image {entry['image']} could not be imported: {text}")
            return FAILED
        for line in unused(Path(entry["path"]).parent, time.time()):
            emit(kind="note", text=line)
    write(Path(found_file), found | {"images": images})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
