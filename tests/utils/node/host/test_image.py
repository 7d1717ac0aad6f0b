"""An image becomes a file on a node once: imported, checked, refused where it would mount folders of the node."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import Exit
from tests.conftest import write
from utils.node.host import image


def entry(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """An import that copies, and counts how often it is asked."""
    command = ["sh", "-c", f'echo x >>{tmp_path}/imports; cp {tmp_path}/source "$1"', "sh", image.OUTPUT]
    path = str(tmp_path / "squash/app.sqsh")
    made = {"image": "org/app:1", "path": path, "import": command, "archive": "", "digest": []}
    return made | {"mounts_by_itself": False} | changes


def ensure(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return image.ensure(entry(tmp_path, **changes))


def imports(tmp_path: Path) -> int:
    return len((tmp_path / "imports").read_text().split())


def test_an_image_is_imported_once(tmp_path: Path) -> None:
    """Under a private name, then renamed; its hash is kept beside it."""
    (tmp_path / "source").write_bytes(b"squash" * 1000)
    first = ensure(tmp_path)
    assert ensure(tmp_path) == first
    assert imports(tmp_path) == 1
    assert first["sha256"] == image.digest(tmp_path / "source")
    assert sorted(path.name for path in (tmp_path / "squash").iterdir() if "lock" not in path.name) == [
        "app.sqsh",
        "app.sqsh.json",
    ]


def test_flipped_bits_are_found_and_the_image_is_imported_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else would tell of them; the way to clear it by hand is named."""
    (tmp_path / "source").write_bytes(b"squash" * 1000)
    ensure(tmp_path)
    path = tmp_path / "squash/app.sqsh"
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    ensure(tmp_path)
    assert imports(tmp_path) == 2
    assert path.read_bytes() == (tmp_path / "source").read_bytes()
    assert f"To clear it by hand: rm {path} {path}.json" in capsys.readouterr().out


def test_a_file_without_a_hash_is_nobodys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as one that a killed import of another tool left."""
    (tmp_path / "source").write_bytes(b"new")
    write(tmp_path / "squash/app.sqsh", "half")
    write(tmp_path / "squash/.app.sqsh.99.part", "half of ours")
    ensure(tmp_path)
    assert (tmp_path / "squash/app.sqsh").read_bytes() == b"new"
    assert not (tmp_path / "squash/.app.sqsh.99.part").exists()
    told = capsys.readouterr().out
    assert "has no hash beside it" in told
    assert "an import was killed" in told


def test_a_tag_that_moved_is_imported_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The registry is asked what it stands for today; one that does not answer is no reason not to measure."""
    (tmp_path / "source").write_bytes(b"old")
    for digest in ("a", "a", "b"):
        said = ["echo", f"sha256:{digest * 64}"]
        ensure(tmp_path, digest=said)
    assert imports(tmp_path) == 2
    assert f"was made from sha256:{'a' * 64}, now it is sha256:{'b' * 64}" in capsys.readouterr().out
    ensure(tmp_path, digest=["sh", "-c", "echo 'curl: (7) refused' >&2; exit 7"])
    ensure(tmp_path, digest=["/nosuch/enroot"])
    assert imports(tmp_path) == 2
    assert "does not say what org/app:1 is today (curl: (7) refused)" in capsys.readouterr().out


FSTABS = {
    "": "",
    "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n": "",
    "${ENROOT_ROOTFS}/data /data none x-create=dir,bind,rw,nosuid,nodev\n": "",
    "/home /host none rbind,rw,x-create=dir 0 -1\n": "/home /host",
    "${ENROOT_ROOTFS}/link /link none bind\n": "/link /link",
    "${ENROOT_ROOTFS}/link/deep /link/deep none bind\n": "/link/deep",
    "${ENROOT_ROOTFS}/../x /../x none bind\n": "/../x",
    "${ENROOT_ROOTFS}/data /elsewhere none bind\n": "/elsewhere",
    "${ENROOT_ROOTFS}/data /data none bind,$(id)\n": "$(id)",
    "${ENROOT_ROOTFS}/data /data none bind 0 0 /home /host none rbind\n": "/home /host",
}


@pytest.mark.debian
@pytest.mark.parametrize("which", ["etc/fstab", "etc"])
def test_an_fstab_behind_a_link_is_refused(tmp_path: Path, which: str) -> None:
    """What enroot would read is not what a look at the file shows; nor is a file that is no image at all let through."""
    root = tmp_path / "root"
    write(root / "opt/etc/fstab", "/home /host none rbind\n")
    (root / which).parent.mkdir(exist_ok=True)
    (root / which).symlink_to("../opt/etc/fstab" if which.endswith("fstab") else "opt/etc")
    subprocess.run(
        ["mksquashfs", str(root), str(tmp_path / "source"), "-quiet"], check=True, stdout=subprocess.DEVNULL
    )
    with pytest.raises(image.ImportFailedError, match="is a link"):
        ensure(tmp_path, mounts_by_itself=True)
    (tmp_path / "source").write_bytes(b"no image")
    with pytest.raises(image.ImportFailedError, match="cannot be looked into"):
        ensure(tmp_path, mounts_by_itself=True)
    assert not (tmp_path / "squash/app.sqsh").exists()


@pytest.mark.debian
@pytest.mark.parametrize(("fstab", "refused"), FSTABS.items())
def test_an_image_that_would_mount_folders_of_the_node_is_refused(
    tmp_path: Path, fstab: str, refused: str
) -> None:
    """Enroot mounts what an image's own /etc/fstab says: a way out of the container. Volumes as its import writes them may stand."""
    root = tmp_path / "root"
    write(root / "etc/fstab", fstab)
    (root / "data").mkdir()
    (root / "link").symlink_to("/home")
    subprocess.run(
        ["mksquashfs", str(root), str(tmp_path / "source"), "-quiet"], check=True, stdout=subprocess.DEVNULL
    )
    if not refused:
        assert ensure(tmp_path, mounts_by_itself=True)["sha256"]
        return
    with pytest.raises(image.ImportFailedError, match="mounts folders by itself") as error:
        ensure(tmp_path, mounts_by_itself=True)
    assert refused in str(error.value)
    assert not (tmp_path / "squash/app.sqsh").exists()


def test_an_archive_that_was_replaced_is_copied_anew(tmp_path: Path) -> None:
    """By its size and time; one that is gone does not take its copy away."""
    archive = tmp_path / "app.sqsh"
    archive.write_bytes(b"old")
    assert ensure(tmp_path, archive=str(archive))["bytes"] == 3
    archive.write_bytes(b"newer")
    assert ensure(tmp_path, archive=str(archive))["bytes"] == 5
    archive.unlink()
    assert ensure(tmp_path, archive=str(archive))["bytes"] == 5


def test_damaged_layers_are_named_with_the_way_to_clear_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay in the importer's cache, and each import would fail like this one."""
    monkeypatch.setenv("ENROOT_CACHE_PATH", "/raid/layers")
    broken = ["sh", "-c", "echo 'zstd: error 36 : Decoding error' >&2; exit 1"]
    with pytest.raises(image.ImportFailedError, match="zstd: error 36"):
        ensure(tmp_path, **{"import": broken})
    assert "rm -r /raid/layers" in capsys.readouterr().out


def test_an_import_that_fails_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its stderr is evidence for the launcher; so is a missing archive."""
    broken = ["sh", "-c", 'echo half >"$1"; echo "curl: (7) refused" >&2; exit 7', "sh", image.OUTPUT]
    (tmp_path / "host.json").write_text(json.dumps({"images": [entry(tmp_path, **{"import": broken})]}))
    (tmp_path / "found.json").write_text("{}")
    assert (
        image.main(str(tmp_path / "host.json"), str(tmp_path / "found.json"))
        == Exit.IMAGE_FAILED
        == image.FAILED
    )
    told = capsys.readouterr()
    assert "curl: (7) refused" in told.err
    assert "org/app:1 could not be imported: curl: (7) refused" in told.out
    missing = entry(tmp_path, archive=str(tmp_path / "nosuch.sqsh"))
    (tmp_path / "host.json").write_text(json.dumps({"images": [missing]}))
    assert image.main(str(tmp_path / "host.json"), str(tmp_path / "found.json")) == image.FAILED
    assert f"servematrix: No such file or directory: {tmp_path}/nosuch.sqsh" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "squash").iterdir() if "lock" not in path.name] == []


def _ensure(tmp_path: Path) -> None:
    slow = [
        "sh",
        "-c",
        f'echo x >>{tmp_path}/imports; sleep 0.5; cp {tmp_path}/source "$1"',
        "sh",
        image.OUTPUT,
    ]
    ensure(tmp_path, **{"import": slow})


def test_jobs_that_want_one_image_at_once_import_it_once(tmp_path: Path) -> None:
    """The others wait, and then find it."""
    (tmp_path / "source").write_bytes(b"squash")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_ensure, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert imports(tmp_path) == 1


def test_images_that_nobody_uses_are_named(tmp_path: Path) -> None:
    """With the command that clears them."""
    (tmp_path / "source").write_bytes(b"squash")
    ensure(tmp_path)
    folder = tmp_path / "squash"
    assert image.unused(folder, time.time()) == []
    (line,) = image.unused(folder, time.time() + 40 * 86400)
    assert line.endswith(f"was not used for 40 days; clear it: rm {folder}/app.sqsh {folder}/app.sqsh.json")
