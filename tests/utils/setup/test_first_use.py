"""A fresh clone on other machines than the one where it was made."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from matrix.errors import Exit, HarnessError
from tests.conftest import ROOT
from utils.setup import environments, first_use, pythons

HOSTILE = {
    "PIP_USER": "1",
    "PIP_TARGET": "/nonexistent/target",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_CONSTRAINT": "/nonexistent/constraints",
    "PYTHONPATH": "/nonexistent/python",
    "PYTHONWARNINGS": "error",
    "CONDA_PREFIX": "/nonexistent/conda",
    "VIRTUAL_ENV": "/nonexistent/venv",
    "UV_PROJECT_ENVIRONMENT": "/nonexistent/uv",
    "TMPDIR": "/nonexistent/tmp",
    "HOME": "/proc/nonexistent",
    "LC_ALL": "de_DE.ISO-8859-1",
}


PYTHONS = {version: path for version, path in pythons.found().items() if version >= (3, 11)}
"""Of this machine, one of each minor version that the harness runs on."""


def clone(into: Path, *options: str) -> Path:
    """This checkout's files as they are now, as a fresh clone has them."""
    source = into.parent / f"{into.name}-source"
    if not source.exists():
        names = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in names.stdout.splitlines():
            if (ROOT / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, source / name)
        git = ["git", "-C", str(source), "-c", "user.name=t", "-c", "user.email=t@example.com"]
        for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "as it is"]):
            subprocess.run([*git, *arguments], check=True)
    subprocess.run(["git", "clone", "-q", *options, str(source), str(into)], check=True)
    return into


def call(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "servematrix"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, **variables},
    )


def keys(said: str) -> dict[str, str]:
    return {point["id"]: point["key"] for job in json.loads(said)["jobs"] for point in job["points"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with its environment, shared by tests that copy or read it."""
    checkout = clone(tmp_path_factory.mktemp("made") / "clone")
    done = call(checkout, "plan", SERVEMATRIX_PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    return checkout


@pytest.mark.parametrize("python", PYTHONS.values(), ids=[f"3.{minor}" for _, minor in PYTHONS])
def test_every_python_of_this_machine(tmp_path: Path, python: str) -> None:
    """`plan`, and what Actions calls, from nothing, in an environment that sends packages and files elsewhere."""
    checkout = clone(tmp_path / "clone")
    done = call(checkout, "plan", "--format", "json", SERVEMATRIX_PYTHON=python, **HOSTILE)
    assert done.returncode == 0, done.stderr
    assert "fetching uv" in done.stderr
    assert keys(done.stdout) == keys(call(ROOT, "plan", "--format", "json").stdout)
    shutil.rmtree(checkout / ".venv")
    done = call(checkout, "github", "plan", "--help", SERVEMATRIX_PYTHON=python, **HOSTILE)
    assert done.returncode == 0, done.stderr
    assert not (checkout / ".venv").exists()


def test_a_copied_checkout_uses_its_own_code(made: Path, tmp_path: Path) -> None:
    """Also when the first one is gone: a cache of CI, a renamed folder."""
    copy = tmp_path / "copy"
    shutil.copytree(made, copy, symlinks=True)
    recipe = copy / "recipes/qwen3moe-tiny-cpu-vllm.yaml"
    recipe.rename(recipe.with_name("renamed.yaml"))
    done = call(copy, "plan", "renamed", "--format", "ids", PATH="/usr/bin:/bin")
    assert (done.returncode, done.stdout.splitlines()[0].split("/")[0]) == (0, "renamed"), done.stderr
    program = "import utils.cli, sys; print(utils.cli.__file__)"
    here = subprocess.run(
        [str(copy / ".venv/bin/python"), "-I", "-c", program], capture_output=True, text=True, check=False
    )
    assert str(made) not in here.stdout


@pytest.mark.parametrize("umask", ["077", "000", "027"])
def test_a_umask_changes_nothing(made: Path, tmp_path: Path, umask: str) -> None:
    """Of the clone, of its files' rights, and of the command: the same points with the same keys."""
    script = 'umask "$1" && git clone -q "$2" "$3/clone" && cp -R "$2/.venv" "$3/clone/.venv" && exec "$3/clone/servematrix" plan --format json'
    done = subprocess.run(
        ["sh", "-c", script, "sh", umask, str(made), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert keys(done.stdout) == keys(call(made, "plan", "--format", "json").stdout)


def test_line_ends_change_no_key(made: Path, tmp_path: Path) -> None:
    """A clone for Windows or WSL: the same keys, also of a folder whose files have CRLF all the same."""
    checkout = clone(tmp_path / "clone", "-c", "core.autocrlf=true")
    shutil.copytree(made / ".venv", checkout / ".venv", symlinks=True)
    usual = keys(call(made, "plan", "--format", "json").stdout)
    assert keys(call(checkout, "plan", "--format", "json").stdout) == usual
    for path in [
        *checkout.glob("kernels/**/*.py"),
        *checkout.glob("recipes/**/*"),
        *checkout.glob("requirements/*.lock"),
    ]:
        if path.is_file() and path.name != "harness.lock":
            path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert keys(call(checkout, "plan", "--format", "json").stdout) == usual


def test_an_environment_of_another_python_is_told(made: Path, tmp_path: Path) -> None:
    """A cache that was restored after the machine's Python was replaced."""
    copy = tmp_path / "copy"
    shutil.copytree(made, copy, symlinks=True)
    site = next((copy / ".venv/lib").glob("python3.*"))
    site.rename(site.with_name("python3.99"))
    done = call(copy, "plan")
    assert done.returncode == Exit.SETUP_FAILED
    assert re.fullmatch(
        r"servematrix: \w+ is not in .*/\.venv, which was made by another Python; remove that folder and try again\n",
        done.stderr,
    )


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """One sentence, before anything is fetched."""
    checkout = clone(tmp_path / "clone")
    (checkout / ".venv.lock").mkdir()
    done = call(checkout, "plan")
    assert (done.returncode, done.stderr) == (
        Exit.SETUP_FAILED,
        f"servematrix: cannot write to {checkout}; use a checkout of your own\n",
    )


def test_a_path_with_a_colon_says_what_to_do(tmp_path: Path) -> None:
    """No environment can be there: a PATH is parted at colons. More of Debian's packages do not help."""
    checkout = clone(tmp_path / "a:b")
    done = call(checkout, "plan")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        Exit.SETUP_FAILED,
        f"servematrix: {checkout} has a colon in it, and no Python environment can be there; rename or move the folder",
    )


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_in_the_environments_place_is_named(tmp_path: Path, kind: str) -> None:
    """A link to a larger disk: no Python makes an environment there, and more of Debian's packages do not help."""
    checkout = clone(tmp_path / "clone")
    venv = checkout / ".venv"
    if kind == "file":
        venv.write_text("")
    else:
        venv.symlink_to(tmp_path)
    done = call(checkout, "plan")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        Exit.SETUP_FAILED,
        f"servematrix: {venv} is a link or a file, and an environment is made there; remove it and try again",
    )


def test_an_environment_that_somebody_made_is_left_alone(tmp_path: Path) -> None:
    """An editor makes one at that very place, and there may be work in it; one of ours that was cut off is made again."""
    checkout = clone(tmp_path / "clone")
    venv = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    before = sorted(venv.rglob("*"))
    done = call(checkout, "plan")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        Exit.SETUP_FAILED,
        f"servematrix: {venv} is an environment that servematrix did not make, and its own goes there; move it away and try again",
    )
    assert sorted(venv.rglob("*")) == before
    (venv / first_use.MARK).touch()
    done = call(checkout, "plan", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert "did not make" not in done.stderr
    assert "could not be installed" in done.stderr


def test_a_path_that_is_no_utf8_says_what_to_do(tmp_path: Path) -> None:
    """Python writes the path into the environment's files, as UTF-8."""
    checkout = clone(tmp_path / "odd")
    odd = checkout.rename(Path(os.fsdecode(bytes(tmp_path / "odd-") + b"\xff")))
    done = call(odd, "plan")
    assert done.returncode == Exit.SETUP_FAILED
    assert done.stderr.splitlines()[-1] == (
        f"servematrix: {tmp_path}/odd-\\xff is no UTF-8, and no Python environment can be there; rename or move the folder"
    )


@pytest.mark.parametrize("missing", ["utils", "requirements"])
def test_a_part_of_a_checkout_says_what_to_do(tmp_path: Path, missing: str) -> None:
    """A sparse clone, or the command alone, copied to a folder of commands."""
    checkout = clone(tmp_path / "clone")
    shutil.rmtree(checkout / missing)
    done = call(checkout, "plan")
    assert done.returncode == Exit.SETUP_FAILED
    assert done.stderr == (
        f"servematrix: {checkout} is no whole checkout; call servematrix by its path in one (after a sparse clone: "
        "git sparse-checkout disable)\n"
    )


def test_another_name_of_python_is_taken_where_python3_is_older(tmp_path: Path) -> None:
    """Systems with an old `python3` have newer ones beside it, with their versions in their names."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sh", "env", "readlink", "dirname", "cat"):
        (commands / name).symlink_to(shutil.which(name) or name)
    (commands / "python3").write_text("#!/bin/sh\nexit 1\n")
    (commands / "python3").chmod(0o755)
    checkout = clone(tmp_path / "clone")
    (checkout / ".venv").write_text("")
    done = call(checkout, "plan", PATH=str(commands))
    assert "needs Python 3.11 or newer, and 'python3' is older or missing" in done.stderr
    (commands / "python3.12").symlink_to(sys.executable)
    assert "is a link or a file" in call(checkout, "plan", PATH=str(commands)).stderr, "it began the set-up"
    done = call(checkout, "plan", PATH=str(commands), SERVEMATRIX_PYTHON="python3")
    assert "'python3' is older or missing" in done.stderr, "what a person names is taken, or nothing"


def test_a_machine_without_cmp_makes_no_environment_twice(made: Path, tmp_path: Path) -> None:
    """Small images of containers lack it."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sh", "env", "readlink", "dirname", "cat"):
        (commands / name).symlink_to(shutil.which(name) or name)
    done = call(made, "--version", PATH=str(commands))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_python_takes_itself_for_nothing_else(made: Path) -> None:
    """These two of its variables count with -I, too."""
    program = "import sys; print(sys.executable)"
    script = (made / "servematrix").read_text(encoding="utf-8").replace("$root/utils/cli/__main__.py", "$@")
    (made / "ask").write_text(script.replace('"$@" "$@"', f"-c '{program}'"))
    (made / "ask").chmod(0o755)
    environment = {**os.environ, "PYTHONEXECUTABLE": "/bin/false", "__PYVENV_LAUNCHER__": "/bin/false"}
    done = subprocess.run([str(made / "ask")], capture_output=True, text=True, check=False, env=environment)
    (made / "ask").unlink()
    assert done.stdout.strip() == str(made / ".venv/bin/python"), done.stderr


def test_a_python_without_pip_asks_where_pip_is_told_to(tmp_path: Path) -> None:
    """Debian's python3-venv brings no pip: the one that ensurepip puts into the environment reads the settings, in any folder."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    here = tmp_path / "here"
    here.mkdir()
    (here / "pip.py").write_text("raise SystemExit(99)\n")
    checkout = clone(tmp_path / "clone")
    (checkout / "requirements/harness.lock").write_text(f"nothing==1 --hash=sha256:{0:064d}\n")
    where = {"PIP_INDEX_URL": "http://127.0.0.1:9/of-mine", "PIP_RETRIES": "1"}
    done = subprocess.run(
        [str(checkout / "servematrix"), "plan"],
        capture_output=True,
        text=True,
        check=False,
        cwd=here,
        env={**os.environ, **where, "SERVEMATRIX_PYTHON": str(bare / "bin/python")},
    )
    assert "/of-mine/nothing" in done.stderr


def test_a_disk_that_is_full_or_runs_no_programs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an index to look for, and no trace of a tool that could not start."""
    full = shutil.disk_usage(ROOT)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(first_use.SetupError, match="1 MB are free in"):
        first_use._run(["false"], {}, ROOT / "requirements/harness.lock")
    state = os.statvfs(ROOT)
    flagged = os.statvfs_result((*state[:8], state.f_flag | os.ST_NOEXEC, *state[9:]))
    monkeypatch.setattr(os, "statvfs", lambda _: flagged)
    with pytest.raises(first_use.SetupError, match="runs no programs"):
        first_use._refuse(ROOT / "no-environment")


def test_a_folder_that_was_removed_stops_no_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip asks in which folder it is."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    first_use._leave_a_removed_folder()
    assert Path.cwd() == ROOT
    os.chdir(tmp_path)


def test_closed_stderr_is_no_error(tmp_path: Path) -> None:
    """Where nobody waits for words, what stops the set-up still has its code."""
    checkout = clone(tmp_path / "clone")
    (checkout / ".venv").write_text("")
    done = subprocess.run(["sh", "-c", 'exec "$0" plan 2>&-', str(checkout / "servematrix")], check=False)
    assert done.returncode == Exit.SETUP_FAILED


def test_a_checkout_on_a_disk_without_locks_is_set_up_all_the_same(tmp_path: Path) -> None:
    """Two first calls at once are rare; a set-up that cannot begin is worse."""
    program = tmp_path / "bin/flock"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'flock: 9: No locks available' >&2\nexit 1\n")
    program.chmod(0o755)
    done = call(clone(tmp_path / "a:b"), "plan", PATH=f"{program.parent}:{os.environ['PATH']}")
    assert "has a colon in it" in done.stderr, "it went on to the set-up, which this path stops early"
    assert "No locks" not in done.stderr


def test_a_shallow_clone_says_what_to_do(made: Path, tmp_path: Path) -> None:
    """Where two branches parted is not in it."""
    source = made.parent / "clone-source"
    git = ["git", "-C", str(source), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "checkout", "-q", "-b", "other"], check=True)
    for number in range(3):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", f"{number}"], check=True)
    subprocess.run([*git, "checkout", "-q", "main"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "more"], check=True)
    checkout = tmp_path / "shallow"
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", "--no-single-branch", f"file://{source}", str(checkout)],
        check=True,
    )
    shutil.copytree(made / ".venv", checkout / ".venv", symlinks=True)
    done = call(checkout, "plan", "--changed", "origin/other")
    assert "this clone is shallow" in done.stderr
    assert "git fetch --unshallow" in done.stderr
    assert done.returncode == Exit.USAGE


def test_a_checkout_of_another_user_says_what_to_do(made: Path) -> None:
    """Git refuses it; its advice is ours, with the folder."""
    owner = made.stat().st_uid
    if owner != 0:
        pytest.fail("wants root, to give a folder to another user")
    for path in (made, made / ".git"):
        os.chown(path, 12345, 12345)
    try:
        done = call(made, "plan", "--changed", "main", SUDO_UID="")
    finally:
        for path in (made, made / ".git"):
            os.chown(path, 0, 0)
    assert f"git config --global --add safe.directory {made}" in done.stderr
    assert done.returncode == Exit.SETUP_FAILED


def test_an_environment_that_cannot_be_made_says_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    """With the tool's own words, which were shown as they came."""
    with pytest.raises(HarnessError, match=r"no such package(.|\n)*pip's configuration"):
        environments._run(["sh", "-c", "echo no such package >&2; exit 1"])
    assert "no such package" in capsys.readouterr().err
