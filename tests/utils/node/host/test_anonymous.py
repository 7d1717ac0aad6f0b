"""An image that nobody merged is fetched as nobody: the service user's registry credentials are out of its importer's reach."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from utils.node.host import image

pytestmark = pytest.mark.hostile

ASKED = (
    "HOME",
    "ENROOT_CONFIG_PATH",
    "XDG_CONFIG_HOME",
    "DOCKER_CONFIG",
    "CH_IMAGE_PASSWORD",
    "REGISTRY_AUTH_FILE",
    "DOCKER_AUTH",
    "PATH",
)
TELL = f"import json, os, sys; json.dump({{n: os.environ.get(n) for n in {ASKED!r}}}, open(sys.argv[1], 'w'))"


def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> dict[str, str | None]:
    """What an importer sees."""
    for name in ASKED[:-1]:
        monkeypatch.setenv(name, "/home/service")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / "image.sqsh"
    command = [sys.executable, "-c", TELL, image.OUTPUT]
    image.ensure({"image": "evil.example/x", "path": str(path), "archive": "", "import": command, "digest": [], "mounts_by_itself": False, **more})  # fmt: skip
    found: dict[str, str | None] = json.loads(path.read_bytes())
    return found


def test_a_new_image_is_fetched_as_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No home, no configuration, no variable with a name or a password; programs are found as ever."""
    found = environment(tmp_path, monkeypatch, anonymous=True)
    assert found["PATH"]
    for name in ASKED[:4]:
        folder = found[name]
        assert folder is not None
        assert list(Path(folder).iterdir()) == []
    assert [found[name] for name in ASKED[4:-1]] == [None, None, None]


def test_the_default_branchs_images_are_fetched_as_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose registry may want to know who asks."""
    assert environment(tmp_path, monkeypatch)["ENROOT_CONFIG_PATH"] == "/home/service"
    assert environment(tmp_path / "x", monkeypatch, anonymous=False)["HOME"] == "/home/service"
