"""The command line as a user meets it, with the FAKE vLLM where a server is needed."""

from __future__ import annotations

import argparse
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matrix.errors import Exit
from matrix.version import VERSION
from tests.conftest import ROOT, Cli, command, environment, shown_at
from utils.cli.main import _ended, module, parsed, parser
from utils.cli.verbs import VERBS
from utils.node import record_file


def run_arguments(tree: Path, fake: Path, out: Path, *more: str) -> list[str]:
    return ["run", "r", "--tree", str(tree), "--environment", str(fake), "--out", str(out), *more]


def run(cli: Cli, tree: Path, fake: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return cli(*run_arguments(tree, fake, out, *more))


def test_a_run_ends_in_a_table_and_tells_where_the_records_are(
    cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path
) -> None:
    """And its records can be shown and compared again."""
    out = tmp_path / "out"
    done = run(cli, tree, fake_environment, out, "--runs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == f"records: {out}"
    assert [line.split()[:4] for line in lines[-5:-1]] == [
        [f"r/32x16-tp1-c{c}", str(number), "head", "measured"] for number in (1, 2) for c in (1, 2)
    ]
    assert "TTFT ms" in done.stdout
    assert cli("collect", str(out)).stdout.count("measured") == 4
    assert cli("compare", str(out), str(out)).returncode == 0
    assert (
        cli(
            "changelog", "add", str(out), "--title", "t", "--why", "w", "--file", str(tmp_path / "c.yaml")
        ).returncode
        == Exit.NOT_COMPARABLE
    )


def test_a_run_as_json_has_one_value_on_stdout(
    cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path
) -> None:
    """Records, what is missing, how it ended; what is for people is on stderr."""
    done = run(cli, tree, fake_environment, tmp_path / "out", "--format", "json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert (value["exit"], value["out"], value["missing"], value["verdict"]) == (
        "OK",
        str(tmp_path / "out"),
        [],
        None,
    )
    assert [one["status"] for one in value["records"]] == ["measured", "measured"]
    assert "Means of whole runs" in done.stderr


def test_a_folder_that_holds_a_finished_run_stays_as_it_is(
    cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path
) -> None:
    """The same points are not run again, and others are refused; the records are not touched."""
    out = tmp_path / "out"
    assert run(cli, tree, fake_environment, out).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    done = run(cli, tree, fake_environment, out)
    assert done.returncode == 0
    assert "was finished before; it is not run again" in done.stdout
    other = run(cli, tree, fake_environment, out, "--runs", "2")
    assert other.returncode == Exit.OUT_IN_USE
    assert "other points" in other.stderr
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert {path for path in before if path.name == "record.json" and before[path] != after[path]} == set()
    assert before.keys() == after.keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_keeps_what_was_measured(
    tree: Path, fake_environment: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """The table shows it, and the code says that it was interrupted."""
    out = tmp_path / "out"
    arguments = run_arguments(tree, fake_environment, out, "--runs", "9")
    process = subprocess.Popen(
        command(*arguments), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not list(out.rglob("record.json")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    shown, told = process.communicate(timeout=30)
    assert process.returncode == Exit.CANCELLED, told
    assert "measured" in shown
    assert f"interrupted by {number.name}" in shown
    assert "what was measured is kept" in told
    assert {record_file.read(path).status for path in out.rglob("record.json")} >= {"measured"}
    left = (
        subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        if Path("/bin/ps").exists()
        else ""
    )
    assert str(out) not in left


def test_a_run_on_a_terminal_shows_a_bar(tree: Path, fake_environment: Path, tmp_path: Path) -> None:
    """A real pseudo-terminal."""
    arguments = run_arguments(tree, fake_environment, tmp_path / "out")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments), env=environment({"TERM": "xterm"}), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = shown_at(ours)
    assert process.wait(30) == 0
    os.close(ours)
    assert b"\x1b[" in shown
    assert "━".encode() in shown
    assert b"Means of whole runs" in shown


def test_a_launcher_that_does_not_fit_the_cluster_says_so(cli: Cli) -> None:
    """Its commands can be shown all the same."""
    done = cli("run", "minimaxm3-fp8-mi300x-vllm/1k1k-tp8-c1", "--launcher", "local")
    assert done.returncode == Exit.LAUNCHER_MISSING
    assert "--print-script" in done.stderr


def test_print_script_is_its_golden_file(cli: Cli) -> None:
    """Server, warm-up, load and, for Slurm, the container line; valid shell. tests/utils/launch/test_script.py runs such."""
    done = cli("run", "minimaxm3-fp8-mi300x-vllm/8k1k-tp8-ep8-c256", "--print-script")
    assert done.returncode == 0
    golden = ROOT / "tests/golden/by-hand-mi300x.sh"
    assert done.stdout.replace(f"servematrix-{os.getuid()}/", "servematrix-1000/") == golden.read_text()
    local = cli("run", "qwen3moe-tiny-cpu-vllm", "--print-script").stdout
    assert "--container-image" not in local
    for text in (done.stdout, local):
        assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments", [[], ["plan"], ["run"], ["collect"], ["compare"], ["changelog", "add"], ["check"], ["test"]]
)
def test_every_command_has_help_with_an_example(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What a newcomer types first."""
    with pytest.raises(SystemExit):
        parsed([*arguments, "--help"])
    shown = capsys.readouterr().out
    assert "./servematrix" in shown.split("options:")[1]


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_a_module(name: str) -> None:
    """The table holds no name that only a user would find missing, and every action of a verb has what it does."""
    verb = module(name)
    made = parser(name, verb)
    assert callable(getattr(verb, "run", None)) or made._subparsers
    for group in made._subparsers._group_actions if made._subparsers else ():
        assert all(callable(one.get_default("do")) for one in dict(group.choices or {}).values())


def test_the_start_page(cli: Cli) -> None:
    """No argument is a question, too; a wrong verb gets the near one, and an abbreviated option is refused."""
    shown = cli()
    assert (shown.returncode, shown.stdout) == (0, cli("--help").stdout)
    assert "start here:  ./servematrix run qwen3moe-tiny-cpu-vllm" in shown.stdout
    assert cli("--version").stdout == f"servematrix {VERSION}\n"
    assert "did you mean 'collect'?" in cli("colect").stderr
    assert cli("plan", "--form", "ids").returncode == Exit.USAGE


def test_wrong_usage_has_its_code(cli: Cli) -> None:
    """And one line that says what was wrong."""
    assert cli("plann").returncode == Exit.USAGE
    assert cli("run", "x", "--runs", "0").returncode == Exit.USAGE
    assert cli("plan", "--tree", "/nowhere").returncode == Exit.USAGE
    assert cli("plan", "--changed", "no-such-revision").returncode == Exit.USAGE
    assert cli("plan", "--changed=--output=/tmp/x").returncode in {Exit.USAGE, Exit.SETUP_FAILED}


def test_errors_are_annotations_in_actions(cli: Cli, tree: Path) -> None:
    """At the file's place, and only one line each."""
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text().replace("precision", "precison"))
    done = cli("plan", "--tree", str(tree), env={"GITHUB_ACTIONS": "true"})
    assert done.returncode == Exit.RECIPE_INVALID
    assert "::error file=recipes/r.yaml,line=2,col=1::unknown key 'precison'" in done.stdout


def test_check_finds_a_generated_file_that_is_not_current(cli: Cli) -> None:
    """The schema for editors, and the tables in docs."""
    assert cli("check").returncode == 0
    path = ROOT / "matrix/recipe.schema.json"
    from utils.cli.made_from_code import GENERATED

    assert GENERATED["matrix/recipe.schema.json"]("old") == path.read_text() != "old"


def test_an_interrupted_verb_says_no_more_than_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    """Only `run` has measured something that could be kept."""

    def ended(name: str) -> str:
        def does(_: argparse.Namespace) -> None:
            raise KeyboardInterrupt

        assert _ended(module(name), argparse.Namespace(do=does)) == Exit.CANCELLED
        return capsys.readouterr().err

    assert ended("run") == "servematrix: interrupted; what was measured is kept\n"
    assert ended("report") == "servematrix: interrupted\n"


def test_a_signal_before_the_program_is_loaded_is_no_traceback(tmp_path: Path) -> None:
    """Modules take a quarter of a second to import, in which somebody may press Ctrl-C."""
    folder = tmp_path / "utils/cli"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "utils/cli/__main__.py", folder)
    (folder / "main.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "__main__.py"), "plan"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (Exit.CANCELLED, b"", b"")


def test_check_finds_a_recipe_in_a_folder_that_nothing_reads() -> None:
    """Also one with another ending; files of models, tasks and official recipes are what they are."""
    from utils.cli.check import unread

    read = [
        "recipes/r.yaml",
        "recipes/clusters/c.yaml",
        "recipes/models/m/x.yaml",
        "recipes/models/m/config.json",
    ]
    read += [
        "recipes/official/o.yaml",
        "recipes/tasks/t.yaml",
        "recipes/tasks/t/more.yaml",
        "recipes/notes.md",
    ]
    assert unread(read) == []
    lost = ["recipes/mine/r.yaml", "recipes/clusters/mine/c.yaml", "recipes/r.yml", "recipes/mine/r.yml"]
    assert [one.place.file for one in unread(lost)] == lost
    assert unread(lost)[0].message == (
        "is not read: recipes are files of recipes/ and clusters files of recipes/clusters/, not of folders below; move it"
    )
    assert unread(lost)[2].message == "is not read: recipes and clusters end in .yaml; rename it"


def test_exit_codes_are_unique_and_told() -> None:
    """Each has a meaning; the page is made from them."""
    assert len({int(code) for code in Exit}) == len(list(Exit))
    page = (ROOT / "docs/exit-codes.md").read_text()
    assert all(f"| {int(code)} | `{code.name}` | {code.meaning} |" in page for code in Exit)


def test_help_imports_nothing_heavy() -> None:
    """So that it is there at once: not even what a verb's own help needs of the standard library."""
    heavy = (
        "pydantic",
        "rich",
        "yaml",
        "argparse",
        "dataclasses",
        "difflib",
        "pathlib",
        "traceback",
        "utils.show",
    )
    program = f"import sys; before = set(sys.modules); from utils.cli.main import main; main(['--help']); sys.exit(str({{*{heavy}}} & (set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("usage: servematrix VERB")
    assert done.stderr.strip() == "set()"


def test_verbs_that_only_read_need_no_numpy() -> None:
    """It takes half of what `compare` may take to start; a profile, which a few comparisons have, does need it."""
    verbs = ("compare", "changelog", "history", "plan", "collect")
    program = f"import sys, {', '.join(f'utils.cli.{verb}' for verb in verbs)}; print({{'numpy', 'scipy'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_usage_error_leaves_no_results(
    cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path
) -> None:
    """Whatever is missing is found before a folder is made; a folder with other files is nobody's results."""
    out = tmp_path / "out"
    given = ("run", "r", "--tree", str(tree), "--out", str(out))
    assert "has no bin/python" in cli(*given, "--environment", str(tmp_path / "nowhere")).stderr
    fake = ("--environment", str(fake_environment))
    for option, name in (("--history", "nowhere"), ("--ledger", "nowhere/l.jsonl")):
        done = cli(*given, *fake, option, str(tmp_path / name))
        assert done.returncode == Exit.USAGE
        assert f"{option} {tmp_path / name} is not there" in done.stderr
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").touch()
    done = cli(*given, *fake)
    assert done.returncode == Exit.OUT_IN_USE
    assert "holds other files (mine.txt)" in done.stderr
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_an_estimate_takes_the_points_older_records(
    cli: Cli, tree: Path, fake_environment: Path, tmp_path: Path
) -> None:
    """What changed has another key, and still takes about as long."""
    out = tmp_path / "out"
    assert run(cli, tree, fake_environment, out).returncode == 0
    recipe = tree / "recipes/r.yaml"
    recipe.write_text(recipe.read_text().replace("block-size: 16", "block-size: 32"))
    plan = ("plan", "r", "--tree", str(tree))
    assert "node-hours (from records)" in cli(*plan, "--history", str(out)).stdout
    assert "node-hours (from the cluster file)" in cli(*plan, "--history", str(tmp_path / "fake")).stdout
