"""What is asked outside of the container about the machine: disks, devices, namespaces, runtimes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, write
from tests.utils.node.host.made import failed, host
from utils.node.host import ready


def test_it_runs_on_a_bare_python_and_writes_what_it_found(tmp_path: Path) -> None:
    """Without site-packages; what is imported is the standard library and each other."""
    (tmp_path / "host.json").write_text(json.dumps(host(tmp_path)))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from utils.node.host import ready, image; "
        "sys.exit(ready.main(*sys.argv[2:]) or image.main(*sys.argv[2:]))"
    )
    files = [str(tmp_path / "host.json"), str(tmp_path / "found.json")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT), *files],
        capture_output=True,
        text=True,
        check=False,
        env={
            "SLURM_JOB_ID": "7",
            "SLURM_CLUSTER_NAME": "c",
            "SLURMD_NODENAME": "mi0",
            "ROCR_VISIBLE_DEVICES": "4,5",
        },
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["node"].pop("isolation") in {"own processes", "the node's processes"}
    assert 0 < found.pop("began_s") <= time.monotonic()
    assert found == {
        "allocation": "slurm-c-7-0",
        "visible": {"ROCR_VISIBLE_DEVICES": "4,5"},
        "node": {"name": "mi0", "runtime": "none"},
        "images": {},
    }
    assert all(json.loads(line)["facts"]["passed"] for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "utils/node/host").glob("*.py")), ROOT / "utils/node/preflight.py"]
)
def test_its_syntax_is_that_of_python_3_9(path: Path) -> None:
    """Nodes of long-lived distributions have no newer one; annotations are text there."""
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body):
        assert "from __future__ import annotations" in path.read_text()
    assert "slots=True" not in path.read_text()


def test_each_thing_that_is_wrong_has_a_cause_in_one_line(tmp_path: Path) -> None:
    """With the place in the cluster file to look at."""
    (tmp_path / "a-file").touch()
    (tmp_path / "empty").mkdir()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"folders": {"spool": str(tmp_path / "a-file/x")}}, "(paths.spool): Not a directory"),
        ({"folders": {"squash": "/proc/x"}}, "/proc/x (paths.squash)"),
        ({"models": str(tmp_path / "models")}, "(paths.models); is the node's disk mounted?"),
        (
            {"devices": ["/dev/nosuch"]},
            "/dev/nosuch is missing, empty or closed to this user (container.devices)",
        ),
        ({"devices": [str(tmp_path / "empty")]}, "missing, empty or closed"),
        ({"kind": "rocm"}, "0 GPUs where 8 are wanted"),
    ]
    for changes, cause in cases:
        (found,) = failed(host(tmp_path, **changes))
        assert cause in found
        assert "\n" not in found
    assert failed(host(tmp_path, devices=["/dev/null"])) == []


def test_a_full_disk(tmp_path: Path) -> None:
    """A real one, small and filled."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
    try:
        (found,) = failed(host(tmp_path, folders={"squash": str(folder)}))
        assert "GB free under" in found
        assert "(paths.squash); free some" in found
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_user_namespaces_that_are_used_up() -> None:
    """Really: in a namespace of which the limit is 0."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from utils.node.host import ready; "
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0'); print(ready.user_namespaces())"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-I", "-c", code, str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "passed=False" in done.stdout
    assert "their number is used up" in done.stdout
    assert "/proc/sys/user/max_user_namespaces forbids them" in done.stdout
    assert ready.user_namespaces().passed


def test_a_runtime_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enroot there and pyxis not is told apart."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert failed(host(tmp_path, runtime="charliecloud")) == ["ch-run is missing on this node (charliecloud)"]
    assert failed(host(tmp_path, runtime="pyxis")) == ["enroot is missing on this node"]
    for name, text in (("enroot", "echo 4.1.2"), ("srun", "echo --container-name")):
        write(tmp_path / name, f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    assert failed(host(tmp_path, runtime="pyxis")) == [
        "pyxis is missing on this node: srun knows no --container-image"
    ]
    write(tmp_path / "srun", "#!/bin/sh\necho '      --container-image=...  [pyxis] the image'\n")
    assert failed(host(tmp_path, runtime="pyxis")) == []
    assert ready.runtime_version("pyxis") == "enroot 4.1.2, pyxis"
