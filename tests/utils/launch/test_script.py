"""Scripts of `--print-script`, run as a person would: with the FAKE vLLM where its faults are wanted, and once with the REAL one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from matrix.errors import Exit
from tests.conftest import RECIPE, ROOT, Cli, write


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def bash(script: Path, folder: Path, port: int, **more: str) -> subprocess.CompletedProcess[str]:
    """As a person runs it."""
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:9"} | more
    return subprocess.run(
        ["bash", str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


@pytest.fixture
def two_jobs(cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path) -> Path:
    """A script of two recipes with a server each; points have the same short names."""
    write(tree / "recipes/s.yaml", RECIPE.replace("block-size: 16", "block-size: 32"))
    given = ("--tree", str(tree), "--environment", str(fake_environment))
    done = cli("run", "r", "s", *given, "--print-script")
    assert done.returncode == 0, done.stderr
    script = tmp_path / "two.sh"
    script.write_text(done.stdout)
    return script


def test_each_job_has_its_own_server(two_jobs: Path, tmp_path: Path) -> None:
    """The second one's begins when the first one's has ended, on the same port; nothing is left, and folders have the recipe."""
    port = free_port()
    done = bash(two_jobs, tmp_path, port)
    assert done.returncode == 0, done.stdout + done.stderr
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("results/*/*/*.json"))
    points = [f"results/{recipe}/32x16-tp1-c{c}" for recipe in "rs" for c in (1, 2)]
    assert found == [f"{point}/{name}.json" for point in points for name in ("load", "warmup")]
    assert all(json.loads((tmp_path / point / "load.json").read_text())["failed"] == 0 for point in points)
    assert len(list(tmp_path.glob("results/*/*.server.log"))) == 2
    assert not listens(port)
    assert not list(tmp_path.glob("results/**/home"))


@pytest.mark.parametrize("shell", [["sh"], ["sh", "-x"], ["dash"], ["bash", "--posix"]], ids=" ".join)
def test_another_shell_gives_it_to_bash(two_jobs: Path, tmp_path: Path, shell: list[str]) -> None:
    """Before anything is done: the second job would not be read by one that has no lists."""
    folder = tmp_path / "a b"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as other:
        environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(other.getsockname()[1]),
            "TMPDIR": str(folder),
        }
        done, piped = (
            subprocess.run(
                [*shell, *script],
                cwd=folder,
                env=environment,
                input=two_jobs.read_text(),
                capture_output=True,
                text=True,
                check=False,
            )
            for script in (["../two.sh"], [])
        )
    assert done.returncode == 1
    assert "is taken by another process" in done.stderr
    assert "Syntax error" not in done.stderr + piped.stderr
    assert f"TMPDIR {folder} has a blank in it" in done.stderr
    assert "for bash: give it to bash" in piped.stderr or shell[0] == "bash"
    assert not list(folder.iterdir())


def test_an_environment_may_be_anywhere(cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path) -> None:
    """What a shell would read in its folder's name stays as it is, also in the search path."""
    odd = tmp_path / 'an $HOME "of" `mine`'
    odd.symlink_to(fake_environment)
    given = ("--tree", str(tree), "--environment", str(odd))
    script = tmp_path / "one.sh"
    script.write_text(cli("run", "r", *given, "--print-script").stdout)
    done = bash(script, tmp_path, free_port())
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("results/r/*/load.json"))) == 2


def test_a_taken_port_is_refused_before_anything_starts(two_jobs: Path, tmp_path: Path) -> None:
    """Whoever listens there would be measured in the server's place."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = bash(two_jobs, tmp_path, other.getsockname()[1])
    assert done.returncode == 1
    assert "is taken by another process; end it, or set PORT" in done.stderr
    assert not (tmp_path / "results").exists()


def test_an_answer_of_another_program_is_none(two_jobs: Path, tmp_path: Path) -> None:
    """It came to listen while the server started, whose own attempt fails; /health is good, and not the server's."""
    port = free_port()
    fake = 'import sys, time; from http.server import *; time.sleep(0.5)\nclass H(BaseHTTPRequestHandler):\n def do_GET(self): self.send_response(200); self.end_headers()\nHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()'
    two_jobs.write_text(two_jobs.read_text().replace("servers=()", "servers=(FAKE_VLLM_START_S=3)", 1))
    other = subprocess.Popen(["python3", "-c", fake, str(port)], stderr=subprocess.DEVNULL)
    try:
        done = bash(two_jobs, tmp_path, port)
    finally:
        other.kill()
        other.wait()
    assert done.returncode == 1
    assert "the server ended before it was ready" in done.stderr
    assert "Address already in use" in done.stderr
    assert not list(tmp_path.glob("results/*/*/*.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(two_jobs: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Server, its children and the client end with the script, whoever is waited for."""
    port = free_port()
    text = two_jobs.read_text().replace("servers=()", "servers=(FAKE_VLLM=first-load-hangs)", 1)
    two_jobs.write_text(text)
    process = subprocess.Popen(
        ["bash", str(two_jobs)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 30
    while not list(tmp_path.glob("results/r/*/warmup.json")) and time.monotonic() < end:
        time.sleep(0.05)
    assert listens(port)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert not listens(port)
    left = [
        path.read_bytes()
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists() and path.read_bytes()
    ]
    assert not [one for one in left if str(tmp_path).encode() in one]


def test_a_server_that_cannot_start_ends_the_script(two_jobs: Path, tmp_path: Path) -> None:
    """With the last lines of its log; the next job is not begun on what it left."""
    text = two_jobs.read_text().replace("servers=()", "servers=(FAKE_VLLM=exit-at-start)", 1)
    two_jobs.write_text(text)
    done = bash(two_jobs, tmp_path, free_port())
    assert done.returncode == 1
    assert "cannot start on purpose" in done.stderr
    assert not (tmp_path / "results/s").exists()


def test_with_out_there_is_a_file_a_job(cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path) -> None:
    """Each runs by itself; a folder that holds other files is refused."""
    given = ("r", "--tree", str(tree), "--environment", str(fake_environment), "--print-script")
    out = tmp_path / "scripts"
    done = cli("run", *given, "--out", str(out))
    (file,) = [Path(line) for line in done.stdout.splitlines()]
    assert os.access(file, os.X_OK)
    assert bash(file, tmp_path, free_port()).returncode == 0
    again = cli("run", *given, "--out", str(out))
    assert again.returncode == Exit.OUT_IN_USE
    assert f"holds other files ({file.name})" in again.stderr


def test_the_recipes_variables_are_the_servers(
    cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path
) -> None:
    """The client gets where models are, and no proxy; neither gets what the person's shell has."""
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(
        recipe.read_text().replace(
            "serve:", 'serve:\n  env: {VLLM_LOGGING_LEVEL: DEBUG, HF_HUB_OFFLINE: "1"}'
        )
    )
    given = ("r", "--tree", str(tree), "--environment", str(fake_environment), "--print-script")
    script = tmp_path / "x.sh"
    for side in ("serve", "bench"):  # each writes down what it was given
        vllm = fake_environment / "bin/vllm"
        vllm.write_text(
            vllm.read_text().replace("exec", f'[ "$1" = {side} ] && env >"{tmp_path}/{side}"\nexec', 1)
        )
    script.write_text(cli("run", *given).stdout)
    assert bash(script, tmp_path, free_port(), OF_MINE="x").returncode == 0
    server, client = ((tmp_path / side).read_text() for side in ("serve", "bench"))
    assert "VLLM_LOGGING_LEVEL=DEBUG" in server
    assert "VLLM_LOGGING_LEVEL" not in client
    assert "HF_HUB_OFFLINE=1" in server
    assert "HF_HUB_OFFLINE=1" in client
    assert "NO_PROXY=127.0.0.1,localhost" in client
    assert "OF_MINE" not in server + client
    assert "HTTP_PROXY" not in server + client


def test_a_plugin_is_staged_as_the_node_does(
    cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path
) -> None:
    """The same files and metadata in front of the server's path; other files than the planned ones are refused."""
    write(tree / "kernels/k/__init__.py", 'VARIANTS = ("a",)\n')
    write(tree / "kernels/k/plugin.py", "def register(): pass\n")
    write(tree / "kernels/k/test_no.py", "")
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text() + "kernel: {name: k, variant: a}\n")
    vllm = fake_environment / "bin/vllm"
    keep = f'[ "$1" = serve ] && cp -r "$PYTHONPATH" "{tmp_path}/staged" && env >"{tmp_path}/env"\n'
    answer = """[ "$1" = serve ] && (until [ -e "$SERVEMATRIX_KERNEL_MARKER/request" ]; do sleep 0.1; done
        while sleep 0.1; do echo '{}' >"$SERVEMATRIX_KERNEL_MARKER/answer-$(cat "$SERVEMATRIX_KERNEL_MARKER/request")-0.json"; done) &\n"""
    vllm.write_text(vllm.read_text().replace("export", f"{keep}{answer}export", 1))
    given = ("r", "--tree", str(tree), "--environment", str(fake_environment), "--print-script")
    script = tmp_path / "x.sh"
    script.write_text(cli("run", *given).stdout)
    done = bash(script, tmp_path, free_port())
    assert done.returncode == 0, done.stderr
    staged = {path.name for path in (tmp_path / "staged").rglob("*") if path.is_file()}
    assert staged == {"__init__.py", "plugin.py", "METADATA", "entry_points.txt"}
    (entry,) = (tmp_path / "staged").glob("k-*.dist-info/entry_points.txt")
    assert entry.read_text() == "[vllm.general_plugins]\nk = k.plugin:register\n"
    assert "SERVEMATRIX_KERNEL_VARIANT=a" in (tmp_path / "env").read_text()
    assert list(tmp_path.glob("results/r/*/answer-*-0.json"))
    (tree / "kernels/k/plugin.py").write_text("def register(): print()\n")
    done = bash(script, tmp_path, free_port())
    assert done.returncode == 1
    assert "plugin.py: FAILED" in done.stdout


def test_a_pinned_model_has_its_tokenizer(cli: Cli, tree: Path) -> None:
    """The client has no flag for a revision."""
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text().replace("recipes/models/m", "org/m\nrevision: abc123"))
    text = cli("run", "r", "--tree", str(tree), "--print-script").stdout
    assert "snapshot_download" in text
    assert text.count('--tokenizer "$tokenizer"') == 4
    assert "org/m abc123" in text


def test_two_arms_are_two_scripts(cli: Cli, tmp_path: Path) -> None:
    """With folders of their own, so that neither's figures are the other's."""
    text = cli(
        "run",
        "minimaxm3-fp8-mi300x-vllm-ep-mxfp8/8k1k-tp8-ep8-c256",
        "--pair",
        "kernel=off",
        "--print-script",
    ).stdout
    base, head = text.split("\njob=")[1:]
    assert "-base\n" in base
    assert "SERVEMATRIX_KERNEL_VARIANT" not in base
    assert "SERVEMATRIX_KERNEL_VARIANT" in head
    assert shellcheck(text, tmp_path) == ""


def shellcheck(text: str, folder: Path) -> str:
    """What shellcheck says of a script."""
    program = shutil.which("shellcheck") or str(Path(os.sys.executable).parent / "shellcheck")  # type: ignore[attr-defined]
    path = folder / "checked.sh"
    path.write_text(text)
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_every_script_is_good_shell(cli: Cli, tmp_path: Path) -> None:
    """Of all shipped recipes, also one after another in one file."""
    done = cli("run", "--print-script")
    assert done.returncode == 0, done.stderr
    assert shellcheck(done.stdout, tmp_path) == ""


@pytest.mark.nightly
@pytest.mark.real
def test_two_jobs_with_the_real_vllm(cli: Cli, tmp_path: Path) -> None:
    """Each bench asks the server of its own job: their logs say how many requests each one answered."""
    tiny = "qwen3moe-tiny-cpu-vllm"
    for name in ("recipes", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / "tree" / name)
    write(
        tmp_path / "tree/recipes/other.yaml",
        f"extends: {tiny}\nserve: {{flags: {{block-size: 32}}}}\n",
    )
    points = (f"{tiny}/128x64-tp1-c1", "other/128x64-tp1-c2")
    environment = os.environ.get("SERVEMATRIX_TEST_ENVIRONMENT", "")
    given = ("--environment", environment) if environment else ()
    text = cli("run", *points, "--tree", str(tmp_path / "tree"), *given, "--print-script").stdout
    script = tmp_path / "two.sh"
    script.write_text(text)
    port = free_port()
    done = bash(script, tmp_path, port)
    assert done.returncode == 0, done.stdout + done.stderr
    for recipe, short in (one.split("/") for one in points):
        load = json.loads((tmp_path / f"results/{recipe}/{short}/load.json").read_text())
        assert load["completed"] == load["num_prompts"]
        assert load["failed"] == 0
        (log,) = (tmp_path / f"results/{recipe}").glob("*.server.log")
        assert f"'block_size': {32 if recipe == 'other' else 16}" in log.read_text() or recipe == tiny
        assert log.read_text().count("POST /v1/completions") >= load["completed"]
    assert not listens(port)
